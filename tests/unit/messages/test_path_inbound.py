"""Texts from handsets: put together, durable before they are answered, and told once."""

import asyncio
from pathlib import Path

import pytest

from protocols.smpp import text
from protocols.smpp.constants import CommandStatus
from protocols.smpp.text import Concatenation
from tests.unit.messages.path_world import ACCOUNT, HANDSET, NUMBER, PathWorld, path_world

OK = CommandStatus.ESME_ROK
LONG = "Grüße, und ein € dazu. " * 20


async def text_in(world: PathWorld, order: tuple[int, ...], how: Concatenation) -> None:
    """The parts of LONG, in this order, each in a batch of its own."""
    given = text.segments(LONG, concatenation=how, reference=7)
    assert len(given) == 4
    for position in order:
        each = given[position]
        await world.say(
            world.received(
                each.short_message,
                esm_class=each.esm_class,
                tlvs=each.tlvs,
                data_coding=each.data_coding,
            )
        )


async def test_a_text_becomes_a_message_with_its_pdu(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await world.say(world.received(b"Hello"))
        (told,) = world.told
        message = await world.message(told.sid)
        assert (message.direction, message.status) == ("inbound", "received")
        assert (message.from_address, message.to_address) == (HANDSET, NUMBER)
        assert (message.body, message.num_segments, message.account_sid) == ("Hello", 1, ACCOUNT)
        assert await world.facts(told.sid) == ["received"]
        assert await world.count("trace") == 1
        assert world.network.answers == [(1, OK)]


async def test_a_text_for_nobody_is_refused(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await world.say(world.received(b"Hello", to="+15559990000"))
        assert world.network.answers == [(1, CommandStatus.ESME_RINVDSTADR)]
        assert world.told == []
        assert await world.count("messages") == 0


@pytest.mark.parametrize("how", [Concatenation.UDH8, Concatenation.UDH16, Concatenation.SAR])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (0, 0, 2, 1, 1, 3, 3)])
async def test_parts_come_in_any_order_and_more_than_once(
    tmp_path: Path, how: Concatenation, order: tuple[int, ...]
) -> None:
    async with path_world(tmp_path) as world:
        await text_in(world, order, how)
        (told,) = world.told
        assert (told.body, told.num_segments) == (LONG, 4)
        assert await world.count("inbound_parts") == 0
        assert [status for _, status in world.network.answers] == [OK] * len(order)


async def test_a_part_is_durable_before_it_is_answered_and_survives(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        world.store.gate = asyncio.Event()
        given = text.segments(LONG, reference=7)
        world.network.put(world.received(given[0].short_message, esm_class=given[0].esm_class))
        await world.store.gated.wait()
        assert world.network.answers == []
        world.store.gate.set()
        await world.quiet()
        assert world.network.answers == [(1, OK)]
        await world.restart()
        await text_in(world, (2, 1, 3), Concatenation.UDH8)
        (told,) = world.told
        assert told.body == LONG


async def test_a_text_whose_rest_never_comes_is_passed_on_as_far_as_it_came(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path) as world:
        await text_in(world, (0, 1), Concatenation.UDH8)
        await world.pass_(599.0)
        assert world.told == []
        await world.pass_(2.0)
        (told,) = world.told
        assert LONG.startswith(told.body) and len(told.body) > 200
        assert told.num_segments == 4
        assert await world.count("inbound_parts") == 0
        await world.pass_(700.0)
        assert len(world.told) == 1


async def test_while_the_store_is_away_a_text_waits_and_is_told_once(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        world.store.away = True
        world.network.put(world.received(b"Hello"))
        await world.store.refusing.wait()
        assert world.network.answers == [] and await world.count("messages") == 0
        world.store.away = False
        await world.quiet()
        assert world.network.answers == [(1, OK)]
        assert await world.count("messages") == 1
