"""How numbers without a phone of their own answer: by their last four digits, as one can dial them.

The fixed endings are data in the words of a script; more of them, or others, come from a file or
the command line.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from sims.phone_script import Manner, ScriptError, read_manner

OTHERWISE: Final = "*"

_GREETING: Final = [{"tone": 440, "for": 2}, {"echo": True}]
_BEEP: Final = {"tone": 1000, "for": 0.5}

_NUMBERS: Final[dict[str, dict[str, Any]]] = {
    "0486": {"refuse": 486},
    "0408": {"answer_after": None},
    "0603": {"refuse": 603},
    "0503": {"refuse": 503},
    "0183": {"answer_after": 3, "early": [{"tone": 620, "for": 3}], "script": _GREETING},
    "0010": {"script": [{"repeat": 0.5}]},
    "0011": {"script": [{"noise": 4}, _BEEP]},
    OTHERWISE: {"script": _GREETING},
}


class Manners:
    """Manners by the last four digits of the number that is called."""

    def __init__(self, extra: Mapping[str, Manner] | None = None) -> None:
        fixed = {digits: read_manner(written) for digits, written in _NUMBERS.items()}
        self._known = fixed | dict(extra or {})

    def of(self, number: str) -> Manner:
        """How `number` answers."""
        return self._known.get(number[-4:]) or self._known[OTHERWISE]


def read_manners(path: Path) -> dict[str, Manner]:
    """The manners of a JSON file `{"0555": {"answer_after": 1, "script": […]}, "*": {…}}`.

    Raises `ScriptError`.
    """
    try:
        written = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ScriptError(f"manners {path}: {error}") from error
    return {_digits(each): _named(each, manner) for each, manner in written.items()}


def named_manners(pairs: Sequence[str]) -> dict[str, Manner]:
    """The manners of `DIGITS=JSON` pairs; raises `ScriptError`."""
    found = {}
    for pair in pairs:
        digits, _, manner = pair.partition("=")
        found[_digits(digits)] = _named(digits, manner)
    return found


def _named(digits: str, written: str | Mapping[str, Any]) -> Manner:
    try:
        return read_manner(written)
    except ScriptError as error:
        raise ScriptError(f"manner of {digits}: {error}") from error


def _digits(text: str) -> str:
    if text != OTHERWISE and not (len(text) == 4 and text.isascii() and text.isdigit()):
        raise ScriptError(f"a manner is for four digits, such as 0555, or for *, not {text!r}")
    return text
