"""What rtpengine is told of the two sides of a front, and what it says of its own: SDP.

All of it is plain RTP: what is sealed passes as it is, for the keys are the worker's. Directions
are left out, for holding is the worker's too.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.media.graph import Leg
from gateway.media.ng import NgRefused
from gateway.media.wire import Address, Place
from protocols.rtp.latch import LatchPolicy
from protocols.sdp import codec as sdp
from protocols.sdp.description import Connection, Media, Origin, Rtcp, SessionDescription
from protocols.sdp.errors import RemoteProtocolError
from protocols.sdp.formats import PCMA, PCMU, Codec
from protocols.sdp.media import Stream, reach

NOWHERE: Final = 9  # the port that nobody is at (RFC 863)


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a peer is: RTP at `address`, RTCP at the port `control` of that host.

    `is_learnt` says that it is behind a NAT: of `address` the host counts, and the port is the one
    that something comes from.
    """

    address: Address
    control: int
    is_muxed: bool = False
    is_learnt: bool = False
    codecs: tuple[Codec, ...] = ()


def peer_of(leg: Leg, stream: Stream, before: Peer | None) -> Peer:
    """Who is to be behind a front; on hold it is whoever it was `before`.

    A private address that signalling does not come from means nothing here, its port may. One that
    began on hold may be anywhere.
    """
    codecs = codecs_of(stream)
    if stream.remote is None:
        if before is not None:
            return msgspec.structs.replace(before, codecs=codecs)
        return Peer(
            address=(leg.signalling, NOWHERE),
            control=NOWHERE,
            is_learnt=leg.latch is not LatchPolicy.NAMED,
            codecs=codecs,
        )
    host, port = stream.remote
    is_learnt = is_behind(leg, host)
    return Peer(
        address=(leg.signalling if is_learnt else host, port),
        control=stream.remote_rtcp[1] if stream.remote_rtcp is not None else port + 1,
        is_muxed=stream.rtcp_mux,
        is_learnt=is_learnt,
        codecs=codecs,
    )


def is_behind(leg: Leg, host: str) -> bool:
    """Whether a peer that has `host` for itself is behind a NAT; "" is not known."""
    if leg.latch is LatchPolicy.NAMED or host == leg.signalling:
        return False
    found = reach(host.strip("[]"))
    return found is not None and found.is_private and found.host != leg.signalling


def codecs_of(stream: Stream) -> tuple[Codec, ...]:
    """All that a peer may send."""
    return tuple(each.received for each in (*stream.codecs, *stream.noise, *stream.events))


def write(peer: Peer) -> str:
    """One side of a front."""
    host, port = peer.address
    connection = Connection(address=host, type="IP6" if ":" in host else "IP4")
    media = Media(
        kind="audio",
        port=port,
        protocol="RTP/AVP",
        codecs=peer.codecs or (PCMU, PCMA),
        rtcp=Rtcp(port=peer.control),
        rtcp_mux=peer.is_muxed,
    )
    origin = Origin(session_id="1", version=1, connection=connection)
    described = SessionDescription(origin=origin, connection=connection, media=(media,))
    return sdp.write(described).decode()


def read(answer: Mapping[str, Any]) -> Place:
    """Where rtpengine receives for a side; `NgRefused` if that can't be read from its answer."""
    try:
        described = sdp.read(str(answer.get("sdp", "")).encode())
    except RemoteProtocolError as error:
        raise NgRefused(f"its SDP can't be read: {error}") from error
    media = next((each for each in described.media if each.port), None)
    connection = None if media is None else described.connection_of(media)
    if media is None or connection is None:
        raise NgRefused("its SDP names no port")
    control = media.port + 1 if media.rtcp is None else media.rtcp.port
    return Place(address=(connection.address, media.port), control=control)
