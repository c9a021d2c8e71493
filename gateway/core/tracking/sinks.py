"""Facts to whoever wants them outside: a port, its file, and what keeps a sink supplied.

A sink gets every fact of the types it wants at least once, in the order of each SID; after a crash
the last batch may come again, and a fact is known by its id. A sink that fails is tried again and
misses nothing that the bus keeps meanwhile. One process supplies it, under a lease.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from gateway.bus.base import Bus
from gateway.store.base import Delete, Fact, Fenced, Lease, Query, Store, StoreError

_log = structlog.get_logger(__name__)

_AGAIN: Final = 1.0  # seconds after a failure
_MOST_AGAIN: Final = 60.0
_TAIL: Final = 1024 * 1024  # octets that are searched for the end of the last whole line
_ROTATED: Final = re.compile(r"facts\.(\d+)\.ndjson")
_READER: Final = "sink:"
# Each bus keeps its readers' places under a word of its own.
_PLACES: Final = Query(
    "sink_places",
    "SELECT name FROM meta WHERE name LIKE 'cursor:sink:%' OR name LIKE 'position:sink:%'",
)
_FORGET: Final = Delete(table="meta", key=("name",))


class Sink(Protocol):
    """Where facts go."""

    async def take(self, facts: Sequence[Fact]) -> int:
        """Return when `facts` are safe, or set aside because they never will be; how many were.

        Raises `OSError` if they are not safe yet, and gets them again.
        """
        ...


class SinkStats(msgspec.Struct, frozen=True, kw_only=True):
    """Facts since the start; `trouble` is "" while the sink takes them."""

    taken: int
    set_aside: int
    trouble: str


def wanted(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a type of facts is one of `patterns`: a type, `message.*`, or `*`."""
    given = tuple(patterns)
    whole = frozenset(given)
    beginnings = tuple(each.removesuffix("*") for each in given if each.endswith("*"))
    return lambda kind: kind in whole or kind.startswith(beginnings)


def reader_of(name: str) -> str:
    """The reader of the bus that supplies the sink `name`."""
    return _READER + name


async def forget_others(store: Store, names: Iterable[str]) -> None:
    """Delete the places of sinks that are none of `names`: facts would be kept for them."""
    known = {reader_of(name) for name in names}
    rows = await store.fetch(_PLACES)
    gone = [str(name) for (name,) in rows if str(name).partition(":")[2] not in known]
    if gone:
        _log.info("sinks that are not configured any more are forgotten", places=gone)
        await store.commit([(_FORGET, (name,)) for name in gone])


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the file: a fact, its data as JSON."""

    id: int
    account_sid: str
    sid: str
    version: int
    type: str
    at: float
    data: msgspec.Raw


class FileSink:
    """`facts.ndjson` in `folder`: one JSON object a line, on the disk when `take` returns.

    A file that reaches `max_octets` becomes `facts.<number>.ndjson`; the newest `keep` stay.
    """

    def __init__(self, folder: Path, *, max_octets: int, keep: int) -> None:
        self._folder = folder
        self._file = folder / "facts.ndjson"
        self._max_octets = max_octets
        self._keep = keep
        self._whole = False  # whether the file is known to end with a whole line

    async def take(self, facts: Sequence[Fact]) -> int:
        """`Sink.take`."""
        writing = asyncio.ensure_future(asyncio.to_thread(self._append, facts))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # Whoever supplies it next must not find a thread of ours at work on the file.
            await asyncio.wait([writing])
            raise
        return 0

    def _append(self, facts: Sequence[Fact]) -> None:
        lines = b"".join(map(line, facts))
        self._folder.mkdir(parents=True, exist_ok=True)
        if not self._whole:
            self._cut()
        self._whole = False
        with self._file.open("ab") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        self._whole = True
        if size >= self._max_octets:
            self._rotate()

    def _cut(self) -> None:
        """What a crash or a full disk left of a line is not a line."""
        if not self._file.exists():
            return
        with self._file.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - _TAIL)
            file.seek(start)
            end = file.read().rfind(b"\n") + 1
            file.truncate(start + end)

    def _rotate(self) -> None:
        numbers = sorted(
            int(match[1])
            for each in self._folder.iterdir()
            if (match := _ROTATED.fullmatch(each.name))
        )
        self._file.rename(self._folder / f"facts.{numbers[-1] + 1 if numbers else 1}.ndjson")
        for number in numbers[: max(0, len(numbers) + 1 - self._keep)]:
            (self._folder / f"facts.{number}.ndjson").unlink(missing_ok=True)


_encode = msgspec.json.Encoder().encode


def line(fact: Fact) -> bytes:
    """The fact as a line of JSON, with its end."""
    return (
        _encode(
            Line(
                id=fact.id,
                account_sid=fact.account_sid,
                sid=fact.sid,
                version=fact.version,
                type=fact.type,
                at=fact.at,
                data=msgspec.Raw(fact.data.encode()),
            )
        )
        + b"\n"
    )


class Supply:
    """Reads the bus for the sink `name`, from where it stopped, until `close`."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        name: str,
        sink: Sink,
        wants: Callable[[str], bool],
        fence: Lease | None = None,
    ) -> None:
        """`wants` tells of a type whether the sink wants it; `fence` is the lease of who reads."""
        self._store = store
        self._bus = bus
        self._reader = reader_of(name)
        self._sink = sink
        self._wants = wants
        self._fence = fence
        self._taken = self._set_aside = 0
        self._trouble = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._reader)

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._trouble = ""

    def stats(self) -> SinkStats:
        """How it goes."""
        return SinkStats(taken=self._taken, set_aside=self._set_aside, trouble=self._trouble)

    async def _run(self) -> None:
        pause = _AGAIN
        while True:
            try:
                async for batch in self._bus.subscribe(await self._bus.position(self._reader)):
                    await self._hand_over([each for each in batch.facts if self._wants(each.type)])
                    moved = self._bus.moved(self._reader, batch.position)
                    await self._store.commit(moved, self._fence)
                    pause, self._trouble = _AGAIN, ""
                return  # the bus is closed
            except Fenced as error:
                _log.warning("another process supplies a sink now", reason=str(error))
                return
            except Exception as error:  # the facts are kept: it goes on from where it is
                self._trouble = str(error)
                foreseen = isinstance(error, (OSError, StoreError))
                _log.warning(
                    "a sink takes nothing; it is tried again",
                    sink=self._reader.removeprefix(_READER),
                    reason=self._trouble,
                    again_in=pause,
                    exc_info=not foreseen,
                )
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MOST_AGAIN)

    async def _hand_over(self, facts: Sequence[Fact]) -> None:
        if facts:
            set_aside = await self._sink.take(facts)
            self._taken += len(facts) - set_aside
            self._set_aside += set_aside
