"""The alarm of trunks under uvloop, whose handle of what is due at once has no time."""

import asyncio

import uvloop
from trunk_world import World


class Due:
    """A trunk with something to do at once."""

    registering = None

    def __init__(self) -> None:
        self.done = asyncio.Event()

    def timer(self) -> float | None:
        return None if self.done.is_set() else 0.0

    def handle_timer(self, now: float) -> None:
        self.done.set()


async def _two_changes_before_the_alarm_rings() -> None:
    world = await World().open()
    due = Due()
    try:
        await world.trunks.start()
        world.trunks._lines["acme"] = due
        world.trunks._changed()
        world.trunks._changed()
        async with asyncio.timeout(30):
            await due.done.wait()
        del world.trunks._lines["acme"]
    finally:
        await world.close()


def test_what_is_due_at_once_is_done_when_more_changes_before_it() -> None:
    uvloop.run(_two_changes_before_the_alarm_rings())
