"""Conferences and who is in them in the store: values, declared writes, named reads."""

from typing import Any, Final

import msgspec

from gateway.sids import CONFERENCE, first_sid
from gateway.store.base import Delete, Insert, Query, Row, Store, Update, Write

__all__ = ["CALLED", "COLUMNS", "PEOPLE", "ConferenceRow", "ParticipantRow"]

CALLED: Final = "queued"


class ConferenceRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One conference; the columns of table `conferences`. Times are seconds of the epoch.

    `reason_ended` and `call_sid_ending` are "" while it lives; `owner` is the member whose process
    has it. `status_callback` is told of the events named, words between blanks, and was `told` of
    so many.
    """

    account_sid: str
    sid: str
    friendly_name: str
    status: str
    reason_ended: str = ""
    call_sid_ending: str = ""
    owner: str
    date_created: float
    date_updated: float
    version: int = 1
    status_callback: str = ""
    status_callback_method: str = "POST"
    status_callback_events: str = ""
    told: int = 0


class ParticipantRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One who is in a conference now, or is `CALLED` into it; the columns of `participants`."""

    account_sid: str
    conference_sid: str
    call_sid: str
    label: str
    muted: bool
    hold: bool
    coached: str
    start_on_enter: bool
    end_on_exit: bool
    date_created: float
    date_updated: float
    status: str = "connected"


COLUMNS: Final = ConferenceRow.__struct_fields__
PEOPLE: Final = ParticipantRow.__struct_fields__
_SWITCHES: Final = frozenset({"muted", "hold", "start_on_enter", "end_on_exit"})
_PAGE: Final = 500
_OPEN: Final = "status IN ('init', 'in-progress')"

_INSERT: Final = Insert(table="conferences", columns=COLUMNS)
_UPDATE: Final = Update(
    table="conferences",
    key=("account_sid", "sid"),
    columns=(
        *("status", "reason_ended", "call_sid_ending", "owner", "date_updated", "version"),
        *("status_callback", "status_callback_method", "status_callback_events", "told"),
    ),
    guard="version",
)
_TOLD: Final = Update(table="conferences", key=("account_sid", "sid"), columns=("told",))
_DELETE: Final = Delete(table="conferences", key=("account_sid", "sid"))
_CAME: Final = Insert(table="participants", columns=PEOPLE)
_CHANGED: Final = Update(
    table="participants",
    key=("account_sid", "conference_sid", "call_sid"),
    columns=("muted", "hold", "coached", "end_on_exit", "date_updated"),
)
_WENT: Final = Delete(table="participants", key=("account_sid", "conference_sid", "call_sid"))
_ALL_WENT: Final = Delete(table="participants", key=("account_sid", "conference_sid"))

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM conferences"
GET: Final = Query("conference_get", f"{_SELECT} WHERE account_sid = $1 AND sid = $2")
NAMED: Final = Query(
    "conference_named",
    f"{_SELECT} WHERE account_sid = $1 AND friendly_name = $2 AND {_OPEN}"
    " ORDER BY sid DESC LIMIT 1",
)
IN: Final = Query(
    "participants_in",
    f"SELECT {', '.join(PEOPLE)} FROM participants WHERE account_sid = $1 AND conference_sid = $2"
    " ORDER BY call_sid DESC",
)
_NEXT_ACCOUNT: Final = Query(
    "conferences_account", "SELECT min(account_sid) FROM conferences WHERE account_sid > $1"
)
_OLD: Final = Query(
    "conferences_old",
    "SELECT account_sid, sid FROM conferences WHERE account_sid = $1 AND sid < $2"
    " AND status = 'completed' ORDER BY sid LIMIT $3",
)
# For a restart: whose conferences are not over, and which they are, page by page.
OPEN_OWNERS: Final = Query(
    "conferences_open_owners",
    f"SELECT owner, count(*) FROM conferences WHERE {_OPEN} GROUP BY owner",
)
OPEN: Final = Query(
    "conferences_open",
    f"{_SELECT} WHERE owner = $1 AND {_OPEN} AND sid > $2 ORDER BY sid LIMIT $3",
)


async def forget(store: Store, before: float) -> int:
    """Delete those over that began before `before`, seconds of the epoch, in pages; how many."""
    count, account_sid = 0, ""
    while (account_sid := (await store.fetch(_NEXT_ACCOUNT, account_sid))[0][0]) is not None:
        while rows := await store.fetch(_OLD, account_sid, first_sid(CONFERENCE, before), _PAGE):
            await store.commit([(_DELETE, row) for row in rows])
            count += len(rows)
    return count


def inserted(row: ConferenceRow) -> Write:
    """The write that makes a conference exist."""
    return _INSERT, msgspec.structs.astuple(row)


def updated(row: ConferenceRow) -> Write:
    """The write that stores its next state, one version above the one before."""
    return _UPDATE, (
        row.account_sid,
        row.sid,
        row.status,
        row.reason_ended,
        row.call_sid_ending,
        row.owner,
        row.date_updated,
        row.version,
        row.status_callback,
        row.status_callback_method,
        row.status_callback_events,
        row.told,
    )


def told(row: ConferenceRow) -> Write:
    """The write that says how many callbacks there were."""
    return _TOLD, (row.account_sid, row.sid, row.told)


def came(row: ParticipantRow) -> Write:
    """The write that has somebody in."""
    return _CAME, tuple(
        int(value) if name in _SWITCHES else value
        for name, value in zip(PEOPLE, msgspec.structs.astuple(row), strict=True)
    )


def came_in(row: ParticipantRow) -> list[Write]:
    """The writes that have somebody in who may have been called into it."""
    return [went(row.account_sid, row.conference_sid, row.call_sid), came(row)]


def changed(row: ParticipantRow) -> Write:
    """The write that says how somebody is now who is in."""
    return _CHANGED, (
        row.account_sid,
        row.conference_sid,
        row.call_sid,
        int(row.muted),
        int(row.hold),
        row.coached,
        int(row.end_on_exit),
        row.date_updated,
    )


def went(account_sid: str, sid: str, call_sid: str) -> Write:
    """The write that has somebody in no more."""
    return _WENT, (account_sid, sid, call_sid)


def all_went(account_sid: str, sid: str) -> Write:
    """The write that has nobody in any more."""
    return _ALL_WENT, (account_sid, sid)


def conference_of(row: Row) -> ConferenceRow:
    """The conference that a row holds."""
    return ConferenceRow(**dict(zip(COLUMNS, row, strict=True)))


def participant_of(row: Row) -> ParticipantRow:
    """The participant that a row holds."""
    fields: dict[str, Any] = dict(zip(PEOPLE, row, strict=True))
    return ParticipantRow(**fields | {name: bool(fields[name]) for name in _SWITCHES})
