"""That the hunt for mutants finds them; the hunt itself is `make mutate-twiml`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.mutate import __main__ as program
from tests.mutate import hunt
from tests.mutate.mutants import TEST, Mutant, forgotten, promised
from tests.mutate.named import named
from twiml.parser import Document, parse
from twiml.verbs import Pause
from twiml.voice_dialect import ALL_VOICE


def test_every_attribute_with_an_effect_has_a_test_that_names_it() -> None:
    assert promised().keys() == named().keys()


def test_an_attribute_that_is_forgotten_gives_its_default() -> None:
    def length() -> int:
        read = parse(b'<Response><Pause length="7"/></Response>', "text/xml", ALL_VOICE)
        assert isinstance(read, Document)
        (pause,) = read.verbs
        assert isinstance(pause, Pause)
        return pause.length

    assert length() == 7
    with forgotten(promised()["Pause length"]):
        assert length() == 1
    with forgotten(promised()["Say loop"]):
        assert length() == 7


def test_a_test_is_run_once_for_each_row_that_names_it() -> None:
    rows = {"a": ("x", "y"), "b": ("x",), "c": ("x",)}
    assert list(hunt.rounds(rows)) == [{"x": "a", "y": "a"}, {"x": "b"}, {"x": "c"}]


def test_each_test_is_one_processes_who_have_as_much_to_do() -> None:
    slow, quick = "tests/integration/a", "tests/unit/b"
    rows = {"a": (slow,), "b": (f"{slow}2", quick), "c": (f"{slow}2",), "d": (f"{slow}3",)}
    shared = hunt.shares(rows, 2)
    assert sorted((name, test) for each in shared for name, of in each.items() for test in of) == [
        (name, test) for name, tests in sorted(rows.items()) for test in tests
    ]
    first, second = ({test for of in each.values() for test in of} for each in shared)
    assert not first & second
    assert first == {f"{slow}2", quick} and second == {slow, f"{slow}3"}
    assert hunt.shares({"a": ("x",)}, 2) == [{"a": ["x"]}]


def test_a_lot_leaves_every_row_its_quick_test() -> None:
    rows = {str(at): (f"tests/unit/{at}", f"tests/integration/{at}") for at in range(9)}
    rows["quick"], rows["slow"] = ("tests/unit/a",), ("tests/integration/a",)
    few = hunt.by_lot(rows, 3, seed=1)
    assert hunt.in_gateways(rows) == 10 and hunt.in_gateways(few) == 3
    assert few == hunt.by_lot(rows, 3, seed=1) != hunt.by_lot(rows, 3, seed=2)
    assert all(rows[name][0] in few[name] for name in rows if name != "slow")
    assert hunt.by_lot(rows, 99, seed=1) == {name: list(tests) for name, tests in rows.items()}


def test_several_processes_find_what_one_does() -> None:
    rows = {"Pause length": (f"{TEST}[Pause length]", f"{TEST}[Say loop]")}
    found = hunt.hunt_together(rows, 2)
    assert found.wrong == []
    assert found.alive == {"Pause length": f"{TEST}[Say loop]"}
    gone = hunt.hunt_together({"Pause length": (f"{TEST}[Say loop]", f"{TEST}[no]")}, 2)
    assert gone.wrong == [f"{TEST}[no]: there is no such test"]


def test_who_waits_in_vain_is_stopped_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "test_slow.py"
    slow.write_text("import time\n\ndef test_it():\n    time.sleep(30)\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope=function\n")
    watcher = hunt.run([str(slow)], {}, {"test_slow.py::test_it": 0.2})
    assert watcher.failed == {"test_slow.py::test_it"}
    assert watcher.took["test_slow.py::test_it"] < 20


@pytest.mark.parametrize(("fails", "wrong"), [(1, []), (2, ["x: fails by itself, twice"])])
def test_a_test_that_fails_by_itself_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, fails: int, wrong: list[str]
) -> None:
    runs: list[bool] = []

    def run(
        tests: Sequence[str], mutants: Mapping[str, Mutant], limits: Mapping[str, float]
    ) -> hunt.Watcher:
        runs.append(bool(mutants))
        watcher = hunt.Watcher(mutants, limits)
        watcher.took = dict.fromkeys(tests, 0.1)
        watcher.failed = set(tests) if mutants or len(runs) <= fails else set()
        return watcher

    monkeypatch.setattr(hunt, "run", run)
    assert hunt.hunt({"Pause length": ("x",)}).wrong == wrong
    assert runs == ([False, False] if wrong else [False, False, True])


def test_one_row_may_be_hunted_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--row", "Pause length"]) == 0
    assert capsys.readouterr().out.endswith("1 rows, 1 mutants killed\n")
    assert program.main(["--row", "Pause length", "--seconds", "0", "--seed", "5"]) == 0
    told = capsys.readouterr().out
    assert told == "1 rows, 1 mutants killed; 0 of 1 tests in a gateway, --seed 5\n"


def test_a_mutant_that_lives_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    living = {"Pause length": (f"{TEST}[Say loop]",)}
    monkeypatch.setattr(program, "named", lambda: living)
    assert program.main(["--row", "Pause length"]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"Pause length: survives {TEST}[Say loop]",
        "1 rows, 0 mutants killed",
    ]


def test_a_test_that_is_not_there_is_told_of_and_nothing_is_hunted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "named", lambda: {"Pause length": (f"{TEST}[nothing]",)})
    assert program.main(["--row", "Pause length"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"{TEST}[nothing]: there is no such test"
