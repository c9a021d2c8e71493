"""A browser as a leg's peer: our own endpoint on a socket, and SRTP with the keys that it found."""

from collections.abc import Callable
from typing import Any

from media_world import HOST, Peer, World, leg, stream, until
from msgspec.structs import replace

from gateway.media import graph, wire
from protocols.rtp.endpoint import PortPair, Reader
from protocols.rtp.events import Address
from protocols.rtp.packet import Kind, kind
from protocols.rtp.srtp import Refusal, SrtpReceiver, SrtpSender, Suite
from protocols.sdp.ice import IceSide
from protocols.sdp.media import Chosen, Srtp, Stream
from protocols.webrtc.endpoint import Endpoint

SILENCE = b"\xff" * 160


class Browser(Peer):
    """Says and hears as any peer, once it is met; `is_cut` is a path that nothing passes."""

    def __init__(
        self, reader: Reader, ports: PortPair, *, ssrc: int = 0x33, is_offerer: bool = True
    ) -> None:
        super().__init__(reader, ports, ssrc=ssrc)
        self.at: list[Address] = []
        self.keys: list[Srtp] = []
        self.losses: list[str] = []
        self.is_cut = False
        self._opener: SrtpReceiver | None = None
        self._sealer: SrtpSender | None = None
        self.endpoint = Endpoint(
            host=HOST, local=ports.address, is_offerer=is_offerer, send=self.send, watcher=self
        )

    def send(self, octets: bytes, address: Address) -> None:
        if not self.is_cut:
            self.ports.send(octets, address)

    def _hear(self, octets: bytes, source: Address, now: float) -> None:
        if self.is_cut:
            return
        what = kind(octets)
        if what not in (Kind.RTP, Kind.RTCP):
            self.endpoint.take(octets, source)
        elif self._opener is not None and what is Kind.RTCP:
            opened = self._opener.unprotect_rtcp(octets)
            assert not isinstance(opened, Refusal), opened
            self.controls.append(opened)
        elif self._opener is not None:
            opened = self._opener.unprotect(octets)
            assert not isinstance(opened, Refusal), opened
            super()._hear(opened, source, now)

    def found(self, address: Address) -> None:
        self.at.append(address)

    def keyed(self, keys: Srtp) -> None:
        self.keys.append(keys)
        self._opener = SrtpReceiver(Suite(keys.suite), keys.receive_key)
        self._sealer = SrtpSender(Suite(keys.suite), keys.send_key)

    def lost(self, cause: str, reason: str) -> None:
        self.losses.append(cause)

    def speak(self, payload: bytes, **rest: Any) -> None:
        """A packet, to where ICE found the worker."""
        assert self._sealer is not None, "it was not met"
        sealed = self._sealer.protect(self.write(payload, **rest))
        assert isinstance(sealed, bytes), sealed
        self.send(sealed, self.at[-1])

    def speak_later(self) -> Callable[[], None]:
        """What sends the next packet, whenever it is called."""
        octets, sealer, at = self.write(SILENCE), self._sealer, self.at[-1]
        assert sealer is not None, "it was not met"
        sealed = sealer.protect(octets)
        assert isinstance(sealed, bytes), sealed
        return lambda: self.send(sealed, at)

    def report_control(self, octets: bytes) -> None:
        """RTCP, the same way."""
        assert self._sealer is not None, "it was not met"
        sealed = self._sealer.protect_rtcp(octets)
        assert isinstance(sealed, bytes), sealed
        self.send(sealed, self.at[-1])


def web_stream(*codecs: Chosen, **rest: Any) -> Stream:
    """What offer and answer came to with a browser, which names no address."""
    return stream(None, *codecs, mux=True, **rest)


def web_leg(
    name: str,
    agreed: Stream | None = None,
    *,
    remote: IceSide | None = None,
    is_offerer: bool = False,
    restarts: int = 0,
    **rest: Any,
) -> graph.Leg:
    webrtc = graph.WebRtc(is_offerer=is_offerer, remote=remote, restarts=restarts)
    return replace(leg(name, agreed, **rest), webrtc=webrtc)


def ours(place: wire.Place) -> IceSide:
    """What the worker said of its side."""
    assert place.ice is not None
    return place.ice


class WebWorld(World):
    """A world with browsers in it."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)
        self.browsers: list[Browser] = []

    def browser(self, **rest: Any) -> Browser:
        ports = self._peers.open(HOST)
        assert ports is not None
        self._opened.append(ports)
        self.browsers.append(Browser(self.reader, ports, **rest))
        return self.browsers[-1]

    async def met(self, browser: Browser, name: str = "a") -> None:
        """Until media may go between a browser and its leg."""
        await until(lambda: browser.keys)
        await until(lambda: any(each.leg == name for each in self.of(wire.Latched)))
