"""Queues and who waits in them in the store: values, declared writes, named reads."""

from typing import Final

import msgspec

from gateway.store.base import Delete, Insert, Query, Row, Update, Write

__all__ = ["COLUMNS", "MEMBERS", "MemberRow", "QueueRow"]


class QueueRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One queue; the columns of table `queues`. Times are seconds of the epoch."""

    account_sid: str
    sid: str
    friendly_name: str
    max_size: int
    date_created: float
    date_updated: float
    version: int = 1


class MemberRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One who waits; the columns of table `queue_members`.

    `owner` is the member of the cluster whose process has the call.
    """

    account_sid: str
    queue_sid: str
    call_sid: str
    owner: str
    date_enqueued: float


COLUMNS: Final = QueueRow.__struct_fields__
MEMBERS: Final = MemberRow.__struct_fields__

_INSERT: Final = Insert(table="queues", columns=COLUMNS)
_UPDATE: Final = Update(
    table="queues",
    key=("account_sid", "sid"),
    columns=("friendly_name", "max_size", "date_updated", "version"),
    guard="version",
)
_DELETE: Final = Delete(table="queues", key=("account_sid", "sid"))
_DELETE_ACCOUNT: Final = Delete(table="queues", key=("account_sid",))
_CAME: Final = Insert(table="queue_members", columns=MEMBERS)
_WENT: Final = Delete(table="queue_members", key=("account_sid", "queue_sid", "call_sid"))

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM queues"
_WAITING: Final = f"SELECT {', '.join(MEMBERS)} FROM queue_members"
NAMED: Final = Query("queue_named", f"{_SELECT} WHERE account_sid = $1 AND friendly_name = $2")
WAITING: Final = Query(
    "queue_waiting",
    f"{_WAITING} WHERE account_sid = $1 AND queue_sid = $2 ORDER BY date_enqueued, call_sid",
)

# For a restart: whose callers wait, and which they are.
OWNERS: Final = Query(
    "queue_members_owners", "SELECT owner, count(*) FROM queue_members GROUP BY owner"
)
OF_OWNER: Final = Query("queue_members_of_owner", f"{_WAITING} WHERE owner = $1")


def inserted(row: QueueRow) -> Write:
    """The write that makes a queue exist."""
    return _INSERT, msgspec.structs.astuple(row)


def updated(row: QueueRow) -> Write:
    """The write that stores its next state, one version above the one before."""
    return _UPDATE, (
        row.account_sid,
        row.sid,
        row.friendly_name,
        row.max_size,
        row.date_updated,
        row.version,
    )


def deleted(account_sid: str, sid: str) -> Write:
    """The write that forgets one."""
    return _DELETE, (account_sid, sid)


def all_removed(account_sid: str) -> Write:
    """The write that forgets all queues of an account; who still waits in one waits on."""
    return _DELETE_ACCOUNT, (account_sid,)


def came(row: MemberRow) -> Write:
    """The write that has somebody wait."""
    return _CAME, msgspec.structs.astuple(row)


def went(account_sid: str, queue_sid: str, call_sid: str) -> Write:
    """The write that has somebody wait no more."""
    return _WENT, (account_sid, queue_sid, call_sid)


def queue_of(row: Row) -> QueueRow:
    """The queue that a row holds."""
    return QueueRow(**dict(zip(COLUMNS, row, strict=True)))


def member_of(row: Row) -> MemberRow:
    """The one who waits that a row holds."""
    return MemberRow(**dict(zip(MEMBERS, row, strict=True)))
