"""Parts of customers' long texts: over restarts, over processes, and those that never come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from gateway.core.runner import Job
from gateway.messages import records
from gateway.messages.customers import jobs
from gateway.messages.customers.intake import Intake, Taken
from gateway.messages.customers.unfinished import Unfinished
from gateway.model import Message, MessageStatus
from gateway.store.base import (
    Fenced,
    Lease,
    Query,
    Row,
    Store,
    StoreUnavailable,
    Write,
)
from protocols.smpp.constants import CommandStatus, MessageState
from protocols.smpp.pdu import SubmitSm
from tests.contract.backends import STORES
from tests.unit.messages.customer_world import LONG, NOW, OK, SHOP, Plan, parts, receipts, submit

_ROWS = Query("rows", "SELECT group_key, part FROM inbound_parts ORDER BY group_key, part")
_ALL = Query("all", f"SELECT {', '.join(Message.__struct_fields__)} FROM messages ORDER BY sid")


class Meeting:
    """A store on which some commits wait for each other, so that all have read before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._barrier: asyncio.Barrier | None = None
        self.away = False

    def meet(self, commits: int) -> None:
        """The next so many commits are made at once."""
        self._barrier = asyncio.Barrier(commits)
        self._left = commits

    def commit(self, writes: Sequence[Write], fence: Lease | None = None) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._commit(writes, fence))

    async def _commit(self, writes: Sequence[Write], fence: Lease | None) -> None:
        if self.away:
            raise StoreUnavailable("the disk is full")
        if self._barrier is not None and self._left:
            self._left -= 1
            async with asyncio.timeout(60):
                await self._barrier.wait()
        await self._store.commit(writes, fence)

    async def fetch(self, query: Query, *parameters: Any) -> list[Row]:
        return await self._store.fetch(query, *parameters)


class Owner:
    """One that owns what it wants, under a lease that it may have lost."""

    alive = True

    def __init__(self, lease: Lease | None = None) -> None:
        self._lease = lease

    def lease(self) -> Lease | None:
        return self._lease


class World:
    """Processes on one store."""

    def __init__(self, store: Store) -> None:
        self.store = Meeting(store)
        self.real = store
        self.told: list[Job] = []

    def process(self) -> tuple[Plan, Intake]:
        """One more process, which knows nothing but what the store holds."""
        plan = Plan()
        return plan, Intake(cast(Store, self.store), plan)

    async def rows(self) -> int:
        return len(await self.real.fetch(_ROWS))

    async def messages(self) -> list[Message]:
        return records.messages_of(await self.real.fetch(_ALL))

    async def expire(self, now: float, lease: Lease | None = None) -> int:
        unfinished = Unfinished(lambda: [SHOP], self.told.append, Owner(lease))
        return await unfinished.forget(self.real, now)


@pytest.fixture(params=STORES)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    backend = STORES[request.param](tmp_path)
    yield World(await backend.open())
    await backend.close_all()


async def give(intake: Intake, *pdus: SubmitSm, now: float = NOW) -> Taken:
    return await intake.take(SHOP, pdus, now)


def sid_of(taken: Taken) -> str:
    return taken.answers[0][1].partition("-")[0]


# -- one process -------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
async def test_parts_have_ids_of_their_own_and_each_its_receipt(
    world: World, order: tuple[int, ...]
) -> None:
    _, intake = world.process()
    given = parts()
    answers: dict[int, str] = {}
    for position in order:
        taken = await give(intake, given[position])
        ((status, message_id),) = taken.answers
        assert status is OK
        answers[position] = message_id
    (message,) = await world.messages()
    assert message.body == LONG
    assert answers == {position: f"{message.sid}-{position + 1}" for position in range(3)}
    ended = msgspec.structs.replace(message, status=MessageStatus.DELIVERED)
    told = receipts(jobs.for_status(ended, NOW + 60))
    assert {(each.message_id, each.reference) for each in told} == {
        (f"{message.sid}-{number}", number) for number in (1, 2, 3)
    }
    assert [each.message for each in taken.accepted] == [message]
    assert not await intake.waits("shop/1", message.sid)
    assert await world.rows() == 0


async def test_only_parts_that_asked_for_a_receipt_get_one(world: World) -> None:
    _, intake = world.process()
    one, two, three = parts()
    two = msgspec.structs.replace(two, registered_delivery=0)
    three = msgspec.structs.replace(three, registered_delivery=0)
    taken = await give(intake, one, two, three)
    (accepted,) = taken.accepted
    ended = msgspec.structs.replace(accepted.message, status=MessageStatus.DELIVERED)
    (receipt,) = receipts(jobs.for_status(ended, NOW + 60))
    assert receipt.message_id == taken.answers[0][1]


