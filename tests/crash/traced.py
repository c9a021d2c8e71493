"""Runs under strace: no promise is written before the fsync that covers its commit has ended.

A promise is the 201 to a text, and the 200 to a call.
"""

import asyncio
import re
import time
from pathlib import Path
from typing import Final

from tests.crash.calls import CallWorld
from tests.crash.syscalls import OPTIONS, Answer, Call, answers, answers_to_calls, calls
from tests.crash.world import KILLABLE, World

RATE: Final = 60.0
_SECONDS: Final = 2.0
_WRITTEN_WITHIN: Final = 30.0
_TAIL: Final = 4096  # octets
_AT_LEAST: Final = 20  # answers, or the run says nothing
_CALLS: Final = 30


def _command(output: Path) -> tuple[str, ...]:
    # -D makes strace the child and the gateway the process that signals go to.
    return ("strace", "-D", "-o", str(output), *OPTIONS, *KILLABLE)


async def trace(home: Path) -> tuple[list[Answer], list[str]]:
    """What became of each 201 of a short load, and what else went wrong."""
    output = home / "strace"
    world = World(home, _command(output), rate=RATE)
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
    judged = answers(await asyncio.to_thread(_read, output, process.pid))
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


async def trace_calls(home: Path) -> tuple[list[Answer], list[str]]:
    """What became of the 200 of each of some calls, and what else went wrong."""
    output = home / "strace"
    world = CallWorld(home, _command(output))
    await world.open()
    try:
        await world.start()
        sides = [world.answered() for _ in range(_CALLS)]
        async with asyncio.timeout(_WRITTEN_WITHIN):
            await asyncio.gather(*(side.answered.wait() for side in sides))
        for side in sides:
            world.caller.hang_up(side)
        await world.settle()
        process = world.gateway.process
        assert process is not None
        status = world.gateway.terminate()
    finally:
        await world.close()
    judged = answers_to_calls(await asyncio.to_thread(_read, output, process.pid))
    wrong = [f"{each.sid}: {each.fault}" for each in judged if each.fault]
    if status != 0:
        wrong.append(f"under strace it ended with {status}")
    if len({each.sid for each in judged}) != _CALLS:
        wrong.append(f"{_CALLS} calls were answered, the trace has {len(judged)} answers: {output}")
    return judged, wrong


def _read(output: Path, pid: int) -> list[Call]:
    """Read the trace when it is whole: when it tells of the end of the process `pid`."""
    deadline = time.monotonic() + _WRITTEN_WITHIN
    while not _has_ended(output, pid):
        assert time.monotonic() < deadline, f"strace did not write the end of {pid}: {output}"
        time.sleep(0.05)
    with output.open(errors="replace") as lines:
        return calls(lines)


def _has_ended(output: Path, pid: int) -> bool:
    with output.open("rb") as trace:
        trace.seek(max(0, output.stat().st_size - _TAIL))
        last = trace.read().splitlines()
    return any(re.match(rb"%d .*\+\+\+ exited with" % pid, line) for line in last)
