"""The short form of `python -m tests.fuzz`: every target, with the same tries at every run."""

import pytest

from tests.fuzz.__main__ import TARGETS, main


@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("target", TARGETS)
def test_no_counterexample(target: str, block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        try:
            TARGETS[target](seed)
        except Exception as error:
            error.add_note(f"repeat with: python -m tests.fuzz --target {target} --seed {seed}")
            raise


def test_a_run_tells_of_every_target_and_where_it_began(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seconds", "0.06"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(TARGETS)
    assert all("seed" in line and "no counterexample" in line for line in lines)


def test_a_counterexample_ends_with_1_and_says_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other targets are run all the same."""
    failed: list[int] = []

    def check(seed: int) -> None:
        failed.append(seed)
        raise AssertionError("the sky is green")

    monkeypatch.setitem(TARGETS, "parts", check)
    assert main(["--seconds", "0.06"]) == 1
    captured = capsys.readouterr()
    (seed,) = failed
    assert f"python -m tests.fuzz --target parts --seed {seed}" in captured.out
    assert "the sky is green" in captured.err
    assert captured.out.count("no counterexample") == len(TARGETS) - 1
    assert main(["--target", "parts", "--seed", "7"]) == 1
    assert failed[1:] == [7]
    assert main(["--target", "receipts", "--seed", "7"]) == 0
