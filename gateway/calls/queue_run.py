"""The queues of this process at work: who waits, who dials them, and the way between the two.

A queue is a resource that is stored; who is in it is of live calls. It is at work while somebody is
in it, and what REST has changed of it counts when it is at work again. Two who are joined stay in
their own calls, wherever those are: what they say goes by a hop.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from gateway.calls import queue_tables as tables
from gateway.calls import queues as machine
from gateway.calls.hop import Hop
from gateway.calls.leg import Event, Finished, Gone, Leg
from gateway.calls.media import NoMedia
from gateway.calls.model import Call, CallDirection, CallLeg
from gateway.calls.queue_tables import MemberRow, QueueRow
from gateway.calls.queues import Agent, Do, Full, Greeting, Queue
from gateway.calls.visitor import Visitor
from gateway.events import FactType, fact
from gateway.sids import QUEUE, new_sid
from gateway.store.base import Conflict
from twiml.call import QueueResult

if TYPE_CHECKING:
    from gateway.calls.house import House
    from gateway.calls.queueing import Enqueued, Serving

__all__ = ["QueueRun", "Queues"]

_log = structlog.get_logger(__name__)
_OK: Final = 200
_OVER: Final = "the two have parted"


class QueueRun:
    """One queue at work; see the module. `empty` is told when nobody is in it any more."""

    def __init__(self, house: "House", row: QueueRow, empty: Callable[["QueueRun"], None]) -> None:
        self.row: Final = row
        self.queue: Final = Queue(row.sid, row.max_size)
        self._house = house
        self._empty = empty
        self._members: dict[str, Enqueued] = {}
        self._agents: dict[str, Serving] = {}
        self._hops: dict[str, Hop] = {}  # by member
        self._count = 0

    def enqueue(self, member: "Enqueued") -> Full | None:
        """Have somebody wait."""
        now, sid = self._house.clock(), member.sid
        self._members[sid] = member
        row = self.row
        dos = self.queue.enqueue(sid, now)
        if isinstance(dos, Full):
            del self._members[sid]
            self._look()
            return dos
        waits = MemberRow(
            account_sid=row.account_sid,
            queue_sid=row.sid,
            call_sid=sid,
            owner=self._house.owner,
            date_enqueued=now,
        )
        member.visitor.line.note([tables.came(waits)])
        member.waits(self)
        self._do(dos)
        return None

    def dial(self, agent: "Serving") -> None:
        """Have somebody take who waits longest."""
        self._agents[agent.sid] = agent
        agent.waits(self)
        greeting = Greeting.DOCUMENT if agent.noun.url else Greeting.NONE
        wants = Agent(call_sid=agent.sid, greeting=greeting)
        self._do(self.queue.dial(wants, self._house.clock()))

    def greeted(self, member: "Enqueued") -> None:
        """The member has heard the document of who takes them."""
        self._do(self.queue.greeted(member.sid))

    def leave(self, member: "Enqueued", why: QueueResult) -> None:
        """The member hung up, left, or was sent elsewhere."""
        self._do(self.queue.leave(member.sid, why, self._house.clock()))

    def go(self, agent: "Serving") -> None:
        """Who dialled hung up, was sent elsewhere, or has waited long enough."""
        self._do(self.queue.go(agent.sid, self._house.clock()))

    def close(self) -> Call | None:
        """The queue is removed: the call of one who dialled it, of whom it lets go, if any wait."""
        dos = self.queue.close()
        freed = [self._agents[each.agent] for each in dos if isinstance(each, machine.Freed)]
        self._do(dos)
        return freed[0].visitor.line.call if freed else None

    def _do(self, dos: Sequence[Do]) -> None:
        for each in dos:
            match each:
                case machine.Greets(call_sid=call_sid, agent=agent):
                    self._taken(call_sid)
                    self._agents[agent].taken()
                    self._members[call_sid].greet(self._agents[agent])
                case machine.Joins(call_sid=call_sid, agent=agent):
                    self._taken(call_sid)
                    self._agents[agent].taken()
                    member = self._members[call_sid]
                    member.hush()
                    member.visitor.spawn(self._join(member, self._agents[agent]))
                case machine.Left(call_sid=call_sid, result=result, seconds=seconds):
                    self._taken(call_sid)
                    self._part(call_sid)
                    self._members.pop(call_sid).left(result, seconds)
                case machine.Freed(agent=agent):
                    self._agents.pop(agent).freed(each)
        self._look()

    def _look(self) -> None:
        if not self._members and not self._agents:
            self._empty(self)

    def _taken(self, call_sid: str) -> None:
        gone = tables.went(self.row.account_sid, self.row.sid, call_sid)
        self._members[call_sid].visitor.line.note([gone])

    async def _join(self, member: "Enqueued", agent: "Serving") -> None:
        """Open the way between the two, and let them hear each other."""
        self._count += 1
        ours, theirs = agent.visitor, member.visitor
        near = self._hop(ours)
        far = self._hops[member.sid] = self._hop(theirs)
        near.tie(far)
        stream = theirs.leg().stream
        try:
            if stream is None:
                raise NoMedia("who waited has no media", is_full=False)
            await near.open(stream, ours.leg().codecs)
            ours.media.join(ours.leg().id, near.id)
            theirs.media.join(theirs.leg().id, far.id)
        except NoMedia as error:
            _log.warning("two calls of a queue can't be joined", reason=str(error))
            self.leave(member, QueueResult.SYSTEM_ERROR)
            return
        agent.joined()

    def _hop(self, visitor: Visitor) -> Hop:
        call = visitor.line.call
        record = CallLeg(
            account_sid=call.account_sid,
            sid=call.sid,
            direction=CallDirection.OUTBOUND_DIAL,
            began=self._house.clock(),
        )
        return Hop(visitor.media, _told, id=f"{call.sid}.queue{self._count}", record=record)

    def _part(self, call_sid: str) -> None:
        hop = self._hops.pop(call_sid, None)
        if hop is not None:
            hop.hang_up(_OK, _OVER)


def _told(leg: Leg, event: Event) -> None:
    """Hops end with who is at them."""
    assert isinstance(event, Gone | Finished)


class Queues:
    """Those at work, by their SIDs: a name may be another queue's by now."""

    def __init__(self) -> None:
        self._runs: dict[str, QueueRun] = {}

    def __len__(self) -> int:
        """How many there are with somebody in them."""
        return len(self._runs)

    async def find(
        self, house: "House", account_sid: str, name: str, size: int = 0
    ) -> QueueRun | None:
        """The queue of this name; one of `size` is made if there is none, unless that is 0."""
        row = await _row(house, account_sid, name, size)
        if row is None:
            return None
        run = self._runs.get(row.sid)
        if run is None:
            run = self._runs[row.sid] = QueueRun(house, row, self._empty)
        return run

    def close(self, account_sid: str, sid: str) -> Call | None:
        """A queue is removed: the call of one who waits here for its members, None for nobody."""
        run = self._runs.get(sid)
        if run is None or run.row.account_sid != account_sid:
            return None
        return run.close()

    def _empty(self, run: QueueRun) -> None:
        self._runs.pop(run.row.sid, None)


async def _row(house: "House", account_sid: str, name: str, size: int) -> QueueRow | None:
    rows = await house.store.fetch(tables.NAMED, account_sid, name)
    if rows or not size:
        return tables.queue_of(rows[0]) if rows else None
    now = house.clock()
    row = QueueRow(
        account_sid=account_sid,
        sid=new_sid(QUEUE, now),
        friendly_name=name,
        max_size=size,
        date_created=now,
        date_updated=now,
    )
    data: dict[str, Any] = {}
    made = fact(account_sid, row.sid, row.version, FactType.QUEUE_CREATED, now, data)
    try:
        await house.store.commit([tables.inserted(row), made], house.lease())
    except Conflict:  # another process was quicker
        rows = await house.store.fetch(tables.NAMED, account_sid, name)
        return tables.queue_of(rows[0]) if rows else None
    return row
