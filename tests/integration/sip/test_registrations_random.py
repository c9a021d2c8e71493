"""Whatever phones, connections and the store do, what is registered is what is stored."""

import asyncio
import random
from pathlib import Path

import pytest

from gateway.sip import bindings as stored
from gateway.store.base import StoreUnavailable
from protocols.sip.message import Response
from protocols.sip.transport import Transport
from protocols.sip.wire import Listen
from tests.integration.sip.registrar_world import DOMAIN, Phone, World, phone

STEPS = 40


async def play(world: World, phones: list[Phone], chance: random.Random) -> list[int]:
    """Phones come, go and lose connections while commits wait, fail and succeed.

    Gives the statuses of what was answered over UDP: the rest may go under with its connection.
    """
    asked: list[asyncio.Future[Response]] = []
    for _ in range(STEPS):
        each, act = chance.choice(phones), chance.random()
        expires = chance.choice((600, 600, 0))
        if act < 0.3:
            asked.append(each.ask(world.hop(Transport.UDP), expires=expires))
        elif act < 0.6:
            each.ask(world.hop(Transport.TCP), expires=expires)
        elif act < 0.7:
            for binding in world.registrations.bindings(f"{each.user}@{DOMAIN}"):
                world.station.endpoint.drop(binding.flow)
        elif act < 0.8:
            world.store.held = world.store.held or []
        elif act < 0.9:
            world.store.release(chance.choice((None, StoreUnavailable("the disk is full"))))
        else:
            await asyncio.sleep(chance.random() * 0.02)
    world.store.release()
    async with asyncio.timeout(30):
        return [(await answer).status for answer in asked]


async def differs(world: World) -> bool:
    """Whether the store has something else than what is registered, or may have soon."""
    registrations = world.registrations
    rows = {(each.aor, each.id) for _, each in await stored.load(world.store.store)}
    known = {
        (aor, each.id)
        for aor in (f"alice@{DOMAIN}", f"bob@{DOMAIN}")
        for each in registrations.bindings(aor)
    }
    busy = registrations._pending or registrations._commits or registrations._owed
    return bool(busy) or known != rows


@pytest.mark.parametrize("seed", range(8))
async def test_the_store_has_what_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("gateway.sip.registrations._OWED_EVERY", 0.05)
    world = World(
        tmp_path,
        listens=tuple(
            Listen(transport=each, host="127.0.0.1") for each in (Transport.UDP, Transport.TCP)
        ),
    )
    await world.start()
    async with phone() as one, phone() as two, phone("bob") as three:
        phones = [one, two, three]
        for each in phones:
            await each.register(world.hop())
        answers = await play(world, phones, random.Random(seed))
        assert set(answers) <= {200, 500, 503}
        async with asyncio.timeout(30):
            while await differs(world):  # noqa: ASYNC110  # a store tells nobody
                await asyncio.sleep(0.02)
    await world.stop()
