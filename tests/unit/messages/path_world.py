"""The message path over a real store and a network held in the hand: time stands still.

What the path submits is recorded; what the carrier says is put in by the test. `crash` ends it as
a power cut would, `start` takes up what the store holds.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from carriers.counters import Counters
from carriers.events import (
    BindUp,
    CarrierEvent,
    Delivery,
    Receipted,
    Received,
    Submission,
    Submitted,
    Uncertain,
    Unsent,
)
from carriers.model import Carrier, CarrierKind, OnUncertain
from carriers.network import Network
from carriers.outcomes import outcome_of
from carriers.routing import Plan, RouteRequest, RoutingTable, plan
from gateway.core.runner import Job, JobRunner
from gateway.messages import callbacks, path, records, segments
from gateway.messages.callbacks import CallbackPolicy
from gateway.messages.draft import REST, Draft, Refusal
from gateway.model import Message, MessageStates, MessageStatus, PhoneNumber
from gateway.store.base import Horizon, Lease, Query, Row, StoreUnavailable, Write
from gateway.store.sqlite import SqliteStore
from protocols.smpp.constants import CommandStatus, MessageState
from protocols.smpp.pdu import SubmitSm, Tag, tlv
from protocols.smpp.receipt import Receipt

ACCOUNT = "AC" + "1" * 32
OTHER = "AC" + "2" * 32
NUMBER = "+15550001000"
HANDSET = "+15551230009"
THREE_PARTS = "x" * 400
APP = "http://app.example/status"
_FACTS = Query("facts_of", "SELECT type FROM facts WHERE sid = $1 ORDER BY id")
_COUNTS = {
    table: Query(f"count_{table}", f"SELECT count(*) FROM {table}")
    for table in ("parked_receipts", "inbound_parts", "trace", "jobs", "notifications", "messages")
}


class HeldNetwork:
    """Carriers whose answers the test gives. `room` is each one's window."""

    def __init__(self, carriers: Iterable[Carrier], room: int) -> None:
        self._names = tuple(carrier.name for carrier in carriers)
        self.room = room
        self.in_use = 0
        self.submitted: list[Submission] = []
        self.released: list[CarrierEvent] = []
        self.answers: list[tuple[int, int]] = []
        self.read: list[Delivery] = []  # whose answers the carrier has read
        self._events: list[CarrierEvent] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self.busy = asyncio.Event()  # something was submitted
        self._closed = False
        self._counters = Counters()

    def names(self) -> tuple[str, ...]:
        return self._names

    def capacity(self, carrier: str, now: float) -> int:
        return self.room - self.in_use

    def ready_at(self, now: float) -> float | None:
        return None

    def submit(self, carrier: str, submissions: Sequence[Submission], now: float) -> None:
        assert len(submissions) <= self.capacity(carrier, now)
        self.in_use += len(submissions)
        self.submitted += submissions
        if submissions:
            self.busy.set()

    async def events(self) -> list[CarrierEvent]:
        while not self._events and not self._closed:
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()
        events, self._events = self._events, []
        return events

    def release(self, events: Iterable[Submitted | Uncertain | Unsent]) -> None:
        for event in events:
            self.released.append(event)
            late = isinstance(event, Submitted) and event.late
            if not late and not isinstance(event, Unsent):
                self.in_use -= 1

    def answer(self, delivery: Delivery, command_status: int, now: float) -> None:
        self.answers.append((delivery.sequence_number, int(command_status)))

    def flush(self) -> None:
        pass

    def take_read(self) -> list[Delivery]:
        read, self.read = self.read, []
        return read

    def counters(self, carrier: str) -> Counters:
        return self._counters

    def put(self, *events: CarrierEvent) -> None:
        """The carrier says this, in one batch."""
        self._events += events
        self._idle.clear()
        self._wake.set()

    async def idle(self) -> None:
        await asyncio.wait_for(self._idle.wait(), 30)

    def close(self) -> None:
        self._closed = True
        self._wake.set()


