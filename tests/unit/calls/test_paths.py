"""Paths of media that are lost: some come back in time, some never do."""

import asyncio

import pytest

from gateway.calls import paths
from gateway.calls.paths import Paths
from gateway.media.wire import PathLost


def lost(cause: str, leg: str = "CA1.1") -> PathLost:
    return PathLost(call="CA1", leg=leg, cause=cause, reason=f"it is {cause}")


def test_what_does_not_come_back_ends_at_once() -> None:
    ended: list[tuple[str, str]] = []
    Paths(lambda leg, reason: ended.append((leg, reason))).lost(lost("refused"))
    assert ended == [("CA1.1", "it is refused")]


async def test_a_path_that_is_found_in_time_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PATIENCE", 0.01)
    ended: list[str] = []
    watched = Paths(lambda leg, reason: ended.append(leg))
    watched.lost(lost("unreachable"))
    watched.lost(lost("closed", "CA1.2"))
    watched.found("CA1.1")
    await asyncio.sleep(0.02)
    assert ended == ["CA1.2"]


async def test_nothing_ends_after_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PATIENCE", 0.0)
    ended: list[str] = []
    watched = Paths(lambda leg, reason: ended.append(leg))
    watched.lost(lost("unreachable"))
    watched.close()
    await asyncio.sleep(0.005)
    assert ended == []
