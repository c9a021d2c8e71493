"""That the hunt for mutants finds them; the hunt itself is `make mutate-twiml`."""

import pytest

from tests.mutate import __main__ as hunt
from tests.mutate.mutants import TEST, forgotten, promised
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


def test_one_row_may_be_hunted_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert hunt.main(["--row", "Pause length"]) == 0
    assert capsys.readouterr().out.endswith("1 rows, 1 mutants killed\n")


def test_a_mutant_that_lives_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    living = {"Pause length": (f"{TEST}[Say loop]",)}
    monkeypatch.setattr(hunt, "named", lambda: living)
    assert hunt.main(["--row", "Pause length"]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"Pause length: survives {TEST}[Say loop]",
        "1 rows, 0 mutants killed",
    ]


def test_a_test_that_is_not_there_is_told_of_and_nothing_is_hunted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hunt, "named", lambda: {"Pause length": (f"{TEST}[nothing]",)})
    assert hunt.main(["--row", "Pause length"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"{TEST}[nothing]: there is no such test"
