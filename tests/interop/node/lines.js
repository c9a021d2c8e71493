// What both programs share: JSON lines in and out, and texts rebuilt from their parts.
'use strict';

const readline = require('readline');

exports.tell = (event, fields) => console.log(JSON.stringify({ event, ...fields }));

// `commands` by the value of "do"; the end of the input ends the program.
exports.listen = (commands) => {
  const input = readline.createInterface({ input: process.stdin });
  input.on('line', (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  });
  input.on('close', () => process.exit(0));
};

const CONCATENATED = { 0x00: 1, 0x08: 2 };

// {reference, total, number} of a part; a total of 1 for a text that is alone.
const placeOf = (pdu) => {
  if (pdu.sar_msg_ref_num !== undefined) {
    return {
      reference: pdu.sar_msg_ref_num,
      total: pdu.sar_total_segments,
      number: pdu.sar_segment_seqnum,
    };
  }
  for (const element of pdu.short_message.udh || []) {
    const width = CONCATENATED[element[0]];
    if (width !== undefined && element[1] === width + 2) {
      return {
        reference: element.readUIntBE(2, width),
        total: element[2 + width],
        number: element[3 + width],
      };
    }
  }
  return { reference: 0, total: 1, number: 1 };
};

// Each part is decoded by itself, as a handset does that shows them one by one: a pair that was
// cut in two would not survive that.
const contentOf = (pdu) => pdu.short_message.message || (pdu.message_payload || {}).message || '';

exports.Texts = class {
  constructor() {
    this.unfinished = new Map();
  }

  // The whole text {from, to, body, parts, longest} that `pdu` completes, else null.
  add(pdu) {
    const { reference, total, number } = placeOf(pdu);
    const key = [pdu.source_addr, pdu.destination_addr, reference, total].join(' ');
    const parts = this.unfinished.get(key) || new Map();
    parts.set(number, contentOf(pdu));
    this.unfinished.set(key, parts);
    if (parts.size < total) return null;
    this.unfinished.delete(key);
    const contents = [...parts.keys()].sort((a, b) => a - b).map((n) => parts.get(n));
    return {
      from: pdu.source_addr,
      to: pdu.destination_addr,
      body: contents.join(''),
      contents,
    };
  }
};
