"""Provisional responses that arrive (RFC 3262): said until they are acknowledged, in order.

`Sender` is for who was called: one response at a time is under way, the others wait for it.
`Receiver` is for who called: it knows which of those that come are new.
"""

from collections import deque
from enum import StrEnum
from math import inf
from typing import Final

from msgspec.structs import replace

from protocols.sip.headers import RAck, write_count
from protocols.sip.message import Response

MAX_WAITING: Final = 8
"""How many wait behind the one under way; beyond it the oldest that describes nothing goes."""

MAX_RSEQ: Final = 2**31 - 1


class Due(StrEnum):
    """What time asks for."""

    NOTHING = "nothing"
    AGAIN = "say it again"
    GIVE_UP = "nobody acknowledges it"


class Sender:
    """See the module. `first` is the RSeq to begin with, 1 to 2**31 - 1, by chance (§3)."""

    __slots__ = ("_first", "_waiting", "again_at", "gives_up_at", "interval", "rseq", "under_way")

    def __init__(self, first: int) -> None:
        self._first = first
        self._waiting: deque[Response] = deque()
        self.rseq = 0
        self.under_way: Response | None = None
        self.again_at = self.gives_up_at = self.interval = inf

    @property
    def deadline(self) -> float:
        """When to ask what is due."""
        return min(self.again_at, self.gives_up_at)

    @property
    def describing(self) -> bool:
        """Whether a description waits to be acknowledged: a 2xx waits for that (§3)."""
        return any(each.body for each in (self.under_way, *self._waiting) if each is not None)

    def put(self, response: Response) -> None:
        """Let `response` be the next but those that wait."""
        self._waiting.append(response)
        if len(self._waiting) > MAX_WAITING:
            mute = next((each for each in self._waiting if not each.body), self._waiting[0])
            self._waiting.remove(mute)

    def next(self, t1: float, now: float) -> Response | None:
        """What is to be said now for the first time; None while one is under way."""
        if self.under_way is not None or not self._waiting:
            return None
        response = self._waiting.popleft()
        self.rseq = self.rseq + 1 if self.rseq else self._first
        headers = response.headers.with_(("Require", "100rel"), write_count("RSeq", self.rseq))
        self.under_way = replace(response, headers=headers)
        self.interval = t1
        self.again_at, self.gives_up_at = now + t1, now + 64 * t1
        return self.under_way

    def acknowledge(self, rack: RAck, cseq: int) -> bool:
        """Whether a PRACK is for what is under way, which is over with it."""
        if self.under_way is None or (rack.rseq, rack.cseq, rack.method) != (
            self.rseq,
            cseq,
            "INVITE",
        ):
            return False
        self.under_way = None
        self.again_at = self.gives_up_at = inf
        return True

    def handle_timer(self, now: float) -> Due:
        """What is due by `now`."""
        if self.gives_up_at <= now:
            return Due.GIVE_UP
        if self.again_at <= now:
            self.interval *= 2
            self.again_at = now + self.interval
            return Due.AGAIN
        return Due.NOTHING

    def stop(self) -> None:
        """The final response makes an end to it; what is under way may yet be acknowledged (§3)."""
        self._waiting.clear()
        self.again_at = self.gives_up_at = inf


class Receiver:
    """See the module; one for each early dialog."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def is_new(self, rseq: int) -> bool:
        """Whether this one is the next; one that comes too early comes again (§4)."""
        if self._last and rseq != self._last + 1:
            return False
        self._last = rseq
        return True
