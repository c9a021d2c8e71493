"""Calls whose process died: their far ends are set free, and what is stored of them is ended.

An INVITE that nobody answered is cancelled by its own branch, a call that stood gets BYE in its
dialog. Who called us and was never answered can't be told anything: its INVITE ends by itself. A
call ends when its far end hears of it, so the time without the gateway counts as talked.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from gateway.calls import callbacks, tables
from gateway.calls.book import advanced
from gateway.calls.house import House
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus, Party
from gateway.core.runner import Job
from gateway.store.base import Stale, StoreError, Write
from protocols.sip.errors import ProtocolError
from protocols.sip.headers import Reason, write_reason
from protocols.sip.message import Headers
from protocols.sip.session_saved import Saved
from protocols.sip.transport import Destination, Flow, Hop
from twiml.verbs import CallEvent

_log = structlog.get_logger(__name__)

REASON: Final = "the gateway was restarted"
_HEADERS: Final = Headers((write_reason(Reason(protocol="SIP", cause=500, text=REASON)),))
_AGAIN: Final = 5.0  # seconds between looks for processes that died


class Restart:
    """See the module; `is_shared` says whether other processes work on the same store."""

    def __init__(self, house: House, *, is_shared: Callable[[], bool]) -> None:
        self._house = house
        self._is_shared = is_shared
        self._looking: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Release what the last run left, and go on looking where others may die."""
        await self._look()
        if self._is_shared():
            self._looking = asyncio.create_task(self._go_on(), name="calls: look for orphans")

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN)
            try:
                await self._look()
            except StoreError as error:
                _log.warning("calls of dead processes can't be read", reason=str(error))

    async def _look(self) -> None:
        book = self._house.book
        for owner in await book.orphaned():
            async for calls in book.open_of(owner):
                for call in calls:
                    await self._release(call)

    async def _release(self, call: Call) -> None:
        legs = await self._house.book.legs(call.sid)
        now = self._house.clock()
        freed = [self._free(leg, call) for leg in legs if not leg.ended]
        status = (
            CallStatus.COMPLETED if call.status is CallStatus.IN_PROGRESS else CallStatus.FAILED
        )
        ended = advanced(call, status, now, reason=REASON, owner=self._house.owner)
        if ended is None:
            return
        jobs = self._jobs(ended, legs, now)
        writes: list[Write] = []
        writes += [tables.leg_updated(leg) for leg in freed[:-1]]
        last = freed[-1] if freed else None
        writes += self._house.book.ended(ended, last, jobs=jobs)
        try:
            await self._house.book.commit(writes)
        except Stale:  # another process was quicker
            return
        for job in jobs:
            self._house.offer(job)
        _log.warning("a call of a dead process was ended", call=call.sid, status=str(status))

    def _jobs(self, call: Call, legs: list[CallLeg], now: float) -> list[Job]:
        told = {
            CallEvent.INITIATED: call.direction is not CallDirection.INBOUND,
            CallEvent.RINGING: any(leg.ringing for leg in legs),
            CallEvent.ANSWERED: bool(call.started),
        }
        sequence = sum(
            happened and event.value in call.status_callback_events
            for event, happened in told.items()
        )
        return callbacks.for_event(
            call,
            CallEvent.COMPLETED,
            sequence=sequence,
            now=now,
            policy=self._house.patience,
        )

    def _free(self, leg: CallLeg, call: Call) -> CallLeg:
        """The leg as it is now that its far end was told."""
        saved = leg.saved
        if saved is not None:
            try:
                self._tell(saved, call, leg)
            except ProtocolError as error:
                _log.warning("a far end can't be released", call=leg.sid, reason=str(error))
        return msgspec.structs.replace(
            leg,
            saved=None,
            ended=self._house.clock(),
            cause=REASON,
            released_by=Party.RESTART,
        )

    def _tell(self, saved: Saved, call: Call, leg: CallLeg) -> None:
        station = self._house.tools.station
        destination = _today(saved)
        stood = call.status is CallStatus.IN_PROGRESS and saved.dialog is not None
        if stood:
            station.agent.restore_answered(saved, destination, station.now(), headers=_HEADERS)
        elif saved.invite and leg.direction is not CallDirection.INBOUND:
            station.agent.restore_unanswered(saved, destination, station.now(), headers=_HEADERS)
        station.wake()


def _today(saved: Saved) -> Destination:
    """Where the peer is reached now: a flow ended with its process, its address did not."""
    if saved.hop is not None:
        return saved.hop
    flow = saved.flow
    assert isinstance(flow, Flow)
    host, port = flow.remote
    return Hop(transport=flow.transport, host=host, port=port)
