"""Which messages were redacted or deleted lately: for the processes that may still know them.

The process that owns a carrier holds its messages in memory, and receipts that quote them come
to it; the redaction may be asked of any other.
"""

from typing import Final

from gateway.store.base import Delete, Insert, Query, Store, Write

_INSERT: Final = Insert(table="wiped_messages", columns=("sid", "at"), ignore_taken=("sid",))
_DELETE: Final = Delete(table="wiped_messages", key=("sid",))
SINCE: Final = Query("wiped_since", "SELECT sid FROM wiped_messages WHERE at >= $1")
_BEFORE: Final = Query("wiped_before", "SELECT sid FROM wiped_messages WHERE at < $1 LIMIT $2")
_KEPT_FOR: Final = 3600.0  # seconds: far longer than anybody needs to hear of it
_PAGE: Final = 500


def noted(sid: str, now: float) -> Write:
    """The write that tells of the redaction or deletion of the message `sid`."""
    return _INSERT, (sid, now)


async def prune_wiped(store: Store, now: float) -> int:
    """Forget redactions that everybody has heard of; how many."""
    pruned = 0
    while True:
        rows = await store.fetch(_BEFORE, now - _KEPT_FOR, _PAGE)
        if rows:
            await store.commit([(_DELETE, row) for row in rows])
        pruned += len(rows)
        if len(rows) < _PAGE:
            return pruned
