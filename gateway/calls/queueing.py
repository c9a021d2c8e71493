"""One call in a queue: an `<Enqueue>` at work, or a `<Dial><Queue>`.

Either waits until its caller can hear, is in the queue, and tells the call when that is over.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.calls.aside import Aside, InQueue
from gateway.calls.dial import LIMIT, STAR
from gateway.calls.hold_music import Pastime
from gateway.calls.queues import Freed, Full
from gateway.calls.taped import Taped
from gateway.calls.visitor import Visitor
from gateway.store.base import StoreError
from twiml.call import DialEnded, DialStatus, Ending, QueueLeft, QueueResult
from twiml.nouns import Queue
from twiml.outcome import Goto
from twiml.parameters import Parameters, dequeued_parameters, waiting_parameters
from twiml.verbs import Dial, Enqueue

if TYPE_CHECKING:
    from gateway.calls.house import House
    from gateway.calls.queue_run import QueueRun

__all__ = ["Enqueued", "Serving"]

_STAR: Final = "*"


class Enqueued:
    """Somebody who waits; `start` begins it."""

    def __init__(self, house: "House", visitor: Visitor, ask: int, enqueue: Enqueue) -> None:
        self.visitor: Final = visitor
        self.ask: Final = ask
        self._house = house
        self._enqueue = enqueue
        self._pastime = Pastime(house, visitor)
        self._documents: InQueue | None = None
        self._greeting: Aside | None = None
        self._run: QueueRun | None = None
        self._entering: asyncio.Task[None] | None = None
        self._is_over = False

    @property
    def sid(self) -> str:
        """That of its call."""
        return self.visitor.line.call.sid

    def start(self) -> None:
        """Come in, when the caller can hear."""
        self._entering = self.visitor.spawn(self._enter())

    async def _enter(self) -> None:
        await self.visitor.ready()
        wanted, account_sid = self._enqueue, self.visitor.line.call.account_sid
        try:
            run = await self._house.queues.find(
                self._house, account_sid, wanted.name, wanted.max_queue_size
            )
        except StoreError:
            run = None
        self._entering = None
        if run is None:
            self.left(QueueResult.SYSTEM_ERROR, 0)
        elif isinstance(run.enqueue(self), Full):
            self.left(QueueResult.QUEUE_FULL, 0, run.row.sid)

    def stop(self, why: QueueResult) -> None:
        """The caller hung up, or another document goes on."""
        if self._entering is not None:
            self._entering.cancel()
            self.left(why, 0)
        elif self._run is not None:
            self._run.leave(self, why)

    def on_key(self, key: str) -> None:
        """The caller pressed a key."""
        if self._documents is not None:
            self._documents.pressed(key)

    # What its queue asks

    def waits(self, run: "QueueRun") -> None:
        """It is in this queue: let it hear what is for who waits."""
        self._run = run
        wanted = self._enqueue
        wait = None
        if wanted.wait_url is not None:
            wait = Goto(url=wanted.wait_url, method=wanted.wait_method)
        self._pastime.play(wait, self._make_documents)

    def greet(self, agent: "Serving") -> None:
        """Let it hear the document of who takes it, and say when that is over."""
        run = self._run
        assert run is not None
        self.hush()
        now = self._house.clock()
        waited = int(now - self._since)
        told = dequeued_parameters(run.row.sid, waited, agent.sid)
        self._greeting = Aside(self.visitor.hands_of, self._greeted)
        noun = agent.noun
        self._greeting.start(Goto(url=noun.url, method=noun.method, parameters=told))

    def hush(self) -> None:
        """Let it hear nothing of all that any more."""
        self._documents = None
        self._pastime.stop()
        if self._greeting is not None:
            self._greeting.close()
            self._greeting = None

    def left(self, result: QueueResult, seconds: int, queue_sid: str = "") -> None:
        """It is in the queue no more."""
        if self._is_over:
            return
        self._is_over = True
        run, self._run = self._run, None
        self.hush()
        self.visitor.media.part(self.visitor.leg().id)
        sid = run.row.sid if run is not None else queue_sid
        self.visitor.give(QueueLeft(ask=self.ask, result=result, queue_sid=sid, seconds=seconds))

    # Inside

    @property
    def _since(self) -> float:
        run = self._run
        assert run is not None
        return run.queue.since(self.sid)

    def _make_documents(self) -> InQueue:
        self._documents = InQueue(
            self.visitor.hands_of,
            told=self._standing,
            left=lambda: self._later(QueueResult.LEAVE),
            hang_up=self.visitor.hang_up,
        )
        return self._documents

    def _standing(self) -> Parameters:
        run = self._run
        standing = None if run is None else run.queue.standing(self.sid, self._house.clock())
        return () if standing is None else waiting_parameters(standing)

    def _later(self, why: QueueResult) -> None:
        """Leave, when the document that said so has returned."""
        asyncio.get_running_loop().call_soon(self.stop, why)

    def _greeted(self, ending: Ending) -> None:
        asyncio.get_running_loop().call_soon(self._join)

    def _join(self) -> None:
        if self._run is not None:
            self._run.greeted(self)


class Serving:
    """Somebody who dials a queue; `start` begins it, `stop` ends it early."""

    def __init__(self, house: "House", visitor: Visitor, ask: int, dial: Dial) -> None:
        noun = dial.nouns[0]
        assert isinstance(noun, Queue)
        self.noun: Final = noun
        self.visitor: Final = visitor
        self._house = house
        self._ask = ask
        self._dial = dial
        self._run: QueueRun | None = None
        self._entering: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._taped = Taped(visitor.tapes, dial)
        self._is_over = False

    @property
    def sid(self) -> str:
        """That of its call."""
        return self.visitor.line.call.sid

    def start(self) -> None:
        """Take somebody, when the caller can hear."""
        self._entering = self.visitor.spawn(self._enter())

    async def _enter(self) -> None:
        await self.visitor.ready()
        account_sid, result = self.visitor.line.call.account_sid, QueueResult.QUEUE_NOT_FOUND
        try:
            run = await self._house.queues.find(self._house, account_sid, self.noun.name)
        except StoreError:
            run, result = None, QueueResult.SYSTEM_ERROR
        self._entering = None
        if run is None:
            self._end(DialStatus.FAILED, Freed(self.sid, result))
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._dial.timeout, self.stop, "nobody came in time")
        self._taped.rings()
        run.dial(self)

    def stop(self, reason: str) -> None:
        """Wait no more, or let go of who was taken."""
        if self._entering is not None:
            self._entering.cancel()
            self._end(DialStatus.CANCELED, Freed(self.sid, QueueResult.QUEUE_EMPTY))
        elif self._run is not None:
            self._run.go(self)

    def on_key(self, key: str) -> None:
        """The caller pressed a key: the star may let go of who was taken."""
        if key == _STAR and self._dial.hangup_on_star and self._since:
            self.stop(STAR)

    # What its queue asks

    def waits(self, run: "QueueRun") -> None:
        """It is in this queue."""
        self._run = run

    def taken(self) -> None:
        """It has somebody, who may hear a document first: nobody need come any more."""
        if self._timer is not None:
            self._timer.cancel()

    def joined(self) -> None:
        """It is joined to who waited."""
        if self._is_over:
            return
        self._since = self._house.clock()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._dial.time_limit, self.stop, LIMIT)
        if self._dial.hangup_on_star:
            self.visitor.media.listen(self.visitor.leg().id)
        self._taped.joined()

    def freed(self, freed: Freed) -> None:
        """It is in the queue no more."""
        status = DialStatus.NO_ANSWER
        if self._since:
            status = DialStatus.COMPLETED
        elif freed.call_sid:
            status = DialStatus.CANCELED
        elif freed.result is QueueResult.QUEUE_NOT_FOUND:
            status = DialStatus.FAILED
        self._end(status, freed)

    def _end(self, status: DialStatus, freed: Freed) -> None:
        if self._is_over:
            return
        self._is_over = True
        run, self._run = self._run, None
        if self._timer is not None:
            self._timer.cancel()
        self.visitor.media.part(self.visitor.leg().id)
        talked = round(self._house.clock() - self._since) if self._since else None
        ended = DialEnded(
            ask=self._ask,
            status=status,
            call_sid=freed.call_sid,
            duration=talked,
            bridged=bool(self._since),
            queue_sid="" if run is None else run.row.sid,
            queue_result=freed.result.value,
            queue_time=freed.seconds,
        )
        self._taped.end(ended, self.visitor.give)
