"""Messages in the store: the declared writes, the named reads, and rows to values and back."""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.model import Direction, Message, MessageStatus
from gateway.store.base import Delete, Insert, Query, Row, Update, Write

_COLUMNS: Final = Message.__struct_fields__

INSERT: Final = Insert(table="messages", columns=_COLUMNS)

# What dispatch, settle and cancel change. The body has its own statement: redaction is rare.
STATE: Final = Update(
    table="messages",
    key=("account_sid", "sid"),
    columns=(
        "status",
        "carrier",
        "route",
        "attempt",
        "reference",
        "concat_reference",
        "error_code",
        "date_updated",
        "date_sent",
        "version",
    ),
    guard="version",
)
BODY: Final = Update(
    table="messages",
    key=("account_sid", "sid"),
    columns=("body", "media", "date_updated", "version"),
    guard="version",
)
DELETE: Final = Delete(table="messages", key=("account_sid", "sid"))

_SELECT: Final = f"SELECT {', '.join(_COLUMNS)} FROM messages"

GET: Final = Query("message_get", f"{_SELECT} WHERE account_sid = $1 AND sid = $2")
OPEN: Final = Query(
    "messages_open",
    f"{_SELECT} WHERE carrier = $1 AND sid > $2 AND status IN ('queued', 'sending')"
    " ORDER BY sid LIMIT $3",
)

_state_values = msgspec.json  # the codec of `media`


def row_of(message: Message) -> Row:
    """The row of `INSERT`."""
    return tuple(
        _state_values.encode(value).decode() if name == "media" else value
        for name, value in zip(_COLUMNS, msgspec.structs.astuple(message), strict=True)
    )


def message_of(row: Row) -> Message:
    """The message that a row of `GET` or `OPEN` holds."""
    fields = dict(zip(_COLUMNS, row, strict=True))
    fields["direction"] = Direction(fields["direction"])
    fields["status"] = MessageStatus(fields["status"])
    fields["media"] = tuple(msgspec.json.decode(fields["media"], type=list[str]))
    return Message(**fields)


def messages_of(rows: Sequence[Row]) -> list[Message]:
    """The messages of `rows`, in their order."""
    return [message_of(row) for row in rows]


def inserted(message: Message) -> Write:
    """The write that makes `message` exist."""
    return INSERT, row_of(message)


def changed(message: Message) -> Write:
    """The write that stores the next state of a message that exists."""
    return STATE, (
        message.account_sid,
        message.sid,
        message.status,
        message.carrier,
        message.route,
        message.attempt,
        message.reference,
        message.concat_reference,
        message.error_code,
        message.date_updated,
        message.date_sent,
        message.version,
    )
