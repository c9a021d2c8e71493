"""From the queue to the wire: what is due is marked `sending`, durably, and then submitted.

One pump serves all carriers. It takes from the scheduler what the windows can hold, writes the
attempt in one commit and hands the PDUs over when that commit is durable; no task or future
belongs to a single message.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import structlog

from carriers.events import Submission, Unsent
from carriers.network import Network
from gateway.core.jobs import Entry, Scheduler
from gateway.messages import records
from gateway.messages.backlog import Backlogs
from gateway.messages.book import Book
from gateway.messages.flight import Flight, PartState
from gateway.messages.ownership import Owner
from gateway.messages.states import next_message
from gateway.messages.wire import Composer
from gateway.model import MessageStatus
from gateway.store.base import Fenced, Stale, Store, Write

_log = structlog.get_logger(__name__)
_RETRY_COMMIT_AFTER = 0.5  # seconds, when the store is away


class _Attempt(msgspec.Struct, frozen=True):
    """An attempt that is being made durable, and the parts that it submits."""

    flight: Flight
    parts: tuple[int, ...]


class Dispatcher:
    """Owns the queue of messages."""

    def __init__(
        self,
        *,
        store: Store,
        network: Network,
        scheduler: Scheduler[Flight],
        book: Book,
        composer: Composer,
        backlogs: Backlogs,
        may_send: Callable[[str], bool],
        owner: Owner,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._owner = owner
        self._network = network
        self._scheduler = scheduler
        self._book = book
        self._composer = composer
        self._backlogs = backlogs
        self._clock = clock
        self._may_send = may_send
        self._stopped: list[Flight] = []
        self._reserved: dict[str, int] = {}
        self._unreserved = asyncio.Event()  # set when some of it is free again
        self._leftover: dict[str, deque[Submission]] = {}
        self._useless: list[Unsent] = []
        self._longest = 1  # parts of the longest message that was last taken
        self._pump_is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def offer(self, flight: Flight, now: float, due: float | None = None) -> None:
        """Queue `flight`, for the first time or for a further attempt at `due`."""
        message = flight.message
        self._book.keep(flight)
        self._scheduler.offer(
            Entry(
                key=message.sid,
                account=message.account_sid,
                endpoint=message.carrier,
                sequence="",
                cost=max(1, len(flight.waiting())),
                expire_at=message.valid_until,
                item=flight,
            ),
            now,
            due=due,
        )
        self.wake()

    def requeue(self, flight: Flight, due: float) -> None:
        """Queue `flight` again, for `due`, after an attempt that did not settle it."""
        self._scheduler.release(flight.message.sid)
        self.offer(flight, self._clock(), due)

    def finish(self, sid: str) -> None:
        """The message needs no further attempt."""
        if not self._scheduler.cancel(sid):
            self._scheduler.release(sid)

    def withdraw(self, sid: str) -> bool:
        """Take a message that waits out of the queue; False if it is being sent."""
        return self._scheduler.cancel(sid)

    def holds(self, sid: str) -> bool:
        """Whether the message waits or is being sent."""
        return sid in self._scheduler

    def queued(self, carrier: str) -> int:
        """How many messages of `carrier` are in memory."""
        return self._scheduler.count(carrier)

    def wake(self) -> None:
        """Run the pump once in this turn of the loop, however often this is called."""
        if not self._pump_is_due and not self._closed:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def close(self) -> None:
        """Take nothing more from the queue."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _pump(self) -> None:
        self._pump_is_due = False
        if self._closed:
            return
        now = self._clock()
        if not self._owner.alive:  # somebody else may be sending these by now
            self._wake_after(_RETRY_COMMIT_AFTER)
            return
        batch: list[Flight] = []
        looked = False
        for carrier in self._network.names():
            room = self._room(carrier, now)
            if room > 0:
                room -= self._submit_leftover(carrier, room, now)
            if room > 0:
                looked = True
                batch += self._take(carrier, room, now)
        if batch:
            self._send(batch, now)
        self._arm(now, self._scheduler.timer() if looked else None)

    def _room(self, carrier: str, now: float) -> int:
        return self._network.capacity(carrier, now) - self._reserved.get(carrier, 0)

    def _take(self, carrier: str, room: int, now: float) -> list[Flight]:
        taken: list[Flight] = []
        while room > 0:
            limit = max(1, room // self._longest)
            entries = self._scheduler.take(now, limit, endpoint=carrier)
            if not entries:
                break
            self._longest = max(int(entry.cost) for entry in entries)
            for entry in entries:
                flight = entry.item
                message = flight.message
                if message.status is not MessageStatus.QUEUED:
                    self._scheduler.release(entry.key)  # a late answer settled it
                elif message.valid_until <= now or not self._may_send(message.account_sid):
                    self._stopped.append(flight)
                else:
                    taken.append(flight)
                    room -= int(entry.cost)
        return taken

    def take_stopped(self) -> list[Flight]:
        """Messages that might not leave when their turn came; they wait for a verdict."""
        stopped, self._stopped = self._stopped, []
        return stopped

    def _send(self, batch: Sequence[Flight], now: float) -> None:
        """Make the attempt durable, then submit it."""
        writes: list[Write] = []
        attempts: list[_Attempt] = []
        for flight in batch:
            message = next_message(
                flight.message,
                MessageStatus.SENDING,
                now,
                attempt=flight.message.attempt + 1,
                **self._composer.references(flight.message, now),
            )
            flight.message = message
            self._book.learn_references(flight)
            writes.append(records.changed(message))
            carrier = message.carrier
            parts = tuple(flight.waiting())
            for part in parts:
                flight.note(part, PartState.OUT)
            flight.due = 0.0
            attempts.append(_Attempt(flight, parts))
            self._reserved[carrier] = self._reserved.get(carrier, 0) + len(parts)
        self._commit(attempts, writes)

    def _commit(self, batch: Sequence[_Attempt], writes: Sequence[Write]) -> None:
        if self._closed:
            return  # nothing of it was promised: the next run finds it as it was
        committed = self._store.commit(writes, self._owner.lease())
        committed.add_done_callback(lambda future: self._committed(batch, writes, future))

    def _committed(
        self, batch: Sequence[_Attempt], writes: Sequence[Write], future: "asyncio.Future[None]"
    ) -> None:
        error = future.exception()
        if error is None:
            self._submit(batch)
        elif isinstance(error, Stale) and len(batch) > 1:
            for attempt, write in zip(batch, writes, strict=True):
                self._commit([attempt], [write])
        elif isinstance(error, Stale):
            self._abandon(batch[0])
        elif isinstance(error, Fenced):
            _log.error("nothing is sent any more: others took over", reason=str(error))
            self.close()
        else:
            _log.warning("dispatch waits for the store", reason=str(error))
            asyncio.get_running_loop().call_later(_RETRY_COMMIT_AFTER, self._commit, batch, writes)

    def _abandon(self, attempt: _Attempt) -> None:
        """Somebody else changed the message since it was queued: take it up as it is now."""
        message = attempt.flight.message
        backlog = self._backlogs.get(message.carrier)
        if backlog is not None:
            backlog.reread()
        self._unreserve(attempt)
        self._book.forget_references(attempt.flight)
        self._book.forget(message.sid)
        self.finish(message.sid)

    def _submit(self, batch: Sequence[_Attempt]) -> None:
        now = self._clock()
        ready: dict[str, list[Submission]] = {}
        for attempt in batch:
            flight = attempt.flight
            message = flight.message
            self._unreserve(attempt)
            if message.attempt == 1:
                waited = max(0.0, now - message.date_created)
                self._network.counters(message.carrier).submit_seconds.observe(waited)
            pdus = self._composer.pdus(message)
            for part in attempt.parts:
                if flight.parts[part - 1] is not PartState.OUT:
                    continue  # a late answer or a receipt settled it meanwhile
                ready.setdefault(message.carrier, []).append(
                    Submission(
                        account_sid=message.account_sid,
                        sid=message.sid,
                        part=part,
                        attempt=message.attempt,
                        pdu=pdus[part - 1],
                    )
                )
        for carrier, submissions in ready.items():
            leftover = self._leftover.setdefault(carrier, deque())
            may = self._owner.alive and not self._closed
            free = self._network.capacity(carrier, now) if may else 0
            room = 0 if leftover else max(0, free)
            self._network.submit(carrier, submissions[:room], now)
            leftover.extend(submissions[room:])
            if leftover:
                self.wake()

    def _submit_leftover(self, carrier: str, room: int, now: float) -> int:
        """Parts of long messages that found the window full go first."""
        leftover = self._leftover.get(carrier)
        if not leftover:
            return 0
        ready: list[Submission] = []
        while leftover and len(ready) < room:
            submission = leftover.popleft()
            reason = self._no_use_of(submission, now)
            if reason:
                self._useless.append(_unsent(carrier, submission, reason, now))
            else:
                ready.append(submission)
        self._network.submit(carrier, ready, now)
        return len(ready)

    async def committed(self, carrier: str) -> None:
        """Return when no attempt for `carrier` is being made durable any more."""
        while self._reserved.get(carrier, 0) > 0:
            self._unreserved.clear()
            await self._unreserved.wait()

    def _unreserve(self, attempt: _Attempt) -> None:
        self._reserved[attempt.flight.message.carrier] -= len(attempt.parts)
        self._unreserved.set()

    def let_go(self, carrier: str, now: float) -> list[Unsent]:
        """The parts for `carrier` that never left: it is somebody else's from now on."""
        reason = "the carrier has another owner"
        return [
            _unsent(carrier, submission, reason, now)
            for submission in self._leftover.pop(carrier, ())
        ]

    def given_back(self, now: float) -> list[Unsent]:
        """Parts that found the window full and are no use any more: their text is refused or late.

        After `close`, all of them: they are the next run's.
        """
        unsent, self._useless = self._useless, []
        for carrier, leftover in self._leftover.items():
            kept: deque[Submission] = deque()
            for submission in leftover:
                reason = self._no_use_of(submission, now)
                if reason:
                    unsent.append(_unsent(carrier, submission, reason, now))
                else:
                    kept.append(submission)
            self._leftover[carrier] = kept
        return unsent

    def _no_use_of(self, submission: Submission, now: float) -> str:
        """Why the carrier needs a part no more; "" if it does."""
        flight = self._book.get(submission.sid)
        if self._closed:
            return "the gateway stops"
        if flight is None or flight.parts[submission.part - 1] is not PartState.OUT:
            return "it is settled"
        if PartState.REFUSED in flight.parts:
            return "another part was refused"
        return "its validity period ended" if flight.message.valid_until <= now else ""

    def _arm(self, now: float, more_at: float | None) -> None:
        """Wake when the scheduler or a throttle has more to give."""
        times = [more_at, self._network.ready_at(now)]
        due = min((at for at in times if at is not None), default=None)
        self._wake_after(None if due is None else max(0.005, due - now))

    def _wake_after(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.wake)


def _unsent(carrier: str, submission: Submission, reason: str, now: float) -> Unsent:
    return Unsent(carrier=carrier, submission=submission, reason=reason, at=now)
