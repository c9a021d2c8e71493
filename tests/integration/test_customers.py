"""The SMPP server over real sockets: binds and their limits, and what is brought to customers.

The message path behind it has a carrier that is held in the hand, the client is our own session:
what others make of our PDUs is shown in `test_customer_binds`.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from carriers.model import Carrier, CarrierKind
from gateway.core.jobs import QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.runner import Job, JobRunner
from gateway.messages.callbacks import CallbackPolicy
from gateway.messages.customers import jobs as customer_jobs
from gateway.messages.customers.binds import Binds
from gateway.messages.customers.delivery import Deliveries
from gateway.messages.customers.intake import Intake
from gateway.messages.customers.model import Customer
from gateway.messages.customers.numbers import Senders
from gateway.messages.customers.server import CustomerServer
from gateway.model import Message, MessageStates, PhoneNumber
from gateway.store.sqlite import SqliteStore
from protocols.smpp import text
from protocols.smpp.constants import CommandStatus, MessageState
from protocols.smpp.endpoint import Connection, connect
from protocols.smpp.events import BindRefused, Bound, Closed, RequestReceived, ResponseReceived
from protocols.smpp.pdu import (
    Bind,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DeliverSm,
    DeliverSmResp,
    Pdu,
    QuerySm,
    QuerySmResp,
    SubmitSm,
)
from protocols.smpp.receipt import Receipt, parse
from protocols.smpp.session import Role, Session, SessionConfig
from tests.unit.messages.path_world import ACCOUNT, BOUNDS, HANDSET, NUMBER, PathWorld

OK = CommandStatus.ESME_ROK
WITHIN = 60.0
SHOP = Customer(
    system_id="shop", password="secret", account_sid=ACCOUNT, binds=2, tps=0.0, senders=(NUMBER,)
)
LONG = "x" * 400


class Client:
    """A customer's end of a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.session = connection.session
        self._events: list[Any] = []

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def next(self, *kinds: type) -> Any:
        """The next event of one of these kinds; others wait."""
        async with asyncio.timeout(WITHIN):
            while True:
                for event in self._events:
                    if isinstance(event, kinds):
                        self._events.remove(event)
                        return event
                events = await self.connection.events()
                assert events, "the connection ended"
                self._events += events

    async def bind(self, kind: type[Bind] = BindTransceiver, password: str = "secret") -> int:
        self.session.bind(kind(system_id="shop", password=password), self._now)
        self.connection.flush()
        event = await self.next(Bound, BindRefused)
        return OK if isinstance(event, Bound) else event.command_status

    async def ask(self, *pdus: Pdu) -> list[tuple[int, Any]]:
        """(command_status, response) of each request, sent in one piece."""
        numbers = [self.session.request(pdu, self._now) for pdu in pdus]
        self.connection.flush()
        found = [await self.next(ResponseReceived) for _ in pdus]
        found.sort(key=lambda event: numbers.index(event.sequence_number))
        return [(event.command_status, event.pdu) for event in found]

    async def delivered(self, status: int = OK) -> DeliverSm:
        """The next deliver_sm, answered with `status`."""
        event = await self.next(RequestReceived)
        self.session.answer(
            event.sequence_number, DeliverSmResp(), self._now, command_status=status
        )
        self.connection.flush()
        return cast(DeliverSm, event.pdu)

    async def receipt(self) -> Receipt:
        pdu = await self.delivered()
        found = parse(pdu.short_message, pdu.data_coding, pdu.tlvs, pdu.esm_class)
        assert found is not None
        return found

    async def leave(self) -> None:
        self.session.unbind(self._now)
        self.connection.flush()
        await self.next(Closed)

    def cut(self) -> None:
        self.connection.close()


