"""What trunks share: a fault in what one does is told, and nothing begins after the end."""

import asyncio
from typing import Any

from trunk_world import World


async def test_a_fault_is_told_with_what_was_done(world: World) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def fail() -> None:
        raise ValueError("no")

    desk = world.trunks._desk
    desk.do(fail(), "options acme")
    assert len(desk) == 1
    await asyncio.sleep(1)
    assert len(desk) == 0
    (context,) = told
    assert context["message"] == "a trunk's work failed: options acme"
    assert isinstance(context["exception"], ValueError)


async def test_nothing_begins_after_the_end(world: World) -> None:
    begun: list[int] = []

    async def begin() -> None:
        begun.append(1)

    desk = world.trunks._desk
    waiting = asyncio.Event()

    async def wait() -> None:
        await waiting.wait()
        begun.append(2)

    desk.do(wait(), "waits")
    await asyncio.sleep(1)
    await desk.close()
    waiting.set()
    desk.do(begin(), "late")
    await asyncio.sleep(1)
    assert begun == []
    assert len(desk) == 0
