"""Messages in the store: the declared writes, the named reads, and rows to values and back."""

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.model import Direction, Message, MessageStatus
from gateway.store.base import Delete, Insert, Query, Row, Store, Update, Write

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
VERSION: Final = Query(
    "message_version", "SELECT version FROM messages WHERE account_sid = $1 AND sid = $2"
)
OPEN_CARRIERS: Final = Query(
    "messages_open_carriers",
    "SELECT carrier, count(*) FROM messages WHERE status IN ('queued', 'sending') GROUP BY carrier",
)
# Of a message that was accepted by another process and is still untouched.
ARRIVED: Final = Query(
    "messages_arrived",
    f"SELECT {', '.join('r.' + name for name in _COLUMNS)} FROM messages r"
    " WHERE r.carrier = ANY($1::text[]) AND r.status = 'queued' AND r.attempt = 0 AND {arrived}",
)
OPEN: Final = Query(
    "messages_open",
    f"{_SELECT} WHERE carrier = $1 AND date_created >= $2 AND (date_created > $3 OR sid > $4)"
    " AND status IN ('queued', 'sending') ORDER BY date_created, sid LIMIT $5",
)


def row_of(message: Message) -> Row:
    """The row of `INSERT`."""
    return tuple(
        msgspec.json.encode(value).decode() if name == "media" else value
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


def redacted(message: Message) -> Write:
    """The write that stores a message whose body and media were taken out."""
    return BODY, (
        message.account_sid,
        message.sid,
        message.body,
        msgspec.json.encode(message.media).decode(),
        message.date_updated,
        message.version,
    )


def deleted(account_sid: str, sid: str) -> Write:
    """The write that forgets a message."""
    return DELETE, (account_sid, sid)


async def rebased(store: Store, writes: Sequence[Write]) -> list[Write]:
    """`writes` again, over the versions that the store holds now.

    For an owner whose message somebody else changed meanwhile (a redaction from another
    process): the columns are different ones, so only the version must move on. Writes to
    messages that are gone are left out.
    """
    versions: dict[tuple[str, str], int] = {}
    result: list[Write] = []
    for statement, row in writes:
        if statement not in (STATE, BODY):
            result.append((statement, row))
            continue
        key = (row[0], row[1])
        if key not in versions:
            found = await store.fetch(VERSION, *key)
            versions[key] = found[0][0] if found else 0
        if versions[key]:
            versions[key] += 1
            result.append((statement, (*row[:-1], versions[key])))
    return result