class HeldRunner:
    """Keeps the jobs that it is given."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def offer(self, job: Job) -> None:
        self.jobs.append(job)


class HeldOwner:
    """Owns every carrier, until the test says otherwise."""

    def __init__(self) -> None:
        self.alive = True

    def lease(self) -> Lease | None:
        return None


class WeakStore:
    """The store, which can be away for a while."""

    def __init__(self, store: SqliteStore) -> None:
        self.real = store
        self.away = False
        self.refusing = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.gated = asyncio.Event()  # a commit waits at the gate

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        if self.away:
            self.refusing.set()
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(StoreUnavailable("the disk is full"))
            return future
        if self.gate is not None and writes:
            self.gated.set()
            return asyncio.ensure_future(self._held(self.gate, writes, fence))
        return self.real.commit(writes, fence)

    async def _held(
        self, gate: asyncio.Event, writes: Sequence[Write], fence: Lease | None
    ) -> None:
        await gate.wait()
        await self.real.commit(writes, fence)

    async def generations(self, family: str) -> list[int]:
        return await self.real.generations(family)

    def hint(self, subject: str) -> None:
        self.real.hint(subject)

    def watch(self, subject: str) -> asyncio.Event:
        return self.real.watch(subject)

    async def horizon(self) -> Horizon:
        return await self.real.horizon()

    async def arrived(
        self, query: Query, since: Horizon, until: Horizon, *parameters: Any
    ) -> tuple[list[Row], Horizon]:
        return await self.real.arrived(query, since, until, *parameters)

    async def fetch(self, query: Query, *parameters: Any) -> list[Row]:
        if self.away:
            self.refusing.set()
            raise StoreUnavailable("the disk is gone")
        return await self.real.fetch(query, *parameters)


class PathWorld:
    """A message path, and what a test wants to ask it."""

    def __init__(
        self,
        folder: Path,
        *,
        carriers: tuple[Carrier, ...],
        room: int,
        policy: CallbackPolicy,
        bounds: path.Bounds,
    ) -> None:
        self._file = folder / "trunkline.db"
        self.carriers = carriers
        self.room = room
        self._policy = policy
        self.bounds = bounds
        self.now = 1_795_000_000.0
        self.active = {ACCOUNT, OTHER}
        self.numbers = {
            NUMBER: PhoneNumber(
                sid="PN1",
                account_sid=ACCOUNT,
                phone_number=NUMBER,
                friendly_name="",
                settings={"sms_url": "http://app.example/sms"},
                date_created=0.0,
                date_updated=0.0,
                version=1,
            )
        }
        self.owner = HeldOwner()
        self.overloaded = False
        self.told: list[Message] = []
        self.jobs: list[Job] = []
        self._sequence = 0

    # -- its life

    async def start(self) -> None:
        self.network = HeldNetwork(self.carriers, self.room)
        self.runner = HeldRunner()
        self.store = WeakStore(
            await SqliteStore.open(self._file, max_queued=10_000, clock=lambda: self.now)
        )
        table = RoutingTable((), self.carriers)

        def planned(request: RouteRequest, now: float) -> Plan:
            return plan(request, table, {}, now)

        def told(message: Message, number: PhoneNumber) -> Sequence[Job]:
            self.told.append(message)
            return self.inbound_jobs(message)

        around = path.Around(
            store=cast(SqliteStore, self.store),
            network=cast(Network, self.network),
            runner=cast(JobRunner, self.runner),
            carriers={carrier.name: carrier for carrier in self.carriers},
            plan=planned,
            may_send=lambda account_sid: account_sid in self.active,
            holder=self.numbers.get,
            inbound=told,
            policy=self._policy,
            bounds=self.bounds,
            clock=lambda: self.now,
            fraction=lambda: 0.0,
            overloaded=lambda: self.overloaded,
            owner=self.owner,
        )
        self.messages, self.follower = path.build(around)
        for carrier in self.carriers:
            await self.follower.take_over(carrier.name)
        await self.follower.tell_of_strays(self.network.names())
        await self.follower.start()
        await self.quiet()

    def inbound_jobs(self, message: Message) -> Sequence[Job]:
        """Who is told of a text that came in: nobody here."""
        return ()

    async def crash(self) -> None:
        """End it with what is in the store and nothing else."""
        tasks = [t for t in asyncio.all_tasks() if t.get_name().startswith("messages:")]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.store.real.close()
        self.jobs += self.runner.jobs

    async def restart(self) -> None:
        await self.crash()
        await self.start()

    async def stop(self) -> None:
        """End it in good order."""
        self.network.close()
        await self.follower.close()
        await self.store.real.close()

    async def quiet(self) -> None:
        """Wait until nothing goes on any more."""
        await self.network.idle()
        for _ in range(4):
            await asyncio.sleep(0)
            await self.store.real.commit(())
        await self.network.idle()

    async def pass_(self, seconds: float) -> None:
        """Time goes by, and the path looks what is due."""
        self.now += seconds
        await self.follower.sweep()
        await self.say(BindUp(carrier="acme", bind=1, at=self.now))

    # -- what carriers say

    async def say(self, *events: CarrierEvent) -> None:
        self.network.put(*events)
        await self.quiet()

    def answer(
        self,
        submission: Submission,
        carrier_id: str = "",
        status: int = CommandStatus.ESME_ROK,
        *,
        late: bool = False,
    ) -> Submitted:
        return Submitted(
            carrier="acme",
            submission=submission,
            outcome=outcome_of(status),
            carrier_id=carrier_id,
            late=late,
            sent_at=self.now,
            at=self.now,
            octets=(b"submit_sm", b"submit_sm_resp"),
        )

    def silence(self, submission: Submission) -> Uncertain:
        return Uncertain(
            carrier="acme",
            submission=submission,
            reason="response timeout",
            sent_at=self.now,
            at=self.now,
            octets=(b"submit_sm",),
        )

    def receipt(
        self,
        carrier_id: str,
        state: MessageState = MessageState.DELIVERED,
        *,
        reference: int | None = None,
        handset: str = HANDSET,
        number: str = NUMBER,
    ) -> Receipted:
        return Receipted(
            carrier="acme",
            delivery=self.delivery(),
            receipt=Receipt(
                message_id=carrier_id, state=state, user_message_reference=reference, text="Hello"
            ),
            from_address=handset,
            to_address=number,
            at=self.now,
            octets=(b"deliver_sm text:Hello",),
        )

    def delivery(self) -> Delivery:
        self._sequence += 1
        return Delivery(bind=1, sequence_number=self._sequence)

    def received(
        self,
        payload: bytes,
        *,
        esm_class: int = 0,
        tlvs: tuple[tuple[int, bytes], ...] = (),
        to: str = NUMBER,
        data_coding: int = 0,
    ) -> Received:
        return Received(
            carrier="acme",
            delivery=self.delivery(),
            from_address=HANDSET,
            to_address=to,
            esm_class=esm_class,
            data_coding=data_coding,
            payload=payload,
            tlvs=tlvs,
            at=self.now,
            octets=(b"deliver_sm",),
        )

    # -- what is asked of it

    def draft(self, body: str = "Hello", **changed: Any) -> Draft:
        return msgspec.structs.replace(
            Draft(
                account_sid=ACCOUNT,
                to_address=HANDSET,
                from_address=NUMBER,
                body=body,
                status_callback=APP,
                validity_period=3600.0,
                origin=REST,
            ),
            **changed,
        )

    async def send(self, body: str = "Hello", **changed: Any) -> Message:
        """Accept a text; what the network gets of it is in `out`."""
        accepted = await self.messages.accept(self.draft(body, **changed))
        assert not isinstance(accepted, Refusal), accepted
        await self.quiet()
        return accepted

    @property
    def out(self) -> list[Submission]:
        """What was submitted since this was last asked."""
        submitted, self.network.submitted = self.network.submitted, []
        return submitted

    async def message(self, sid: str, account_sid: str = ACCOUNT) -> Message:
        return records.message_of((await self.store.real.fetch(records.GET, account_sid, sid))[0])

    async def status(self, sid: str) -> tuple[MessageStatus, int]:
        message = await self.message(sid)
        return message.status, message.error_code

    async def facts(self, sid: str) -> list[str]:
        rows = await self.store.real.fetch(_FACTS, sid)
        return [row[0].removeprefix("message.") for row in rows]

    async def parts(self, sid: str) -> list[tuple[int, int, str, str]]:
        """(part, attempt, carrier_id, state) of each row."""
        rows = await self.store.real.fetch(segments.OF_MESSAGE, sid)
        found = [segments.segment_of(row) for row in rows]
        return [(each.part, each.attempt, each.carrier_id, str(each.state)) for each in found]

    async def count(self, table: str) -> int:
        rows = await self.store.real.fetch(_COUNTS[table])
        return int(rows[0][0])

    def callbacks(self, sid: str) -> list[dict[str, str]]:
        """The status callbacks of a message, as forms, in their order."""
        jobs = [*self.jobs, *self.runner.jobs]
        return [
            dict(msgspec.json.decode(job.payload, type=callbacks.Payload).parameters)
            for job in jobs
            if job.sid == sid and job.kind == callbacks.KIND
        ]

    def told_states(self, sid: str) -> list[str]:
        return [form["MessageStatus"] for form in self.callbacks(sid)]


def reference_of(submission: Submission) -> int:
    """The user_message_reference that a submit_sm carries."""
    return int.from_bytes(tlv(submission.pdu, Tag.USER_MESSAGE_REFERENCE) or b"", "big")


def header_of(pdu: SubmitSm) -> tuple[int, int, int]:
    """(reference, total, number) of the concatenation header with an 8-bit reference."""
    octets = pdu.short_message
    assert octets[:3] == b"\x05\x00\x03"
    return octets[3], octets[4], octets[5]


BOUNDS = path.Bounds(
    max_body=1600, max_accepts_in_flight=100, max_in_memory=1000, max_parked_receipts=100
)


@asynccontextmanager
async def path_world(
    folder: Path,
    *,
    hold: OnUncertain = OnUncertain.RESEND,
    room: int = 100,
    states: MessageStates = MessageStates.ALL,
    bounds: path.Bounds = BOUNDS,
    **terms: Any,
) -> AsyncIterator[PathWorld]:
    """A path with one carrier, acme, of these terms."""
    carrier = Carrier(name="acme", kind=CarrierKind.SMPP, on_uncertain=hold, **terms)
    world = PathWorld(
        folder,
        carriers=(carrier,),
        room=room,
        policy=CallbackPolicy(states=states, retry_for=14400.0),
        bounds=bounds,
    )
    await world.start()
    try:
        yield world
    finally:
        await world.crash()