class Shop(PathWorld):
    """The path with customers in front of it."""

    def __init__(self, folder: Path, customer: Customer, **changed: Any) -> None:
        super().__init__(
            folder,
            carriers=(Carrier(name="acme", kind=CarrierKind.SMPP),),
            room=100,
            policy=CallbackPolicy(states=MessageStates.ALL, retry_for=0.0),
            bounds=msgspec.structs.replace(BOUNDS, **changed),
        )
        self.customer = customer
        self.senders = Senders([customer], lambda _: None, self.now)
        self.numbers = {NUMBER: cast(PhoneNumber, self.senders.holder(NUMBER))}

    def inbound_jobs(self, message: Message) -> Sequence[Job]:
        return self.senders.told(message)

    async def start(self) -> None:
        await super().start()
        binds = Binds()
        scheduler: Scheduler[Job] = Scheduler(
            policies(QueuePolicy(concurrency=16), {}), RetryPolicy(base=0.01, cap=0.1)
        )
        handlers: dict[str, Any] = {}
        store = cast(SqliteStore, self.store)
        jobs = JobRunner(
            store, scheduler, handlers, workers=8, clock=lambda: self.now, fraction=lambda: 0.0
        )
        handlers[customer_jobs.KIND] = Deliveries(
            store, binds, jobs.close_endpoint, lambda: self.now
        )
        self.runner.offer = jobs.offer  # type: ignore[method-assign]
        self.jobs_of = jobs
        self.binds = binds
        self.server = CustomerServer(
            customers=[self.customer],
            store=store,
            runner=jobs,
            intake=Intake(store, self.messages.plan),
            binds=binds,
            path=self.messages,
            came_or_left=lambda: None,
            clock=asyncio.get_running_loop().time,
        )
        self.port = await self.server.start("127.0.0.1", 0)
        jobs.start()
        await jobs.recover()

    async def crash(self) -> None:
        await self.server.close()
        await self.jobs_of.close(0.5)
        await super().crash()

    async def client(self) -> Client:
        loop = asyncio.get_running_loop()
        return Client(
            await connect(
                "127.0.0.1",
                self.port,
                Session(Role.ESME, SessionConfig(window=1000), loop.time()),
                clock=loop.time,
            )
        )

    async def bound(self, kind: type[Bind] = BindTransceiver) -> Client:
        client = await self.client()
        assert await client.bind(kind) == OK
        return client

    async def tried(self, client: Client) -> DeliverSm:
        """What the client gets when time goes by."""
        getting = asyncio.ensure_future(client.delivered())
        while not getting.done():
            self.now += 1.0
            self.jobs_of.wake()
            await asyncio.wait({getting}, timeout=0.01)
        return getting.result()

    async def text_in(self, body: str) -> None:
        """A handset texts the shop's number."""
        for each in text.segments(body, reference=9):
            await self.say(
                self.received(
                    each.short_message, esm_class=each.esm_class, data_coding=each.data_coding
                )
            )


@asynccontextmanager
async def shop(folder: Path, customer: Customer = SHOP, **changed: Any) -> AsyncIterator[Shop]:
    world = Shop(folder, customer, **changed)
    await world.start()
    try:
        yield world
    finally:
        await world.crash()


def submit(body: str = "Hello", **changed: Any) -> list[SubmitSm]:
    """The submit_sm of a text to a handset."""
    return [
        msgspec.structs.replace(
            SubmitSm(
                source_addr_ton=1,
                source_addr_npi=1,
                source_addr=NUMBER[1:],
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=HANDSET[1:],
                registered_delivery=1,
                short_message=each.short_message,
                esm_class=each.esm_class,
            ),
            **changed,
        )
        for each in text.segments(body, reference=3)
    ]


# -- binds -------------------------------------------------------------------------------


