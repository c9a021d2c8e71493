"""When a process gives memory back: once after each peak, and never while there is work."""

import asyncio
import gc
from weakref import ref

import pytest

from gateway import resting
from gateway.resting import Peaks, Resting, give_back


def looks(peaks: Peaks, *done: int) -> list[bool]:
    return [peaks.is_over(each) for each in done]


def test_a_peak_is_over_once_it_has_been_quiet_for_a_while() -> None:
    peaks = Peaks(100)
    assert looks(peaks, 5_000, 9_000, 9_010, 9_020, 9_030) == [False] * 5
    assert looks(peaks, 9_040, 9_050, 9_060) == [True, False, False]


def test_the_next_peak_is_one_of_its_own() -> None:
    peaks = Peaks(0)
    assert looks(peaks, 2_000, 2_000, 2_000, 2_000, 2_000)[-1]
    assert looks(peaks, 4_000, 4_000, 4_000, 4_000, 4_000)[-1]


def test_who_has_work_all_the_time_is_left_alone() -> None:
    assert not any(looks(Peaks(0), *range(0, 100_000, 60)))
    assert not any(looks(Peaks(0), 500, 500, 500, 1_000, 1_000, 1_000, 1_500, 1_500, 1_500))


def test_little_work_leaves_nothing_to_give_back() -> None:
    assert not any(looks(Peaks(0), *range(0, 900, 5)))


def test_what_refers_to_itself_is_given_back() -> None:
    class Circle:
        def __init__(self) -> None:
            self.me = self

    circle = ref(Circle())
    assert circle() is not None or not gc.isenabled()
    give_back()
    assert circle() is None


async def test_caches_are_let_go_when_a_peak_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resting, "EVERY", 0.001)
    rested = asyncio.Event()
    done = iter([0, *[5_000] * 1_000_000])
    process = Resting(lambda: next(done), rested.set)
    process.start()
    async with asyncio.timeout(30):
        await rested.wait()
    await process.close()
