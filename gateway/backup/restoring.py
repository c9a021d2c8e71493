"""A backup poured into a new database: everything as it was, but for what belonged to processes.

Nobody is a member of the new store and nobody owns anything; epochs are above all that were ever
given, so that what an owner wrote to Kafka before counts as older. Ids of facts, too, go on above
those that were given after the backup was made: readers drop an id that they have had.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import IO, Final, Protocol

import msgspec

from gateway.backup.file import End, Head, Rows, Table, Unusable, frames
from gateway.backup.making import EPOCH, LEASES, NAME
from gateway.store.base import RESTORED, Row, Shape, StoreError

_LEASE: Final = Shape(LEASES, (NAME, "holder", EPOCH, "expires_at"))
_NOBODY: Final = ""
_FACTS: Final = "facts"
_LEAST_RATE: Final = 100.0  # facts a second that there may have been, whatever the backup shows
_BUSIER: Final = 4.0  # than the backup shows on average
_SPARE: Final = 10_000


class Loader(Protocol):
    """What takes the rows; `gateway/store/sqlite_loader.py` has one."""

    def begin(self, shape: Shape) -> None:
        """The rows that follow are of this table. Raises `StoreError` if it can't take them."""
        ...

    def add(self, rows: Sequence[Row]) -> None:
        """Put them there."""
        ...


class Poured(msgspec.Struct, frozen=True, kw_only=True):
    """What a file held. `facts` spans the ids and the times of the facts that it has."""

    head: Head
    rows: int
    facts: "Span"


class Span(msgspec.Struct, kw_only=True):
    """From the first to the last."""

    ids: tuple[int, int] = (0, 0)
    times: tuple[float, float] = (0.0, 0.0)


def pour(
    file: IO[bytes], begin: Callable[[Head], Loader], newest_schema: int, now: float
) -> Poured:
    """Put all rows of `file` into what `begin` makes for them; `now` is seconds since the epoch.

    `newest_schema` is the newest that this program knows. Raises `Unusable` wherever the file
    turns out to be wrong, and what the loader raises.
    """
    found = frames(file)
    head = next(found)
    assert isinstance(head, Head)
    _check_schema(head, newest_schema)
    loader = begin(head)
    table: Table | None = None
    counts: dict[str, int] = {}
    span = Span()
    leases = {RESTORED: int(now)}
    for frame in found:
        match frame:
            case Table():
                table = frame
                counts[table.name] = 0
                if table.name != LEASES:
                    _begin(loader, Shape(table.name, table.columns))
            case Rows() if table is not None:
                _check(table, frame.rows)
                counts[table.name] += len(frame.rows)
                if table.name == LEASES:
                    _raise_epochs(leases, table, frame.rows)
                else:
                    _widen(span, table, frame.rows)
                    loader.add(frame.rows)
            case End():
                _compare(counts, frame.rows)
            case _:
                raise Unusable("it is damaged: rows stand before their table")
    _begin(loader, _LEASE)
    loader.add([(name, _NOBODY, epoch, 0.0) for name, epoch in leases.items()])
    return Poured(head=head, rows=sum(counts.values()), facts=span)


def _check_schema(head: Head, newest: int) -> None:
    if head.schema > newest:
        raise Unusable(
            f"it was made by version {head.program} with schema {head.schema}, and this program"
            f" knows {newest}: restore it with that version or a newer one"
        )


def _begin(loader: Loader, shape: Shape) -> None:
    try:
        loader.begin(shape)
    except StoreError as error:
        raise Unusable(f"it does not fit into the store: {error}") from error


def _check(table: Table, rows: Sequence[Row]) -> None:
    width = len(table.columns)
    if any(len(row) != width for row in rows):
        raise Unusable(f"it is damaged: a row of {table.name} is not as wide as its table")


def _compare(found: Mapping[str, int], told: Mapping[str, int]) -> None:
    wrong = sorted(name for name in found.keys() | told.keys() if found.get(name) != told.get(name))
    if wrong:
        raise Unusable(f"it is damaged: rows of {', '.join(wrong)} are missing")


def _raise_epochs(leases: dict[str, int], table: Table, rows: Sequence[Row]) -> None:
    """The next owner of each name gets an epoch above the last one, and above the clock.

    A clock counts faster than owners change, so that is above what was given after the backup.
    """
    name, epoch = table.columns.index(NAME), table.columns.index(EPOCH)
    for row in rows:
        leases[row[name]] = max(row[epoch], leases[RESTORED])


def _widen(span: Span, table: Table, rows: Sequence[Row]) -> None:
    if table.name != _FACTS or not rows:
        return
    id_at, time_at = table.columns.index("id"), table.columns.index("at")
    ids, times = [row[id_at] for row in rows], [row[time_at] for row in rows]
    if span.ids[0]:
        ids += span.ids
        times += span.times
    span.ids, span.times = (min(ids), max(ids)), (min(times), max(times))


class Sequences(msgspec.Struct, frozen=True, kw_only=True):
    """The highest ids that may have been given out. `short` says by how many facts' are too low,
    if there may have been more facts since than readers can be spared.
    """

    given: dict[str, int]
    short: int = 0


def sequences(poured: Poured, replaced: Mapping[str, int], now: float, most: int) -> Sequences:
    """Above what the file says and what is `replaced` had given out.

    How many facts there were since the backup is guessed from how many there were before. Ids
    jump by no more than `most`: a jump looks like as many facts that nobody has read.
    """
    head, span = poured.head, poured.facts
    given = dict(head.sequences)
    for table, highest in replaced.items():
        given[table] = max(given.get(table, 0), highest)
    if not given.get(_FACTS):
        return Sequences(given=given)
    seconds = max(1.0, span.times[1] - span.times[0])
    rate = max(_LEAST_RATE, _BUSIER * (span.ids[1] - span.ids[0]) / seconds)
    since = int(rate * max(0.0, now - head.made_at)) + _SPARE
    wanted = max(head.sequences.get(_FACTS, 0) + since, given[_FACTS])
    allowed = min(wanted, head.sequences.get(_FACTS, 0) + most)
    given[_FACTS] = max(allowed, given[_FACTS])
    return Sequences(given=given, short=max(0, wanted - given[_FACTS]))
