"""A carrier for measuring: takes every submit_sm, answers at once, sends a receipt a second later.

As little as can be, so that what is measured is the gateway: no session machine, no checks, one
pass over the octets that came. It speaks just enough SMPP v3.4 (bind, submit_sm, deliver_sm,
enquire_link, unbind) and writes its counters, as one JSON line, to `--stats` twice a second.
"""

import argparse
import asyncio
import json
import resource
import signal
import struct
import time
from collections import Counter, deque
from pathlib import Path
from typing import ClassVar, cast

import uvloop

_HEADER = struct.Struct(">IIII")
_RECEIPT_WINDOW = 200
_RESPONSE = 0x80000000
_BIND = {1, 2, 9}
_SUBMIT, _DELIVER, _UNBIND, _ENQUIRE = 4, 5, 6, 0x15


class Sink(asyncio.Protocol):
    """One bind. `due` holds the receipts that wait for their second."""

    counts: ClassVar[Counter[str]] = Counter()
    next_id = int(time.time()) % 100_000 * 100_000
    receipt_delay = 1.0
    binds: ClassVar[set["Sink"]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.rest = b""
        self.due: deque[tuple[float, bytes, bytes]] = deque()
        self.unanswered = 0
        self.sequence = 0
        Sink.binds.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        Sink.binds.discard(self)

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        at, answers = 0, []
        while len(data) - at >= 16:
            length, command, _, sequence = _HEADER.unpack_from(data, at)
            if len(data) - at < length:
                break
            answers.append(self._answer(command, sequence, data[at + 16 : at + length]))
            at += length
        self.rest = data[at:]
        self.transport.write(b"".join(answers))
        self.send_receipts()

    def _answer(self, command: int, sequence: int, body: bytes) -> bytes:
        if command == _SUBMIT:
            return self._submitted(sequence, body)
        if command == _DELIVER | _RESPONSE:
            self.unanswered -= 1
            Sink.counts["receipts_answered"] += 1
            return b""
        if command in _BIND:
            return _HEADER.pack(21, command | _RESPONSE, 0, sequence) + b"sink\0"
        if command in (_ENQUIRE, _UNBIND):
            return _HEADER.pack(16, command | _RESPONSE, 0, sequence)
        return b""

    def _submitted(self, sequence: int, body: bytes) -> bytes:
        at = body.index(0) + 1
        source_end = body.index(0, at + 2) + 1
        source = body[at:source_end]
        destination_end = body.index(0, source_end + 2) + 1
        destination = body[source_end:destination_end]
        Sink.next_id += 1
        Sink.counts["submitted"] += 1
        message_id = b"%d" % Sink.next_id
        self.due.append((time.monotonic() + Sink.receipt_delay, message_id, destination + source))
        return _HEADER.pack(17 + len(message_id), _SUBMIT | _RESPONSE, 0, sequence) + (
            message_id + b"\0"
        )

    def send_receipts(self) -> None:
        now, out = time.monotonic(), []
        date = time.strftime("%y%m%d%H%M").encode()
        while self.due and self.unanswered < _RECEIPT_WINDOW and self.due[0][0] <= now:
            _, message_id, addresses = self.due.popleft()
            text = (
                b"id:%s sub:001 dlvrd:001 submit date:%s done date:%s stat:DELIVRD err:000 text:"
                % (message_id, date, date)
            )
            tlvs = b"\x00\x1e" + struct.pack(">H", len(message_id) + 1) + message_id + b"\0"
            tlvs += b"\x04\x27\x00\x01\x02"
            body = b"\0" + addresses + b"\x04\0\0\0\0\0\0\0\0" + bytes([len(text)]) + text + tlvs
            self.sequence += 1
            self.unanswered += 1
            Sink.counts["receipts"] += 1
            out.append(_HEADER.pack(16 + len(body), _DELIVER, 0, self.sequence) + body)
        if out:
            self.transport.write(b"".join(out))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stats", type=Path, required=True)
    parser.add_argument("--receipt-delay", type=float, default=1.0)
    arguments = parser.parse_args()
    Sink.receipt_delay = arguments.receipt_delay
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", arguments.port)
    port = server.sockets[0].getsockname()[1]
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    written = 0.0
    while not stop.is_set():
        for sink in list(Sink.binds):
            sink.send_receipts()
        if time.monotonic() - written >= 0.5:
            written = time.monotonic()
            usage = resource.getrusage(resource.RUSAGE_SELF)
            line = {"port": port, "cpu": usage.ru_utime + usage.ru_stime, **Sink.counts}
            fresh = arguments.stats.with_suffix(".new")
            fresh.write_text(json.dumps(line))
            fresh.replace(arguments.stats)
        try:
            await asyncio.wait_for(stop.wait(), 0.02)
        except TimeoutError:
            continue


uvloop.run(main())
