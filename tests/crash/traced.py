"""One run under strace: no 201 is written before the fsync that covers its commit has ended."""

import asyncio
import re
import time
from pathlib import Path
from typing import Final

from tests.crash.syscalls import OPTIONS, Answer, answers, calls
from tests.crash.world import KILLABLE, World

RATE: Final = 60.0
_SECONDS: Final = 2.0
_WRITTEN_WITHIN: Final = 30.0
_TAIL: Final = 4096  # octets
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
        process = world.gateway.process
        assert process is not None
        status = world.gateway.terminate()
    finally:
        await world.close()
    judged = await asyncio.to_thread(_read, output, process.pid)
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


def _read(output: Path, pid: int) -> list[Answer]:
    """Read the trace when it is whole: when it tells of the end of the process `pid`."""
    deadline = time.monotonic() + _WRITTEN_WITHIN
    while not _has_ended(output, pid):
        assert time.monotonic() < deadline, f"strace did not write the end of {pid}: {output}"
        time.sleep(0.05)
    with output.open(errors="replace") as lines:
        return answers(calls(lines))


def _has_ended(output: Path, pid: int) -> bool:
    with output.open("rb") as trace:
        trace.seek(max(0, output.stat().st_size - _TAIL))
        last = trace.read().splitlines()
    return any(re.match(rb"%d .*\+\+\+ exited with" % pid, line) for line in last)
