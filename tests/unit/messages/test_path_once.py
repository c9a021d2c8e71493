"""A request that comes again under its key: one message, whatever happens between."""

import asyncio
from pathlib import Path

from gateway.messages.draft import Refusal
from gateway.messages.idempotency import KEPT_FOR, Replayed, is_key, prune_idempotency
from gateway.model import Message
from gateway.store.base import Query
from tests.unit.messages.path_world import ACCOUNT, OTHER, PathWorld, path_world

KEY = "rest:order-7"
_KEYS = Query("keys", "SELECT account_sid, key FROM idempotency_keys ORDER BY account_sid, key")


async def once(world: PathWorld, key: str = KEY, **changed: str) -> Message | Replayed | Refusal:
    draft = world.draft(**{"status_callback": "", **changed})
    taken = await world.messages.accept_once(draft, key)
    await world.quiet()
    return taken


def sid_of(taken: Message | Replayed | Refusal) -> str:
    assert not isinstance(taken, Refusal), taken
    return taken.message.sid if isinstance(taken, Replayed) else taken.sid


async def test_the_same_request_again_gives_the_same_message_as_it_is_now(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = await once(world)
        assert isinstance(first, Message)
        (submission,) = world.out
        await world.say(world.answer(submission, "id1"))
        again = await once(world)
        assert isinstance(again, Replayed)
        assert (again.message.sid, again.message.status) == (first.sid, "sent")
        assert await world.count("messages") == 1
        assert world.out == []


async def test_of_two_at_the_same_moment_one_is_taken(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        taken = await asyncio.gather(*(once(world) for _ in range(20)))
        made = [each for each in taken if isinstance(each, Message)]
        replayed = [each.message.sid for each in taken if isinstance(each, Replayed)]
        assert len(made) == 1
        assert replayed == [made[0].sid] * 19
        assert await world.count("messages") == 1
        assert len(world.out) == 1


async def test_another_request_under_the_same_key_is_refused(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = await once(world)
        assert isinstance(first, Message)
        other = await once(world, body="something else")
        assert isinstance(other, Refusal)
        assert other.error_code == 20422
        assert first.sid in other.message
        assert await world.count("messages") == 1


async def test_a_key_is_the_accounts_own(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        assert isinstance(await once(world), Message)
        assert isinstance(await once(world, account_sid=OTHER), Message)
        assert await world.store.real.fetch(_KEYS) == [(ACCOUNT, KEY), (OTHER, KEY)]


async def test_a_refused_request_takes_no_key(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        refused = await once(world, body="x" * 1601)
        assert isinstance(refused, Refusal)
        assert isinstance(await once(world), Message)


async def test_what_was_taken_is_answered_even_if_it_would_be_refused_now(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = await once(world)
        assert isinstance(first, Message)
        world.active.clear()
        again = await once(world)
        assert isinstance(again, Replayed)
        assert again.message.sid == first.sid


async def test_a_deleted_message_is_said_to_be_gone(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = await once(world)
        assert isinstance(first, Message)
        (submission,) = world.out
        await world.say(world.answer(submission, "id1"), world.receipt("id1"))
        assert await world.messages.delete(ACCOUNT, first.sid) is None
        gone = await once(world)
        assert isinstance(gone, Refusal)
        assert gone.error_code == 20410


async def test_after_a_day_a_key_is_new_whether_or_not_it_was_pruned(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = await once(world)
        world.now += KEPT_FOR - 1
        assert isinstance(await once(world), Replayed)
        assert await prune_idempotency(world.store.real, world.now) == 0
        world.now += 2
        second, third = await asyncio.gather(once(world), once(world))
        assert {type(second), type(third)} == {Message, Replayed}
        assert sid_of(second) == sid_of(third) != sid_of(first)
        world.now += KEPT_FOR + 1
        assert await prune_idempotency(world.store.real, world.now) == 1
        assert await world.store.real.fetch(_KEYS) == []


async def test_a_key_survives_a_crash(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = await once(world)
        await world.restart()
        again = await once(world)
        assert isinstance(first, Message) and isinstance(again, Replayed)
        assert again.message.sid == first.sid


async def test_while_the_store_is_away_nothing_is_taken(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        world.store.away = True
        refused = await world.messages.accept_once(world.draft(), KEY)
        assert isinstance(refused, Refusal)
        assert refused.error_code == 20503
        world.store.away = False
        assert isinstance(await once(world), Message)


async def test_all_old_keys_are_pruned_page_by_page(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await asyncio.gather(
            *(world.messages.accept_once(world.draft(), f"rest:{n}") for n in range(100))
        )
        world.now += KEPT_FOR + 1
        await once(world, "rest:young")
        assert await prune_idempotency(world.store.real, world.now) == 100
        assert await world.store.real.fetch(_KEYS) == [(ACCOUNT, "rest:young")]


def test_what_a_key_may_be() -> None:
    assert is_key("7") and is_key("~" * 255) and is_key('"a;b"')
    for bad in ("", "a b", "é", "x" * 256, "a\n", "\x7f"):
        assert not is_key(bad)
