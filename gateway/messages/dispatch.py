"""From the queue to the wire: what is due is marked `sending`, durably, and then submitted.

One pump serves all carriers. It takes from the scheduler what the windows can hold, writes the
attempt in one commit and hands the PDUs over when that commit is durable; no task or future
belongs to a single message.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from carriers.events import Submission, Unsent
from carriers.network import Network
from gateway.core.jobs import Entry, Scheduler
from gateway.messages import records
from gateway.messages.backlog import Backlogs
from gateway.messages.book import Book
from gateway.messages.flight import Flight, PartState
from gateway.messages.states import next_message
from gateway.messages.wire import Composer
from gateway.model import MessageStatus
from gateway.store.base import Stale, Store, Write

_log = structlog.get_logger(__name__)
_RETRY_COMMIT_AFTER = 0.5  # seconds, when the store is away


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
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._network = network
        self._scheduler = scheduler
        self._book = book
        self._composer = composer
        self._backlogs = backlogs
        self._clock = clock
        self._overdue: list[Flight] = []
        self._reserved: dict[str, int] = {}
        self._leftover: dict[str, deque[Submission]] = {}
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
        batch: list[Flight] = []
        for carrier in self._network.names():
            room = self._room(carrier, now)
            if room > 0:
                room -= self._submit_leftover(carrier, room, now)
            if room > 0:
                batch += self._take(carrier, room, now)
        if batch:
            self._send(batch, now)
        self._arm(now)

    def _room(self, carrier: str, now: float) -> int:
        return self._network.capacity(carrier, now) - self._reserved.get(carrier, 0)

    def _take(self, carrier: str, room: int, now: float) -> list[Flight]:
        taken: list[Flight] = []
        while room > 0:
            entries = self._scheduler.take(now, room, endpoint=carrier)
            if not entries:
                break
            for entry in entries:
                flight = entry.item
                if flight.message.valid_until <= now:
                    self._overdue.append(flight)
                    continue
                taken.append(flight)
                room -= int(entry.cost)
        return taken

    def take_overdue(self) -> list[Flight]:
        """Messages whose validity was over when their turn came; they wait for a verdict."""
        overdue, self._overdue = self._overdue, []
        return overdue

    def _send(self, batch: Sequence[Flight], now: float) -> None:
        """Make the attempt durable, then submit it."""
        writes: list[Write] = []
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
            self._reserved[carrier] = self._reserved.get(carrier, 0) + len(flight.waiting())
        self._commit(batch, writes)

    def _commit(self, batch: Sequence[Flight], writes: Sequence[Write]) -> None:
        committed = self._store.commit(writes)
        committed.add_done_callback(lambda future: self._committed(batch, writes, future))

    def _committed(
        self, batch: Sequence[Flight], writes: Sequence[Write], future: "asyncio.Future[None]"
    ) -> None:
        error = future.exception()
        if error is None:
            self._submit(batch)
        elif isinstance(error, Stale) and len(batch) > 1:
            for flight, write in zip(batch, writes, strict=True):
                self._commit([flight], [write])
        elif isinstance(error, Stale):
            self._abandon(batch[0])
        else:
            _log.warning("dispatch waits for the store", reason=str(error))
            asyncio.get_running_loop().call_later(_RETRY_COMMIT_AFTER, self._commit, batch, writes)

    def _abandon(self, flight: Flight) -> None:
        """Somebody else changed the message since it was queued: take it up as it is now."""
        message = flight.message
        self._backlogs.of(message.carrier).reread()
        self._reserved[message.carrier] -= len(flight.waiting())
        self._book.forget_references(flight)
        self._book.forget(message.sid)
        self.finish(message.sid)

    def _submit(self, batch: Sequence[Flight]) -> None:
        now = self._clock()
        ready: dict[str, list[Submission]] = {}
        for flight in batch:
            message = flight.message
            waiting = flight.waiting()
            self._reserved[message.carrier] -= len(waiting)
            pdus = self._composer.pdus(message)
            for part in waiting:
                flight.note(part, PartState.OUT)
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
            room = 0 if leftover else max(0, self._network.capacity(carrier, now))
            self._network.submit(carrier, submissions[:room], now)
            leftover.extend(submissions[room:])
            if leftover:
                self.wake()

    def _submit_leftover(self, carrier: str, room: int, now: float) -> int:
        """Parts of long messages that found the window full go first."""
        leftover = self._leftover.get(carrier)
        if not leftover:
            return 0
        count = min(room, len(leftover))
        self._network.submit(carrier, [leftover.popleft() for _ in range(count)], now)
        return count

    def abandoned_parts(self, carrier: str, now: float) -> list[Unsent]:
        """Parts that wait for a carrier that is gone, given back."""
        leftover = self._leftover.pop(carrier, deque())
        return [
            Unsent(carrier=carrier, submission=s, reason="the carrier was removed", at=now)
            for s in leftover
        ]

    def _arm(self, now: float) -> None:
        """Wake when the scheduler or a throttle has more to give."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        times = [self._scheduler.timer(), self._network.ready_at(now)]
        due = min((at for at in times if at is not None), default=None)
        if due is not None:
            delay = max(0.005, due - now)
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)
