"""Notifications: what went wrong at a customer's URL, kept where its developer will look."""

from typing import Any, Final

import msgspec

from gateway.events import FactType, fact
from gateway.sids import NOTIFICATION, first_sid, new_sid
from gateway.store.base import Delete, Insert, Query, Store, Write

_PAGE: Final = 500  # rows in one commit

INSERT: Final = Insert(
    table="notifications",
    columns=(
        "account_sid",
        "sid",
        "resource_sid",
        "error_code",
        "level",
        "details",
        "date_created",
    ),
)
WIPE: Final = Delete(table="notifications", key=("resource_sid",))
DELETE: Final = Delete(table="notifications", key=("account_sid", "sid"))
NEXT_ACCOUNT: Final = Query(
    "notifications_account", "SELECT min(account_sid) FROM notifications WHERE account_sid > $1"
)
OLD: Final = Query(
    "notifications_old",
    "SELECT account_sid, sid FROM notifications WHERE account_sid = $1 AND sid < $2"
    " ORDER BY sid LIMIT $3",
)
OF_RESOURCE: Final = Query(
    "notifications_of_resource",
    "SELECT account_sid, sid, resource_sid, error_code, level, details, date_created"
    " FROM notifications WHERE resource_sid = $1 ORDER BY sid",
)


def noted(
    account_sid: str, resource_sid: str, error_code: int, level: str, now: float, **details: Any
) -> list[Write]:
    """The writes that keep one notification and tell of it; `details` are JSON."""
    sid = new_sid(NOTIFICATION, now)
    row = (
        account_sid,
        sid,
        resource_sid,
        error_code,
        level,
        msgspec.json.encode(details).decode(),
        now,
    )
    told = fact(
        account_sid,
        resource_sid,
        0,
        FactType.NOTIFICATION_CREATED,
        now,
        {"notification": sid, "error_code": error_code, "level": level},
    )
    return [(INSERT, row), told]


def wiped(resource_sid: str) -> Write:
    """The write that forgets every notification about a resource."""
    return WIPE, (resource_sid,)


async def forget(store: Store, before: float) -> int:
    """Delete those made before `before`, seconds since the epoch, in pages; how many."""
    count, account_sid = 0, ""
    while (account_sid := (await store.fetch(NEXT_ACCOUNT, account_sid))[0][0]) is not None:
        while rows := await store.fetch(OLD, account_sid, first_sid(NOTIFICATION, before), _PAGE):
            await store.commit([(DELETE, row) for row in rows])
            count += len(rows)
    return count
