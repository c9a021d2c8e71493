"""What became of commands: values in the past tense, read with `Session.next_event`."""

from typing import Any

import msgspec


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The command was answered, by these fields; `message.refusal` says whether it was done."""

    cookie: str
    fields: dict[str, Any]


class GaveUp(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody waits for an answer any more; `reason` goes on after the name of who was asked."""

    cookie: str
    reason: str


Event = Answered | GaveUp
