"""`python -m tests.chaos.outage`: Kafka is away for a while under load, then one of two clusters.

While all brokers are away texts are accepted, sent and told of as before, and what happened
comes to Kafka afterwards. With a second cluster the bus goes on there, and comes back. It ends
with 0 if that is so, and a foreign consumer of all clusters takes each fact once.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.chaos.foreign import FACTS, Record, faults_of
from tests.chaos.judge import Evidence, Interrupted, judge, order_faults
from tests.chaos.run import conclude, run
from tests.chaos.table import quantile, show
from tests.chaos.world import World

RATE: Final = 50.0  # texts a second
ROLES: Final = ("api", "smpp", "core")
PRIMARY, SECONDARY = "primary", "secondary"
P99_BELOW: Final = 0.2  # seconds, of accepts while Kafka is away
TAKEN_OVER_WITHIN: Final = 10.0
_BACK_WITHIN: Final = 120.0  # seconds: a cluster has to be well for 60 s first
_BEFORE: Final = 10.0  # seconds of load before a blow and after the end of its effect
_WITHOUT: Final = 20.0  # seconds without the primary cluster
_DRAIN_WITHIN: Final = 180.0
_UNDER_WAY: Final = 5.0  # seconds after which what was accepted is delivered
_LOOK_EVERY: Final = 0.25
_NOBODY: Final = Interrupted(carriers={}, queues=())


def main() -> int:
    """Run both; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long Kafka is away")
    parser.add_argument("--seed", type=int, help="repeats the choices of a run")
    parser.add_argument("--keep", action="store_true", help="keep the folder, whatever comes out")
    options = parser.parse_args()
    began = time.monotonic()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    home = Path(tempfile.mkdtemp(prefix="trunkline-outage-"))
    dice = random.Random(seed)
    problems = run(_away(World(home / "away", dice, rate=RATE), options.seconds))
    problems += run(_failover(World(home / "failover", dice, rate=RATE)))
    return conclude(home, problems, began, keep=options.keep)


async def _away(world: World, seconds: float) -> list[str]:
    """All brokers are away for `seconds`."""
    try:
        await _under_load(world, [PRIMARY])
        gone = time.time()
        world.clusters[PRIMARY].kill(1)
        await asyncio.sleep(seconds)
        waiting = len(await world.facts()) - len(world.taken())
        back = time.time()
        await asyncio.to_thread(world.clusters[PRIMARY].restart, 1)
        up = time.monotonic()
        facts = len(await world.facts())
        drained = await _until(world, lambda: len(world.taken()) >= facts)
        took = time.monotonic() - up
        await asyncio.sleep(_BEFORE)
        wrong, evidence = await _end(world)
        wrong += [] if drained else [f"the backlog did not drain within {_DRAIN_WITHIN:g} s"]
        asked = [each.at for each in world.book.promises if gone <= each.at <= back - _UNDER_WAY]
        p99 = quantile(world.book.seconds(gone, back), 0.99)
        told = [e for e in evidence.callbacks if e.status == "delivered" and gone <= e.at <= back]
        if p99 > P99_BELOW:
            wrong.append(f"while Kafka was away accepts took {p99 * 1000:.0f} ms (p99)")
        if not asked or len(told) < len(asked):
            wrong.append(f"while Kafka was away {len(asked)} were accepted, {len(told)} delivered")
        show(
            [
                ("Kafka away", f"{back - gone:.0f} s"),
                ("accepted meanwhile", f"{len(world.book.seconds(gone, back))}"),
                ("delivered and told meanwhile", f"{len(told)}"),
                ("accepts meanwhile, p99", f"{p99 * 1000:.0f} ms"),
                ("facts that waited", f"{waiting}"),
                ("drained after", f"{took:.1f} s"),
                ("facts in the store and in Kafka", f"{len(evidence.facts)}"),
                ("verdict", "BAD" if wrong else "ok"),
            ]
        )
        return wrong
    finally:
        await world.close()


async def _failover(world: World) -> list[str]:
    """The primary cluster is away for a while, a secondary one is there."""
    try:
        await _under_load(world, [PRIMARY, SECONDARY])
        gone = time.time()
        world.clusters[PRIMARY].kill(1)
        over = await _until(world, lambda: bool(_written(world, SECONDARY, gone)))
        await asyncio.sleep(_WITHOUT)
        back = time.time()
        await asyncio.to_thread(world.clusters[PRIMARY].restart, 1)
        returned = await _until(world, lambda: bool(_written(world, PRIMARY, back)), _BACK_WITHIN)
        await asyncio.sleep(_BEFORE)
        wrong, evidence = await _end(world)
        there, here = _written(world, SECONDARY, gone), _written(world, PRIMARY, back)
        took = min((each.at for each in there), default=0.0) - gone
        if not over or took > TAKEN_OVER_WITHIN:
            wrong.append(f"the secondary cluster took over after {took:.1f} s")
        if not returned:
            wrong.append(f"nothing was written to the primary again within {_BACK_WITHIN:g} s")
        show(
            [
                ("secondary written to after", f"{took:.1f} s"),
                ("primary away", f"{back - gone:.0f} s"),
                ("primary written to again after", f"{min(e.at for e in here) - back:.0f} s")
                if here
                else ("primary written to again", "never"),
                ("records in the secondary", f"{len(there)}"),
                ("facts in the store and in Kafka", f"{len(evidence.facts)}"),
                ("verdict", "BAD" if wrong else "ok"),
            ]
        )
        return wrong
    finally:
        await world.close()


async def _under_load(world: World, clusters: Sequence[str]) -> None:
    await world.open(dict.fromkeys(clusters, 1))
    await world.start(ROLES)
    world.work()
    await asyncio.sleep(_BEFORE)
    if not await _until(world, lambda: bool(world.taken())):
        raise TimeoutError("no fact came to Kafka")


async def _end(world: World) -> tuple[list[str], Evidence]:
    """End the load and all; what was wrong with what was written down, and that."""
    await world.rest()
    wrong = await world.settle()
    evidence = await world.drain(_DRAIN_WITHIN)
    await asyncio.gather(*(each.stop() for each in world.members))
    taken = world.taken()
    wrong += [
        *judge(evidence, _NOBODY).problems,
        *world.book.refusals,
        *faults_of(world.records(*FACTS)),
        *(fault for member in world.members for fault in member.faults),
    ]
    for cluster in world.clusters:
        wrong += order_faults(each for each in taken if each.cluster == cluster)
    return wrong, evidence


def _written(world: World, cluster: str, since: float) -> list[Record]:
    """Facts that were copied to the clean topics of a cluster since then."""
    return [
        record
        for record in world.records(*FACTS)
        if record.cluster == cluster and record.at >= since and record.value is not None
    ]


async def _until(world: World, holds: Callable[[], bool], within: float = _DRAIN_WITHIN) -> bool:
    """Read on in Kafka until it holds; False if it does not within so many seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            return False
        await world.read_on()
        await asyncio.sleep(_LOOK_EVERY)
    return True


if __name__ == "__main__":
    sys.exit(main())
