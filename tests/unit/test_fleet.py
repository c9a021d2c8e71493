"""What one process says of its carriers, another one hears; what one orders, the owner does."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from carriers.health import HealthState, Intake
from carriers.model import Carrier, CarrierKind
from carriers.network import Network
from gateway.fleet import Fleet
from gateway.store.base import Lease
from gateway.store.sqlite import SqliteStore

CARRIERS = tuple(
    Carrier(name=name, kind=CarrierKind.SMPP, host="127.0.0.1", port=1, system_id="us")
    for name in ("acme", "beta")
)


class Owner:
    alive = True

    def lease(self) -> Lease | None:
        return None


class World:
    """Two processes on one store, of which the first owns both carriers."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.monotonic = 0.0
        self.network = Network(CARRIERS, clock=time.time, random=lambda: 0.0)
        self.owner = self.fleet(self.network)
        self.other = self.fleet(Network((), clock=time.time, random=lambda: 0.0))

    def fleet(self, network: Network) -> Fleet:
        return Fleet(
            store=self.store,
            network=network,
            configured=lambda: ["acme", "beta"],
            control_url=lambda name: "http://127.0.0.1:9" if network.names() else "",
            owner=Owner(),
            holder="me",
            clock=time.time,
            monotonic=lambda: self.monotonic,
        )

    def state(self, fleet: Fleet, carrier: str) -> HealthState:
        return fleet.health(carrier, time.time()).state


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=time.time)
    yield World(store)
    await store.close()


async def test_others_hear_how_a_carrier_is_from_its_owner(world: World) -> None:
    assert "no process" in world.other.health("acme", 1.0).reason
    await world.owner.look()
    await world.other.look()
    assert "not bound yet" in world.other.health("acme", 1.0).reason
    assert world.other.control_urls() == ["http://127.0.0.1:9"]
    assert set(world.other.all_health(1.0)) == {"acme", "beta"}


async def test_an_owner_that_is_silent_is_not_believed_for_long(world: World) -> None:
    await world.owner.look()
    await world.other.look()
    world.monotonic += 14.0
    await world.other.look()
    assert "not bound yet" in world.other.health("acme", 1.0).reason
    world.monotonic += 2.0
    await world.other.look()
    assert "no process" in world.other.health("acme", 1.0).reason


async def test_the_owner_does_what_another_process_was_told(world: World) -> None:
    await world.owner.look()
    await world.other.look()

    async def owner_looks() -> None:
        while world.state(world.owner, "acme") is not HealthState.PAUSED:
            await world.owner.look()
        await world.owner.look()
        await world.other.look()

    looking = asyncio.create_task(owner_looks())
    await world.other.steer("acme", Intake.PAUSED)
    await looking
    assert world.state(world.other, "acme") is HealthState.PAUSED
    assert world.state(world.other, "beta") is HealthState.DOWN
    await world.owner.steer("acme", Intake.OPEN)
    assert world.state(world.owner, "acme") is HealthState.DOWN


async def test_an_order_outlives_the_process_that_carried_it_out(world: World) -> None:
    await world.owner.steer("acme", Intake.DRAINING)
    next_run = world.fleet(Network(CARRIERS, clock=time.time, random=lambda: 0.0))
    assert world.state(next_run, "acme") is HealthState.DOWN
    await next_run.look()
    assert world.state(next_run, "acme") is HealthState.DRAINING
