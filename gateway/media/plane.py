"""The media plane as the rest of the gateway sees it: a port, whoever has the sockets behind it.

A call is opened first, which finds it a place or says that there is none. Then its graph is
applied, as often as it changes, and at last the call is ended. What happens meanwhile goes to the
receiver that the plane was made with. Media never come this way.
"""

import asyncio
from typing import Protocol

import msgspec

from gateway.media.graph import Graph
from gateway.media.wire import Applied, Refused, Told
from protocols.rtp.dtmf import DURATION


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A call has its place, `worker`, and keeps it."""

    worker: int


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """There is no place for another call now; the caller is told 503 (RFC 3261 §21.5.4)."""

    reason: str


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """The call has no media any more and must end: its worker is gone, or it was never opened."""

    call: str


class WorkerLost(msgspec.Struct, frozen=True, kw_only=True):
    """A worker died, or what is before it, and the media of `calls` with it; `reason` says so."""

    worker: int
    calls: tuple[str, ...]
    reason: str = "its media worker died"


Happened = Told | WorkerLost


class Plane(Protocol):
    """Where the media of calls are."""

    def open(self, call: str, near: str = "") -> Opened | Full:
        """Find a place for a call; one that is open keeps the place that it has.

        That is the place of the call `near`, where the two can lend each other legs, unless there
        is no such call or no room there: then it is another one.
        """

    def apply(self, graph: Graph) -> "asyncio.Future[Applied | Refused | Lost]":
        """Make a call's graph true; while it is `Refused`, the one before it holds."""

    def press(self, call: str, leg: str, digits: str, duration: float = DURATION) -> None:
        """Press keys towards a leg's peer, as `wire.Press` says: events or sound, as it takes them.

        `Pressed` comes when all are pressed, unless the leg or the call ends before.
        """

    def end(self, call: str) -> "asyncio.Future[None]":
        """Release all that a call has; harmless when it is not open.

        `LegClosed` of each leg comes before it is done, unless the call is lost.
        """
