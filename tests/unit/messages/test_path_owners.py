"""Carriers change hands: what an owner may not do any more, gives back, and takes up."""

import asyncio
from pathlib import Path

import msgspec

from carriers.events import CarrierLeft
from gateway.messages import records, trace, wiped
from gateway.messages.draft import Refusal
from gateway.model import MessageStatus
from gateway.store.base import Query
from tests.unit.messages.path_world import ACCOUNT, THREE_PARTS, PathWorld, path_world

_FRAMES = Query("frames_of", "SELECT count(*) FROM trace WHERE sid = $1")


async def give_up(world: PathWorld, carrier: str = "acme") -> None:
    giving = asyncio.create_task(world.follower.give_up(carrier))
    await world.say(CarrierLeft(carrier=carrier, at=world.now))
    async with asyncio.timeout(30):
        await giving


async def test_nothing_is_sent_while_others_may_have_taken_over(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        world.owner.alive = False
        message = await world.send()
        assert world.out == []
        assert (await world.message(message.sid)).status is MessageStatus.QUEUED
        world.owner.alive = True
        async with asyncio.timeout(30):
            await world.network.busy.wait()
        assert [each.sid for each in world.out] == [message.sid]


async def test_what_was_accepted_for_a_carrier_of_another_process_waits_for_it(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path) as world:
        await give_up(world)
        message = await world.send()
        assert world.out == []
        await world.follower.take_over("acme")
        await world.pass_(0.0)
        assert [each.sid for each in world.out] == [message.sid]


async def test_parts_that_never_left_are_given_back_to_be_sent_by_the_next_owner(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path, room=2) as world:
        message = await world.send(THREE_PARTS)
        first, second = world.out
        world.network.room = 0  # as that of a carrier that is served no more
        await world.say(world.answer(first, "1"), world.silence(second))
        await give_up(world)
        given_back = await world.message(message.sid)
        assert given_back.status is MessageStatus.QUEUED
        world.network.room = 10
        await world.follower.take_over("acme")
        await world.pass_(61.0)
        assert sorted(each.part for each in world.out) == [2, 3]


async def test_a_message_that_its_owner_sends_meanwhile_can_not_be_canceled(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path) as world:
        await give_up(world)
        message = await world.send()
        sending = msgspec.structs.replace(
            message, status=MessageStatus.SENDING, version=message.version + 1
        )
        world.store.gate = asyncio.Event()
        canceling = asyncio.create_task(world.messages.cancel(ACCOUNT, message.sid))
        async with asyncio.timeout(30):
            await world.store.gated.wait()
        await world.store.real.commit([records.changed(sending)])
        world.store.gate.set()
        refusal = await canceling
        assert isinstance(refusal, Refusal) and refusal.error_code == 30409
        assert (await world.message(message.sid)).status is MessageStatus.SENDING


async def test_what_another_process_redacted_is_not_kept_again(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        message = await world.send()
        (submission,) = world.out
        await world.say(world.answer(submission, "1"))
        await world.store.real.commit(
            [trace.wiped(message.sid), wiped.noted(message.sid, world.now)]
        )
        await world.pass_(2.0)
        await world.say(world.receipt("1"))
        assert (await world.message(message.sid)).status is MessageStatus.DELIVERED
        assert await world.store.real.fetch(_FRAMES, message.sid) == [(0,)]
        assert await wiped.prune_wiped(world.store.real, world.now + 4000.0) == 1
