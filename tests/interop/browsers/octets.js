// What goes through the peer connections of a page, for the tests: each encoded frame, in order.
"use strict";

(() => {
  const Theirs = RTCPeerConnection;
  window.octets = { sent: [], received: [] };
  const keep = (end, frames) => {
    const { readable, writable } = end.createEncodedStreams();
    const copies = new TransformStream({
      transform(frame, controller) {
        frames.push(btoa(String.fromCharCode(...new Uint8Array(frame.data))));
        controller.enqueue(frame);
      },
    });
    readable.pipeThrough(copies).pipeTo(writable);
  };
  window.RTCPeerConnection = class extends Theirs {
    constructor(given) {
      super({ ...given, encodedInsertableStreams: true });
      this.addEventListener("track", (event) => keep(event.receiver, window.octets.received));
    }
    addTrack(...given) {
      const sender = super.addTrack(...given);
      keep(sender, window.octets.sent);
      return sender;
    }
  };
})();
