"""Messages that were sent and whose receipt never came: a line in their timeline, no new state.

Twilio leaves such a message `sent`; so do we. The time up to which it was looked is kept in the
store, so each message is noted once: a time, and the SID of the last one noted of that time.
"""

from typing import Final

from gateway.events import FactType, fact
from gateway.store.base import Insert, Query, Store, Update, Write

_PAGE: Final = 1000
_MARK: Final = "receipts_overdue_until:"  # with the carrier's name
_READ_MARK: Final = Query("overdue_mark", "SELECT value FROM meta WHERE name = $1")
_NEW_MARK: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_SET_MARK: Final = Update(table="meta", key=("name",), columns=("value",))
_OVERDUE: Final = Query(
    "messages_overdue",
    "SELECT account_sid, sid, version, date_sent FROM messages"
    " WHERE status = 'sent' AND direction <> 'inbound' AND date_sent >= $1"
    " AND (date_sent > $2 OR sid > $3) AND date_sent <= $4 AND carrier = $5"
    " ORDER BY date_sent, sid LIMIT $6",
)


async def note_overdue(store: Store, carrier: str, now: float, grace: float) -> int:
    """Note the messages of `carrier` whose receipt should be here by `now - grace`; how many."""
    name = _MARK + carrier
    rows = await store.fetch(_READ_MARK, name)
    at, _, sid_noted = rows[0][0].partition(" ") if rows else ("0", "", "")
    mark = float(at)
    until = now - grace
    noted = 0
    while True:
        found = await store.fetch(_OVERDUE, mark, mark, sid_noted, until, carrier, _PAGE)
        full = len(found) == _PAGE
        if found:
            sid_noted, mark = found[-1][1], found[-1][3]
        writes: list[Write] = [
            fact(
                account_sid,
                sid,
                version,
                FactType.MESSAGE_RECEIPT_OVERDUE,
                now,
                {"carrier": carrier, "after": grace},
            )
            for account_sid, sid, version, _ in found
        ]
        value = f"{mark!r} {sid_noted}"
        await store.commit([*writes, (_NEW_MARK, (name, value)), (_SET_MARK, (name, value))])
        noted += len(found)
        if not full:
            return noted
