"""Whether a form has the types that an operation declares; what is not declared is ignored."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from gateway.api.http import refuse
from gateway.api.lists import day_of
from gateway.api.resources import Kind, Operation, Param
from gateway.messages.draft import Refusal
from twiml.readers import yes_or_no

_INTEGER: Final = re.compile(r"-?[0-9]{1,9}")
_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


def _is_date(text: str) -> bool:
    try:
        day_of(text)
    except (ValueError, OverflowError):
        return False
    return True


_TESTS: Final[dict[Kind, tuple[Callable[[str], object], str]]] = {
    Kind.INTEGER: (_INTEGER.fullmatch, "an integer"),
    Kind.NUMBER: (_NUMBER.fullmatch, "a number such as 0.05"),
    Kind.BOOLEAN: (lambda text: yes_or_no(text) is not None, "true or false"),
    Kind.METHOD: (lambda text: text.upper() in ("GET", "POST"), "GET or POST"),
    Kind.DATE: (_is_date, "a date: YYYY-MM-DD or ISO 8601, UTC"),
}


def spelled(value: str) -> str:
    """`value` as choices are written: booleans in any case are in small letters."""
    return value if yes_or_no(value) is None else value.lower()


def checks_of(operation: Operation) -> dict[str, Param]:
    """The parameters of `operation` that have anything to check, by name."""
    return {
        param.name: param for param in operation.params if param.kind in _TESTS or param.choices
    }


def refuse_types(form: Mapping[str, list[str]], checks: Mapping[str, Param]) -> Refusal | None:
    """The refusal for the first value of the wrong type; an empty value is as none given."""
    for name, values in form.items():
        param = checks.get(name)
        if param is None:
            continue
        for value in values:
            if value and (expected := _wrong(param, value)):
                return refuse(
                    param.error_code, f"Parameter '{name}' should be {expected}, not {value[:40]}"
                )
    return None


def _wrong(param: Param, value: str) -> str:
    if param.choices:
        return "" if spelled(value) in param.choices else " or ".join(param.choices)
    test, expected = _TESTS[param.kind]
    return "" if test(value) else expected