async def test_a_part_that_comes_again_gets_the_same_id(world: World) -> None:
    _, intake = world.process()
    one, two, three = parts()
    first = await give(intake, one)
    assert (await give(intake, one)).answers == first.answers
    whole = await give(intake, two, three, three)
    assert whole.answers[1] == whole.answers[2]
    assert (await give(intake, three)).answers == [whole.answers[1]]
    assert len(await world.messages()) == 1
    assert await world.rows() == 0


@pytest.mark.parametrize("failed", [(0,), (2,), (0, 1, 2)])
async def test_a_batch_that_was_not_committed_leaves_nothing_and_may_come_again(
    world: World, failed: tuple[int, ...]
) -> None:
    _, intake = world.process()
    given = parts()
    for position in range(3):
        if position not in failed:
            await give(intake, given[position])
    batch = [given[position] for position in failed]
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        await give(intake, *batch)
    world.store.away = False
    again = await give(intake, *batch)
    assert {status for status, _ in again.answers} == {OK}
    (message,) = await world.messages()
    assert message.body == LONG


async def test_a_refused_whole_lets_its_last_part_come_again(world: World) -> None:
    plan, intake = world.process()
    one, two, three = parts()
    await give(intake, one, two)
    plan.code = 21612
    assert (await give(intake, three)).answers == [(CommandStatus.ESME_RINVDSTADR, "")]
    plan.code = 0
    assert (await give(intake, three)).answers[0][0] is OK
    assert plan.drafts[0].body == LONG


async def test_a_reference_that_is_used_again_begins_another_text(world: World) -> None:
    plan, intake = world.process()
    old = await give(intake, *parts(body="a" * 400)[:2])
    new = await give(intake, *parts(body="b" * 400))
    assert plan.drafts[0].body == "b" * 400
    assert [each.message_id for each in receipts(new.jobs)] == [each for _, each in old.answers]
    again = await give(intake, *parts(body="c" * 400))
    assert not again.jobs
    assert plan.drafts[1].body == "c" * 400
    assert await world.rows() == 0


async def test_many_texts_of_one_batch_are_told_apart(world: World) -> None:
    _, intake = world.process()
    texts = [parts(reference=n, body=f"{n:03d}" * 100) for n in range(120)]
    for position in range(2):
        batch = [text[position] for text in texts]
        taken = await give(intake, *batch, submit(short_message=b"short"))
        assert {status for status, _ in taken.answers} == {OK}
    bodies = sorted(message.body for message in await world.messages())
    assert bodies == sorted([*(f"{n:03d}" * 100 for n in range(120)), "short", "short"])
    assert await world.rows() == 0


# -- over processes ------------------------------------------------------------------------


async def test_a_text_whose_process_was_killed_is_made_whole_by_the_next(world: World) -> None:
    _, killed = world.process()
    one, two, three = parts()
    first = await give(killed, one, three)
    sid = sid_of(first)
    _, after = world.process()
    assert await after.waits("shop/1", sid) and not await after.waits("shop", sid)
    assert (await give(after, one)).answers == first.answers[:1]
    last = await give(after, two)
    assert last.answers == [(OK, f"{sid}-2")]
    assert [accepted.message.sid for accepted in last.accepted] == [sid]
    (message,) = await world.messages()
    assert (message.sid, message.body) == (sid, LONG)
    assert await world.rows() == 0
    assert not await after.waits("shop/1", sid)


async def test_parts_that_go_to_two_processes_by_turns_become_one_text(world: World) -> None:
    processes = [world.process(), world.process()]
    taken = [await give(processes[n % 2][1], pdu) for n, pdu in enumerate(parts())]
    (message,) = await world.messages()
    assert message.body == LONG
    assert [each.answers for each in taken] == [[(OK, f"{message.sid}-{n}")] for n in (1, 2, 3)]
    assert await world.expire(NOW + 700) == 0


async def test_two_processes_that_begin_a_text_at_once_begin_one(world: World) -> None:
    (_, a), (_, b) = world.process(), world.process()
    one, two, three = parts()
    world.store.meet(2)
    begun = await asyncio.gather(give(a, one), give(b, two))
    sids = {sid_of(each) for each in begun}
    assert len(sids) == 1
    await give(a, three)
    (message,) = await world.messages()
    assert {message.sid} == sids
    assert message.body == LONG


async def test_two_processes_that_get_the_last_parts_at_once_make_one_text(world: World) -> None:
    (_, a), (_, b) = world.process(), world.process()
    one, two, three = parts()
    await give(a, one)
    world.store.meet(2)
    taken = await asyncio.gather(give(a, two), give(b, three))
    (message,) = await world.messages()
    assert message.body == LONG
    assert [sid_of(each) for each in taken] == [message.sid] * 2
    assert sum(len(each.accepted) for each in taken) == 1
    assert await world.rows() == 0


