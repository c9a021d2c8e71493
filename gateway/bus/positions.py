"""A position on Kafka, as text, and the rows of `meta` that hold those of readers.

It is JSON, a `Progress`: offsets by cluster, topic and partition, and the ranges of facts that
were had. A plain number is a position too, for whoever knows facts alone (`Last-Event-ID`): all
facts up to that id were had; where in the logs the others begin is looked up by time. So a reader
that the embedded bus had before goes on with the fact after its last one.
"""

from typing import Final

import msgspec

from gateway.bus.base import BEGINNING, Position
from gateway.bus.filter import Seen
from gateway.bus.merge import Progress
from gateway.store.base import Delete, Insert, Query, Store, Update, Write

_READER: Final = "position:"
_BEFORE: Final = "cursor:"  # of the embedded bus, whose janitor keeps facts for it
READERS: Final = Query(
    "bus_readers", "SELECT name, value FROM meta WHERE name LIKE 'position:%' ORDER BY name"
)
READER: Final = Query("bus_reader", "SELECT value FROM meta WHERE name = $1")
_FIRST: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_NEXT: Final = Update(table="meta", key=("name",), columns=("value",))
_END: Final = Delete(table="meta", key=("name",))

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(Progress).decode


class BadPosition(ValueError):
    """A text that is no position on Kafka; it says what to do."""


def written(progress: Progress) -> Position:
    """As text. The same progress is always the same text."""
    return _encode(progress).decode()


def fact_of(position: Position) -> int | None:
    """The fact up to which all were had, of a position that is a plain number."""
    return int(position) if position.isascii() and position.isdigit() else None


def read(position: Position) -> Progress:
    """The progress that was written; raises `BadPosition`."""
    if position == BEGINNING:
        return Progress()
    try:
        return _decode(position)
    except msgspec.DecodeError:
        raise BadPosition(
            f"'{position[:60]}' is no position on Kafka: delete the row of this reader from the"
            " table meta to let it begin anew"
        ) from None


def later(one: Progress, other: Progress) -> Progress:
    """After what either had."""
    return Progress(
        offsets={
            cluster: {
                topic: _greatest(
                    one.offsets.get(cluster, {}).get(topic, []),
                    other.offsets.get(cluster, {}).get(topic, []),
                )
                for topic in one.offsets.get(cluster, {}).keys()
                | other.offsets.get(cluster, {}).keys()
            }
            for cluster in one.offsets.keys() | other.offsets.keys()
        },
        seen={
            topic: [
                Seen([*first, *second]).ranges
                for first, second in _pairs(one.seen.get(topic, []), other.seen.get(topic, []))
            ]
            for topic in one.seen.keys() | other.seen.keys()
        },
    )


def _greatest(one: list[int], other: list[int]) -> list[int]:
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    return [*map(max, longer, shorter), *longer[len(shorter) :]]


def _pairs(
    one: list[list[tuple[int, int]]], other: list[list[tuple[int, int]]]
) -> list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    count = max(len(one), len(other))
    return [
        (one[at] if at < len(one) else [], other[at] if at < len(other) else [])
        for at in range(count)
    ]


# -- the rows of readers


async def stored(store: Store, reader: str) -> Position:
    """How far the named reader has come."""
    rows = await store.fetch(READER, _READER + reader) or await store.fetch(
        READER, _BEFORE + reader
    )
    return str(rows[0][0]) if rows else BEGINNING


async def all_stored(store: Store) -> dict[str, Position]:
    """How far each has come."""
    return {
        str(name).removeprefix(_READER): str(value) for name, value in await store.fetch(READERS)
    }


def moved(reader: str, position: Position) -> list[Write]:
    """The writes by which the named reader has come to `position`."""
    row = (_READER + reader, position)
    return [(_FIRST, row), (_NEXT, row), (_END, (_BEFORE + reader,))]
