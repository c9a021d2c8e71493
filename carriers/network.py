"""The carriers as the message path sees them: hand over submissions, await events, free slots.

One `Network` owns all binds of its carriers. Nothing is reported by calling back: `events` hands
over, in batches, what happened at all binds since it was last asked. Per submission there is no
task, no future and no log line. Times are seconds since the epoch.
"""

import asyncio
import math
import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from carriers.bind import Bind, BindStatus, Switchboard, terms_of
from carriers.counters import Counters
from carriers.events import (
    BindUp,
    CarrierEvent,
    CarrierLeft,
    Delivery,
    Submission,
    Submitted,
    Uncertain,
    Unsent,
)
from carriers.health import CarrierHealth, Health, Intake
from carriers.model import Carrier, CarrierKind
from carriers.throttle import Throttle
from carriers.traffic import Ledger, Slots

_SMPP: Final = frozenset({CarrierKind.SMPP, CarrierKind.SIMULATED})


class Network:
    """The SMPP carriers of one process. One reader of `events`, any number of other callers."""

    def __init__(
        self,
        carriers: Iterable[Carrier],
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        """Carriers of other kinds than SMPP are passed over.

        `clock` gives seconds since the epoch, `random` numbers from 0 to 1, `tls` the context for
        carriers with `tls` set: the system's authorities unless told otherwise.
        """
        self._board = Switchboard(clock, random, tls)
        self._slots: Slots = {}
        self._lines: dict[str, _Line] = {}
        self._leaving: dict[Bind, asyncio.Task[None]] = {}
        self._answered: set[Bind] = set()
        self._parting: set[str] = set()  # carriers that are served no more and still have binds
        self._started = False
        self._closed = False
        self._open(carriers)

    # -- its life

    async def start(self) -> None:
        """Begin to bind; `BindUp` tells when. Call it once, in the loop that reads `events`."""
        self._started = True
        for line in self._lines.values():
            for bind in line.binds:
                bind.start()

    async def close(self, drain: float) -> None:
        """Take nothing new, wait up to `drain` s for the slots to be released, then unbind.

        What is unanswered then is reported `Uncertain`. `events` must still be read and released
        meanwhile; after this it returns what is left, and then [].
        """
        self._closed = True
        binds = [bind for line in self._lines.values() for bind in line.binds]
        binds += self._leaving
        await asyncio.gather(*(bind.stop(drain) for bind in binds))
        self._board.inbox.close()

    def reload(self, carriers: Iterable[Carrier]) -> None:
        """Serve exactly `carriers` from now on.

        Binds whose terms (address, account, bind kind, TLS, timeout) did not change stay up,
        whatever else did. The others finish what they have, for a response timeout at most, then
        unbind, and new ones take their place. A carrier that is not among them any more is
        reported `CarrierLeft` when its last bind is gone.
        """
        wanted = {carrier.name: carrier for carrier in carriers if carrier.kind in _SMPP}
        for name in [name for name in self._lines if name not in wanted]:
            line = self._lines.pop(name)
            self._let_go(line.binds, line.carrier.response_timeout)
            self._part(name)
        self._open(carrier for name, carrier in wanted.items() if name not in self._lines)
        for name, carrier in wanted.items():
            if self._lines[name].carrier != carrier:
                self._change(self._lines[name], carrier)

    def _open(self, carriers: Iterable[Carrier]) -> None:
        now = self._board.clock()
        for carrier in carriers:
            if carrier.kind in _SMPP:
                line = self._lines[carrier.name] = _Line(carrier, self._slots, now)
                self._fill(line)

    def _change(self, line: "_Line", carrier: Carrier) -> None:
        now = self._board.clock()
        before, line.carrier = line.carrier, carrier
        line.ledger.window = carrier.window
        if carrier.tps != before.tps:
            line.throttle.change(carrier.tps, now)
        wanted = terms_of(carrier)
        line.health.want(len(wanted), now)
        if line.health.intake is Intake.DRAINING:
            return  # it has no binds, and gets new ones when it is resumed
        gone = []
        for bind in line.binds:
            if bind.terms in wanted:
                wanted.remove(bind.terms)
            else:
                gone.append(bind)
        for bind in gone:
            line.binds.remove(bind)
        self._let_go(gone, before.response_timeout)
        self._fill(line)

    def _fill(self, line: "_Line") -> None:
        """Give `line` the binds that it lacks, each after those that leave have left."""
        wanted = terms_of(line.carrier)
        for bind in line.binds:
            wanted.remove(bind.terms)
        after = [task for bind, task in self._leaving.items() if bind.carrier == line.carrier.name]
        for terms in wanted:
            bind = Bind(terms, line.ledger, self._board)
            line.binds.append(bind)
            if self._started:
                bind.start(after)

    def _let_go(self, binds: Iterable[Bind], patience: float | None) -> None:
        if not self._started:
            return
        loop = asyncio.get_running_loop()
        for bind in binds:
            task = loop.create_task(bind.stop(patience), name="bind: leaving")
            self._leaving[bind] = task
            task.add_done_callback(partial(self._left, bind))

    def _left(self, bind: Bind, _: "asyncio.Task[None]") -> None:
        self._leaving.pop(bind, None)
        if bind.carrier in self._parting:
            self._part(bind.carrier)

    def _part(self, name: str) -> None:
        """Tell that the carrier `name` is gone, now or when its last bind is."""
        if any(bind.carrier == name for bind in self._leaving):
            self._parting.add(name)
            return
        self._parting.discard(name)
        self._board.inbox.put([CarrierLeft(carrier=name, at=self._board.clock())])

    # -- traffic

    def names(self) -> tuple[str, ...]:
        """The carriers that are served, in the order of the configuration."""
        return tuple(self._lines)

    def capacity(self, carrier: str, now: float) -> int:
        """How many submissions `submit` would write now: free slots, within the throttle."""
        line = self._lines.get(carrier)
        if line is None or self._closed or line.health.intake is not Intake.OPEN:
            return 0
        free = line.free(now)
        return int(min(free, line.throttle.available(now))) if free > 0 else 0

    def ready_at(self, now: float) -> float | None:
        """When a throttle will next let a carrier with free slots have more; None if none waits."""
        times = [
            line.throttle.ready_at(now)
            for line in self._lines.values()
            if line.health.intake is Intake.OPEN
            and line.throttle.available(now) < 1
            and line.free(now) > 0
        ]
        return min(times, default=None)

    def submit(self, carrier: str, submissions: Sequence[Submission], now: float) -> None:
        """Write `submissions` to the binds of `carrier`, shared by their free slots.

        Each one ends in exactly one `Submitted`, `Uncertain` or `Unsent`, but for a `Submitted`
        that comes late, after its `Uncertain`. What `capacity` would not have let pass is
        `Unsent`. The objects are told apart by identity: each is handed over once.
        """
        if not submissions:
            return
        failed: list[CarrierEvent] = []
        taken = min(len(submissions), self.capacity(carrier, now))
        line = self._lines.get(carrier)
        if line is not None and taken:
            line.throttle.take(taken, now)
            line.spread(submissions[:taken], now, failed)
        if taken < len(submissions):
            reason = "there is no such carrier" if line is None else line.closed_for(now)
            failed += [
                Unsent(carrier=carrier, submission=submission, reason=reason, at=now)
                for submission in submissions[taken:]
            ]
            if line is not None:
                line.ledger.counters.unsent += len(submissions) - taken
        self._board.inbox.put(failed)

    async def events(self) -> list[CarrierEvent]:
        """What happened at all binds since the last call, at least one event; waits for it.

        Per bind in order. [] means that the network is closed and all was read.
        """
        return await self._board.inbox.take()

    def release(self, events: Iterable[Submitted | Uncertain | Unsent]) -> None:
        """The outcomes of `events` are durable: free the slots of their submissions.

        An `Unsent` never had a slot, that of a late `Submitted` went with its `Uncertain`, and
        those of a lost bind went with it: all of them may be given all the same.
        """
        slots = self._slots
        for event in events:
            if isinstance(event, Unsent) or (isinstance(event, Submitted) and event.late):
                continue
            taken = slots.pop(id(event.submission), None)
            if taken is not None:
                taken[0].in_use -= 1
        if self._leaving or self._closed:
            self._tell_stopping()

    def _tell_stopping(self) -> None:
        for bind in self._leaving:
            bind.slots_freed()
        for line in self._lines.values():
            for bind in line.binds:
                bind.slots_freed()

    def answer(self, delivery: Delivery, command_status: int, now: float) -> None:
        """Answer a `Receipted` or `Received`; `flush` writes it.

        An answer for a bind that is gone is dropped: the carrier will deliver again.
        """
        bind = self._board.live.get(delivery.bind)
        if bind is not None:
            bind.answer(delivery, command_status)
            self._answered.add(bind)

    def flush(self) -> None:
        """Write the answers given since the last time, in one go for each bind."""
        for bind in self._answered:
            bind.flush()
        self._answered.clear()

    def take_read(self) -> list[Delivery]:
        """The texts whose answers their carriers have surely read; each is told once."""
        return [read for bind in self._board.live.values() for read in bind.take_read()]

    # -- the operator's word

    def pause(self, carrier: str, now: float) -> None:
        """Hand it nothing more; its binds stay up and receipts still come.

        Here and below: raises `KeyError` for a carrier that is not served.
        """
        self._steer(self._lines[carrier], Intake.PAUSED, now)

    def drain(self, carrier: str, now: float) -> None:
        """Hand it nothing more; each bind unbinds when its slots are released."""
        line = self._lines[carrier]
        self._steer(line, Intake.DRAINING, now)
        self._let_go(line.binds, None)
        line.binds.clear()

    def resume(self, carrier: str, now: float) -> None:
        """Use it again; binds that are down are tried at once.

        Binds that stayed up are reported `BindUp` anew: they take traffic.
        """
        line = self._lines[carrier]
        self._steer(line, Intake.OPEN, now)
        for bind in line.binds:
            bind.try_now()
        self._board.inbox.put(
            [
                BindUp(carrier=carrier, bind=bind.status.number, at=now)
                for bind in line.binds
                if bind.status.number
            ]
        )

    def _steer(self, line: "_Line", intake: Intake, now: float) -> None:
        line.health.intake_changed(intake, now)
        if intake is not Intake.DRAINING:
            self._fill(line)

    # -- what people and metrics read

    def intake(self, carrier: str) -> Intake:
        """What the operator said last about `carrier`."""
        return self._lines[carrier].health.intake

    def health(self, carrier: str, now: float) -> Health:
        """How `carrier` is at `now`."""
        return self._lines[carrier].health.value(now)

    def all_health(self, now: float) -> dict[str, Health]:
        """How each carrier is at `now`, by its name."""
        return {name: line.health.value(now) for name, line in self._lines.items()}

    def counters(self, carrier: str) -> Counters:
        """The numbers of `carrier`, live: they go on growing while they are read.

        Of one that is gone since the last reload, numbers that nobody reads.
        """
        line = self._lines.get(carrier)
        return line.ledger.counters if line is not None else Counters()

    def binds(self, carrier: str) -> tuple[BindStatus, ...]:
        """The binds that `carrier` should have, and how each is."""
        return tuple(bind.status for bind in self._lines[carrier].binds)


class _Line:
    """One carrier and its binds."""

    def __init__(self, carrier: Carrier, slots: Slots, now: float) -> None:
        self.carrier = carrier
        self.health = CarrierHealth(carrier.name, len(terms_of(carrier)), now)
        self.throttle = Throttle(carrier.tps, now)
        self.ledger = Ledger(carrier, self.health, self.throttle, slots)
        self.binds: list[Bind] = []

    def free(self, now: float) -> int:
        """Free slots of all binds, within the share of them that a congested carrier leaves."""
        free = sum(bind.free for bind in self.binds)
        share = self.throttle.share(now)
        if share < 1.0:
            used = sum(bind.status.in_use for bind in self.binds)
            free = min(free, math.ceil((free + used) * share) - used)
        return free

    def closed_for(self, now: float) -> str:
        """Why nothing, or no more, is written now."""
        health = self.health.value(now)
        if not health.usable:
            return health.reason
        if self.throttle.available(now) < 1:
            return "throttled"
        return "no slot of the window is free" if self.free(now) <= 0 else "closing"

    def spread(
        self, submissions: Sequence[Submission], now: float, failed: list[CarrierEvent]
    ) -> None:
        """Write `submissions`, no more than are free, so that the binds have equally much left.

        What turned out not to be writable is added to `failed`.
        """
        done, count = 0, len(submissions)
        open_binds = sorted((bind for bind in self.binds if bind.free), key=lambda bind: bind.free)
        for position, bind in enumerate(open_binds):
            # The fullest first and rounded down, so that single ones go where most is free.
            share = min(bind.free, (count - done) // (len(open_binds) - position))
            if share:
                failed += bind.submit(submissions[done : done + share], now)
                done += share
