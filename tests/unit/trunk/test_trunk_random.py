"""Whatever happens in whatever order, trunks come back to rights, and nothing is left of them."""

import asyncio
import random

import pytest
from trunk_world import Far, World, eventually, registering

from carriers.health import HealthState, Intake
from carriers.trunks import Trunk
from protocols.sip.transport import Transport

ANSWERS = (
    None,
    (403, ()),
    (500, ()),
    (503, (("Retry-After", "120"),)),
    (423, (("Min-Expires", "90"),)),
)


class Weather:
    """What befalls trunks."""

    def __init__(self, world: World, fars: list[Far], dice: random.Random) -> None:
        self.world = world
        self.fars = fars
        self.dice = dice
        self.happenings = (
            self.misbehave,
            self.behave,
            self.change,
            self.take_away,
            self.steer,
            self.cut,
        )

    def trunk(self) -> Trunk:
        fars = self.dice.sample(self.fars, len(self.fars))
        password, interval = self.dice.choice("ab"), self.dice.choice((0.0, 5.0, 30.0))
        return registering(*fars, password=password, options_interval=interval)

    def misbehave(self) -> None:
        far, method = self.dice.choice(self.fars), self.dice.choice(("REGISTER", "OPTIONS"))
        far.says[method] = self.dice.choice(ANSWERS)

    def behave(self) -> None:
        self.dice.choice(self.fars).says.clear()

    def change(self) -> None:
        self.world.serve(acme=self.trunk())

    def take_away(self) -> None:
        self.world.serve()

    def steer(self) -> None:
        if "acme" in self.world.trunks.names():
            self.world.trunks.steer("acme", self.dice.choice(list(Intake)))

    def cut(self) -> None:
        for far in self.fars:
            for connection in list(far.station.endpoint._flows.values()):
                far.station.endpoint.drop(connection.flow)

    async def blow(self, times: int) -> None:
        for _ in range(times):
            self.dice.choice(self.happenings)()
            await asyncio.sleep(self.dice.choice((0.0, 0.01, 1.0, 7.0, 60.0)))


@pytest.mark.parametrize("seed", range(8))
async def test_after_a_storm_all_is_well_and_then_all_is_gone(world: World, seed: int) -> None:
    dice = random.Random(seed)
    fars = [
        await world.far(),
        await world.far(transport=Transport.TCP),
        await world.far(algorithms=("MD5",)),
    ]
    for far in fars:
        far.password = "a"
    weather = Weather(world, fars, dice)
    weather.change()
    await world.trunks.start()
    await weather.blow(60)
    for far in fars:
        far.says.clear()
    world.serve(acme=registering(fars[0], password="a", options_interval=5.0))
    world.trunks.steer("acme", Intake.OPEN)
    await eventually(lambda: world.trunks.health()["acme"].state is HealthState.BOUND, 5_000)
    await asyncio.sleep(200)  # what was asked before is over by then
    assert [len(far.bindings()) for far in fars] == [1, 0, 0]
    await world.trunks.close(10.0)
    assert [len(far.bindings()) for far in fars] == [0, 0, 0]
    await asyncio.sleep(100)
    assert world.trunks.ledger() == 0
    assert world.station.agent.ledger() == {}
    assert list(world.trunks._registrations()) == [world.trunks._lines["acme"].registering]
