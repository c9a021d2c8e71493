"""The prompt that is heard next: made or fetched while another one is heard, and no more than one.

A text takes its time to be spoken and a sound to be fetched; who listens is not to wait for either
between two prompts of a document.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Protocol

import msgspec

from gateway.speech.model import NoPrompt, Prompt
from twiml.verbs import Play, Say

__all__ = ["Ahead", "Make", "Maker"]

Make = Callable[[], Awaitable[Prompt | NoPrompt]]
_Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Maker(Protocol):
    """Who makes prompts: `gateway/speech/prompts.py`."""

    async def say(self, say: Say, account_sid: str) -> Prompt | NoPrompt:
        """What `say` says, once."""
        ...

    async def sound(self, url: str, account_sid: str) -> Prompt | NoPrompt:
        """The sound at an absolute URL."""
        ...


class _Foreseen(msgspec.Struct):
    prompt: Say | Play
    task: asyncio.Task[None] | None = None
    made: Prompt | NoPrompt | None = None


class Ahead:
    """See the module; for one who runs documents."""

    def __init__(self, maker: Maker, account_sid: str, spawn: _Spawn) -> None:
        self._maker = maker
        self._account_sid = account_sid
        self._spawn = spawn
        self._foreseen: _Foreseen | None = None

    def foresee(self, prompt: Say | Play | None) -> None:
        """Make this ready, and nothing else any more; None is nothing."""
        before = self._foreseen
        if before is not None and before.prompt == prompt:
            return
        self._foreseen = None
        if before is not None and before.task is not None:
            before.task.cancel()
        if prompt is not None:
            self._foreseen = foreseen = _Foreseen(prompt)
            foreseen.task = self._spawn(self._prepare(foreseen))

    def take(self, prompt: Say | Play) -> Make:
        """Its turn has come: what makes it, or waits for it if that has begun."""
        foreseen = self._foreseen
        if foreseen is None or foreseen.prompt != prompt:
            self.foresee(None)
            return partial(self._make, prompt)
        self._foreseen = None
        return partial(self._await, foreseen)

    async def _prepare(self, foreseen: _Foreseen) -> None:
        foreseen.made = await self._make(foreseen.prompt)

    async def _await(self, foreseen: _Foreseen) -> Prompt | NoPrompt:
        if foreseen.task is not None:
            await foreseen.task
        return foreseen.made or await self._make(foreseen.prompt)

    async def _make(self, prompt: Say | Play) -> Prompt | NoPrompt:
        if isinstance(prompt, Say):
            return await self._maker.say(prompt, self._account_sid)
        return await self._maker.sound(prompt.url, self._account_sid)
