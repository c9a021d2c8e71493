"""`python -m tests.chaos`: kill and stop everything, again and again, and count what is left.

Two api, two smpp and two core processes on PostgreSQL and three brokers take texts over REST and
Kafka while all of them, the brokers and PostgreSQL too, are killed with -9 in turn. It ends with
0 if nothing was lost and nothing was done twice beyond what was under way at a blow.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.chaos.foreign import FACTS, SUBMITS, faults_of
from tests.chaos.judge import judge, order_faults
from tests.chaos.plan import plan
from tests.chaos.run import conclude, run
from tests.chaos.strikes import Striker, interrupted
from tests.chaos.table import rows, show, takeovers
from tests.chaos.world import UNSETTLED, WINDOWS, World

RATE: Final = 60.0  # texts a second
ROLES: Final = ("api", "api", "smpp", "smpp", "core", "core")
_DRAIN_WITHIN: Final = 150.0


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the load lasts")
    parser.add_argument("--seed", type=int, help="repeats the choices of a run")
    parser.add_argument("--keep", action="store_true", help="keep the folder, whatever comes out")
    options = parser.parse_args()
    began = time.monotonic()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    home = Path(tempfile.mkdtemp(prefix="trunkline-chaos-"))
    problems = run(_chaos(home, random.Random(seed), options.seconds))
    return conclude(home, problems, began, keep=options.keep)


async def _chaos(home: Path, dice: random.Random, seconds: float) -> list[str]:
    world = World(home, dice, rate=RATE)
    try:
        await world.open({"primary": 3}, submit=["primary"])
        striker = Striker(world.members, world.clusters["primary"], world.server, world.watch, dice)
        await world.start(ROLES, striker.store_was_away)
        began = time.monotonic()
        world.work()
        await striker.run(plan(seconds, dice))
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        lasted = time.monotonic() - began
        await world.rest()
        ended = time.time()
        wrong = await world.settle()
        await world.all_ready()
        evidence = await world.drain(_DRAIN_WITHIN)
        await asyncio.gather(*(each.stop() for each in world.members))
        windows = {name: window * binds for name, (window, binds) in WINDOWS.items()}
        verdict = judge(evidence, interrupted(striker.strokes, world.members, windows, UNSETTLED))
        verdict.problems += [
            *wrong,
            *world.book.refusals,
            *striker.faults,
            *world.brokers_that_died(),
            *faults_of(world.records(*FACTS, SUBMITS)),
            *order_faults(world.taken()),
            *(fault for member in world.members for fault in member.faults),
        ]
        took = takeovers(striker.strokes, evidence.submits, ended)
        show(rows(verdict, world.book, striker.strokes, world.members, took, lasted))
        return verdict.problems
    finally:
        await world.close()


if __name__ == "__main__":
    sys.exit(main())
