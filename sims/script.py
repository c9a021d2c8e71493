"""What a simulated carrier does with a text, looked up by the number that was dialled.

The last four digits choose, so that a person can try anything by hand. The numbers and their
meaning are fixed (they are in the documentation); a script file or `--answer` adds others.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from sims.faults import Answer, Behaviour, Parts, Timing, catalogue

OTHERWISE: Final = "delivered"

NUMBERS: Final[dict[str, str]] = {
    "0001": "throttled-twice",
    "0002": "undeliverable",
    "0003": "invalid-destination",
    "0004": "no-receipt",
    "0005": "receipt-first",
    "0006": "drop-before-response",
    "0007": "late-response",
}

_COUNTED: Final = 100_000  # messages in the middle of their turns that are remembered


class ScriptError(ValueError):
    """A script file or an `--answer` that can't be followed; says what would be right."""


class Submit(msgspec.Struct, frozen=True, kw_only=True):
    """What of a submit_sm decides how it is answered: part `part` of `parts`, from 1 on."""

    from_address: str
    to_address: str
    payload: bytes
    part: int = 1
    parts: int = 1


class Script:
    """The answers by last four digits, and whose turn it is.

    A message is the same as another if its from, to and payload are; each part of a long text
    counts for itself. Of the messages in the middle of their turns the oldest are forgotten.
    """

    def __init__(self, answers: Mapping[str, Answer], otherwise: Answer) -> None:
        self._answers = dict(answers)
        self._otherwise = otherwise
        self._taken: OrderedDict[bytes, int] = OrderedDict()

    def behaviour(self, submit: Submit) -> Behaviour:
        """What happens to `submit` this time."""
        answer = self._answers.get(submit.to_address[-4:], self._otherwise)
        if len(answer.turns) == 1:
            return answer.turns[0]
        if answer.parts is Parts.LAST and submit.part != submit.parts:
            return self._otherwise.turns[-1]
        return answer.turns[self._turn(submit, len(answer.turns))]

    def forget(self) -> None:
        """Every message is at its first turn again."""
        self._taken.clear()

    def _turn(self, submit: Submit, turns: int) -> int:
        key = _key(submit)
        turn = self._taken.pop(key, 0)
        if turn + 1 < turns:
            self._taken[key] = turn + 1
            if len(self._taken) > _COUNTED:
                self._taken.popitem(last=False)
        return turn


def _key(submit: Submit) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for field in (submit.from_address.encode(), submit.to_address.encode(), submit.payload):
        digest.update(len(field).to_bytes(4, "big") + field)
    return digest.digest()


def texts(timing: Timing, extra: Mapping[str, Answer] | None = None) -> Script:
    """The script of a simulated carrier: the fixed numbers, then `extra` over them."""
    named = catalogue(timing)
    answers = {digits: named[name] for digits, name in NUMBERS.items()} | dict(extra or {})
    return Script(answers, named[OTHERWISE])


def named_answers(pairs: list[str], timing: Timing) -> dict[str, Answer]:
    """The answers of `DIGITS=NAME` pairs; raises ScriptError."""
    named = catalogue(timing)
    answers = {}
    for pair in pairs:
        digits, _, name = pair.partition("=")
        if name not in named:
            known = ", ".join(sorted(named))
            raise ScriptError(f"answer {pair!r}: there is no behaviour {name!r}; known: {known}")
        answers[_four_digits(digits, pair)] = named[name]
    return answers


def read_script(path: Path) -> dict[str, Answer]:
    """The answers of a JSON file `{"0555": {"turns": [[{"do": "respond"}, …], …]}}`.

    Raises ScriptError.
    """
    try:
        answers = msgspec.json.decode(path.read_bytes(), type=dict[str, Answer])
    except (OSError, msgspec.DecodeError) as error:
        raise ScriptError(f"script {path}: {error}") from error
    for digits, answer in answers.items():
        _four_digits(digits, f"{path}")
        if not answer.turns:
            raise ScriptError(f"script {path}: {digits} has no turn; give it at least one, even []")
    return answers


def _four_digits(digits: str, where: str) -> str:
    if len(digits) != 4 or not (digits.isascii() and digits.isdigit()):
        raise ScriptError(f"answer {where!r}: {digits!r} must be four digits, such as 0555")
    return digits
