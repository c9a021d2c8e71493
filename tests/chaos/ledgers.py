"""What the strangers wrote down, read as it grows and kept small: submits, texts, callbacks."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_UDHI: Final = 0x40

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """A submit_sm that a carrier read at `at`: `key` is the same for copies of one part, and
    `reference` for those of them that carry one reference number.
    """

    at: float
    key: tuple[str, int, str]
    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A request that the app got: `signed` says whether its signature is right."""

    at: float
    sid: str
    status: str
    token: str
    signed: bool


class Tail:
    """The whole lines of a file that is still written to, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> Iterator[Line]:
        """Those that came since the last look."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield json.loads(line)


class CarrierLedger:
    """What one carrier read."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self.submits: list[Submit] = []
        self.texts: list[tuple[str, str]] = []  # recipient and body of each copy that came whole

    def look(self) -> None:
        """Read on."""
        for line in self._tail.lines():
            if line["event"] == "submit_sm":
                self.submits.append(submit_of(line))
            elif line["event"] == "text":
                self.texts.append((line["to"], line["body"]))


class AppLedger:
    """What one app was told."""

    def __init__(self, path: Path, is_signed: Callable[[Line], bool]) -> None:
        self._tail = Tail(path)
        self._is_signed = is_signed
        self.callbacks: list[Callback] = []

    def look(self) -> None:
        """Read on."""
        self.callbacks += [callback_of(line, self._is_signed) for line in self._tail.lines()]


def submit_of(line: Line) -> Submit:
    """A line of a carrier's ledger; the header of a part is no part of what makes it the same."""
    payload: str = line["payload"]
    header = 2 + 2 * int(payload[:2], 16) if line["esm_class"] & _UDHI else 0
    return Submit(
        at=line["at"],
        key=(line["to"], line["part"], payload[header:]),
        reference=payload[:header],
    )


def callback_of(line: Line, is_signed: Callable[[Line], bool]) -> Callback:
    """A line of an app's ledger."""
    return Callback(
        at=line["at"],
        sid=line["params"].get("MessageSid", ""),
        status=line["params"].get("MessageStatus", ""),
        token=line["headers"].get("I-Twilio-Idempotency-Token", ""),
        signed=is_signed(line),
    )