async def test_a_last_part_that_two_processes_get_at_once_is_taken_once(world: World) -> None:
    (_, a), (_, b) = world.process(), world.process()
    one, two, three = parts()
    await give(a, one, two)
    world.store.meet(2)
    taken = await asyncio.gather(give(a, three), give(b, three))
    (message,) = await world.messages()
    assert [each.answers for each in taken] == [[(OK, f"{message.sid}-3")]] * 2
    assert sum(len(each.accepted) for each in taken) == 1
    assert await world.rows() == 0


async def test_a_part_that_is_left_of_a_whole_text_is_in_no_other(world: World) -> None:
    """It came to both processes at once, and to one of them with all the others."""
    (_, a), (_, b) = world.process(), world.process()
    one, two, three = parts()
    await give(a, one)
    world.store.meet(2)
    taken = await asyncio.gather(give(a, two), give(b, two, three))
    (message,) = await world.messages()
    assert {each for each in (sid_of(taken[0]), sid_of(taken[1]))} == {message.sid}
    _, c = world.process()
    other = parts(body="b" * 400)
    await give(c, other[0])
    await give(c, *other[1:])
    assert sorted(each.body for each in await world.messages()) == ["b" * 400, LONG]
    assert await world.expire(NOW + 700) == 0


async def test_a_part_that_is_left_of_a_whole_text_is_not_told_as_expired(world: World) -> None:
    (_, a), (_, b) = world.process(), world.process()
    one, two, three = parts()
    await give(a, one)
    world.store.meet(2)
    await asyncio.gather(give(a, two), give(b, two, three))
    await world.expire(NOW + 700)
    assert not world.told
    assert await world.rows() == 0


async def test_batches_of_several_binds_and_processes_lose_nothing(world: World) -> None:
    processes = [world.process()[1] for _ in range(3)]
    bodies = [f"{n:04d}" * 100 for n in range(40)]
    texts = [parts(reference=n, body=body) for n, body in enumerate(bodies)]
    batches = [[text[k] for text in texts[n : n + 8]] for n in range(0, 40, 8) for k in range(3)]
    taken = await asyncio.gather(
        *(give(processes[n % 3], *batch) for n, batch in enumerate(batches))
    )
    assert {status for each in taken for status, _ in each.answers} == {OK}
    assert sorted(message.body for message in await world.messages()) == sorted(bodies)
    assert await world.rows() == 0


# -- those that never come -------------------------------------------------------------------


async def test_parts_that_never_become_a_text_are_told_as_expired(world: World) -> None:
    _, intake = world.process()
    one, two, _ = parts()
    two = msgspec.structs.replace(two, registered_delivery=0)
    sid = sid_of(await give(intake, one, two))
    assert await intake.waits("shop/1", sid) and not await intake.waits("other", sid)
    assert await world.expire(NOW + 629) == 0
    assert await world.expire(NOW + 631) == 1
    (receipt,) = receipts(world.told)
    assert (receipt.message_id, receipt.state) == (f"{sid}-1", int(MessageState.EXPIRED))
    assert (receipt.from_address, receipt.to_address) == ("+15551230009", "+15550001000")
    assert receipt.reference == 1
    assert not await intake.waits("shop/1", sid)
    assert await world.rows() == 0
    assert await world.expire(NOW + 631) == 0
    assert await world.messages() == []


async def test_a_part_of_a_text_that_waited_too_long_begins_another(world: World) -> None:
    plan, intake = world.process()
    one, two, three = parts()
    old = await give(intake, one, two)
    late = await give(intake, three, now=NOW + 600)
    assert [each.message_id for each in receipts(late.jobs)] == [each for _, each in old.answers]
    assert sid_of(late) != sid_of(old)
    await give(intake, one, two, now=NOW + 601)
    assert [draft.body for draft in plan.drafts] == [LONG]


async def test_too_many_unfinished_texts_cost_the_oldest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.messages.customers.unfinished._MOST", 3)
    _, intake = world.process()
    taken = [await give(intake, parts(reference=n)[0], now=NOW + n) for n in range(5)]
    assert await world.expire(NOW + 10) == 2
    told = {each.message_id for each in receipts(world.told)}
    assert told == {each.answers[0][1] for each in taken[:2]}
    assert await world.rows() == 3


async def test_texts_of_a_customer_that_is_gone_are_forgotten(world: World) -> None:
    _, intake = world.process()
    await intake.take(msgspec.structs.replace(SHOP, system_id="gone"), parts()[:1], NOW)
    assert await world.expire(NOW + 700) == 1
    assert not world.told
    assert await world.rows() == 0


async def test_only_who_holds_its_lease_gives_texts_up(world: World) -> None:
    _, intake = world.process()
    await give(intake, *parts()[:2])
    lost = await world.real.renew("old", 60.0)
    await world.real.bury("old")
    with pytest.raises(Fenced):
        await world.expire(NOW + 700, lost)
    assert not world.told
    assert await world.rows() == 2
