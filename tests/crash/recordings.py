"""Kills with calls that are recorded: what was there stays, its row ends, and its app is told.

Callers leave a message or are joined with somebody, and a tone goes from each end all the time.
"""

import asyncio
import io
import time
import wave
from collections import defaultdict
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from tests.callers import Party
from tests.crash.calls import (
    JOINED_AND_RECORDED,
    RECORDED,
    CallWorld,
    told_wrongly,
    until,
    wrong_timelines,
)

LOST: Final = 1.5  # seconds: what a recorder keeps in memory, and the clocks of a busy machine
_TONES: Final = bytes.fromhex("1e0b0b1e9e8b8b9e") * 20, bytes.fromhex("ff8bff0b") * 40
_FRAME: Final = 0.02  # seconds
_SPEAKS: Final = 4.0
_LOUD: Final = 0.8  # of the sound of each channel; the tone needs a moment to begin


async def fifty(
    home: Path, *, messages: int = 25, joined: int = 25, speaks: float = _SPEAKS
) -> tuple[str, list[str]]:
    """Kill with that many callers recorded; what was seen, and what is wrong."""
    world = CallWorld(home)
    await world.open()
    talks = asyncio.create_task(_talk(world))
    try:
        await world.start()
        for _ in range(messages):
            world.call(RECORDED)
        for _ in range(joined):
            world.call(JOINED_AND_RECORDED)
        await world.wait_for_rows({"in-progress": messages + 2 * joined})
        await until(lambda: _begun(world, messages + joined), "all are recorded")
        await asyncio.sleep(speaks)
        before = {each["sid"]: each for each in await world.recordings()}
        world.kill()
        await world.start()
        rows = await world.settle()
        wrong = told_wrongly(world.app.told, rows) + await wrong_timelines(world, rows)
        found = await world.recordings()
        wrong += [f"{sid} is forgotten" for sid in {*before} - {each["sid"] for each in found}]
        lost = [await _lost(world, each, wrong) for each in found]
        wrong += _told(world.app.recorded, found)
        if world.gateway.terminate() != 0:
            wrong.append("the gateway did not end well")
    except TimeoutError as error:
        return "none", [f"recordings: {error or 'too late'}; {world.gateway.log}"]
    finally:
        talks.cancel()
        with suppress(asyncio.CancelledError):
            await talks
        await world.close()
    seen = (
        f"{len(found)} under way at a kill: all readable, the last {max(lost):.1f} s lost at most,"
        f" {len(world.app.recorded)} callbacks"
    )
    return seen, wrong


async def _talk(world: CallWorld) -> None:
    """Have all ends of all calls send their tone, in time."""
    due = time.monotonic()
    while True:
        for party, frame in zip((world.caller, world.callee), _TONES, strict=True):
            _speak(party, frame)
        due += _FRAME
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def _speak(party: Party, frame: bytes) -> None:
    for side in party.sides.values():
        if side.answered.is_set():
            party.speak(side, frame=frame)


async def _begun(world: CallWorld, count: int) -> bool:
    running = [each for each in await world.recordings() if each["status"] == "in-progress"]
    return len(running) == len({form["RecordingSid"] for form in world.app.recorded}) == count


async def _lost(world: CallWorld, recording: dict[str, Any], wrong: list[str]) -> float:
    """How many seconds before the kill are not there; what is wrong with a recording goes along."""
    sid = recording["sid"]
    if recording["status"] != "completed":
        wrong.append(f"{sid} is {recording['status']}")
        return 0.0
    with wave.open(io.BytesIO(await world.sound(sid)), "rb") as file:
        channels, rate, frames = file.getnchannels(), file.getframerate(), file.getnframes()
        samples = memoryview(file.readframes(frames)).cast("h")
    seconds = frames / rate
    if channels != recording["channels"] or abs(seconds - int(recording["duration"])) > 1:
        wrong.append(f"{sid} has {channels} channels of {seconds:.1f} s, but says {recording}")
    for channel in range(channels):
        loud = sum(abs(sample) > 1000 for sample in samples[channel::channels])
        wrong += [f"{sid}: channel {channel} is silent"] * (loud < frames * _LOUD / 2)
    # What it says of its beginning has no fractions.
    began = parsedate_to_datetime(recording["start_time"]).timestamp()
    lost = world.killed_at - began - seconds
    if not -1 <= lost <= 1 + LOST:
        wrong.append(f"{sid} has {seconds:.1f} s, and {lost:.1f} s more passed")
    return lost


def _told(callbacks: list[dict[str, str]], recordings: list[dict[str, Any]]) -> list[str]:
    """What is wrong with callbacks: one for each state, the last has what REST has."""
    problems = []
    of: defaultdict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for form in callbacks:  # one that was answered as the gateway died comes again
        of[form["RecordingSid"]].setdefault(form["token"], form)
    for recording in recordings:
        told = list(of[recording["sid"]].values())
        states = [form["RecordingStatus"] for form in told]
        if states != ["in-progress", "completed"]:
            problems.append(f"{recording['sid']}: its app was told {states}")
        elif told[-1]["RecordingDuration"] != recording["duration"]:
            problems.append(f"{recording['sid']}: its app was told another length")
    return problems
