"""The campaign of kills: every named point once, then at random, under a load that never stops."""

import asyncio
import random
import time
from pathlib import Path
from typing import Final

from tests.crash.judge import Verdict
from tests.crash.points import POINTS
from tests.crash.world import World

RATE: Final = 200.0  # texts a second
RANDOM_KILLS: Final = 10
_PASSAGES: Final = (10, 80)
_LEAVES_WORK: Final = 0.4  # seconds of load
_LIVES: Final = (0.1, 1.5)  # seconds that the gateway has been ready when it is killed at random


async def _die_under_load(world: World) -> None:
    """Leave something to be taken up: a kill right in the work."""
    await world.start()
    await asyncio.sleep(_LEAVES_WORK)
    world.kill("before the next start")


async def sweep(home: Path, dice: random.Random, until: float | None) -> tuple[Verdict, list[str]]:
    """Kill at every point, then at random until `until` (monotonic), or ten times.

    The answer is the verdict of the ledgers, and what else went wrong.
    """
    world = World(home, rate=RATE)
    wrong: list[str] = []
    await world.open()
    try:
        started = False
        for point in POINTS:
            passage = 1 if point.at_start else dice.randint(*_PASSAGES)
            if point.at_start:
                await _die_under_load(world)
            await world.start(point.name, passage)
            if not started:
                world.work()
                started = True
            if not await world.comes_to(point.name):
                wrong.append(f"{point.name}: the gateway never passed there ({point.meaning})")
        number = 0
        while number < RANDOM_KILLS if until is None else time.monotonic() < until:
            number += 1
            await world.start()
            life = dice.uniform(*_LIVES)
            await asyncio.sleep(life)
            world.kill(f"random {number}, after {life:.2f} s")
        await world.start()
        await asyncio.sleep(1.0)
        await world.rest()
        verdict = await world.verdict()
        if world.gateway.terminate() != 0:
            wrong.append(f"the last one did not end well: {world.gateway.log}")
        wrong += [f"the client was answered {each.status}" for each in world.load.refusals]
    finally:
        await world.close()
    return verdict, wrong
