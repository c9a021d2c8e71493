"""The load of `webrtc.py`: browsers and phones, each pair a call, in a process of their own.

    python bench/webrtc_load.py '{"calls": 40, "seconds": 10, "codec": "PCMU", "per_second": 5}'

It asks for calls and for their ends by lines of JSON, and reads what a worker said of each from
lines of the same kind; the last line that it writes is what came of it. A browser is our own ICE
and DTLS, for aiortc's whole costs more than what is measured. A packet of PCMU carries the time at
which it was sent.
"""

import asyncio
import itertools
import json
import random
import resource
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from protocols.rtp import codecs, formats
from protocols.rtp.audio import Pcm
from protocols.rtp.endpoint import Reader
from protocols.rtp.events import Address
from protocols.rtp.srtp import Refusal, SrtpReceiver, SrtpSender, Suite
from protocols.sdp.formats import OPUS, PCMU, Codec
from protocols.sdp.ice import IceSide
from protocols.sdp.media import Srtp
from protocols.webrtc.endpoint import Endpoint

HOST = "127.0.0.1"
PTIME = 0.02
LATE = 0.02  # seconds on the way from which on a packet came too late
STAY = 2.0  # seconds that a call stays that comes while the others are measured
_STAMP = struct.Struct("=d")
_HEAD = struct.Struct(">BBHII")


def payloads(codec: Codec) -> Iterator[bytes]:
    """A second of a tone, again and again."""
    format = formats.find(codec.name, codec.clock_rate)
    assert format is not None
    encoder = codecs.encoder(format)
    at = np.arange(encoder.rate) / encoder.rate
    samples = (np.sin(2 * np.pi * 440 * at) * 8000).astype(np.int16)
    size = encoder.rate // 50
    frames = [
        encoder.encode(Pcm(rate=encoder.rate, samples=samples[start : start + size]))
        for start in range(0, len(samples), size)
    ]
    return itertools.cycle(frames)


class Line:
    """One end: a socket, a stream that goes out, and what comes in."""

    def __init__(self, codec: Codec, totals: "Totals") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.address: Address = self.socket.getsockname()
        self.to: Address | None = None
        self.is_measured = False
        self._codec = codec
        self._payloads = payloads(codec)
        self._ticks = codec.clock_rate // 50
        self._number = 0
        self._ssrc = random.getrandbits(32)
        self._totals = totals

    def packet(self) -> bytes:
        self._number += 1
        head = _HEAD.pack(
            0x80,
            self._codec.payload_type,
            self._number & 0xFFFF,
            self._number * self._ticks & 0xFFFFFFFF,
            self._ssrc,
        )
        payload = next(self._payloads)
        if self._codec is PCMU:
            payload = _STAMP.pack(time.monotonic()) + payload[_STAMP.size :]
        return head + payload

    def say(self) -> None:
        if self.to is not None:
            self._totals.sent += self.is_measured
            self.socket.sendto(self.packet(), self.to)

    def heard(self, octets: bytes, now: float) -> None:
        if not self.is_measured or 192 <= octets[1] <= 223:
            return
        self._totals.came += 1
        if self._totals.is_stamped:
            (sent,) = _STAMP.unpack_from(octets, 12)
            self._totals.latencies.append(now - sent)


class Phone(Line):
    """Plain RTP."""

    def hear(self, octets: bytes, source: Address, now: float) -> None:
        self.heard(octets, now)


class Browser(Line):
    """SRTP with keys from DTLS."""

    def __init__(self, codec: Codec, totals: "Totals") -> None:
        super().__init__(codec, totals)
        self.is_up = asyncio.Event()
        self._opener: SrtpReceiver | None = None
        self._sealer: SrtpSender | None = None
        self._at: Address | None = None
        self.endpoint = Endpoint(
            host=HOST, local=self.address, is_offerer=True, send=self._send, watcher=self
        )

    def _send(self, octets: bytes, address: Address) -> None:
        self.socket.sendto(octets, address)

    def packet(self) -> bytes:
        assert self._sealer is not None
        sealed = self._sealer.protect(super().packet())
        assert isinstance(sealed, bytes)
        return sealed

    def hear(self, octets: bytes, source: Address, now: float) -> None:
        if octets[0] < 64:
            self.endpoint.take(octets, source)
        elif self._opener is not None and not 192 <= octets[1] <= 223:
            opened = self._opener.unprotect(octets)
            if not isinstance(opened, Refusal):
                self.heard(opened, now)

    def found(self, address: Address) -> None:
        self._at = address

    def keyed(self, keys: Srtp) -> None:
        self._opener = SrtpReceiver(Suite(keys.suite), keys.receive_key)
        self._sealer = SrtpSender(Suite(keys.suite), keys.send_key)
        self.to = self._at
        self.is_up.set()

    def lost(self, cause: str, reason: str) -> None:
        self._totals.lost_paths += 1


