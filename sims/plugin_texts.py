"""Texts in the hand of a test: what arrives on simulated handsets, and what they send."""

import re
from collections import Counter
from typing import Any, Final
from urllib.parse import quote

from sims.plugin_gateway import Door, wait_for

__tracebackhide__ = True  # a failure is shown where the test asked

_WITHIN: Final = 10.0  # seconds

Text = dict[str, Any]
"""`from`, `to`, `body`, `received_at`."""


class Messages:
    """The handsets of the simulated carrier."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._read: Counter[tuple[str, str, str]] = Counter()

    def expect(
        self,
        to: str,
        body: str | re.Pattern[str] | None = None,
        from_: str = "",
        within: float = _WITHIN,
    ) -> Text:
        """A text arrives on a handset, and is given once; a pattern has to be found in its body."""

        def arrived() -> Text | None:
            passed: Counter[tuple[str, str, str]] = Counter()
            for each in self.of(to):
                if not _fits(each, body, from_):
                    continue
                copy = (each["to"], each["from"], each["body"])
                passed[copy] += 1
                if passed[copy] > self._read[copy]:
                    self._read[copy] += 1
                    return each
            return None

        found = wait_for(arrived, within)
        if found is None:
            there = "\n".join(f"  {each['from']}: {each['body']}" for each in self.of(to))
            wanted = "a text" if body is None else f"the text {_words(body)!r}"
            whom = f" from {from_}" if from_ else ""
            raise AssertionError(
                f"{to} was to get {wanted}{whom} within {within:g} s; on the handset:"
                f"\n{there or '  nothing'}"
            )
        return found

    def of(self, number: str) -> list[Text]:
        """What arrived on a handset, oldest first."""
        found: list[Text] = self._door.ask("GET", _path(number))
        return found

    def text_in(self, from_: str, to: str, body: str) -> None:
        """Text the gateway from a handset; returns when the gateway has taken it."""
        self._door.ask("POST", _path(from_), content={"to": to, "body": body})


def _path(number: str) -> str:
    return f"/sim/handsets/{quote(number, safe='')}/messages"


def _words(body: str | re.Pattern[str]) -> str:
    return body if isinstance(body, str) else body.pattern


def _fits(text: Text, body: str | re.Pattern[str] | None, from_: str) -> bool:
    if from_ not in ("", text["from"]):
        return False
    if isinstance(body, re.Pattern):
        return body.search(text["body"]) is not None
    return body in (None, text["body"])
