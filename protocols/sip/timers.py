"""The timers of transactions by their letters (RFC 3261 table 4, RFC 6026 §8.1), and their clock.

`Timers` says how long each runs over a transport, `Schedule` which of thousands of transactions
is due next: one heap for all of them.
"""

from enum import StrEnum
from heapq import heapify, heappop, heappush
from math import inf

import msgspec

from protocols.sip.transport import RELIABLE, Transport


class Timer(StrEnum):
    """A timer of a transaction; C belongs to proxies and so to none of ours."""

    A = "A"  # INVITE again
    B = "B"  # INVITE without any response
    D = "D"  # refused INVITE: how long the refusal may come again
    E = "E"  # another request again
    F = "F"  # another request without a final response
    G = "G"  # refusal of an INVITE again
    H = "H"  # refusal of an INVITE without an ACK
    I = "I"  # noqa: E741  how long that ACK may come again
    J = "J"  # answered request: how long it may come again
    K = "K"  # answered request: how long the response may come again
    L = "L"  # accepted INVITE: how long it may come again
    M = "M"  # accepted INVITE: how long 2xx of this and other forks may come
    TRYING = "100"  # INVITE that its user has said nothing to (RFC 3261 §17.2.1)


class Durations(msgspec.Struct, frozen=True, kw_only=True):
    """How long timers run over one kind of transport, in seconds.

    0 ends the state at once, infinity never; `ceiling` is the longest pause between two of E or
    of G.
    """

    of: dict[Timer, float]
    ceiling: float


class Timers(msgspec.Struct, frozen=True, kw_only=True):
    """The figures that all timers follow from, in seconds (RFC 3261 §17.1.1.1 and table 4).

    `t1` is the estimate of the round trip, `t2` the longest pause between retransmissions, `t4`
    how long a message lives in the network, `d` the least of timer D, `trying` how long the user
    may be silent before an INVITE gets its 100.
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    d: float = 32.0
    trying: float = 0.2

    def durations(self, transport: Transport) -> Durations:
        """The timers over `transport`: nothing is said twice where nothing gets lost."""
        long = 64 * self.t1
        unreliable = transport not in RELIABLE
        again = self.t1 if unreliable else inf
        lives = self.t4 if unreliable else 0.0
        return Durations(
            of={
                Timer.A: again,
                Timer.B: long,
                Timer.D: max(self.d, long) if unreliable else 0.0,
                Timer.E: again,
                Timer.F: long,
                Timer.G: again,
                Timer.H: long,
                Timer.I: lives,
                Timer.J: long if unreliable else 0.0,
                Timer.K: lives,
                Timer.L: long,
                Timer.M: long,
                Timer.TRYING: self.trying,
            },
            ceiling=self.t2,
        )


class Schedule:
    """Who is due when, by number.

    An alarm is only ever moved forward here: whoever is woken too early arms itself anew. So a
    timer that is put off or stopped costs nothing, and its place in the heap goes when its time
    comes, or when such places outnumber the alarms.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._armed: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, id: int, when: float) -> None:
        """Wake `id` at `when`, or before; infinity is never."""
        if when < self._armed.get(id, inf):
            self._armed[id] = when
            heappush(self._heap, (when, id))

    def forget(self, id: int) -> None:
        """Wake `id` no more."""
        self._armed.pop(id, None)
        if len(self._heap) > 1024 + 2 * len(self._armed):
            self._heap = [(when, each) for each, when in self._armed.items()]
            heapify(self._heap)

    def first(self) -> float | None:
        """When somebody is due; None for never."""
        heap, armed = self._heap, self._armed
        while heap:
            when, id = heap[0]
            if armed.get(id) == when:
                return when
            heappop(heap)
        return None

    def due(self, now: float) -> list[int]:
        """Who is due by `now`, the longest overdue first; each is armed no more."""
        heap, armed = self._heap, self._armed
        woken = []
        while heap and heap[0][0] <= now:
            when, id = heappop(heap)
            if armed.get(id) == when:
                del armed[id]
                woken.append(id)
        return woken
