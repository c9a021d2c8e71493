"""Calls leave nothing behind: no task, no descriptor, no port, no entry in any table."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.callers import Party, Side
from tests.integration.voice.test_joined_calls import CONFIG, NUMBER
from tests.integration.voice.world import ACCOUNT, World, uncollected, world

DIAL = "<Response><Dial answerOnBridge='true'>+447700900002</Dial></Response>"
WITHIN = 60.0
CALLS = 30


def workers(here: World) -> list[int]:
    voice = here.gateway._voice
    assert voice is not None
    return list(voice.calls._house.plane.pids().values())


def held(here: World) -> dict[str, int]:
    """What can be counted from outside."""
    processes = ["self", *map(str, workers(here))]
    files = {
        f"files of {each}": sum(1 for _ in Path(f"/proc/{each}/fd").iterdir()) for each in processes
    }
    return {**files, "tasks": len(asyncio.all_tasks())}


@asynccontextmanager
async def nothing_left(here: World) -> AsyncIterator[None]:
    before = held(here)
    async with uncollected():
        yield
    assert here.ledger() == {}
    grown, until = before, asyncio.get_running_loop().time() + WITHIN
    while grown and asyncio.get_running_loop().time() < until:  # others may be at work just now
        await asyncio.sleep(0.05)
        after = held(here)
        grown = {name: after[name] - before[name] for name in before if after[name] > before[name]}
    assert not grown


async def parties(callee_rings: bool = False) -> tuple[Party, Party]:
    def ring(party: Party, side: Side) -> None:
        party.ring(side)

    caller = await Party("+447700900001").open()
    callee = await Party("callee", ring if callee_rings else None).open()
    return caller, callee


async def finished(here: World, *ends: Party) -> None:
    await here.ended()
    for each in ends:
        await each.until(lambda each=each: not each.sides, WITHIN, "all ends are over")  # type: ignore[misc]


def config(callee: Party) -> str:
    return CONFIG.replace("{port}", str(callee.port))


# Connections to the app are kept for a while: their number is not to depend on how busy we are.
ONE_AT_A_TIME = """
[webhooks]
max_connections_per_host = 1
"""


async def test_calls_that_came_and_went(tmp_path: Path) -> None:
    caller, callee = await parties()
    async with world(tmp_path, config(callee) + ONE_AT_A_TIME, DIAL) as here:
        port = here.hop().port

        async def speak() -> None:
            side = caller.call(NUMBER, port)
            await asyncio.wait_for(side.answered.wait(), WITHIN)
            caller.speak(side, 3)
            caller.hang_up(side)
            await asyncio.wait_for(side.over.wait(), WITHIN)

        async def speak_all(calls: int) -> None:
            await asyncio.gather(*(speak() for _ in range(calls)))
            await finished(here, caller, callee)

        await speak_all(2 * CALLS)  # connections to the app are kept
        async with nothing_left(here):
            await speak_all(CALLS)
        assert {call["status"] for call in await here.calls()} == {"completed"}
    await caller.close()
    await callee.close()


async def test_calls_that_are_over_wait_for_no_collector(tmp_path: Path) -> None:
    """What a call was made of is free when it is over: nothing of it is in a circle."""
    caller, callee = await parties()
    async with world(tmp_path, config(callee), DIAL) as here:

        async def speak() -> None:
            side = caller.call(NUMBER, here.hop().port)
            await asyncio.wait_for(side.answered.wait(), WITHIN)
            caller.hang_up(side)
            await finished(here, caller, callee)

        async def be_called() -> None:
            form = {"To": "+447700900002", "From": NUMBER, "Twiml": "<Response/>"}
            path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
            async with here.http.post(here.url + path, data=form) as response:
                assert response.status == 201, await response.text()
            await finished(here, caller, callee)

        with collector_idle():
            for _ in range(3):
                await speak()
                await be_called()
            assert circles("gateway.calls", "protocols.sip", "twiml") == []
    await caller.close()
    await callee.close()


@contextmanager
def collector_idle() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def circles(*packages: str) -> list[str]:
    """Of which classes of ours there is something that only the collector can find."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    ours = {type(each) for each in gc.garbage if type(each).__module__.startswith(packages)}
    return sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in ours)


async def test_calls_that_were_abandoned(tmp_path: Path) -> None:
    caller, callee = await parties(callee_rings=True)
    async with world(tmp_path, config(callee) + ONE_AT_A_TIME, DIAL) as here:
        port = here.hop().port

        async def abandon(progress: int) -> None:
            side = caller.call(NUMBER, port)
            await caller.until(lambda: side.progress >= progress, WITHIN, "it is heard of")
            caller.hang_up(side)
            await asyncio.wait_for(side.over.wait(), WITHIN)

        async def abandon_all(calls: int) -> None:
            await asyncio.gather(*(abandon(180 * (each % 2)) for each in range(calls)))
            await finished(here, caller, callee)

        await abandon_all(2 * CALLS)  # connections to the app are kept
        async with nothing_left(here):
            await abandon_all(CALLS)
        found = {call["status"] for call in await here.calls()}
        assert found <= {"no-answer", "canceled"}
    await caller.close()
    await callee.close()
