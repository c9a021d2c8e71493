"""Old rows of the timed tables are deleted in pages, as ordinary commits beside the traffic.

SIDs begin with the time at which they were made, so each page is a short walk along an index, as
are the facts, whose ids grow with time. A fact with the time of a clock that was wrong goes when
its neighbours do.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.sids import CALL, MMS, SMS, first_sid
from gateway.store.base import TIMED, Delete, Query, Row, Store, StoreError

_PAGE: Final = 500  # rows in one commit
_TEXTS: Final = (SMS, MMS)

Kinds = tuple[str, ...]

_MESSAGE: Final = Delete(table="messages", key=("account_sid", "sid"))
_NEXT_ACCOUNT: Final = Query(
    "forget_account", "SELECT min(account_sid) FROM messages WHERE account_sid > $1"
)
_MESSAGES: Final = Query(
    "forget_messages",
    "SELECT account_sid, sid FROM messages WHERE account_sid = $1 AND sid >= $2 AND sid < $3"
    " ORDER BY sid LIMIT $4",
)
_CALL: Final = Delete(table="calls", key=("account_sid", "sid"))
_NEXT_CALLER: Final = Query(
    "forget_caller", "SELECT min(account_sid) FROM calls WHERE account_sid > $1"
)
_CALLS: Final = Query(
    "forget_calls",
    "SELECT account_sid, sid FROM calls WHERE account_sid = $1 AND sid >= $2 AND sid < $3"
    " ORDER BY sid LIMIT $4",
)
_LEG: Final = Delete(table="call_legs", key=("sid", "attempt"))
_LEGS: Final = Query(
    "forget_call_legs",
    "SELECT sid, attempt FROM call_legs WHERE sid >= $1 AND sid < $2"
    " ORDER BY sid, attempt LIMIT $3",
)
_SEGMENT: Final = Delete(table="segments", key=("sid", "part", "attempt"))
_SEGMENTS: Final = Query(
    "forget_segments",
    "SELECT sid, part, attempt FROM segments WHERE sid >= $1 AND sid < $2"
    " ORDER BY sid, part, attempt LIMIT $3",
)
_TRACE_ROW: Final = Delete(table="trace", key=("id",))
_TRACE: Final = Query(
    "forget_trace", "SELECT id FROM trace WHERE sid >= $1 AND sid < $2 ORDER BY sid LIMIT $3"
)
_FACT: Final = Delete(table="facts", key=("id",))
_FACTS: Final = Query("forget_facts", "SELECT id, at FROM facts WHERE id > $1 ORDER BY id LIMIT $2")


async def forget(store: Store, table: str, before: float) -> int:
    """`Store.forget`."""
    if table not in TIMED:
        raise StoreError(f"the rows of {table!r} are not forgotten by age: {', '.join(TIMED)} are")
    return await _FORGET[table](store, before)


async def _messages(store: Store, before: float) -> int:
    return await _of_accounts(store, _MESSAGE, _NEXT_ACCOUNT, _MESSAGES, _TEXTS, before)


async def _calls(store: Store, before: float) -> int:
    return await _of_accounts(store, _CALL, _NEXT_CALLER, _CALLS, (CALL,), before)


async def _segments(store: Store, before: float) -> int:
    return await _of_kinds(store, _SEGMENT, _SEGMENTS, _TEXTS, before)


async def _call_legs(store: Store, before: float) -> int:
    return await _of_kinds(store, _LEG, _LEGS, (CALL,), before)


async def _trace(store: Store, before: float) -> int:
    return await _of_kinds(store, _TRACE_ROW, _TRACE, (*_TEXTS, CALL), before)


async def _facts(store: Store, before: float) -> int:
    count, cursor = 0, 0
    while rows := await store.fetch(_FACTS, cursor, _PAGE):
        old = [(fact_id,) for fact_id, at in rows if at < before]
        await _delete(store, _FACT, old)
        count += len(old)
        cursor = rows[-1][0]
        if not old:
            break
    return count


_FORGET: Final[dict[str, Callable[[Store, float], Awaitable[int]]]] = {
    "messages": _messages,
    "segments": _segments,
    "calls": _calls,
    "call_legs": _call_legs,
    "trace": _trace,
    "facts": _facts,
}


async def _of_accounts(
    store: Store, delete: Delete, next_account: Query, query: Query, kinds: Kinds, before: float
) -> int:
    count = 0
    account_sid: str | None = ""
    while (account_sid := (await store.fetch(next_account, account_sid))[0][0]) is not None:
        for kind in kinds:
            end = first_sid(kind, before)
            count += await _pages(store, delete, query, account_sid, kind, end)
    return count


async def _of_kinds(store: Store, delete: Delete, query: Query, kinds: Kinds, before: float) -> int:
    counts = [await _pages(store, delete, query, kind, first_sid(kind, before)) for kind in kinds]
    return sum(counts)


async def _pages(store: Store, delete: Delete, query: Query, *where: str) -> int:
    """Delete what `query` finds, page by page; how many."""
    count = 0
    while True:
        rows = await store.fetch(query, *where, _PAGE)
        await _delete(store, delete, rows)
        count += len(rows)
        if len(rows) < _PAGE:
            return count


async def _delete(store: Store, delete: Delete, rows: list[Row]) -> None:
    if rows:
        await store.commit([(delete, row) for row in rows])
