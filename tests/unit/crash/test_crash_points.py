"""The kill points: the product has the functions they name, and the n-th passage ends it."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.messages import records
from tests.crash import points
from tests.crash.points import BY_NAME, CALL_POINTS, POINTS, Point, Side, arm, owner_of


@pytest.mark.parametrize("point", [*POINTS, *CALL_POINTS], ids=lambda point: point.name)
def test_the_product_has_the_function(point: Point) -> None:
    owner, name = owner_of(point)
    assert callable(getattr(owner, name))


def test_the_points_of_the_promise_are_all_there() -> None:
    wanted = {
        "before-commit",
        "after-commit",
        "after-submit",
        "after-response",
        "after-receipt",
        "mid-callback",
    }
    assert wanted <= set(BY_NAME)
    assert len(BY_NAME) == len(POINTS) + len(CALL_POINTS)


def test_a_function_that_is_gone_is_said() -> None:
    point = Point(
        name="gone",
        meaning="",
        where="gateway.messages.service:Messages.nothing",
        side=Side.BEFORE,
        counts=lambda *_: True,
    )
    with pytest.raises(AttributeError, match="nothing"):
        owner_of(point)


class Product:
    """What is killed here."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps

    def step(self, name: str) -> None:
        self.steps.append(name)

    async def slow_step(self, name: str) -> None:
        self.steps.append(name)


class Died(Exception):
    """Stands for SIGKILL."""


def armed(
    monkeypatch: pytest.MonkeyPatch,
    side: Side,
    name: str,
    steps: list[str],
    soon: Callable[[Callable[[], None]], None] = lambda die: die(),
) -> Product:
    """A product that dies at the second passage with an upper-case name."""
    monkeypatch.setattr(points, "owner_of", lambda _: (Product, name))
    monkeypatch.setattr(Product, name, getattr(Product, name))
    passages = iter((False, True, False))

    def die() -> None:
        steps.append("died")
        raise Died

    point = Point(
        name="here", meaning="", where="", side=side, counts=lambda _, name: name.isupper()
    )
    arm(point, lambda: next(passages), die, soon)
    return Product(steps)


@pytest.mark.parametrize(
    ("side", "end"), [(Side.BEFORE, ["died"]), (Side.AFTER, ["B", "died"])], ids=str
)
def test_before_and_after_a_function(
    monkeypatch: pytest.MonkeyPatch, side: Side, end: list[str]
) -> None:
    steps: list[str] = []
    product = armed(monkeypatch, side, "step", steps)
    product.step("a")
    product.step("A")
    with pytest.raises(Died):
        product.step("B")
    assert steps == ["a", "A", *end]


async def test_what_is_stalled_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def soon(die: Callable[[], None]) -> None:
        def ends() -> None:
            with pytest.raises(Died):
                die()
            ended.set_result(None)

        loop.call_soon(ends)

    product = armed(monkeypatch, Side.STALLED, "slow_step", steps, soon)
    await product.slow_step("A")
    waits = loop.create_task(product.slow_step("B"))
    await ended
    assert steps == ["A", "died"]
    waits.cancel()


def test_only_a_commit_with_a_message_is_an_accept() -> None:
    counts = BY_NAME["before-commit"].counts
    accept: Any = ([(records.INSERT, ())], None, None)
    change: Any = ([(records.STATE, ())], None, None)
    assert counts(None, [change, accept]) and not counts(None, [change])


def test_answers_and_outcomes_are_told_apart() -> None:
    answered = SimpleNamespace(answers=[1], settled=[])
    assert BY_NAME["mid-receipt-commit"].counts(None, answered)
    assert not BY_NAME["mid-response-commit"].counts(None, answered)
