"""When the garbage collector looks through a gateway: often at little, seldom at much."""

import gc
from collections.abc import Iterator

import pytest

from gateway.process import spare_the_collector

# What SIP keeps of calls: 44 containers each, for half a minute at 300 a second.
_KEPT = 44 * 300 * 32


@pytest.fixture
def looked() -> Iterator[list[int]]:
    """The generation of each look, of a collector that is put back as it was."""
    thresholds, looks = gc.get_threshold(), list[int]()

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "stop":
            looks.append(about["generation"])

    gc.callbacks.append(note)
    yield looks
    gc.callbacks.remove(note)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_calls_that_are_remembered_are_looked_through_once(looked: list[int]) -> None:
    spare_the_collector()
    looked.clear()
    kept = [[number] for number in range(_KEPT)]
    assert set(looked) == {0}
    assert len(kept) == _KEPT


def test_circles_do_not_gather_for_ever(looked: list[int]) -> None:
    spare_the_collector()
    looked.clear()
    for _ in range(10_000):
        circle: list[object] = []
        circle.append(circle)
    assert len(looked) >= 3
