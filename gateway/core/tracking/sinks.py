"""Facts to whoever wants them outside: a port, its file, and what keeps a sink supplied.

A sink gets every fact at least once, in the order of each SID; after a crash the last batch may
come again, and a fact is known by its id. A sink that fails is tried again and misses nothing
that the bus keeps meanwhile.
"""

import asyncio
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog

from gateway.bus.base import Bus
from gateway.store.base import Fact

_log = structlog.get_logger(__name__)

_AGAIN: Final = 1.0  # seconds after a failure
_MOST_AGAIN: Final = 60.0
_TAIL: Final = 1024 * 1024  # octets that are searched for the end of the last whole line
_ROTATED: Final = re.compile(r"facts\.(\d+)\.ndjson")


class Sink(Protocol):
    """Where facts go."""

    async def take(self, facts: Sequence[Fact]) -> None:
        """Return when `facts` are safe; raises `OSError` if they are not, and gets them again."""
        ...


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

    async def take(self, facts: Sequence[Fact]) -> None:
        """`Sink.take`."""
        await asyncio.to_thread(self._append, facts)

    def _append(self, facts: Sequence[Fact]) -> None:
        lines = b"".join(map(_line, facts))
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


def _line(fact: Fact) -> bytes:
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

    def __init__(self, bus: Bus, name: str, sink: Sink) -> None:
        self._bus = bus
        self._reader = f"sink:{name}"
        self._sink = sink
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

    async def _run(self) -> None:
        pause = _AGAIN
        while True:
            try:
                async for batch in self._bus.subscribe(await self._bus.position(self._reader)):
                    await self._sink.take(batch.facts)
                    await self._bus.ack(self._reader, batch.position)
                    pause = _AGAIN
                return  # the bus is closed
            except Exception as error:  # the facts are kept: it goes on from where it is
                foreseen = isinstance(error, OSError)
                _log.warning(
                    "a sink takes nothing; it is tried again",
                    sink=self._reader,
                    reason=str(error),
                    exc_info=not foreseen,
                )
                await asyncio.sleep(pause)
                pause = min(2 * pause, _MOST_AGAIN)
