"""What the store may forget: finished jobs, old facts, the oldest PDUs of the trace.

Each function works in pages of bounded size, as ordinary commits, so that it can run beside
traffic. `now` and ages are seconds.
"""

from typing import Final

from gateway.core.records import DELETE, DELETE_TRANSITION, DONE
from gateway.sids import JOB, first_sid
from gateway.store.base import Delete, Query, Store, Write

_PAGE: Final = 500
_TRACE: Final = Delete(table="trace", key=("id",))
_TRACE_SURPLUS: Final = Query(
    "trace_surplus",
    "SELECT id FROM trace WHERE id <= (SELECT max(id) FROM trace) - $1 ORDER BY id LIMIT $2",
)
_FACT: Final = Delete(table="facts", key=("id",))
_FACT_SURPLUS: Final = Query(
    "facts_surplus",
    "SELECT id FROM facts WHERE id <= (SELECT max(id) FROM facts) - $1 ORDER BY id LIMIT $2",
)
_OLD_FACTS: Final = Query(
    "facts_old", "SELECT id FROM facts WHERE id <= $1 AND at < $2 ORDER BY id LIMIT $3"
)


async def prune_jobs(store: Store, now: float, keep: float) -> int:
    """Forget the jobs that were done more than `keep` ago, with their transitions; how many."""
    pruned = 0
    after = ""
    newer = first_sid(JOB, now - keep)  # not done that long ago: not even made
    while True:
        rows = await store.fetch(DONE, after, newer, now - keep, _PAGE)
        if rows:
            await store.commit(
                [
                    write
                    for job_id, tries in rows
                    for write in (
                        (DELETE, (job_id,)),
                        *((DELETE_TRANSITION, (job_id, each)) for each in range(1, tries + 1)),
                    )
                ]
            )
            after = rows[-1][0]
        pruned += len(rows)
        if len(rows) < _PAGE:
            return pruned


async def prune_trace(store: Store, keep: int) -> int:
    """Forget the oldest rows of the trace beyond `keep`; how many."""
    return await _prune(store, _TRACE_SURPLUS, (keep,), _TRACE)


async def prune_facts(store: Store, now: float, keep: float, read_up_to: int) -> int:
    """Forget facts older than `keep` that every durable cursor has passed; how many."""
    return await _prune(store, _OLD_FACTS, (read_up_to, now - keep), _FACT)


async def prune_backlog(store: Store, keep: int) -> int:
    """Forget the oldest facts beyond `keep`, whoever has not read them yet; how many."""
    return await _prune(store, _FACT_SURPLUS, (keep,), _FACT)


async def _prune(store: Store, query: Query, parameters: tuple[float, ...], delete: Delete) -> int:
    pruned = 0
    while True:
        rows = await store.fetch(query, *parameters, _PAGE)
        if rows:
            writes: list[Write] = [(delete, row) for row in rows]
            await store.commit(writes)
        pruned += len(rows)
        if len(rows) < _PAGE:
            return pruned
