"""`python -m tests.dedup_crash`: kill owners of dedup over a real broker, and count what is left.

It ends with 0 if readers have each record once and none is missing.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.dedup_crash import campaign
from tests.kafka_cluster import KafkaCluster


def main() -> int:
    """Run all rows; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.dedup_crash", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats the choices of a run")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-dedup-") as folder,
        KafkaCluster.start(Path(folder)) as cluster,
    ):
        outcomes = asyncio.run(campaign.run(cluster.bootstrap, Path(folder), random.Random(seed)))
    print(f"{'row':<18}{'kills':>8}{'facts':>8}{'missing':>9}{'twice':>8}{'records':>9}")
    for each in outcomes:
        print(
            f"{each.row:<18}{each.kills:>8}{each.facts:>8}{each.missing:>9}{each.twice:>8}"
            f"{each.records:>9}"
        )
    return int(any(each.missing or each.twice for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