async def test_binds_are_counted_and_end(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        first, second, third = [await world.client() for _ in range(3)]
        assert await first.bind() == OK
        assert await second.bind(BindTransmitter) == OK
        assert world.binds.counts() == {"shop": 2}
        assert await third.bind() == CommandStatus.ESME_RALYBND
        await first.leave()
        assert await (await world.client()).bind() == OK


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [
        ("shop", "wrong", CommandStatus.ESME_RINVPASWD),
        ("shop", "", CommandStatus.ESME_RINVPASWD),
        ("nobody", "", CommandStatus.ESME_RINVSYSID),
    ],
)
async def test_strangers_do_not_get_in(
    tmp_path: Path, system_id: str, password: str, status: CommandStatus
) -> None:
    async with shop(tmp_path) as world:
        client = await world.client()
        client.session.bind(
            BindTransceiver(system_id=system_id, password=password),
            asyncio.get_running_loop().time(),
        )
        client.connection.flush()
        assert (await client.next(BindRefused)).command_status == status


async def test_guesses_of_a_password_are_limited(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        seen = [await (await world.client()).bind(password="wrong") for _ in range(11)]
        assert seen[:10] == [CommandStatus.ESME_RINVPASWD] * 10
        assert seen[10] == CommandStatus.ESME_RBINDFAIL
        assert await (await world.client()).bind() == CommandStatus.ESME_RBINDFAIL


# -- what they submit --------------------------------------------------------------------


async def test_a_text_goes_out_and_its_receipt_comes_back(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        client = await world.bound()
        ((status, response),) = await client.ask(*submit())
        assert status == OK
        await world.quiet()
        message = await world.message(response.message_id)
        assert (message.body, message.from_address, message.to_address) == (
            "Hello",
            NUMBER,
            HANDSET,
        )
        await world.say(*(world.answer(each, "A1") for each in world.out))
        await world.say(world.receipt("A1"))
        receipt = await client.receipt()
        assert (receipt.message_id, receipt.state) == (message.sid, MessageState.DELIVERED)


async def test_a_batch_is_accepted_in_one_commit_and_each_part_has_its_receipt(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path) as world:
        client = await world.bound()
        before = world.store.real.stats().commits
        answers = await client.ask(*submit(LONG), *submit("short"))
        assert [status for status, _ in answers] == [OK] * 4
        assert world.store.real.stats().commits - before <= 2  # and one for the attempts
        ids = [response.message_id for _, response in answers]
        await world.quiet()
        out = world.out
        await world.say(*(world.answer(each, f"{each.sid}{each.part}") for each in out))
        await world.say(*(world.receipt(f"{each.sid}{each.part}") for each in out))
        assert {(await client.receipt()).message_id for _ in ids} == set(ids)


async def test_the_rate_is_kept(tmp_path: Path) -> None:
    async with shop(tmp_path, msgspec.structs.replace(SHOP, tps=0.01)) as world:
        client = await world.bound()
        answers = await client.ask(*(submit()[0] for _ in range(10)))
        statuses = [status for status, _ in answers]
        assert statuses == [OK] + [CommandStatus.ESME_RTHROTTLED] * 9


async def test_accepts_in_flight_are_bounded_with_those_of_rest(tmp_path: Path) -> None:
    async with shop(tmp_path, max_accepts_in_flight=3) as world:
        client = await world.bound()
        world.store.gate = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(client.ask(*(submit()[0] for _ in range(5))))
            await world.store.gated.wait()
            assert world.messages.gauges().accepts_in_flight == 3
            world.store.gate.set()
        answers = asking.result()
        statuses = [status for status, _ in answers]
        assert statuses == [OK] * 3 + [CommandStatus.ESME_RMSGQFUL] * 2
        assert world.messages.gauges().accepts_in_flight == 0


async def test_a_store_that_is_away_is_told_and_nothing_is_half_taken(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        client = await world.bound()
        one, two, three = submit(LONG)
        await client.ask(one, two)
        world.store.away = True
        assert (await client.ask(three))[0][0] == CommandStatus.ESME_RSYSERR
        assert (await client.ask(QuerySm(message_id="SM1")))[0][0] == CommandStatus.ESME_RSYSERR
        world.store.away = False
        assert (await client.ask(three))[0][0] == OK
        await world.quiet()
        assert len(world.out) == 3
        assert await world.count("inbound_parts") == 0


async def test_a_suspended_account_sends_nothing(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        client = await world.bound()
        world.active.clear()
        assert (await client.ask(*submit()))[0][0] == CommandStatus.ESME_RSUBMITFAIL


async def test_query_sm_knows_texts_and_parts(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        client = await world.bound()
        one, two, three = submit(LONG)
        ((_, first),) = await client.ask(one)

        async def state(message_id: str) -> QuerySmResp | int:
            ((status, response),) = await client.ask(QuerySm(message_id=message_id))
            return cast(QuerySmResp, response) if status == OK else status

        waiting = await state(first.message_id)
        assert isinstance(waiting, QuerySmResp)
        assert (waiting.message_state, waiting.final_date) == (MessageState.ENROUTE, "")
        await client.ask(two, three)
        await world.quiet()
        await world.say(
            *(world.answer(each, "", CommandStatus.ESME_RINVDSTADR) for each in world.out)
        )
        failed = await state(first.message_id)
        assert isinstance(failed, QuerySmResp)
        assert (failed.message_state, failed.error_code) == (MessageState.REJECTED, 5)
        assert failed.message_id == first.message_id and failed.final_date.endswith("000+")
        assert await state("SM" + "0" * 32) == CommandStatus.ESME_RQUERYFAIL
        assert await state("") == CommandStatus.ESME_RQUERYFAIL


# -- what is brought to them -------------------------------------------------------------


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_comes_while_nobody_is_bound_waits(tmp_path: Path, restarted: bool) -> None:
    async with shop(tmp_path) as world:
        await world.text_in("Anybody?")
        await world.text_in(LONG)
        if restarted:
            await world.restart()
        sender_only = await world.bound(BindTransmitter)
        client = await world.bound(BindReceiver)
        found = [await client.delivered() for _ in range(4)]
        assert {each.source_addr for each in found} == {HANDSET[1:]}
        short = [each.short_message for each in found if not each.esm_class]
        assert short == [b"Anybody?"]
        long = sorted((each.short_message for each in found if each.esm_class), key=lambda o: o[5])
        assert b"".join(each[6:] for each in long) == LONG.encode()
        sender_only.cut()


async def test_a_bind_that_is_lost_in_a_delivery_gets_it_again(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        client = await world.bound()
        await world.text_in("Hello?")
        await client.next(RequestReceived)  # and never answered
        client.cut()
        later = await world.bound()
        assert (await world.tried(later)).short_message == b"Hello?"


@pytest.mark.parametrize(
    "status", [CommandStatus.ESME_RX_T_APPN, CommandStatus.ESME_RMSGQFUL], ids=str
)
async def test_what_is_refused_for_now_comes_again(tmp_path: Path, status: CommandStatus) -> None:
    async with shop(tmp_path) as world:
        client = await world.bound()
        await world.text_in("Hello?")
        await client.delivered(status)
        assert (await world.tried(client)).short_message == b"Hello?"


async def test_a_text_that_was_redacted_is_not_brought(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        await world.text_in("Secret")
        (message,) = await inbound_texts(world)
        await world.messages.redact(ACCOUNT, message.sid)
        await world.text_in("Later")
        client = await world.bound()
        assert (await client.delivered()).short_message == b"Later"


async def inbound_texts(world: Shop) -> list[Message]:
    """What handsets have texted in."""
    return [await world.message(each.sid) for each in world.told]


async def test_numbers_of_other_accounts_are_theirs(tmp_path: Path) -> None:
    async with shop(tmp_path) as world:
        own: PhoneNumber = world.numbers[NUMBER]
        assert own.account_sid == ACCOUNT
        await world.say(world.received(b"Hi", to="+15559990000"))
        assert world.network.answers == [(1, CommandStatus.ESME_RINVDSTADR)]
