"""Naps for the store's threads: only while one has been out for long."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.store import turns
from gateway.store.turns import Turns


class Loop:
    """Timers and a time that are moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> object:
        self.timers.append((self.now + delay, call))
        return object()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            timer = min(due, key=lambda each: each[0])
            self.timers.remove(timer)
            self.now = timer[0]
            timer[1]()
        self.now = end


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    taken: list[float] = []
    monkeypatch.setattr(turns.time, "sleep", taken.append)
    return taken


def made(loop: Loop) -> Turns:
    return Turns(cast(Any, loop))


def test_the_loop_naps_while_a_thread_does_not_come_back(naps: list[float]) -> None:
    loop = Loop()
    threads = made(loop)
    threads.asked()
    loop.advance(0.0019)
    assert naps == []
    loop.advance(0.0101)
    assert 8 <= len(naps) <= 12
    assert sum(naps) <= 0.0012


def test_it_does_not_nap_while_threads_come_back(naps: list[float]) -> None:
    loop = Loop()
    threads = made(loop)
    for _ in range(100):
        threads.asked()
        loop.advance(0.0005)
        threads.asked()
        threads.answered(2)
    assert naps == []


def test_nothing_is_left_when_nothing_was_asked(naps: list[float]) -> None:
    loop = Loop()
    threads = made(loop)
    threads.asked()
    threads.answered()
    loop.advance(1.0)
    assert loop.timers == [] and naps == []
    threads.asked()
    loop.advance(0.01)
    assert naps
