"""What is counted of calls: integers that their ends raise and metrics read."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from carriers.counters import Histogram
from gateway.calls.model import Call, CallDirection, CallLeg

POST_DIAL_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 30, 60)
MOS_BOUNDS: Final = (1, 1.5, 2, 2.5, 3, 3.2, 3.4, 3.6, 3.8, 4, 4.2, 4.4, 5)


class CallMeters:
    """Calls that ended, by direction and status, and how their legs were, since the start.

    `post_dial` has the seconds from each INVITE of ours to the first sign of ringing, `mos` the
    quality, from 1 to 5, of what each peer sent.
    """

    __slots__ = ("ended", "mos", "post_dial")

    def __init__(self) -> None:
        """Start at zero."""
        self.ended: Counter[tuple[str, str]] = Counter()
        self.post_dial = Histogram(POST_DIAL_BOUNDS)
        self.mos = Histogram(MOS_BOUNDS)

    def call_ended(self, call: Call) -> None:
        """A call is over."""
        self.ended[call.direction, call.status] += 1

    def leg_closed(self, leg: CallLeg) -> None:
        """All is known of a leg."""
        waited = leg.post_dial_delay
        if waited is not None and leg.direction is not CallDirection.INBOUND:
            self.post_dial.observe(max(0.0, waited))
        if leg.received.mos:
            self.mos.observe(leg.received.mos)


class VoiceStats(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one process at one moment.

    `calls` are those that are up or being made, by direction, and `ended` those that ended, by
    direction and status; `queued` of REST wait for their turn. `media` are calls by worker, of
    `workers` that should run; one that is missing there is being replaced. `refused` counts
    requests by the rule that said no. `sockets` are WebSockets of browsers, `strangers` those of
    them that have yet to show who they are, `clients` what those of the Voice SDK come to.
    `rtpengine` is empty where there is none, else it has "up", 0 or 1, the legs' "fronts" there,
    those of them that are "bridged", and the calls that were "lost" with it. `lag` is how late, in
    seconds, signalling's timers are, `overload` the share of new calls that is too much for it.
    """

    calls: Mapping[str, int]
    queued: int
    ended: Mapping[tuple[str, str], int]
    post_dial: Histogram
    mos: Histogram
    sessions: int
    transactions: int
    connections: int
    registrations: int
    workers: int
    media: Mapping[int, int]
    refused: Mapping[str, int]
    prompts_waiting: int = 0
    prompts_kept: int = 0
    sockets: int = 0
    strangers: int = 0
    clients: Mapping[str, int] = {}
    rtpengine: Mapping[str, int] = {}
    lag: float = 0.0
    overload: float = 0.0
