"""How a message changes: the next value, and the writes and jobs that go with it.

The one place where a status is assigned: it checks the transition table, and state, fact and
callback leave it together (`design`: state, facts, jobs, one commit).
"""

from typing import Any

import msgspec

from gateway.events import BY_STATUS, FactType, message_fact
from gateway.messages import callbacks, records
from gateway.messages.changes import Changes
from gateway.messages.flight import Flight
from gateway.model import TRANSITIONS, Message, MessageStatus


class ImpossibleTransition(Exception):
    """A message was to be put into a state that its own can't be followed by."""


def next_message(message: Message, status: MessageStatus, now: float, **fields: Any) -> Message:
    """`message` in its next state; `fields` are other columns that change with it."""
    if status not in TRANSITIONS[message.status]:
        raise ImpossibleTransition(f"{message.sid}: {message.status} to {status}")
    return msgspec.structs.replace(
        message, status=status, date_updated=now, version=message.version + 1, **fields
    )


class StateWriter:
    """Puts state changes into a `Changes`; knows the policy for callbacks."""

    def __init__(self, policy: callbacks.CallbackPolicy) -> None:
        self._policy = policy

    def advance(
        self,
        flight: Flight,
        status: MessageStatus,
        now: float,
        changes: Changes,
        *,
        error_code: int = 0,
        **data: Any,
    ) -> None:
        """The message of `flight` is now `status`: state, fact and callback in `changes`.

        `data` is what the fact says beside it, e.g. the carrier or the parts that were refused.
        """
        fields: dict[str, Any] = {"error_code": error_code} if error_code else {}
        if status is MessageStatus.SENT:
            fields["date_sent"] = now
        if status is MessageStatus.DELIVERED:
            fields["error_code"] = 0  # it may have been undelivered before
        message = next_message(flight.message, status, now, **fields)
        flight.message = message
        changes.write(records.changed(message))
        kind = BY_STATUS.get(status)
        if status is MessageStatus.QUEUED:  # it was one before: this is the way back
            kind = FactType.MESSAGE_DEFERRED
        if kind is not None:
            if error_code:
                data["error_code"] = error_code
            changes.write(message_fact(message, kind, now, **data))
        changes.add_jobs(callbacks.for_status(message, now, self._policy))
