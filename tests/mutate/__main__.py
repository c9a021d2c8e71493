"""`python -m tests.mutate`: take each attribute of TwiML for calls its effect, and want a test red.

The rows are the attributes that documents for calls may have, as the dialect has them; each has its
named tests, and each of these has to fail while its attribute is forgotten, and else to pass. Ends
with 1 if a row has no test or a mutant survives. Several processes share the tests, two for each
core, for most of the time sounds are waited for; a test is always run by the same one.

With `--seconds` every row is still put to its test on a fake call, and as many of the tests in a
gateway are chosen by lot as take about so long; the seed is printed.
"""

import argparse
import os
import random
import sys
from collections.abc import Sequence
from typing import Final

from tests.mutate.hunt import Rows, by_lot, hunt_together, in_gateways
from tests.mutate.mutants import promised
from tests.mutate.named import named

_TAKES: Final = 15.0  # seconds that the tests of a row in a gateway take, as they are and with it


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("--row", action="append", help="of this alone, as 'Gather numDigits'")
    workers = 2 * (os.cpu_count() or 1)
    parser.add_argument("--workers", type=int, default=workers, help=f"processes, else {workers}")
    parser.add_argument("--seconds", type=float, help="about so long, by lot")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the lot")
    options = parser.parse_args(arguments)
    mutants, tests = promised(), named()
    names = options.row or sorted(mutants)
    rows: Rows = {name: tests[name] for name in names if name in tests and name in mutants}
    all_in_gateways = in_gateways(rows)
    if options.seconds is not None:
        rows = by_lot(rows, int(options.seconds * options.workers / _TAKES), options.seed)
    wrong = [f"{name}: no test names it" for name in names if name not in tests]
    wrong += [f"{name}: is no attribute with an effect" for name in tests if name not in mutants]
    found = hunt_together(rows, 1 if len(rows) < 2 else options.workers)
    wrong += found.wrong
    if wrong:
        print("\n".join(wrong))
        return 1
    for name, test in found.alive.items():
        print(f"{name}: survives {test}")
    lot = f"; {in_gateways(rows)} of {all_in_gateways} tests in a gateway, --seed {options.seed}"
    killed = f"{len(rows)} rows, {len(rows) - len(found.alive)} mutants killed"
    print(killed if options.seconds is None else killed + lot)
    return 1 if found.alive else 0


if __name__ == "__main__":
    sys.exit(main())
