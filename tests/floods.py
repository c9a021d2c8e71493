"""Thousands of small cases in a few tests: each case as it was, without a test's own cost.

@each("seed", range(200))
def test_it(seed: int) -> None: ...
"""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any


def each(name: str, values: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As `pytest.mark.parametrize`, but all values in one test, which ends with the first that
    fails and names it. For cases that need no fixture of their own.
    """
    cases = tuple(values)
    assert cases, f"no case of {name}"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @wraps(test)
        def run(**others: Any) -> None:
            for case in cases:
                try:
                    test(**{name: case}, **others)
                except BaseException as error:
                    error.add_note(f"with {name} = {case!r}")
                    raise

        signature = inspect.signature(test)
        kept = [each for each in signature.parameters.values() if each.name != name]
        assert len(kept) < len(signature.parameters), f"{test.__name__} takes no {name}"
        vars(run)["__signature__"] = signature.replace(parameters=kept)
        return run

    return decorate
