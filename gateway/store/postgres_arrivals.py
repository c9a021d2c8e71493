"""What other processes inserted, told by the transactions that inserted it.

A horizon is the server's own snapshot: the transaction ids below its end, but for those that were
under way. A row is new between two horizons when its transaction is in the later one and was not
in the earlier one, whatever else is under way meanwhile and for how long.
"""

from functools import lru_cache
from typing import Any, Final

from gateway.store.base import Horizon
from gateway.store.postgres_link import Connection

_ARRIVED: Final = "{arrived}"
_SNAPSHOT: Final = "SELECT pg_current_snapshot()::text"
# The planner knows nothing of these tables. It takes a range with two ends for a short one and
# goes by the index, one that is open for a third of the table.
_NEW: Final = (
    "r.xact >= ${0}::xid8 AND r.xact < ${1}::xid8"
    " AND (r.xact >= ${2}::xid8 OR r.xact = ANY (${3}::xid8[]))"
    " AND r.xact <> ALL (${4}::xid8[]) AND r.writer <> ${5}"
)
_VALUES: Final = 6


@lru_cache(maxsize=512)
def condition(sql: str, after: int) -> str:
    """`sql` with the condition for `{arrived}`, whose parameters follow `after` of its own."""
    places = range(after + 1, after + 1 + _VALUES)
    return sql.replace(_ARRIVED, _NEW.format(*places))


def values(since: Horizon, until: Horizon, writer: str) -> tuple[Any, ...]:
    """The parameters of the condition: of rows between two horizons that `writer` did not write."""
    ended = since.open - until.open
    lowest = min(ended, default=since.at)
    return lowest, until.at, since.at, list(ended), list(until.open), writer


async def horizon(connection: Connection) -> Horizon:
    """`Store.horizon`."""
    _, end, under_way = str(await connection.fetchval(_SNAPSHOT)).split(":")
    return Horizon(int(end), frozenset(map(int, under_way.split(",") if under_way else ())))
