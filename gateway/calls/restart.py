"""Calls whose process died: their far ends are set free, and what is stored of them is ended.

An INVITE that nobody answered is cancelled by its own branch, a call that stood gets BYE in its
dialog, and who called us and was never answered is refused. A call ends when its far end hears of
it, so the time without the gateway counts as talked. Far ends are told before that is stored: who
dies in between tells them again, and that harms nobody.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog

from gateway.calls import callbacks, tables
from gateway.calls.book import advanced
from gateway.calls.house import House
from gateway.calls.model import OVER, Call, CallDirection, CallLeg, CallStatus, Party
from gateway.calls.orders import STALE
from gateway.core.runner import Job
from gateway.recordings import model as recordings
from gateway.recordings.model import Recording, RecordingSource
from gateway.store.base import Stale, StoreError
from protocols.sip.agent_commands import Reply
from protocols.sip.errors import ProtocolError
from protocols.sip.headers import Reason, write_reason
from protocols.sip.locating import Located
from protocols.sip.message import Headers
from protocols.sip.parts import read_name_addr
from protocols.sip.session_saved import Saved
from protocols.sip.transport import Destination, Flow, Hop, Transport
from protocols.sip.uri import SipUri, parse_uri
from twiml.nouns import CallEvent

_log = structlog.get_logger(__name__)

REASON: Final = "the gateway was restarted"
_HEADERS: Final = Headers((write_reason(Reason(protocol="SIP", cause=500, text=REASON)),))
_REFUSAL: Final = Reply(status=500, headers=_HEADERS)
_OK: Final = 200
_AGAIN: Final = 5.0  # seconds between looks for processes that died
_SAID: Final = 5.0  # seconds after which what far ends were told, and said, is kept


class Restart:
    """See the module; `is_shared` says whether other processes work on the same store."""

    def __init__(self, house: House, *, is_shared: Callable[[], bool]) -> None:
        self._house = house
        self._is_shared = is_shared
        self._also: Callable[[], Awaitable[None]]
        self._tasks: list[asyncio.Task[None]] = []
        self._told: list[tuple[str, list[str]]] = []  # calls by SID, with their Call-IDs

    async def begin(self, also: Callable[[], Awaitable[None]]) -> None:
        """Release what the last run left, and go on looking where others may die.

        `also` ends what else the processes of calls leave, such as their recordings.
        """
        self._also = also
        await self._look()
        self._tasks.append(asyncio.create_task(self._keep_what_was_said(), name="calls: told"))
        if self._is_shared():
            look = asyncio.create_task(self._go_on(), name="calls: look for orphans")
            self._tasks.append(look)

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._write_ladders()

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN)
            try:
                await self._look()
                await self._write_ladders()
            except StoreError as error:
                _log.warning("calls of dead processes can't be read", reason=str(error))

    async def _keep_what_was_said(self) -> None:
        await asyncio.sleep(_SAID)
        await self._write_ladders()

    async def _look(self) -> None:
        book = self._house.book
        for owner in await book.orphaned():
            async for calls in book.open_of(owner):
                await asyncio.gather(*map(self._try_to_release, filter(self._is_left, calls)))
        await self._also()

    def _is_left(self, call: Call) -> bool:
        """Whether nobody has it any more: a call that REST took may still be taken up."""
        return bool(call.owner) or call.date_created < self._house.clock() - STALE

    async def _try_to_release(self, call: Call) -> None:
        """One call at fault must not keep the others up, nor the gateway down."""
        try:
            await self._release(call)
        except StoreError:
            raise
        except Exception:
            _log.exception("a call of a dead process can't be ended", call=call.sid)

    async def _release(self, call: Call) -> None:
        house = self._house
        legs = await house.book.legs(call.sid)
        freed = [await self._free(leg, call) for leg in legs if not leg.ended]
        now = house.clock()
        stood = call.status is CallStatus.IN_PROGRESS
        ended = advanced(
            call,
            CallStatus.COMPLETED if stood else CallStatus.FAILED,
            now,
            reason=REASON,
            sip_code=_OK if stood else call.sip_code,
            owner=house.owner,
        )
        assert ended is not None, "only calls that are not over are read"
        jobs = await self._jobs(call, ended, now)
        writes = [tables.leg_updated(leg) for leg in freed[:-1]]
        writes += house.book.ended(ended, freed[-1] if freed else None, jobs=jobs)
        try:
            await house.book.commit(writes)
        except Stale:  # another process was quicker
            return
        for job in jobs:
            house.offer(job)
        self._told.append((call.sid, [leg.call_id for leg in freed]))
        _log.warning("a call of a dead process was ended", call=call.sid, status=str(ended.status))

    async def _jobs(self, call: Call, ended: Call, now: float) -> list[Job]:
        """Whom to tell that it is over; `call` is as its process left it."""
        whole = None
        if call.direction is CallDirection.OUTBOUND_API and call.started:
            whole = await self._house.recordings.whole_of(call.account_sid, call.sid)
        if whole is not None and whole.status not in recordings.OVER:
            return []  # `recorded` tells it
        return self._told_of(call, ended, now, whole)

    async def recorded(self, recording: Recording) -> list[Job]:
        """Whom to tell of the end of a call which waited for a recording that ends now."""
        house = self._house
        if recording.source is not RecordingSource.OUTBOUND_API:
            return []
        ended = await house.book.get(recording.account_sid, recording.call_sid)
        if ended is None or ended.status not in OVER:
            return []
        before = msgspec.structs.replace(
            ended, status=CallStatus.IN_PROGRESS, version=ended.version - 1
        )
        return self._told_of(before, ended, house.clock(), recording)

    def _told_of(self, call: Call, ended: Call, now: float, whole: Recording | None) -> list[Job]:
        sound = None
        if whole is not None:
            sound = callbacks.sound_of(whole, self._house.recordings.url(whole))
        ours = call.direction is not CallDirection.INBOUND
        told = {
            CallEvent.INITIATED: ours and call.status is not CallStatus.QUEUED,
            CallEvent.RINGING: ours and _rang(call),
            CallEvent.ANSWERED: bool(call.started),
        }
        sequence = sum(
            happened and event.value in call.status_callback_events
            for event, happened in told.items()
        )
        return callbacks.for_event(
            ended,
            CallEvent.COMPLETED,
            sequence=sequence,
            now=now,
            policy=self._house.patience,
            sound=sound,
        )

    async def _free(self, leg: CallLeg, call: Call) -> CallLeg:
        """The leg as it is now that its far end was told."""
        house, saved = self._house, leg.saved
        up = call.status is CallStatus.IN_PROGRESS
        if saved is None:  # a browser, which comes back and hears that there is no such call
            stood = up and leg.direction is CallDirection.INBOUND
        else:
            stood = up and saved.dialog is not None
        if saved is not None:
            house.ladder.expect(leg.call_id)
            try:
                await self._tell(saved, leg, stood=stood)
            except ProtocolError as error:
                _log.warning("a far end can't be released", call=leg.sid, reason=str(error))
        return msgspec.structs.replace(
            leg,
            saved=None,
            answered=(leg.answered or call.started) if stood else leg.answered,
            ended=house.clock(),
            sip_code=_OK if stood else leg.sip_code,
            cause=REASON,
            released_by=Party.RESTART,
        )

    async def _tell(self, saved: Saved, leg: CallLeg, *, stood: bool) -> None:
        station = self._house.tools.station
        agent = station.agent
        auth = self._house.reach.trunks.sessions(leg.carrier) if leg.carrier else None
        destination = await self._today(saved)
        if stood:
            agent.restore_answered(saved, destination, station.now(), auth, _HEADERS)
        elif saved.invite:
            agent.restore_unanswered(saved, destination, station.now(), auth, _HEADERS)
        elif isinstance(destination, Flow):  # others know it by the end of their connection
            agent.restore_called(saved, destination, station.now(), _REFUSAL)
        station.wake()

    async def _today(self, saved: Saved) -> Destination:
        """Where the peer is reached now: a connection ended with its process."""
        if saved.hop is not None:
            return saved.hop
        flow = saved.flow
        assert flow is not None, "a session goes somewhere"
        if flow.transport is Transport.UDP:
            path = self._house.tools.station.endpoint.path(flow.local, flow.remote)
            if path is not None:
                return path
        elif (uri := _next_hop(saved)) is not None:
            found = await self._house.reach.resolver.locate(uri)
            if isinstance(found, Located):
                return found.hops[0]
        host, port = flow.remote
        return Hop(transport=flow.transport, host=host, port=port)

    async def _write_ladders(self) -> None:
        told, self._told = self._told, []
        writes = []
        for sid, call_ids in told:
            crossings = self._house.ladder.take(call_ids)
            if crossings:
                writes.append(tables.ladder_kept(sid, crossings))
        try:
            if writes:
                await self._house.book.commit(writes)
        except StoreError as error:
            _log.warning("what dead calls' peers were told is not kept", reason=str(error))


def _rang(call: Call) -> bool:
    """Whether a call of ours was told to ring: each change of its state is a version."""
    before = 3 if call.direction is CallDirection.OUTBOUND_API else 2
    return call.status is CallStatus.RINGING or (bool(call.started) and call.version > before)


def _next_hop(saved: Saved) -> SipUri | None:
    """Where requests of the dialog go (RFC 3261 §12.2.1.1)."""
    if saved.dialog is None:
        return None
    routes = saved.dialog.routes
    uri = read_name_addr(routes[0]).uri if routes else parse_uri(saved.dialog.target)
    return uri if isinstance(uri, SipUri) else None
