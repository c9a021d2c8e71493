"""What REST may ask of a call that is up, and of the calls that it dialled.

It is a part of `scoped.Scoped`, which has what is asked for.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from gateway.calls import endings
from gateway.calls.amends import Amends
from gateway.calls.call_messages import Said, deliver
from gateway.calls.dial_run import DialRun
from gateway.calls.endings import Ended
from gateway.calls.hands import Hands
from gateway.calls.house import House
from gateway.calls.instead import run_instead
from gateway.calls.leg import PeerLeg
from gateway.calls.line import Line
from gateway.calls.model import Call, CallStatus
from gateway.calls.orders import (
    Amend,
    Cancel,
    ChangeRecording,
    Complete,
    Order,
    RecordCall,
    Redirect,
)
from gateway.calls.recording import Tapes, of_start
from gateway.calls.transfer import Transfers
from gateway.recordings.model import RecordingSource
from twiml.voice import Interpreter

NORMAL: Final = 200
TIME_LIMIT: Final = "the time limit of the call"
_OVER_REST: Final = "ended over REST"


class Ordered(ABC):
    """See the module."""

    line: Line
    first: PeerLeg | None
    _house: House
    _hands: Hands
    _interpreter: Interpreter
    _amends: Amends | None = None
    _tapes: Tapes
    _legs: dict[str, PeerLeg]
    _unfinished: set[str]
    _over: asyncio.Event
    _up: asyncio.Event
    _dial: DialRun | None
    _transfers: Transfers | None

    @abstractmethod
    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that ends with the call."""

    @abstractmethod
    def _end(self, code: int, ended: Ended) -> None:
        """Let the first leg go: `code` refuses one that still rings."""

    def order(self, order: Order) -> None:
        """Do what REST wants of it, if it is not over."""
        if self._over.is_set():
            return
        match order:
            case Cancel() if self.first is not None and self.first.is_up:
                return  # it was answered while the order was on its way
            case Complete() | Cancel():
                ended = Ended(status=CallStatus.CANCELED, reason=_OVER_REST)
                self._end(endings.UNAVAILABLE, ended)
            case Amend():
                ended = Ended(status=CallStatus.FAILED, reason=TIME_LIMIT)
                end = partial(self._end, endings.UNAVAILABLE, ended)
                self._amend(self.line, order, end)
            case Redirect():
                self.redirect(order)
            case RecordCall(sid=sid, start=start) if self._up.is_set():
                wanted = of_start(start, RecordingSource.START_CALL_API)
                self._tapes.begin(wanted, sid=sid)
            case ChangeRecording(sid=sid, status=status, skips=skips):
                self._tapes.move(sid, status, skips=skips)
            case Said():
                deliver(self.first, order)

    def redirect(self, order: Redirect) -> None:
        """Run another document at once."""
        documents = self._house.documents
        reason = run_instead(order, documents, self.line, self._hands, self._interpreter)
        if reason:
            self._end(endings.FAULT, Ended(status=CallStatus.FAILED, reason=reason))

    def redirect_child(self, sid: str, order: Redirect) -> Call | None:
        """Run another document in a call that `has_child` knows, if it is one that runs any."""
        found = next((each for run in self._runs() if (each := run.applied(sid))), None)
        if found is None:
            return None
        found.redirect(order)
        return found.line.call

    def has_child(self, sid: str) -> bool:
        """Whether the call `sid` is one that it dialled, or that joined it, and lives."""
        return self._line_of(sid) is not None

    def let_go(self, sid: str, reason: str = _OVER_REST) -> None:
        """Let go of a call that `has_child` knows."""
        for run in self._runs():
            run.let_go(sid, reason)
        for leg in self._legs_of(sid):
            leg.hang_up(NORMAL if leg.is_up else endings.UNAVAILABLE, reason)

    def order_child(self, sid: str, order: Amend | Said) -> Call | None:
        """Do what REST wants of a call that `has_child` knows; the call as it is then."""
        line = self._line_of(sid)
        if isinstance(order, Said):
            for leg in self._legs_of(sid):
                deliver(leg, order)
        elif line is not None:
            self._amend(line, order, partial(self.let_go, sid, TIME_LIMIT))
        return None if line is None else line.call

    def _amend(self, line: Line, order: Amend, end: Callable[[], None]) -> None:
        if self._amends is None:
            self._amends = Amends(self._spawn, self._house.clock)
        self._amends.make(line, order, end)

    def _line_of(self, sid: str) -> Line | None:
        found = [run.line_of(sid) for run in self._runs()]
        found.append(None if self._transfers is None else self._transfers.line_of(sid))
        return next((line for line in found if line is not None), None)

    def _runs(self) -> list[DialRun]:
        transferred = [] if self._transfers is None else self._transfers.runs
        return [*transferred, *([] if self._dial is None else [self._dial])]

    def _legs_of(self, sid: str) -> list[PeerLeg]:
        """Legs of another call than its own that are not let go of yet."""
        legs = [self._legs[each] for each in self._unfinished]
        others = [each for each in legs if each is not self.first and each.record.sid == sid]
        return [each for each in others if not each.record.ended]