class Totals:
    """What came of it."""

    def __init__(self, is_stamped: bool) -> None:
        self.is_stamped = is_stamped
        self.sent = 0
        self.came = 0
        self.lost_paths = 0
        self.set_up: list[float] = []
        self.latencies: list[float] = []
        self.behind = 0.0  # the worst that a turn of ours began after its time

    def outcome(self) -> dict[str, Any]:
        """Times in seconds."""
        every = np.array(self.latencies or [0.0])
        p50, p99 = np.quantile(every, (0.5, 0.99))
        return {
            "sent": self.sent,
            "came": self.came,
            "late": float((every > LATE).mean()) if self.is_stamped else None,
            "p50": float(p50),
            "p99": float(p99),
            "behind": self.behind,
            "lost_paths": self.lost_paths,
            "set_ups": len(self.set_up),
            "set_up": float(np.median(self.set_up)) if self.set_up else 0.0,
        }


class Load:
    """Calls that talk until they are over."""

    def __init__(self, asked: dict[str, Any], reader: asyncio.StreamReader) -> None:
        self._asked = asked
        self._codec = OPUS if asked["codec"] == "opus" else PCMU
        self.totals = Totals(self._codec is PCMU)
        self._answers = reader
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._sockets = Reader(asyncio.get_running_loop(), time.monotonic)
        self._numbers = itertools.count()
        self._talking: dict[str, tuple[Browser, Phone]] = {}

    async def answers(self) -> None:
        while line := await self._answers.readline():
            said = json.loads(line)
            self._waiting.pop(said["call"]).set_result(said)

    async def open(self) -> str:
        """A call that talks; who came beside the others is not measured."""
        call = f"call{next(self._numbers)}"
        browser, phone = Browser(self._codec, self.totals), Phone(PCMU, self.totals)
        for each in (browser, phone):
            self._sockets.add(each.socket, each.hear)
        begun = time.monotonic()
        side = msgspec.to_builtins(browser.endpoint.side)
        said = await self._ask({"open": call, "side": side, "port": phone.address[1]})
        browser.endpoint.connect(msgspec.convert(said["side"], IceSide))
        phone.to = (HOST, said["port"])
        await browser.is_up.wait()
        self.totals.set_up.append(time.monotonic() - begun)
        self._talking[call] = (browser, phone)
        return call

    async def _ask(self, wanted: dict[str, Any]) -> dict[str, Any]:
        call = wanted.get("open") or wanted["end"]
        future = self._waiting[call] = asyncio.get_running_loop().create_future()
        print(json.dumps(wanted), flush=True)
        return await future

    async def end(self, call: str) -> None:
        browser, phone = self._talking.pop(call)
        browser.endpoint.close()
        for each in (browser, phone):
            self._sockets.remove(each.socket)
            each.socket.close()
        await self._ask({"end": call})

    async def talk(self) -> None:
        """Each says a packet every 20 ms, evenly over them."""
        due = time.monotonic()
        for turn in itertools.count():
            due += PTIME / 10
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.totals.behind = max(self.totals.behind, time.monotonic() - due)
            for browser, phone in list(self._talking.values())[turn % 10 :: 10]:
                browser.say()
                phone.say()

    async def come_and_go(self, per_second: float) -> None:
        while per_second:
            await asyncio.sleep(1 / per_second)
            asyncio.get_running_loop().create_task(self._visit())

    async def _visit(self) -> None:
        call = await self.open()
        await asyncio.sleep(STAY)
        await self.end(call)

    async def grow(self, calls: int) -> None:
        """So many, some at a time, that come and go."""
        for _ in range(0, calls, 10):
            opened = await asyncio.gather(*(self.open() for _ in range(10)))
            for call in opened:
                await self.end(call)

    async def run(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self.answers()), loop.create_task(self.talk())]
        await self.grow(self._asked["grow"])
        for _ in range(self._asked["calls"]):
            await self.open()
            await asyncio.sleep(0.06)
        print(json.dumps({"ready": True}), flush=True)
        tasks.append(loop.create_task(self.come_and_go(self._asked["per_second"])))
        self.totals.behind = 0.0
        self.totals.set_up.clear()
        measured = [each for pair in self._talking.values() for each in pair]
        cpu = time.process_time()
        for each in measured:
            each.is_measured = True
        await asyncio.sleep(self._asked["seconds"])
        cpu = time.process_time() - cpu
        print(json.dumps({"done": True}), flush=True)
        await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        for browser, _ in self._talking.values():
            browser.endpoint.close()
        return {**self.totals.outcome(), "load": cpu}


async def main() -> None:
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    load = Load(json.loads(sys.argv[1]), reader)
    print(json.dumps({"outcome": await load.run()}), flush=True)


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(main())
