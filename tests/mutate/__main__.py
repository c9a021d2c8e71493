"""`python -m tests.mutate`: take each attribute of TwiML for calls its effect, and want a test red.

The rows are the attributes that documents for calls may have, as the dialect has them; each has its
named tests, and each of these has to fail while its attribute is forgotten, and else to pass. Ends
with 1 if a row has no test or a mutant survives.
"""

import argparse
import contextlib
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pytest

from tests.mutate.mutants import Mutant, forgotten, promised
from tests.mutate.named import named

PATIENCE: Final = 20
"""Seconds for a test; one that waits in vain for what its attribute does would wait for long."""

# A test that fails in the middle may leave something open, which is nobody's concern here.
_QUIETLY: Final = ("-qq", "--tb=no", "-p", "no:cacheprovider", "-p", "no:unraisableexception")


class Watcher:
    """Runs each test with the attribute of its own forgotten, and keeps which ones failed."""

    def __init__(self, mutants: Mapping[str, Mutant]) -> None:
        self._mutants = mutants  # by test; one that is not there is run as it is
        self.seen: set[str] = set()
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        mutant = self._mutants.get(item.nodeid)
        if mutant is None:
            return (yield)
        with forgotten(mutant):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seen.add(report.nodeid)
        if report.failed:
            self.failed.add(report.nodeid)


def run(tests: Sequence[str], mutants: Mapping[str, Mutant]) -> Watcher:
    """Run some tests in this process."""
    watcher = Watcher(mutants)
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*_QUIETLY, f"--timeout={PATIENCE}", *tests], plugins=[watcher])
    return watcher


def rounds(rows: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Each test with one of its rows, so that no test is twice in a round."""
    left = [(test, name) for name, tests in rows.items() for test in tests]
    while left:
        now: dict[str, str] = {}
        for test, name in left:
            now.setdefault(test, name)
        yield now
        left = [(test, name) for test, name in left if now[test] != name]


def unsound(rows: Mapping[str, Sequence[str]]) -> list[str]:
    """Tests that are missing, or fail with every attribute in place: they show nothing."""
    tests = sorted({test for each in rows.values() for test in each})
    plain = run(tests, {})
    wrong = [f"{test}: there is no such test" for test in tests if test not in plain.seen]
    return [*wrong, *(f"{test}: fails by itself" for test in sorted(plain.failed))]


def survivors(rows: Mapping[str, Sequence[str]], mutants: Mapping[str, Mutant]) -> dict[str, str]:
    """Attributes that are not missed, and the test that does not miss them."""
    found: dict[str, str] = {}
    for now in rounds(rows):
        watcher = run(list(now), {test: mutants[name] for test, name in now.items()})
        found |= {name: test for test, name in now.items() if test not in watcher.failed}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("--row", help="this one alone, such as 'Gather numDigits'")
    options = parser.parse_args(arguments)
    mutants, tests = promised(), named()
    names = sorted(mutants) if options.row is None else [options.row]
    rows = {name: tests[name] for name in names if name in tests and name in mutants}
    wrong = [f"{name}: no test names it" for name in names if name not in tests]
    wrong += [f"{name}: is no attribute with an effect" for name in tests if name not in mutants]
    wrong += unsound(rows)
    if wrong:
        print("\n".join(wrong))
        return 1
    alive = survivors(rows, mutants)
    for name, test in alive.items():
        print(f"{name}: survives {test}")
    print(f"{len(rows)} rows, {len(rows) - len(alive)} mutants killed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
