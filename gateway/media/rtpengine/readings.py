"""How a leg is that no worker sees, out of what rtpengine counts and hears in RTCP.

rtpengine counts packets. What was lost, jitter and delay are in the reports of the two peers about
each other, which it reads as they pass and keeps by SSRC, so they are of the way from end to end.
Where a peer reports nothing, nobody can say.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.media.rtpengine.front import Seen, Side
from gateway.media.wire import Readings
from protocols.rtp.quality import StreamQuality, judge

_HEADER: Final = 12  # octets of RTP that rtpengine counts with a packet
_SOONEST: Final = 0.06  # seconds from mouth to ear but for the network: a packet and a buffer


def readings_of(seen: Seen, codec: str) -> Readings:
    """Both directions of a leg that speaks `codec`; `sent` is as the peer has it."""
    reported = _reported(seen, seen.peer)
    trips = [
        each["round-trip time"] / 1e6
        for each in (reported, _reported(seen, seen.within))
        if each.get("round-trip time")
    ]
    trip = min(trips, default=None)
    return Readings(
        received=_quality(seen, seen.peer, codec, trip),
        sent=_quality(seen, seen.within, codec, trip),
        round_trip=trip,
        dropped={},
    )


def _reported(seen: Seen, side: Side) -> Mapping[str, Any]:
    """What was said about what this side sends: a loss in all, and the mean of the rest."""
    found = seen.ssrcs.get(str(side.ssrc), {})
    return {**found.get("average MOS", {}), "lost": found.get("cumulative loss", 0)}


def _quality(seen: Seen, side: Side, codec: str, trip: float | None) -> StreamQuality:
    octets = max(0, side.octets - side.packets * _HEADER)
    reported = _reported(seen, side)
    if "jitter" not in reported:
        return StreamQuality(packets=side.packets, octets=octets)
    lost = max(0, int(reported["lost"]))
    return judge(
        packets=side.packets,
        octets=octets,
        lost=lost,
        unheard=lost,
        expected=side.packets + lost,
        jitter=reported["jitter"] / 1000,
        delay=(trip or 0.0) / 2 + _SOONEST,
        codec=codec,
    )
