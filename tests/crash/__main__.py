"""`python -m tests.crash`: kill the gateway at every point that matters, and count what is left.

Without options it does everything: the kills under texts and under calls, runs under strace, one
on a full disk. It ends with 0 if nothing was lost and nothing was sent twice beyond the windows.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.crash import calls, full_disk, kills, recordings, traced
from tests.crash.judge import Verdict

_SHOWN: Final = 20
_TIME_OF_REST: Final = 80.0  # seconds that the end of the kills and the other runs take


def main() -> int:
    """Run what is asked; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seconds", type=float, help="about how long; default: ten random kills")
    parser.add_argument("--seed", type=int, help="repeats the choices of a run")
    parser.add_argument("--kills", action="store_true", help="only the kills")
    parser.add_argument("--calls", action="store_true", help="only the kills with calls up")
    parser.add_argument("--strace", action="store_true", help="only the run under strace")
    parser.add_argument(
        "--disk",
        nargs="?",
        const=None,
        default=False,
        choices=[*full_disk.DISKS],
        help="only the run on a full disk, made in one way; default: a mount where we may",
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder, whatever comes out")
    options = parser.parse_args()
    began = time.monotonic()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    only_disk = options.disk is not False
    everything = not (options.kills or options.calls or options.strace or only_disk)
    home = Path(tempfile.mkdtemp(prefix="trunkline-crash-"))
    problems: list[str] = []
    if everything or options.kills:
        rest = _TIME_OF_REST if everything else _TIME_OF_REST / 2
        until = None if options.seconds is None else began + options.seconds - rest
        problems += asyncio.run(_kills(home / "kills", random.Random(seed), until))
    if everything or options.calls:
        problems += asyncio.run(_calls(home / "calls", random.Random(seed)))
    if everything or options.strace:
        problems += asyncio.run(_strace(home / "strace"))
    if everything or only_disk:
        problems += asyncio.run(_disk(home / "disk", options.disk or None))
    for problem in problems[:_SHOWN]:
        print(f"  {problem}")
    if len(problems) > _SHOWN:
        print(f"  and {len(problems) - _SHOWN} more")
    if problems or options.keep:
        print(f"ledgers and logs are in {home}")
    else:
        shutil.rmtree(home)
    passed = "nothing was lost" if not problems else f"{len(problems)} violations"
    print(f"{passed}; {time.monotonic() - began:.0f} s")
    return int(bool(problems))


async def _kills(home: Path, dice: random.Random, until: float | None) -> list[str]:
    verdict, wrong = await kills.sweep(home, dice, until)
    print_table(verdict)
    return [*wrong, *verdict.problems]


def print_table(verdict: Verdict) -> None:
    """A line for each kill; `lost` is of the texts accepted since the one before."""
    head = ("kill point", "accepted", "lost", "duplicates", "window", "verdict")
    lines: list[Sequence[object]] = [head]
    for count, row in enumerate(verdict.rows, 1):
        window = verdict.window if count <= verdict.kills else 0
        good = not row.lost and row.duplicates <= window
        shown = "ok" if good else "BAD"
        lines.append((row.name, row.accepted, row.lost, row.duplicates, window, shown))
    lines.append(
        (
            f"{verdict.kills} kills",
            sum(row.accepted for row in verdict.rows),
            sum(row.lost for row in verdict.rows),
            sum(row.duplicates for row in verdict.rows),
            verdict.kills * verdict.window,
            "BAD" if verdict.problems else "ok",
        )
    )
    for name, *columns in lines:
        print(f"{name!s:<30}" + "".join(f"{column!s:>12}" for column in columns))


async def _calls(home: Path, dice: random.Random) -> list[str]:
    seen, wrong = await calls.fifty(home / "fifty")
    print(f"calls: {seen}", flush=True)
    seen, more = await recordings.fifty(home / "recorded")
    wrong += more
    print(f"recordings: {seen}", flush=True)
    lines, more = await calls.sweep(home / "sweep", dice)
    print("\n".join(f"calls: {line}" for line in lines), flush=True)
    return [*wrong, *more]


async def _strace(home: Path) -> list[str]:
    if shutil.which("strace") is None:
        print("strace: not installed, so the order of answer and fsync was not looked at")
        return []
    judged, wrong = await traced.trace(home)
    good = sum(not each.fault for each in judged)
    print(f"strace: {good} of {len(judged)} answers 201 left after the fsync of their commit")
    called, more = await traced.trace_calls(home.with_name("strace-calls"))
    good = sum(not each.fault for each in called)
    print(f"strace: {good} of {len(called)} answers 200 to calls left after that of theirs")
    return [*wrong, *more]


async def _disk(home: Path, way: str | None) -> list[str]:
    seen, wrong = await full_disk.run(home, way)
    print(f"full disk: {seen}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
