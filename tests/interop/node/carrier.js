// A carrier made with the package smpp: `node carrier.js RECEIPTS`, RECEIPTS being text, tlv or
// none. Tells its port, each submit_sm, each text that is whole, each answer to a deliver_sm.
'use strict';

const smpp = require('smpp');
const { listen, tell, Texts } = require('./lines');

const receipts = process.argv[2];
const texts = new Texts();
let count = 0;
let bound = null;

const date = () => new Date().toISOString().replace(/\D/g, '').slice(2, 12);

const receiptOf = (pdu, id) => {
  const said =
    `id:${id} sub:001 dlvrd:001 submit date:${date()} done date:${date()} ` +
    'stat:DELIVRD err:000 text:';
  return {
    source_addr_ton: pdu.dest_addr_ton,
    source_addr_npi: pdu.dest_addr_npi,
    source_addr: pdu.destination_addr,
    dest_addr_ton: pdu.source_addr_ton,
    dest_addr_npi: pdu.source_addr_npi,
    destination_addr: pdu.source_addr,
    esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
    ...(receipts === 'text'
      ? { short_message: said }
      : { receipted_message_id: id, message_state: 2 }),
  };
};

const submitted = (session, pdu) => {
  count += 1;
  const id = `node-${count}`;
  tell('submit_sm', {
    id,
    from: pdu.source_addr,
    to: pdu.destination_addr,
    data_coding: pdu.data_coding,
    registered_delivery: pdu.registered_delivery,
    reference: pdu.user_message_reference,
  });
  session.send(pdu.response({ message_id: id }));
  const text = texts.add(pdu);
  if (text !== null) tell('text', text);
  if (receipts !== 'none' && pdu.registered_delivery & 1) {
    session.deliver_sm(receiptOf(pdu, id), (answer) =>
      tell('receipt_answered', { id, command_status: answer.command_status }));
  }
};

const server = smpp.createServer((session) => {
  session.on('error', (error) => tell('error', { reason: String(error) }));
  for (const kind of ['bind_transceiver', 'bind_transmitter', 'bind_receiver']) {
    session.on(kind, (pdu) => {
      session.send(pdu.response({ system_id: 'node' }));
      if (kind !== 'bind_transmitter') bound = session;
      tell('bound', { kind, system_id: pdu.system_id });
    });
  }
  session.on('submit_sm', (pdu) => submitted(session, pdu));
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => {
    session.send(pdu.response());
    session.close();
    tell('unbound', {});
  });
});
server.listen(0, '127.0.0.1', () => tell('listening', { port: server.address().port }));

listen({
  deliver: ({ pdu, udh, message }) => {
    const content = udh ? { udh: Buffer.from(udh, 'hex'), message } : message;
    bound.deliver_sm({ ...pdu, short_message: content }, (answer) =>
      tell('delivered', { command_status: answer.command_status }));
  },
});
