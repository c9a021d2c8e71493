"""A leg's path to a browser: one port, which ICE finds the peer by, and keys from DTLS.

Nothing goes out before both are there, and nothing that comes in passes without a key. What is
lost may come back: ICE by a restart, and DTLS with another certificate of the peer's.
"""

from collections.abc import Callable

from gateway.media import graph, wire
from gateway.media.node import Tools
from gateway.media.path import remote_of
from protocols.rtp.aim import Aim
from protocols.rtp.endpoint import PortPair
from protocols.rtp.events import Address
from protocols.rtp.session import Remote
from protocols.rtp.srtp import SrtpReceiver, SrtpSender, Suite, Unkeyed
from protocols.sdp.media import Srtp, Stream
from protocols.webrtc.endpoint import Endpoint


class WebPath:
    """A `Path`, and the watcher of its endpoint."""

    def __init__(
        self,
        call: str,
        node: graph.Leg,
        ports: PortPair,
        tools: Tools,
        changed: Callable[[], None],
    ) -> None:
        assert node.webrtc is not None, "the leg has another path"
        self.aim = Aim()
        self.opener: SrtpReceiver | Unkeyed | None = Unkeyed()
        self.sealer: SrtpSender | None = None
        self._call = call
        self._leg = node.id
        self._ports = ports
        self._tools = tools
        self._changed = changed
        self._restarts = node.webrtc.restarts
        self._peer: Address | None = None
        self._is_lost = False
        host, port = ports.address
        self._endpoint = Endpoint(
            host=host,
            local=(tools.advertised or host, port),
            is_offerer=node.webrtc.is_offerer,
            send=ports.send,
            watcher=self,
        )

    # A path

    @property
    def place(self) -> wire.Place:
        """See `Path`; RTCP comes where RTP does."""
        address = self._ports.address
        return wire.Place(address=address, control=address[1], ice=self._endpoint.side)

    def become(self, node: graph.Leg) -> None:
        """See `Path`."""
        wanted = node.webrtc
        if wanted is None:
            return
        if wanted.restarts != self._restarts:
            begins = wanted.restarts > self._restarts
            self._restarts = wanted.restarts
            if begins:
                self._endpoint.restart()
            else:
                self._endpoint.stay()
        if wanted.remote is not None:
            self._endpoint.connect(wanted.remote)

    def remote(self, node: graph.Leg, stream: Stream) -> Remote:
        """See `Path`; the addresses of a description mean nothing."""
        return remote_of(node, stream)

    def brings(self, stream: Stream) -> bool:
        """Once there is a path with keys."""
        return self.aim.goes_to is not None

    def take(self, octets: bytes, source: Address) -> bool:
        """STUN and DTLS, which nobody else has; what is neither is dropped there."""
        self._endpoint.take(octets, source)
        return True

    def send_control(self, octets: bytes, destination: Address) -> None:
        """See `Path`."""
        self._ports.send(octets, destination)

    def close(self) -> None:
        """See `Path`."""
        self._endpoint.close()
        self.aim.at(None)

    # A watcher

    def found(self, address: Address) -> None:
        """See `Watcher`."""
        self._peer = address
        self._is_lost = False
        self._go()

    def keyed(self, keys: Srtp) -> None:
        """See `Watcher`."""
        suite = Suite(keys.suite)
        self.opener = SrtpReceiver(suite, keys.receive_key)
        self.sealer = SrtpSender(suite, keys.send_key)
        self._is_lost = False
        self._go()

    def _go(self) -> None:
        if self._peer is None or self.sealer is None:
            return
        self.aim.at(self._peer)
        self._tools.tell(wire.Latched(call=self._call, leg=self._leg, source=self._peer))
        self._changed()

    def lost(self, cause: str, reason: str) -> None:
        """See `Watcher`; who is lost already is not lost again."""
        self._peer = None
        if cause != "unreachable":
            self.opener, self.sealer = Unkeyed(), None
        self.aim.at(None)
        self._changed()
        if not self._is_lost:
            self._is_lost = True
            self._tools.tell(
                wire.PathLost(call=self._call, leg=self._leg, cause=cause, reason=reason)
            )
