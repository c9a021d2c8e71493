"""A run on a full disk: accepts are refused, nothing accepted is lost, and it goes on by itself.

Where we may mount, the data folder is a small tmpfs and a ballast file fills it; elsewhere the
size of the gateway's files is limited from outside, and lifted again.
"""

import asyncio
import json
import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from tests.crash.load import Refusal
from tests.crash.world import World
from tests.disks import Tmpfs
from tests.running import children_of

RATE: Final = 100.0
_SIZE: Final = 12 * 2**20  # octets
_REFUSED_WITHIN: Final = 30.0
_STAYS_FULL: Final = 1.0  # seconds
_STORE_AWAY: Final = 20503
_ROOM: Final = 64 * 1024


class Disk(Protocol):
    """A data folder whose disk can be full."""

    how: str

    def fill(self) -> None:
        """Leave no room."""

    def free(self) -> None:
        """Make room again."""

    def close(self) -> None:
        """Take everything back."""


class Mounted(Tmpfs):
    """A tmpfs of its own."""

    how = f"tmpfs of {_SIZE // 2**20} MiB"

    def __init__(self, data: Path, world: World) -> None:
        """Raises `OSError` where we may not mount."""
        data.mkdir(parents=True)
        super().__init__(data, _SIZE)


class Limited:
    """A limit on the size of any file of the processes (RLIMIT_FSIZE), set from outside."""

    how = "limit on the size of files"

    def __init__(self, data: Path, world: World) -> None:
        self._data = data
        self._world = world

    def fill(self) -> None:
        """No file may grow beyond the largest one of the database, and a little."""
        largest = max(path.stat().st_size for path in self._data.glob("trunkline.db*"))
        self._limit(largest + _ROOM)

    def free(self) -> None:
        """Lift the limit."""
        self._limit(resource.RLIM_INFINITY)

    def close(self) -> None:
        """There is nothing to take back: the limit ended with the process."""

    def _limit(self, octets: int) -> None:
        process = self._world.gateway.process
        assert process is not None
        limits = (octets, resource.RLIM_INFINITY)
        for pid in (process.pid, *children_of(process.pid)):  # one of which writes the database
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


DISKS: Final[dict[str, Callable[[Path, World], Disk]]] = {"mount": Mounted, "limit": Limited}


async def run(home: Path, way: str | None = None) -> tuple[str, list[str]]:
    """What was seen, in a line, and what went wrong; `way` is one of `DISKS`."""
    world = World(home, rate=RATE)
    disk = _disk(world, home / "var", way)
    await world.open()
    wrong: list[str] = []
    try:
        await world.start()
        world.work()
        await _until(lambda: world.load.answers["201"] >= 20, "20 texts are accepted")
        await asyncio.to_thread(disk.fill)
        await _until(lambda: len(world.load.refusals) >= 5, "accepts are refused")
        promised = world.load.answers["201"]
        await asyncio.sleep(_STAYS_FULL)
        refused = list(world.load.refusals)
        wrong += [fault for each in refused if (fault := _fault(each))]
        before = world.load.answers["201"]
        await asyncio.to_thread(disk.free)
        freed = time.monotonic()
        await _until(lambda: world.load.answers["201"] >= before + 20, "texts are accepted again")
        took = time.monotonic() - freed
        await world.rest()
        verdict = await world.verdict()
        wrong += verdict.problems
        if world.load.answers["none"]:
            wrong.append(f"{world.load.answers['none']} requests got no answer")
        if world.gateway.terminate() != 0:
            wrong.append("the gateway did not end well")
    except TimeoutError as error:
        wrong.append(f"{error}; answers: {dict(world.load.answers)}")
        return disk.how, wrong
    finally:
        await world.close()
        await asyncio.to_thread(disk.close)
    total = sum(row.accepted for row in verdict.rows)
    seen = (
        f"{disk.how}: {promised} accepted, then {len(refused)} refused with 503, after room was"
        f" made accepted again within {took:.1f} s; {total} accepted in all"
    )
    return seen, wrong


def _disk(world: World, data: Path, way: str | None) -> Disk:
    if way is not None:
        return DISKS[way](data, world)
    if os.geteuid() == 0:
        with suppress(OSError):
            return Mounted(data, world)
    return Limited(data, world)


async def _until(holds: Callable[[], bool], what: str) -> None:
    """Wait until `holds`; raises `TimeoutError` with `what` was waited for."""
    deadline = time.monotonic() + _REFUSED_WITHIN
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_REFUSED_WITHIN:g} s: {what}")
        await asyncio.sleep(0.05)


def _fault(refusal: Refusal) -> str:
    """What is wrong with a refusal; "" if it is Twilio's 503."""
    try:
        content = json.loads(refusal.body)
        good = (refusal.status, content["status"], content["code"]) == (503, 503, _STORE_AWAY)
        good = good and {"message", "more_info"} <= set(content)
    except (ValueError, KeyError, TypeError):
        good = False
    good = good and refusal.content_type == "application/json"
    return "" if good else f"refused with {refusal.status} {refusal.body[:200]}"
