// A customer made with the package smpp: `node esme.js PORT`, then commands. Tells what is
// answered, each receipt and each text that is whole.
'use strict';

const smpp = require('smpp');
const { listen, tell, Texts } = require('./lines');

const texts = new Texts();
const session = smpp.connect({ url: `smpp://127.0.0.1:${process.argv[2]}` }, () =>
  tell('connected', {}));

session.on('error', (error) => tell('error', { reason: String(error) }));
session.on('close', () => tell('closed', {}));
session.on('enquire_link', (pdu) => session.send(pdu.response()));
session.on('deliver_sm', (pdu) => {
  session.send(pdu.response());
  if (pdu.esm_class & smpp.ESM_CLASS.MC_DELIVERY_RECEIPT) {
    tell('receipt', {
      id: pdu.receipted_message_id,
      message_state: pdu.message_state,
      said: pdu.short_message.message,
      from: pdu.source_addr,
      to: pdu.destination_addr,
      reference: pdu.user_message_reference,
    });
    return;
  }
  const text = texts.add(pdu);
  if (text !== null) tell('text', text);
});

const requested = (name, pdu) =>
  session[name](pdu, (answer) =>
    tell('answered', { name, command_status: answer.command_status, id: answer.message_id,
      message_state: answer.message_state, system_id: answer.system_id }));

listen({
  request: ({ name, pdu }) => requested(name, pdu || {}),
  submit_part: ({ pdu, udh, message }) =>
    requested('submit_sm', { ...pdu, short_message: { udh: Buffer.from(udh, 'hex'), message } }),
});
