"""Messages that were sent and whose receipt never came: a line in their timeline, no new state.

Twilio leaves such a message `sent`; so do we. The time up to which it was looked is kept in the
store, so each message is noted once.
"""

from typing import Final

from gateway.events import FactType, fact
from gateway.store.base import Insert, Query, Store, Update, Write

_PAGE: Final = 1000
_MARK: Final = "receipts_overdue_until"
_READ_MARK: Final = Query("overdue_mark", "SELECT value FROM meta WHERE name = $1")
_NEW_MARK: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_SET_MARK: Final = Update(table="meta", key=("name",), columns=("value",))
_OVERDUE: Final = Query(
    "messages_overdue",
    "SELECT account_sid, sid, version, carrier, date_sent FROM messages"
    " WHERE status = 'sent' AND direction <> 'inbound' AND date_sent > $1 AND date_sent <= $2"
    " ORDER BY date_sent LIMIT $3",
)


async def note_overdue(store: Store, now: float, grace: float) -> int:
    """Note the messages whose receipt should have come by `now - grace`; how many."""
    rows = await store.fetch(_READ_MARK, _MARK)
    mark = float(rows[0][0]) if rows else 0.0
    until = now - grace
    noted = 0
    while True:
        found = await store.fetch(_OVERDUE, mark, until, _PAGE)
        full = len(found) == _PAGE
        mark = found[-1][4] if full else max(mark, until)
        writes: list[Write] = [
            fact(
                account_sid,
                sid,
                version,
                FactType.MESSAGE_RECEIPT_OVERDUE,
                now,
                {"carrier": carrier, "after": grace},
            )
            for account_sid, sid, version, carrier, _ in found
        ]
        value = repr(mark)
        await store.commit([*writes, (_NEW_MARK, (_MARK, value)), (_SET_MARK, (_MARK, value))])
        noted += len(found)
        if not full:
            return noted
