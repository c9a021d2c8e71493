"""A carrier's second copy is not taken twice; two equal texts from a person are two."""

import asyncio
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest

from carriers.events import BindDown, Delivery, Received
from gateway.messages.copies import WITHIN, prune_inbound
from gateway.messages.receive import Receiver
from gateway.store.base import Query
from protocols.smpp import text
from protocols.smpp.constants import CommandStatus
from tests.unit.messages.path_world import PathWorld, path_world

OK = CommandStatus.ESME_ROK
LONG = "Grüße, und ein € dazu. " * 20
_SEEN = Query("seen", "SELECT carrier, digest FROM inbound_seen ORDER BY id")


def delivered(world: PathWorld, payload: bytes, bind: int = 1, **changed: int) -> Received:
    """A deliver_sm over `bind`; equal payloads are octet-equal."""
    event = world.received(payload, **changed)
    return msgspec.structs.replace(
        event,
        delivery=Delivery(bind=bind, sequence_number=event.delivery.sequence_number),
        digest=blake2b(payload, digest_size=16).hexdigest(),
    )


def lost(world: PathWorld, *unread: Received, bind: int = 1) -> BindDown:
    return BindDown(
        carrier="acme",
        bind=bind,
        reason="the peer closed the connection",
        at=world.now,
        unread=tuple(event.delivery.sequence_number for event in unread),
    )


async def seen(world: PathWorld) -> int:
    return len(await world.store.real.fetch(_SEEN))


async def test_what_comes_again_after_the_bind_was_lost_is_taken_once(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = delivered(world, b"Hello")
        await world.say(first)
        world.now += 10
        await world.say(lost(world, first), delivered(world, b"Hello", bind=2))
        assert len(world.told) == 1
        assert await world.count("messages") == 1
        assert [status for _, status in world.network.answers] == [OK, OK]
        # The carrier knows now; the next equal one is the person's.
        await world.say(delivered(world, b"Hello", bind=2))
        assert len(world.told) == 2


async def test_equal_texts_over_a_bind_that_stands_are_two(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await world.say(delivered(world, b"Hello"), delivered(world, b"Hello"))
        await world.say(delivered(world, b"Hello", bind=2))
        assert len(world.told) == 3


async def test_an_answer_that_was_read_before_the_loss_leaves_no_doubt(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await world.say(delivered(world, b"Hello"))
        assert await seen(world) == 1
        await world.say(lost(world))
        assert await seen(world) == 0
        await world.say(delivered(world, b"Hello", bind=2))
        assert len(world.told) == 2


async def test_two_equal_texts_in_doubt_have_two_copies(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first, second = delivered(world, b"Hello"), delivered(world, b"Hello")
        await world.say(first, second, lost(world, first, second))
        await world.say(*(delivered(world, b"Hello", bind=2) for _ in range(3)))
        assert len(world.told) == 3


async def test_only_what_is_equal_to_the_octet_is_a_copy(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = delivered(world, b"Hello")
        await world.say(first, lost(world, first))
        await world.say(delivered(world, b"Hello!", bind=2))
        assert len(world.told) == 2


@pytest.mark.parametrize(("later", "texts"), [(WITHIN - 1, 1), (WITHIN + 1, 2)])
async def test_a_copy_comes_within_a_minute(tmp_path: Path, later: float, texts: int) -> None:
    async with path_world(tmp_path) as world:
        first = delivered(world, b"Hello")
        await world.say(first, lost(world, first))
        world.now += later
        await world.say(delivered(world, b"Hello", bind=2))
        assert len(world.told) == texts


async def test_the_copy_itself_may_come_again(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = delivered(world, b"Hello")
        await world.say(first, lost(world, first))
        world.now += WITHIN - 1
        again = delivered(world, b"Hello", bind=2)
        await world.say(again, lost(world, again, bind=2))
        world.now += WITHIN - 1
        await world.say(delivered(world, b"Hello", bind=3))
        assert len(world.told) == 1
        assert await seen(world) == 1


async def test_what_was_taken_before_a_crash_is_known_after_it(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await world.say(delivered(world, b"Hello"))
        await world.restart()
        world.now += 20
        await world.say(delivered(world, b"Hello", bind=2))
        assert len(world.told) == 1
        await world.say(delivered(world, b"Hello", bind=2))
        assert len(world.told) == 2


async def test_what_the_carrier_read_before_a_crash_is_no_copy_after_it(tmp_path: Path) -> None:
    """A person says YES twice within a minute, and we crash in between."""
    async with path_world(tmp_path) as world:
        yes, no = delivered(world, b"YES"), delivered(world, b"NO")
        await world.say(yes, no)
        world.network.read.append(yes.delivery)
        await world.pass_(2.0)
        assert await seen(world) == 1
        await world.restart()
        world.now += 20
        await world.say(delivered(world, b"YES", bind=2), delivered(world, b"NO", bind=2))
        assert [each.body for each in world.told] == ["YES", "NO", "YES"]


async def test_what_was_taken_long_before_a_crash_is_new(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await world.say(delivered(world, b"Hello"))
        world.now += WITHIN + 1
        await world.restart()
        await world.say(delivered(world, b"Hello", bind=2))
        assert len(world.told) == 2


async def test_a_crash_between_commit_and_answer_takes_the_text_once(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        world.network.answer = lambda *_: None  # type: ignore[method-assign]
        await world.say(delivered(world, b"Hello"))
        await world.restart()
        await world.say(delivered(world, b"Hello"))
        assert len(world.told) == 1
        assert [status for _, status in world.network.answers] == [OK]


async def test_a_part_of_a_long_text_that_comes_again_begins_no_new_text(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        parts = text.segments(LONG, reference=7)
        events = [delivered(world, each.short_message, esm_class=each.esm_class) for each in parts]
        await world.say(*events, lost(world, *events))
        last = parts[-1]
        await world.say(delivered(world, last.short_message, bind=2, esm_class=last.esm_class))
        assert await world.count("inbound_parts") == 0
        await world.pass_(700.0)
        assert [told.body for told in world.told] == [LONG]


async def test_what_was_handed_back_is_taken_when_it_comes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with path_world(tmp_path) as world:
        first = delivered(world, b"Hello")
        with monkeypatch.context() as patch:

            def broken(*_: object) -> None:
                raise RuntimeError("a defect")

            patch.setattr(Receiver, "_take", broken)
            await world.say(first)
        assert world.network.answers[-1][1] == CommandStatus.ESME_RX_T_APPN
        await world.say(lost(world, first))
        await world.say(delivered(world, b"Hello", bind=2))
        assert len(world.told) == 1


async def test_while_the_store_is_away_the_copy_waits_behind_the_first(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = delivered(world, b"Hello")
        world.store.away = True
        world.network.put(first)
        await asyncio.wait_for(world.store.refusing.wait(), 30)
        world.network.put(lost(world, first), delivered(world, b"Hello", bind=2))
        world.store.away = False
        await world.quiet()
        assert len(world.told) == 1


async def test_old_rows_are_pruned(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await world.say(*(delivered(world, b"Hello %d" % n) for n in range(600)))
        world.now += WITHIN + 1
        await world.say(delivered(world, b"young"))
        assert await prune_inbound(world.store.real, world.now) == 600
        assert await seen(world) == 1


async def test_what_is_remembered_ends_with_its_minute(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        first = delivered(world, b"Hello")
        await world.say(first, lost(world, first), delivered(world, b"other", bind=2))
        copies = world.follower._receiver._copies
        assert copies._seen and copies._doubtful
        await world.pass_(WITHIN + 1)
        assert not copies._seen and not copies._doubtful
