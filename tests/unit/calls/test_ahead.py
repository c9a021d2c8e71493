"""One prompt is made ahead of its turn, once, and given up where nobody is to hear it."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.calls.ahead import Ahead
from gateway.speech.model import Prompt
from twiml.verbs import Play, Say

HI, BYE, TONE = Say(text="Hi"), Say(text="Bye"), Play(url="https://a.example/tone.wav")


class Maker:
    """Makes what it is let make, by names."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.given_up: list[str] = []
        self.may = asyncio.Event()

    async def say(self, say: Say, account_sid: str) -> Prompt:
        return await self._make(say.text)

    async def sound(self, url: str, account_sid: str) -> Prompt:
        return await self._make(url)

    async def _make(self, name: str) -> Prompt:
        self.asked.append(name)
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.given_up.append(name)
            raise
        return Prompt(path=Path(name), seconds=1.0)


class World:
    def __init__(self) -> None:
        self.maker = Maker()
        self.tasks: set[asyncio.Task[None]] = set()
        self.ahead = Ahead(self.maker, "AC1", self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        return task


async def turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("prompt", "name"), [(HI, "Hi"), (TONE, TONE.url)])
async def test_what_was_foreseen_is_made_once(prompt: Say | Play, name: str) -> None:
    world = World()
    world.ahead.foresee(prompt)
    world.ahead.foresee(prompt)
    await turn()
    assert world.maker.asked == [name]
    make = world.ahead.take(prompt)
    world.ahead.foresee(BYE)  # what comes after it
    heard = asyncio.ensure_future(make())
    await turn()
    assert world.maker.asked == [name, "Bye"]
    assert world.maker.given_up == []
    world.maker.may.set()
    made = await heard
    assert isinstance(made, Prompt)
    assert made.path == Path(name)


async def test_one_prompt_alone_is_made_ahead() -> None:
    world = World()
    world.ahead.foresee(HI)
    await turn()
    world.ahead.foresee(BYE)
    await turn()
    assert world.maker.given_up == ["Hi"]
    world.ahead.foresee(None)
    await turn()
    assert world.maker.given_up == ["Hi", "Bye"]
    assert all(task.done() for task in world.tasks)


async def test_what_nobody_foresaw_is_made_in_its_turn() -> None:
    world = World()
    world.maker.may.set()
    world.ahead.foresee(HI)
    made = await world.ahead.take(BYE)()
    assert isinstance(made, Prompt)
    assert made.path == Path("Bye")
    await turn()
    assert all(task.done() for task in world.tasks)
