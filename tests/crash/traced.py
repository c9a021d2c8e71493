"""One run under strace: no 201 is written before the fsync that covers its commit has ended."""

import asyncio
import time
from pathlib import Path
from typing import Final

from tests.crash.syscalls import OPTIONS, Answer, answers, calls
from tests.crash.world import KILLABLE, World

RATE: Final = 60.0
_SECONDS: Final = 2.0
_WRITTEN_WITHIN: Final = 30.0
_AT_LEAST: Final = 20  # answers, or the run says nothing


async def trace(home: Path) -> tuple[list[Answer], list[str]]:
    """What became of each 201 of a short load, and what else went wrong."""
    output = home / "strace"
    # -D makes strace the child and the gateway the process that signals go to.
    world = World(home, ("strace", "-D", "-o", str(output), *OPTIONS, *KILLABLE), rate=RATE)
    await world.open()
    try:
        await world.start()
        world.work()
        await asyncio.sleep(_SECONDS)
        await world.rest()
        verdict = await world.verdict()
        status = world.gateway.terminate()
    finally:
        await world.close()
    judged = await asyncio.to_thread(_read, output)
    wrong = list(verdict.problems)
    if status != 0:
        wrong.append(f"under strace it ended with {status}")
    if len(judged) < _AT_LEAST:
        wrong.append(f"the trace has only {len(judged)} answers: {output}")
    promised = sum(row.accepted for row in verdict.rows)
    if len(judged) != promised:
        wrong.append(f"the client got {promised} answers 201, the trace has {len(judged)}")
    wrong += [f"{each.sid}: {each.fault}" for each in judged if each.fault]
    return judged, wrong


def _read(output: Path) -> list[Answer]:
    """Read the trace when it is whole: strace outlives the gateway by a moment."""
    deadline = time.monotonic() + _WRITTEN_WITHIN
    size = -1
    while output.stat().st_size != size and time.monotonic() < deadline:
        size = output.stat().st_size
        time.sleep(0.3)
    with output.open(errors="replace") as lines:
        return answers(calls(lines))
