"""What was under way when a backup was made, and what becomes of it in the restored store."""

from pathlib import Path

import msgspec
import pytest

from carriers.model import OnUncertain
from gateway.backup import in_flight
from gateway.backup.in_flight import InFlight
from gateway.messages import callbacks
from gateway.messages.callbacks import CallbackPolicy
from gateway.model import MessageStates
from gateway.store.base import Query
from gateway.store.sqlite import SqliteStore
from protocols.smpp.constants import MessageState
from tests.unit.messages.path_world import (
    THREE_PARTS,
    PathWorld,
    path_world,
    reference_of,
)

HOLD, RESEND = OnUncertain.HOLD, OnUncertain.RESEND
POLICY = CallbackPolicy(states=MessageStates.ALL, retry_for=60.0)
PENDING = "SELECT payload FROM jobs_{n} WHERE sid = $1 ORDER BY id"


async def restored(world: PathWorld, folder: Path, choice: InFlight) -> int:
    """End the path, do to its store as a restore does, and begin again."""
    await world.crash()
    store = await SqliteStore.open(folder / "trunkline.db", max_queued=100, clock=lambda: world.now)
    count = await in_flight.settle(store, choice, world.now, POLICY)
    await store.close()
    await world.start()
    return count


async def states_told(world: PathWorld, sid: str) -> list[str]:
    """The states that jobs in the store tell of, oldest first."""
    store = world.store.real
    found = []
    for number in await store.generations("jobs"):
        for (payload,) in await store.fetch(Query("told", PENDING.format(n=number)), sid):
            form = dict(msgspec.json.decode(payload, type=callbacks.Payload).parameters)
            found.append(form["MessageStatus"])
    return found


@pytest.mark.parametrize("policy", [HOLD, RESEND])
async def test_resend_sends_what_was_queued_and_leaves_the_rest_to_the_carriers_policy(
    tmp_path: Path, policy: OnUncertain
) -> None:
    async with path_world(tmp_path, hold=policy) as world:
        sending = (await world.send()).sid
        world.out.clear()
        world.network.room = 0
        queued = (await world.send()).sid
        world.room = 10
        assert await restored(world, tmp_path, InFlight.RESEND) == 2
        again = [sending] if policy is RESEND else []
        assert sorted(each.sid for each in world.out) == sorted([*again, queued])


@pytest.mark.parametrize("policy", [HOLD, RESEND])
async def test_hold_sends_nothing_whatever_the_carriers_policy(
    tmp_path: Path, policy: OnUncertain
) -> None:
    async with path_world(tmp_path, hold=policy) as world:
        sending = (await world.send()).sid
        (out,) = world.out
        world.network.room = 0
        queued = (await world.send(to_address="+15551230010")).sid
        world.room = 10
        assert await restored(world, tmp_path, InFlight.HOLD) == 2
        for sid in (sending, queued):
            assert await world.status(sid) == ("sending", 0)
            assert await world.parts(sid) == [(1, 1, "", "kept")]
            assert await world.facts(sid) == ["queued", "held"]
        await world.restart()  # nor after the next start
        assert world.out == []
        await world.say(world.receipt("A1", reference=reference_of(out)))
        assert await world.status(sending) == ("delivered", 0)
        # Its reference was given after the backup: the numbers tell.
        await world.say(world.receipt("A2", handset="+15551230010", reference=40_000))
        assert await world.status(queued) == ("delivered", 0)


async def test_hold_keeps_each_part_that_may_have_left(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(THREE_PARTS)).sid
        _, two, _ = world.out
        await world.say(world.answer(two, "id2"))
        await restored(world, tmp_path, InFlight.HOLD)
        assert world.out == []
        assert [state for *_, state in await world.parts(sid)] == ["kept", "sent", "kept"]


async def test_held_texts_have_references_of_their_own(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = await world.message((await world.send()).sid)
        world.network.room = 0
        queued = [(await world.send()).sid for _ in range(3)]
        await restored(world, tmp_path, InFlight.HOLD)
        references = {(await world.message(sid)).reference for sid in (first.sid, *queued)}
        assert len(references) == 4 and -1 not in references


async def test_what_was_held_ends_with_its_validity(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        await restored(world, tmp_path, InFlight.HOLD)
        await world.pass_(3601.0)
        assert await world.status(sid) == ("failed", 30036)
        assert world.out[1:] == []


async def test_fail_ends_what_was_under_way_and_tells_the_app(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sending = (await world.send()).sid
        world.network.room = 0
        queued = (await world.send()).sid
        world.out.clear()
        world.room = 10
        assert await restored(world, tmp_path, InFlight.FAIL) == 2
        for sid in (sending, queued):
            assert await world.status(sid) == ("failed", 30008)
            assert await world.facts(sid) == ["queued", "failed"]
            assert await states_told(world, sid) == ["failed"]
        assert world.out == []


@pytest.mark.parametrize("choice", InFlight)
async def test_what_had_left_stays_as_it_was(tmp_path: Path, choice: InFlight) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.say(world.answer(out, "id1"))
        assert await restored(world, tmp_path, choice) == 0
        assert await world.status(sid) == ("sent", 0)
        await world.say(world.receipt("id1", MessageState.DELIVERED))
        assert await world.status(sid) == ("delivered", 0)
        assert world.out == []


async def test_more_than_a_page_is_settled(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        for _ in range(450):
            await world.messages.accept(world.draft())
        assert await restored(world, tmp_path, InFlight.FAIL) == 450
        statuses = await world.store.real.fetch(
            Query("statuses", "SELECT status, count(*) FROM messages GROUP BY status")
        )
        assert statuses == [("failed", 450)]
