"""A stranger's sockets: octets to the gateway as they are, and what comes back of them.

A message that is sent is followed by a probe, an OPTIONS of its own. The gateway answers strangers
in the order in which they ask, so what has not come before the probe's answer does not come.
What comes is read here, not by the wing that wrote it.
"""

import asyncio
import random
import re
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from protocols.sip.transport import Hop

PATIENCE = 60.0
_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2}) ")
_REQUEST = re.compile(rb"([A-Z]+) [^ ]+ SIP/2\.0")
_LENGTH = re.compile(rb"\r\nContent-Length: ([0-9]+)\r\n")


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of the gateway's: the status of a response, the method of a request."""

    octets: bytes
    status: int
    method: str

    def header(self, name: str) -> str:
        """The first value of a header, "" if there is none."""
        found = re.search(rf"\r\n{name}: ([^\r]*)\r\n".encode(), self.octets)
        return found[1].decode() if found else ""

    @property
    def call_id(self) -> str:
        return self.header("Call-ID")

    @property
    def tag(self) -> str:
        """The To-tag."""
        return self.header("To").rpartition(";tag=")[2]


def heard(octets: bytes) -> Heard:
    """A whole message of the gateway's; one of ours never looks otherwise."""
    status, request = _STATUS.match(octets), _REQUEST.match(octets)
    length = _LENGTH.search(octets)
    assert (status or request) and length, octets
    assert len(octets.partition(b"\r\n\r\n")[2]) == int(length[1]), octets
    return Heard(octets, int(status[1]) if status else 0, request[1].decode() if request else "")


def options(name: str, transport: str = "UDP") -> bytes:
    """A probe that asks for its answer where it came from."""
    return (
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} stranger.invalid;rport;branch=z9hG4bK{name}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:probe@stranger.invalid>;tag={name}\r\n"
        f"To: <sip:127.0.0.1>\r\nCall-ID: {name}\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def anywhere() -> str:
    """An address of loopback that nobody else is likely to have."""
    return f"127.{random.randrange(16, 250)}.{random.randrange(256)}.{random.randrange(1, 255)}"


class Datagrams(asyncio.DatagramProtocol):
    """A UDP socket that speaks to the gateway at `hop`."""

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self.heard: list[Heard] = []
        self._news = asyncio.Event()
        self._probe = b""
        self._probed = asyncio.Event()
        self.transport: asyncio.DatagramTransport

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> "Datagrams":
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, (host, port))
        return self

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data[:1] >= b"\x80":
            return  # RTP and RTCP for another test's peer, which had this port before
        if self._probe and self._probe in data:
            self._probed.set()
            return
        self.heard.append(heard(data))
        self._news.set()

    def send(self, octets: bytes) -> None:
        self.transport.sendto(octets, (self.hop.host, self.hop.port))

    async def until(self, where: Callable[[Heard], bool], patience: float = PATIENCE) -> Heard:
        """The first message that fits."""
        async with asyncio.timeout(patience):
            while True:
                for each in self.heard:
                    if where(each):
                        return each
                self._news.clear()
                await self._news.wait()

    async def probe(self, patience: float = PATIENCE) -> None:
        """Wait until all that was sent has been looked at."""
        name = secrets.token_hex(8)
        self._probe = b"\r\nCall-ID: %b\r\n" % name.encode()
        self._probed.clear()
        self.send(options(name))
        async with asyncio.timeout(patience):
            await self._probed.wait()

    async def ask(self, octets: bytes) -> list[Heard]:
        """Send a message; all that comes for it, at once."""
        self.heard.clear()
        self.send(octets)
        await self.probe()
        return list(self.heard)

    async def first(self, octets: bytes) -> Heard:
        """Send a message; what comes first, where nobody answers a probe any more."""
        self.heard.clear()
        self.send(octets)
        return await self.until(lambda each: True)

    def close(self) -> None:
        self.transport.close()


class Stream:
    """A TCP connection; `broken` once the gateway has closed it."""

    def __init__(self, hop: Hop) -> None:
        self.hop = hop
        self.heard: list[Heard] = []
        self.broken = False
        self._octets = b""
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self, host: str = "127.0.0.1") -> "Stream":
        self._reader, self._writer = await asyncio.open_connection(
            self.hop.host, self.hop.port, local_addr=(host, 0)
        )
        wire = self._writer.get_extra_info("socket")
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    async def send(self, octets: bytes, piece: int = 0) -> None:
        """All at once, or in pieces of so many octets with a turn of the loop between.

        Until the gateway closes: what comes after that would cost us what it said last.
        """
        size = piece or len(octets)
        for at in range(0, len(octets), size):
            if self.broken:
                return
            self._writer.write(octets[at : at + size])
            if piece:
                await asyncio.sleep(0)

    async def hear(self, enough: Callable[[Heard], bool]) -> None:
        """Read until what has come is enough, or the gateway closes."""
        async with asyncio.timeout(PATIENCE):
            while not any(enough(each) for each in self.heard):
                octets = b""
                with suppress(ConnectionResetError):
                    octets = await self._reader.read(65536)
                if not octets:
                    self.broken = True
                    return
                self._octets += octets
                self._cut()

    def _cut(self) -> None:
        while (end := self._octets.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._octets, 0, end + 2)
            assert length, self._octets
            size = end + 4 + int(length[1])
            if len(self._octets) < size:
                return
            self.heard.append(heard(self._octets[:size]))
            self._octets = self._octets[size:]

    async def ask(self, octets: bytes, piece: int = 0) -> list[Heard]:
        """Send a message; all that comes until a probe is answered or the stream is broken."""
        self.heard.clear()
        name = secrets.token_hex(8)
        heard = asyncio.create_task(self.hear(lambda each: each.call_id == name))
        await self.send(octets + options(name, "TCP"), piece)
        await heard
        return [each for each in self.heard if each.call_id != name]

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
