"""A trunk that another process is to register: first the carrier forgets this one."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from trunk_world import World, registering

from carriers.health import HealthState, Intake
from carriers.model import Carrier, CarrierKind
from carriers.trunk_events import Registered, Unregistered
from gateway.daemon.trunks import TrunkEstate
from gateway.store.base import Lease

LEASE = Lease(name="trunk:beta", holder="us", epoch=1, expires_at=0.0)


async def test_a_trunk_is_parted_with_when_its_carrier_has_forgotten_us(world: World) -> None:
    far = await world.far()
    ours = registering(far)
    world.serve(acme=ours)
    await world.trunks.start()
    await world.until(Registered)
    await world.trunks.parted("acme")  # nothing is under way
    world.serve(acme=msgspec.structs.replace(ours, register=False))
    assert far.bindings() != []
    await world.trunks.parted("acme")
    assert far.bindings() == [] and world.of(Unregistered)
    standing = world.trunks.standing("acme")
    assert standing is not None and standing.registration is None
    assert (await world.trunks.doors("acme"))[0].hops, "calls go by it all the same"
    world.serve(acme=ours)
    await world.until(Registered, 2)


async def test_a_silent_carrier_is_not_waited_for_for_long(world: World) -> None:
    far = await world.far()
    ours = registering(far)
    world.serve(acme=ours)
    await world.trunks.start()
    await world.until(Registered)
    far.says["REGISTER"] = None
    loop = asyncio.get_running_loop()
    began = loop.time()
    world.serve(acme=msgspec.structs.replace(ours, register=False))
    await world.trunks.parted("acme")
    assert 4.0 < loop.time() - began < 6.0


async def test_one_trunk_is_asked_for_by_its_name(world: World) -> None:
    far = await world.far()
    world.serve(acme=registering(far, register=False))
    health = world.trunks.health_of("acme")
    assert health is not None and health.state is HealthState.BOUND
    assert world.trunks.intake("acme") is Intake.OPEN
    world.trunks.steer("acme", Intake.PAUSED)
    assert world.trunks.intake("acme") is Intake.PAUSED
    assert world.trunks.health_of("beta") is None
    with pytest.raises(KeyError):
        world.trunks.intake("beta")


async def test_who_owns_a_trunk_registers_it_and_gives_it_up_whole(world: World) -> None:
    far = await world.far()
    carriers = {
        name: Carrier(name=name, kind=CarrierKind.SIP, trunk=registering(far))
        for name in ("acme", "beta")
    }
    obeyed: list[str] = []
    ground: Any = SimpleNamespace(carriers=carriers)
    estate = TrunkEstate(ground, lambda each: each, obeyed.append)
    assert estate.configured() == ["acme", "beta"]
    world.trunks.reload(estate.carriers())
    await world.trunks.start()
    estate.open(world.trunks)
    assert obeyed == ["acme", "beta"], "what was ordered before holds before it registers"
    assert (list(estate.names()), list(estate.owned())) == (["acme", "beta"], [])
    await estate.take_over("beta", LEASE)
    told = await world.until(Registered)
    assert (told.trunk, list(estate.owned())) == ("beta", ["beta"])
    acme, beta = estate.standing("acme"), estate.standing("beta")
    assert acme is not None and acme.registration is None
    assert beta is not None and beta.registration is not None
    await estate.give_up("beta")
    assert far.bindings() == [] and not estate.owned()
    assert [each.trunk for each in world.of(Unregistered)] == ["beta"]
