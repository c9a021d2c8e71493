"""A backup in the making: the octets of a file, out of a snapshot, beside the traffic.

What belongs to processes and not to the gateway's state stays out: who is a member, who owns
what, how carriers are at the moment.
"""

import asyncio
from collections.abc import AsyncGenerator
from importlib import metadata
from typing import Final

from gateway.backup.file import End, Head, Packer, Rows, Table
from gateway.store.base import Row, Shape, Snapshot

LEASES: Final = "leases"
NAME, EPOCH = "name", "epoch"  # all that is kept of a lease
_MEMBER: Final = "member:"
_SCHEMA: Final = "schema_version"  # SQLite's; the head of the file says it
_LEFT_OUT: Final = frozenset({"carrier_states"})
_REST: Final = 0.5  # seconds of rest for each second of work: traffic comes first
_LONGEST_REST: Final = 0.25  # seconds
_CHUNK: Final = 1 << 16  # octets


async def octets(view: Snapshot, now: float) -> AsyncGenerator[bytes, None]:
    """The file, in chunks; `now` is seconds since the epoch. Raises `StoreUnavailable`."""
    loop = asyncio.get_running_loop()
    packer = Packer()
    head = Head(
        schema=view.schema,
        made_at=now,
        program=metadata.version("trunkline"),
        sequences=dict(view.sequences),
    )
    ready = bytearray(packer.add(head))
    counts: dict[str, int] = {}
    for shape in view.shapes:
        if shape.table in _LEFT_OUT:
            continue
        ready += packer.add(_table(shape))
        counts[shape.table] = 0
        began = loop.time()
        async for page in view.pages(shape):
            rows = _kept(shape, page)
            counts[shape.table] += len(rows)
            ready += await asyncio.to_thread(packer.add, Rows(rows))
            await asyncio.sleep(min(_LONGEST_REST, _REST * (loop.time() - began)))
            if len(ready) >= _CHUNK:
                yield bytes(ready)
                ready.clear()
            began = loop.time()
    yield bytes(ready) + packer.add(End(rows=counts)) + packer.end()


def _table(shape: Shape) -> Table:
    columns = (NAME, EPOCH) if shape.table == LEASES else shape.columns
    return Table(name=shape.table, columns=columns)


def _kept(shape: Shape, page: list[Row]) -> list[Row]:
    match shape.table:
        case "leases":
            name, epoch = shape.columns.index(NAME), shape.columns.index(EPOCH)
            return [(row[name], row[epoch]) for row in page if not row[name].startswith(_MEMBER)]
        case "meta":
            name = shape.columns.index(NAME)
            return [row for row in page if row[name] != _SCHEMA]
    return page
