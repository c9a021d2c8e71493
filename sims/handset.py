"""The handsets of a simulated carrier: what they got, and what they text in.

A handset puts the parts of a long text together itself, as phones do, from the parts alone. Each
copy of a text that arrives whole is an entry of its own, so that duplicates can be seen.
"""

from collections import OrderedDict, deque
from typing import Final

import msgspec

Part = tuple[int, int, int]  # reference, total, number (from 1)

_SETS: Final = 10_000  # texts in parts that are remembered
_PARTIAL_FOR: Final = 4 * 3600.0  # seconds that a text waits for its missing parts
_REPEATS_FOR: Final = 30.0  # seconds that parts wait which came again after the text was whole


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """A whole text on a handset; `received_at` is in seconds since the epoch."""

    from_address: str
    to_address: str
    body: str
    received_at: float


class InText(msgspec.Struct, frozen=True, kw_only=True):
    """A text that a handset sends; numbers are in E.164 with +."""

    from_address: str
    to_address: str
    body: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway answered every one of the `parts` deliver_sm with status 0."""

    parts: int


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway answered a part with another `command_status`; the first one counts."""

    command_status: int


class Unbound(msgspec.Struct, frozen=True, kw_only=True):
    """No bind that receives was up, or the last one went before it answered."""


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway gave no answer within `seconds`."""

    seconds: float


Outcome = Taken | Refused | Unbound | Unanswered


class Inboxes:
    """Whole texts by the digits of the handset's number, oldest first.

    Over all handsets at most `limit` are kept; the oldest goes first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._texts: dict[str, deque[Text]] = {}
        self._order: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, text: Text) -> None:
        """`text` arrived on the handset it names."""
        number = text.to_address.lstrip("+")
        self._texts.setdefault(number, deque()).append(text)
        self._order.append(number)
        if len(self._order) > self._limit:
            self._drop_oldest()

    def of(self, number: str) -> tuple[Text, ...]:
        """What arrived on the handset `number` (with or without +)."""
        return tuple(self._texts.get(number.lstrip("+"), ()))

    def forget(self) -> None:
        """Empty every inbox."""
        self._texts.clear()
        self._order.clear()

    def _drop_oldest(self) -> None:
        number = self._order.popleft()
        texts = self._texts[number]
        texts.popleft()
        if not texts:
            del self._texts[number]


class _Set:
    """The parts of one text that wait for the others; several of a number are copies."""

    __slots__ = ("message_reference", "parts", "repeats", "touched")

    def __init__(self) -> None:
        self.parts: dict[int, list[bytes]] = {}
        self.repeats = False
        self.message_reference: int | None = None
        self.touched = 0.0

    def restart(self) -> None:
        self.parts.clear()
        self.repeats = False


class Assembly:
    """Puts parts together, in whatever order they come.

    A text is told by from, to, reference and total, as on a phone. When it is whole, parts that
    come again are the beginning of another copy; as references are used again for other texts
    they make way early: after seconds, or when the sender's user_message_reference is another.
    """

    def __init__(self) -> None:
        self._sets: OrderedDict[tuple[str, str, int, int], _Set] = OrderedDict()

    def add(
        self,
        addresses: tuple[str, str],
        part: Part,
        content: bytes,
        message_reference: int | None,
        now: float,
    ) -> list[bytes] | None:
        """Take one part, `now` in seconds; the contents of all parts in order if it is whole."""
        reference, total, number = part
        key = (*addresses, reference, total)
        waiting = self._sets.pop(key, None) or _Set()
        self._sets[key] = waiting
        if len(self._sets) > _SETS:
            self._sets.popitem(last=False)
        if _stale(waiting, message_reference, now):
            waiting.restart()
        waiting.touched = now
        waiting.message_reference = message_reference
        copies = waiting.parts.setdefault(number, [])
        if copies and copies[0] != content:  # another text under the same reference
            copies.clear()
        copies.append(content)
        if len(waiting.parts) < total:
            return None
        return _taken(waiting)

    def forget(self) -> None:
        """Drop every part that waits."""
        self._sets.clear()


def _taken(waiting: _Set) -> list[bytes]:
    """The content of one copy, in order; what is left over stays."""
    contents = [copies.pop(0) for _, copies in sorted(waiting.parts.items())]
    waiting.parts = {number: copies for number, copies in waiting.parts.items() if copies}
    waiting.repeats = True
    return contents


def _stale(waiting: _Set, message_reference: int | None, now: float) -> bool:
    age = now - waiting.touched
    if not waiting.repeats:
        return age > _PARTIAL_FOR
    return age > _REPEATS_FOR or waiting.message_reference != message_reference
