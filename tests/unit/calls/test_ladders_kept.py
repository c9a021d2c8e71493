"""Whose ladder is kept while a call lives: that of each that lasts, and of none that is short."""

import asyncio
from typing import Any

import pytest

from gateway.calls.pace import Paces
from gateway.calls.service import Calls

PATIENCE = 20.0


class Live:
    """A call that says when its ladder is kept."""

    def __init__(self) -> None:
        self.count = 0
        self.kept = asyncio.Event()

    def keep_ladder(self) -> None:
        self.count += 1
        self.kept.set()


async def test_calls_that_last_are_kept_and_those_that_end_before_their_turn_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.calls.service._SHOWN_WITHIN", 0.2)
    monkeypatch.setattr("gateway.calls.service._IN_ONE_TURN", 2)
    calls = Calls(clock=lambda: 0.0, most=10, paces=Paces(1.0, 1))
    lasting, short = [Live() for _ in range(5)], Live()
    alive: dict[str, Any] = calls._live
    alive |= {"short": short, **{f"lasting {at}": each for at, each in enumerate(lasting)}}
    keeping = asyncio.create_task(calls.keep_ladders())
    try:
        await asyncio.sleep(0)  # the round begins
        del alive["short"]
        late = alive["late"] = Live()
        async with asyncio.timeout(PATIENCE):
            for each in lasting:
                await each.kept.wait()
            assert late.count == 0
            await late.kept.wait()
    finally:
        keeping.cancel()
    assert short.count == 0
