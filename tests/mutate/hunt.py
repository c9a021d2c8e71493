"""Running named tests with an attribute forgotten, in several processes; `__main__` says why.

A test is always run by the same process. What takes long for want of its attribute is stopped.
"""

import contextlib
import io
import multiprocessing
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import msgspec
import pytest

from tests.mutate.mutants import Mutant, forgotten, promised

Rows = Mapping[str, Sequence[str]]
"""The tests of each attribute, by its name."""

PATIENCE: Final = 60.0
"""Seconds for a test while every attribute has its effect."""
_SLOWER: Final = 2.5
_LONGER: Final = 3.0  # seconds
# A test in a gateway takes seconds, one on a fake call hardly any time.
_WEIGHTS: Final = {True: 100, False: 1}

# A test that fails in the middle may leave something open, which is nobody's concern here.
_QUIETLY: Final = (
    *("-qq", "--tb=no", "-p", "no:cacheprovider", "-p", "no:unraisableexception"),
    *("-W", "ignore::ResourceWarning"),
)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a hunt found: tests that show nothing, and attributes that are not missed.

    `alive` has the test that does not miss the attribute.
    """

    wrong: list[str]
    alive: dict[str, str]


class Watcher:
    """Runs each test with the attribute of its own forgotten, and keeps which ones failed.

    `limits` are seconds for a test; one that waits in vain for what its attribute does would wait
    for long. `took` are the seconds that each one took.
    """

    def __init__(self, mutants: Mapping[str, Mutant], limits: Mapping[str, float]) -> None:
        self._mutants = mutants  # by test; one that is not there is run as it is
        self._limits = limits
        self.took: dict[str, float] = {}
        self.failed: set[str] = set()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            limit = self._limits.get(item.nodeid, PATIENCE)
            item.add_marker(pytest.mark.timeout(limit), append=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        mutant = self._mutants.get(item.nodeid)
        if mutant is None:
            return (yield)
        with forgotten(mutant):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[report.nodeid] = self.took.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self.failed.add(report.nodeid)


def run(
    tests: Sequence[str], mutants: Mapping[str, Mutant], limits: Mapping[str, float]
) -> Watcher:
    """Run some tests in this process."""
    watcher = Watcher(mutants, limits)
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*_QUIETLY, *tests], plugins=[watcher])
    return watcher


def rounds(rows: Rows) -> Iterator[dict[str, str]]:
    """Each test with one of its rows, so that no test is twice in a round."""
    left = [(test, name) for name, tests in rows.items() for test in tests]
    while left:
        now: dict[str, str] = {}
        for test, name in left:
            now.setdefault(test, name)
        yield now
        left = [(test, name) for test, name in left if now[test] != name]


def _is_in_gateway(test: str) -> bool:
    return "integration" in test


def in_gateways(rows: Rows) -> int:
    """How many tests of `rows` run in a gateway, each counted for every row that names it."""
    return sum(_is_in_gateway(test) for tests in rows.values() for test in tests)


def by_lot(rows: Rows, count: int, seed: int) -> Rows:
    """`rows` with `count` of those that have a test in a gateway, and without it in the others."""
    slow = [name for name, tests in rows.items() if any(map(_is_in_gateway, tests))]
    chosen = set(random.Random(seed).sample(slow, min(count, len(slow))))
    quick = {
        name: [test for test in tests if name in chosen or not _is_in_gateway(test)]
        for name, tests in rows.items()
    }
    return {name: tests for name, tests in quick.items() if tests}


def shares(rows: Rows, count: int) -> list[dict[str, list[str]]]:
    """`rows` for `count` processes: each test in one of them, about as much to do in each."""
    names: dict[str, list[str]] = {}
    for name, tests in rows.items():
        for test in tests:
            names.setdefault(test, []).append(name)
    weights = {test: len(of) * _WEIGHTS[_is_in_gateway(test)] for test, of in names.items()}
    found: list[dict[str, list[str]]] = [{} for _ in range(count)]
    loads = [0] * count
    for test in sorted(names, key=lambda test: (-weights[test], test)):
        least = loads.index(min(loads))
        loads[least] += weights[test]
        for name in names[test]:
            found[least].setdefault(name, []).append(test)
    return [each for each in found if each]


def hunt(rows: Rows) -> Found:
    """Run the tests as they are, and if all is well with each of their attributes forgotten."""
    mutants = promised()
    tests = sorted({test for each in rows.values() for test in each})
    plain = run(tests, {}, {})
    wrong = [f"{test}: there is no such test" for test in tests if test not in plain.took]
    # On a busy machine a sound may come too late once.
    failed = run(sorted(plain.failed), {}, {}).failed if plain.failed else set()
    wrong += [f"{test}: fails by itself, twice" for test in sorted(failed)]
    alive: dict[str, str] = {}
    limits = {test: _SLOWER * seconds + _LONGER for test, seconds in plain.took.items()}
    for now in [] if wrong else rounds(rows):
        # Nor does a test miss its attribute each time on a machine that stands still for a while.
        alive_still = passed_without(passed_without(now, mutants, limits), mutants, limits)
        alive |= {name: test for test, name in alive_still.items()}
    return Found(wrong=wrong, alive=alive)


def passed_without(
    now: Mapping[str, str], mutants: Mapping[str, Mutant], limits: Mapping[str, float]
) -> dict[str, str]:
    """Those of some tests, each with a row, that pass with the attribute of the row forgotten."""
    if not now:
        return {}
    watcher = run(list(now), {test: mutants[name] for test, name in now.items()}, limits)
    return {test: name for test, name in now.items() if test not in watcher.failed}


def hunt_together(rows: Rows, workers: int) -> Found:
    """Hunt in so many processes."""
    parts = shares(rows, workers)
    if len(parts) < 2:
        return hunt(rows)
    with ProcessPoolExecutor(len(parts), multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(hunt, parts))
    return Found(
        wrong=[line for each in found for line in each.wrong],
        alive={name: test for each in found for name, test in each.alive.items()},
    )
