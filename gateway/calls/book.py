"""The book of calls: which writes go with each thing that happens to a call, and what is read back.

Each maker of writes gives one thought's state, facts and jobs; the caller commits them, with what
else belongs to it, and only then does what a peer can see. Facts hold no numbers and nothing that
a peer said in words: that is in the rows, which go with the call.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from gateway.calls import tables
from gateway.calls.documents import Exchange
from gateway.calls.meters import CallMeters
from gateway.calls.model import OVER, TRANSITIONS, Call, CallLeg, CallStatus, Crossing
from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.events import FactType, fact
from gateway.store.base import Lease, Store, Write, member_name

_PAGE: Final = 200
_S = CallStatus

BY_STATUS: Final[dict[CallStatus, FactType]] = {
    _S.QUEUED: FactType.CALL_QUEUED,
    _S.INITIATED: FactType.CALL_INITIATED,
    _S.RINGING: FactType.CALL_RINGING,
    _S.IN_PROGRESS: FactType.CALL_ANSWERED,
    _S.COMPLETED: FactType.CALL_COMPLETED,
    _S.BUSY: FactType.CALL_BUSY,
    _S.FAILED: FactType.CALL_FAILED,
    _S.NO_ANSWER: FactType.CALL_NO_ANSWER,
    _S.CANCELED: FactType.CALL_CANCELED,
}


def advanced(call: Call, status: CallStatus, now: float, **also: Any) -> Call | None:
    """`call` in its next state at `now`, with other fields as `also` says; None if it can't be.

    `started` is set with the answer and `ended` with the end.
    """
    if status not in TRANSITIONS[call.status]:
        return None
    if status is CallStatus.IN_PROGRESS:
        also.setdefault("started", now)
    if status in OVER:
        also.setdefault("ended", now)
    return changed_at(call, now, status=status, **also)


def changed_at(call: Call, now: float, **also: Any) -> Call:
    """The next version of `call`, with the fields of `also` changed."""
    return msgspec.structs.replace(call, date_updated=now, version=call.version + 1, **also)


class Book:
    """Makes the writes of calls and commits them; asks the store for calls.

    `fence` is the lease of the member whose process this is, None where nobody else can be.
    `meters` count the ends that are written.
    """

    def __init__(self, store: Store, fence: Callable[[], Lease | None]) -> None:
        self._store = store
        self._fence = fence
        self.meters = CallMeters()

    # -- writes

    def begun(self, call: Call, leg: CallLeg | None, jobs: Sequence[Job] = ()) -> list[Write]:
        """A call is there, with its first leg if it has one."""
        writes = [tables.inserted(call)]
        if leg is not None:
            writes.append(tables.leg_inserted(leg))
        told = _said(direction=call.direction, carrier=call.carrier, origin=call.origin)
        return [*writes, _told(call, BY_STATUS[call.status], told), *map(job_inserted, jobs)]

    def trying(self, leg: CallLeg) -> list[Write]:
        """One more leg of a call begins: another gateway or device is tried."""
        return [tables.leg_inserted(leg)]

    def leg_changed(self, leg: CallLeg) -> list[Write]:
        """Something of a leg changed that no fact tells of, such as what a restart needs of it."""
        return [tables.leg_updated(leg)]

    def leg_closed(self, leg: CallLeg) -> list[Write]:
        """All is known of a leg, and nothing is left of it to set free."""
        self.meters.leg_closed(leg)
        return [tables.leg_updated(leg)]

    def tried(self, call: Call, leg: CallLeg) -> list[Write]:
        """A leg ended and its call goes on; `call` is as it is stored."""
        told = _said(
            attempt=leg.attempt,
            carrier=leg.carrier,
            sip_code=leg.sip_code,
            released_by=leg.released_by,
        )
        return [
            tables.leg_updated(leg),
            fact(call.account_sid, call.sid, call.version, FactType.CALL_TRIED, leg.ended, told),
        ]

    def changed(
        self, call: Call, jobs: Sequence[Job] = (), leg: CallLeg | None = None
    ) -> list[Write]:
        """A call reached the next state and goes on, with what its leg is now."""
        return self._next(call, BY_STATUS[call.status], _said(carrier=call.carrier), jobs, leg)

    def updated(
        self, call: Call, jobs: Sequence[Job] = (), leg: CallLeg | None = None
    ) -> list[Write]:
        """Something of a call changed that is not its state: whose it is, what it runs."""
        return self._next(call, FactType.CALL_UPDATED, {}, jobs, leg)

    def ended(
        self,
        call: Call,
        leg: CallLeg | None = None,
        crossings: Iterable[Crossing] = (),
        jobs: Sequence[Job] = (),
    ) -> list[Write]:
        """A call is over; `crossings` are all messages of its ladder."""
        self.meters.call_ended(call)
        told = _said(
            direction=call.direction,
            carrier=call.carrier,
            duration=call.duration,
            sip_code=call.sip_code,
            error_code=call.error_code,
            released_by=leg.released_by if leg is not None else "",
        )
        writes = self._next(call, BY_STATUS[call.status], told, jobs, leg)
        ladder = list(crossings)
        return [*writes, self.ladder(call, ladder)] if ladder else writes

    def ladder(self, call: Call, crossings: Sequence[Crossing]) -> Write:
        """What passed on the wire for a call: all of it, or what no write had before."""
        return tables.ladder_kept(call.sid, crossings)

    def asked(self, call: Call, exchanges: Iterable[Exchange]) -> Write:
        """Apps were asked for documents of a call, or told of something; they may have answered."""
        return tables.exchanges_kept(call.sid, exchanges)

    def _next(
        self,
        call: Call,
        kind: FactType,
        told: dict[str, Any],
        jobs: Sequence[Job],
        leg: CallLeg | None,
    ) -> list[Write]:
        writes = [tables.updated(call), _told(call, kind, told), *map(job_inserted, jobs)]
        if leg is not None:
            writes.append(tables.leg_updated(leg))
        return writes

    def commit(self, writes: Sequence[Write]) -> "asyncio.Future[None]":
        """`Store.commit` under the lease of this process."""
        return self._store.commit(writes, self._fence())

    # -- reads

    async def get(self, account_sid: str, sid: str) -> Call | None:
        """A call of the account."""
        rows = await self._store.fetch(tables.GET, account_sid, sid)
        return tables.call_of(rows[0]) if rows else None

    async def legs(self, sid: str) -> list[CallLeg]:
        """The legs of a call, the first one first."""
        return [tables.leg_of(row) for row in await self._store.fetch(tables.LEGS, sid)]

    async def orphaned(self) -> list[str]:
        """The owners of calls that are not over which are members no more."""
        owners = await self._store.fetch(tables.OPEN_OWNERS)
        alive = {lease.name for lease in await self._store.leases()}
        return sorted(owner for owner, _ in owners if member_name(owner) not in alive)

    async def open_of(self, owner: str) -> AsyncIterator[list[Call]]:
        """Pages of the calls of `owner` that are not over."""
        after = ""
        while rows := await self._store.fetch(tables.OPEN, owner, after, _PAGE):
            calls = [tables.call_of(row) for row in rows]
            after = calls[-1].sid
            yield calls


def _told(call: Call, kind: FactType, data: dict[str, Any]) -> Write:
    return fact(call.account_sid, call.sid, call.version, kind, call.date_updated, data)


def _said(**data: Any) -> dict[str, Any]:
    """What there is to say of `data`."""
    return {name: value for name, value in data.items() if value}
