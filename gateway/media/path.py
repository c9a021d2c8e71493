"""How a leg reaches its peer, of which there are two kinds; all else of a leg is the same.

A `PortPath` is a pair of ports: SDP and a latch say where media go, and keys are in SDP if there
are any. A `WebPath`, in a room of its own, has one port, ICE and DTLS.
"""

from typing import Protocol

from gateway.media import graph, wire
from protocols.rtp.aim import Aim
from protocols.rtp.endpoint import PortPair
from protocols.rtp.events import Address
from protocols.rtp.session import Remote
from protocols.rtp.srtp import SrtpReceiver, SrtpSender, Suite, Unkeyed
from protocols.sdp.media import Srtp, Stream


class Path(Protocol):
    """What a leg asks of it; `opener` and `sealer` undo and make SRTP, None for none."""

    opener: SrtpReceiver | Unkeyed | None
    sealer: SrtpSender | None

    @property
    def aim(self) -> Aim | None:
        """What stands where a latch does, if anything."""

    @property
    def place(self) -> wire.Place:
        """Where the peer is to send."""

    def become(self, node: graph.Leg) -> None:
        """Do what the newer graph says; the leg looks at `opener` and `sealer` after that."""

    def remote(self, node: graph.Leg, stream: Stream) -> Remote:
        """What a session is told of the peer."""

    def brings(self, stream: Stream) -> bool:
        """Whether media of the peer's can come."""

    def take(self, octets: bytes, source: Address) -> bool:
        """Take what is neither RTP nor RTCP; False if it is nothing of ours."""

    def send_control(self, octets: bytes, destination: Address) -> None:
        """Send RTCP."""

    def close(self) -> None:
        """Say that it is over, while the ports are open."""


def remote_of(
    node: graph.Leg,
    stream: Stream,
    *,
    address: Address | None = None,
    control: Address | None = None,
) -> Remote:
    """A peer of whom it is known what it speaks, and perhaps where."""
    first = stream.codecs[0].sent
    return Remote(
        address=address,
        signalling=node.signalling,
        control=control,
        codec=first.name,
        clock_rate=first.clock_rate,
    )


class PortPath:
    """Two ports, or one when RTCP goes where RTP does."""

    def __init__(self, ports: PortPair) -> None:
        self.aim: Aim | None = None
        self.opener: SrtpReceiver | Unkeyed | None = None
        self.sealer: SrtpSender | None = None
        self.place = wire.Place(address=ports.address, control=ports.control_port)
        self._ports = ports
        self._keys: Srtp | None = None
        self._send = ports.send_control

    def become(self, node: graph.Leg) -> None:
        """A key that stays keeps its counters: with new ones, numbers would come again."""
        if node.stream is None:
            return
        self._send = self._ports.send if node.stream.rtcp_mux else self._ports.send_control
        old, self._keys = self._keys, node.stream.srtp
        new = self._keys
        if new is None:
            self.opener = self.sealer = None
            return
        suite = Suite(new.suite)
        if old is None or (old.suite, old.send_key) != (new.suite, new.send_key):
            self.sealer = SrtpSender(suite, new.send_key)
        if old is None or (old.suite, old.receive_key) != (new.suite, new.receive_key):
            self.opener = SrtpReceiver(suite, new.receive_key)

    def remote(self, node: graph.Leg, stream: Stream) -> Remote:
        """See `Path`."""
        control = None if stream.rtcp_mux else stream.remote_rtcp
        return remote_of(node, stream, address=stream.remote, control=control)

    def brings(self, stream: Stream) -> bool:
        """Unless the peer is nowhere."""
        return stream.remote is not None

    def take(self, octets: bytes, source: Address) -> bool:
        """There is nothing else."""
        return False

    def send_control(self, octets: bytes, destination: Address) -> None:
        """See `Path`."""
        self._send(octets, destination)

    def close(self) -> None:
        """Nobody is told."""
