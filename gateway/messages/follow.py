"""The loop of the message path: what carriers say, what time brings, what the last run left.

A batch of carrier events becomes one `Changes` and is committed before the next one is looked
at, so batches grow with the load by themselves.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog

from carriers.events import (
    BindDown,
    BindUp,
    CarrierEvent,
    CarrierLeft,
    Receipted,
    Received,
    Submitted,
    Uncertain,
    Unsent,
)
from carriers.network import Network
from gateway.messages import receipts, records, trace, wiped
from gateway.messages.backlog import HINT, Backlogs
from gateway.messages.book import Book, reference_of
from gateway.messages.changes import Changes
from gateway.messages.commit import Committer
from gateway.messages.correlate import Correlator, Match
from gateway.messages.dispatch import Dispatcher
from gateway.messages.flight import Flight, PartState
from gateway.messages.parking import Parking
from gateway.messages.receive import Receiver
from gateway.messages.settle import Settler
from gateway.messages.wire import Composer
from gateway.model import MessageStatus
from gateway.store.base import Horizon, Store, StoreError, StoreUnavailable
from protocols.smpp.constants import CommandStatus
from protocols.smpp.receipt import id_candidates, id_key

_log = structlog.get_logger(__name__)
_OPEN: Final = frozenset({MessageStatus.QUEUED, MessageStatus.SENDING})
_SWEEP_EVERY: Final = 2.0  # seconds
_STORE_AWAY: Final = 0.5  # seconds between tries to read from it
_END_WITHIN: Final = 1.0  # seconds that the last events of a closed network may take
_LOOK_EVERY: Final = 0.5  # seconds between looks at what others accepted, if no hint comes
_WIPED_LOOK: Final = 120.0  # seconds back to which a sweep looks for what others redacted


class Follower:
    """Follows the carriers; `grace_of` gives the seconds for which a carrier's receipt may wait."""

    def __init__(
        self,
        *,
        store: Store,
        network: Network,
        dispatcher: Dispatcher,
        committer: Committer,
        correlator: Correlator,
        settler: Settler,
        receiver: Receiver,
        parking: Parking,
        backlogs: Backlogs,
        may_send: Callable[[str], bool],
        composer: Composer,
        book: Book,
        grace_of: Callable[[str], float],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._network = network
        self._dispatcher = dispatcher
        self._committer = committer
        self._correlator = correlator
        self._settler = settler
        self._receiver = receiver
        self._parking = parking
        self._backlogs = backlogs
        self._may_send = may_send
        self._composer = composer
        self._book = book
        self._grace_of = grace_of
        self._clock = clock
        self._horizon = Horizon()  # up to where the messages of other processes are known
        self._left: dict[str, asyncio.Event] = {}  # carriers on their way out
        self._tasks: set[asyncio.Task[None]] = set()
        self._following: asyncio.Task[None] | None = None

    # -- its life ------------------------------------------------------------------------

    async def start(self) -> None:
        """Follow the carriers that are taken over, from now on."""
        self._horizon = await self._store.horizon()
        self._following = self._spawn(self._follow(), "messages: carrier events")
        self._spawn(self._sweep(), "messages: sweep")
        self._spawn(self._listen(), "messages: from other processes")

    async def take_over(self, carrier: str) -> None:
        """Take up what the last owner of `carrier` left; before it is served."""
        self._backlogs.add(carrier)
        for row in await self._store.fetch(receipts.OF_CARRIER, carrier):
            self._parking.add(receipts.parked_of(row))
        await self._receiver.recover(self._store, carrier, self._clock())
        await self._read_backlogs()

    async def give_up(self, carrier: str) -> None:
        """Let go of `carrier`, which is served no more, when nothing of it is under way."""
        await self._left.setdefault(carrier, asyncio.Event()).wait()
        del self._left[carrier]
        await self._dispatcher.committed(carrier)
        changes = Changes()
        for unsent in self._dispatcher.let_go(carrier, self._clock()):
            self._settler.unsent(unsent, changes)
        await self._committer.commit(changes)
        self.forget(carrier)

    def forget(self, carrier: str) -> None:
        """Know nothing of `carrier` any more: it is not served, or could not be taken over."""
        for sid in self._book.drop(carrier):
            self._dispatcher.finish(sid)
        self._backlogs.drop(carrier)
        self._parking.drop(carrier)
        self._receiver.drop(carrier)

    async def tell_of_strays(self, configured: Collection[str]) -> None:
        """Warn of messages whose carrier the config does not name any more."""
        for carrier, count in await self._store.fetch(records.OPEN_CARRIERS):
            if carrier not in configured:
                _log.warning(
                    "messages wait for a carrier that is not configured",
                    carrier=carrier,
                    messages=count,
                    remedy="add it under [[carriers]] again until they have left",
                )

    async def close(self) -> None:
        """Stop; what is under way stays in the store and goes on at the next start."""
        self._dispatcher.close()
        if self._following is not None:
            await asyncio.wait({self._following}, timeout=_END_WITHIN)
        for task in list(self._tasks):
            task.cancel()
        for task in list(self._tasks):
            with suppress(asyncio.CancelledError):
                await task
        await self._give_back()

    async def _give_back(self) -> None:
        """Parts that never left are not uncertain: the next run sends them."""
        changes = Changes()
        for unsent in self._dispatcher.given_back(self._clock()):
            self._settler.unsent(unsent, changes)
        if changes.writes:
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_WITHIN):
                    await self._committer.commit(changes)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the message path died", task=task.get_name(), exc_info=error)

    async def _read_backlogs(self) -> None:
        for backlog in self._backlogs.all():
            while backlog.wants(self._dispatcher.queued(backlog.carrier)):
                changes = Changes()
                for flight in await backlog.read(self._store, self._book):
                    self._resume(flight, changes)
                await self._committer.commit(changes)

    def _resume(self, flight: Flight, changes: Changes) -> None:
        """Take up a message that the store holds as queued or being sent."""
        now = self._clock()
        self._composer.hold(flight.message, now)
        self._book.learn_references(flight)
        if flight.message.status is MessageStatus.QUEUED:
            self._dispatcher.offer(flight, now)
            return
        self._book.keep(flight)
        self._settler.recovered(flight, now, changes)

    # -- what carriers say ---------------------------------------------------------------

    async def _follow(self) -> None:
        while events := await self._network.events():
            try:
                await self._process(events)
            except Exception:
                # A defect must not silence the carrier: its window is freed, and what it
                # delivered comes again.
                _log.exception("a batch of carrier events failed", events=len(events))
                for event in events:
                    self._refused(event)
                await self._committer.commit(_handed_back(events))

    async def _process(self, events: Sequence[CarrierEvent]) -> None:
        """Reads first, then changes: from the first change to the commit nobody comes between."""
        known = await self._matches(events)
        changes = Changes()
        for position, event in enumerate(events):
            try:
                self._take(event, known.get(position), changes)
            except Exception:  # nor may one event silence the others
                _log.exception("a carrier event failed", kind=type(event).__name__)
                self._refused(event)
                _hand_back(event, changes)
        await self._committer.commit(changes)

    def _take(self, event: CarrierEvent, known: Match | None, changes: Changes) -> None:
        match event:
            case Submitted():
                self._submitted(event, changes)
            case Receipted():
                self._receipted(event, known, changes)
            case Received():
                self._receiver.received(event, changes)
            case Uncertain():
                self._uncertain(event, changes)
            case Unsent():
                self._settler.unsent(event, changes)
            case BindUp():
                self._dispatcher.wake()
            case BindDown():
                self._receiver.bind_lost(event, changes)
                self._dispatcher.wake()
            case CarrierLeft():
                self._left.setdefault(event.carrier, asyncio.Event()).set()

    def _refused(self, event: CarrierEvent) -> None:
        if isinstance(event, Received):
            self._receiver.refused(event)

    async def _matches(self, events: Sequence[CarrierEvent]) -> dict[int, Match]:
        """The receipts whose ids are known, here or in the store, by position."""
        found: dict[int, Match] = {}
        fresh: set[tuple[str, str]] | None = None
        for position, event in enumerate(events):
            if not isinstance(event, Receipted):
                continue
            match = self._correlator.recall_by_id(event)
            if match is not None:
                found[position] = match
                continue
            if fresh is None:
                fresh = {
                    (each.carrier, id_key(each.carrier_id))
                    for each in events
                    if isinstance(each, Submitted) and each.carrier_id
                }
            keys = id_candidates(event.receipt.message_id)
            if any((event.carrier, key) in fresh for key in keys):
                continue  # its answer is in this very batch
            match = await self._searched(event)
            if match is not None:
                found[position] = match
        return found

    async def _searched(self, event: Receipted) -> Match | None:
        while True:
            try:
                return await self._correlator.search(event)
            except StoreUnavailable as error:
                _log.warning("receipts wait for the store", reason=str(error))
                await asyncio.sleep(_STORE_AWAY)

    def _submitted(self, event: Submitted, changes: Changes) -> None:
        self._settler.submitted(event, changes)
        if not event.carrier_id or not len(self._parking):
            return
        flight = self._book.get(event.submission.sid)
        if flight is not None:
            parked = self._parking.take(event.carrier, id_key(event.carrier_id))
            self._apply(parked, flight, event.submission.part, event.at, changes)

    def _uncertain(self, event: Uncertain, changes: Changes) -> None:
        self._settler.uncertain(event, changes)
        flight = self._book.get(event.submission.sid)
        if flight is not None:
            self._claim(flight, event.submission.part, event.at, changes)

    def _claim(self, flight: Flight, part: int, now: float, changes: Changes) -> None:
        """A part whose answer is lost: a receipt for it may have come before."""
        if not len(self._parking):
            return
        message = flight.message
        carrier, to_address = message.carrier, message.to_address
        reference = reference_of(message.reference, part)
        parked = self._parking.take_by_reference(carrier, reference, to_address)
        between = carrier, message.from_address, to_address
        if not parked and self._parking.has_between(*between):
            only = self._correlator.only_held(*between)
            if only is not None and only.flight is flight and only.part == part:
                parked = self._parking.take_by_addresses(*between)
        self._apply(parked, flight, part, now, changes)

    def _apply(
        self,
        parked: Sequence[receipts.Parked],
        flight: Flight,
        part: int,
        now: float,
        changes: Changes,
    ) -> None:
        for each in parked:
            changes.write(receipts.unparked(each))
            self._settler.apply(each.receipt, flight, part, now, changes)

    def _receipted(self, event: Receipted, known: Match | None, changes: Changes) -> None:
        match = known or self._correlator.recall_by_id(event) or self._correlator.recall(event)
        if match is not None:
            sent_at = match.flight.message.date_sent
            if sent_at and event.receipt.is_final:
                latencies = self._network.counters(event.carrier).receipt_seconds
                latencies.observe(max(0.0, event.at - sent_at))
            if match.flight.message.status in _OPEN and match.flight.message.sid not in self._book:
                self._resume(match.flight, changes)
            self._settler.receipted(event, match.flight, match.part, changes)
        elif self._parking.full:
            changes.answers.append((event.delivery, CommandStatus.ESME_RX_T_APPN))
        else:
            key = id_key(event.receipt.message_id)
            parked, write = receipts.parked(receipts.noted(event), key, event.at)
            self._parking.add(parked)
            changes.write(write)
            changes.answers.append((event.delivery, CommandStatus.ESME_ROK))

    # -- what other processes accepted ----------------------------------------------------

    async def _listen(self) -> None:
        """Queue what others accept for the carriers that are ours."""
        hinted = self._store.watch(HINT)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await hinted.wait()
            hinted.clear()
            try:
                await self._take_arrived()
            except StoreError as error:
                _log.warning("what others accept waits for the store", reason=str(error))
                await asyncio.sleep(_STORE_AWAY)

    async def _take_arrived(self) -> None:
        until = await self._store.horizon()
        carriers = [backlog.carrier for backlog in self._backlogs.all()]
        rows, self._horizon = await self._store.arrived(
            records.ARRIVED, self._horizon, until, carriers
        )
        now = self._clock()
        for message in records.messages_of(rows):
            queued = self._dispatcher.queued(message.carrier)
            backlog = self._backlogs.get(message.carrier)
            if backlog is None or message.sid in self._book:
                continue
            if backlog.admits(queued, message.date_created):
                self._dispatcher.offer(Flight(message), now)

    async def _forget_wiped(self, now: float) -> None:
        """What was redacted or deleted by another process may still be known, or be coming in."""
        changes = Changes()
        for (sid,) in await self._store.fetch(wiped.SINCE, now - _WIPED_LOOK):
            if not self._book.is_wiped(sid):
                self._book.wipe(sid)
                changes.write(trace.wiped(sid))
        await self._committer.commit(changes)

    # -- what time brings ----------------------------------------------------------------

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_EVERY)
            try:
                await self.sweep()
            except StoreError as error:
                _log.warning("the queues wait for the store", reason=str(error))
            except Exception:  # the next one may do better; without sweeps nothing ever expires
                _log.exception("a sweep of the message path failed")

    async def sweep(self) -> None:
        """Do what is due by now: end what waited too long, read on where memory has room."""
        now = self._clock()
        changes = Changes()
        for unsent in self._dispatcher.given_back(now):
            self._settler.unsent(unsent, changes)
        for flight in self._book.held():
            for part in flight.listed([PartState.HELD]):
                self._claim(flight, part, now, changes)
        for flight in self._dispatcher.take_stopped():
            self._judge(flight, now, changes)
        for flight in self._book.moving():
            if flight.message.valid_until <= now:
                self._overdue(flight, now, changes)
        for parked in self._parking.expire(now, self._grace_of):
            _log.warning(
                "a receipt found no message and is dropped",
                carrier=parked.receipt.carrier,
                carrier_id=parked.receipt.carrier_id,
            )
            changes.write(receipts.unparked(parked))
        self._receiver.read(self._network.take_read(), changes)
        self._receiver.expire(now, changes)
        await self._committer.commit(changes)
        await self._forget_wiped(now)
        await self._read_backlogs()

    def _judge(self, flight: Flight, now: float, changes: Changes) -> None:
        """It might not leave when its turn came: say why, unless it may by now."""
        if not self._may_send(flight.message.account_sid):
            self._settler.bar(flight, now, changes)
        elif flight.message.valid_until <= now:
            self._settler.expire(flight, now, changes)
        else:
            changes.requeued.append((flight, now))

    def _overdue(self, flight: Flight, now: float, changes: Changes) -> None:
        """Validity is over: a waiting message fails, a held one is given up."""
        status = flight.message.status
        if status is MessageStatus.QUEUED and self._dispatcher.withdraw(flight.message.sid):
            self._settler.expire(flight, now, changes)
        elif status is MessageStatus.SENDING and PartState.OUT not in flight.parts:
            self._settler.give_up(flight, now, changes)


def _handed_back(events: Sequence[CarrierEvent]) -> Changes:
    """The events of a batch that could not be settled: windows are freed, deliveries refused."""
    changes = Changes()
    for event in events:
        _hand_back(event, changes)
    return changes


def _hand_back(event: CarrierEvent, changes: Changes) -> None:
    """`event` is as good as not looked at, even if settling it had begun."""
    match event:
        case Submitted() | Uncertain() | Unsent():
            if not any(each is event for each in changes.settled):
                changes.settled.append(event)
        case Receipted() | Received():
            kept = [answer for answer in changes.answers if answer[0] != event.delivery]
            changes.answers = [*kept, (event.delivery, CommandStatus.ESME_RX_T_APPN)]
        case BindUp() | BindDown() | CarrierLeft():
            pass
