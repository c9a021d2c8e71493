"""The writer in a process of its own, as a gateway has it.

A thread that writes wants the interpreter's lock for each step of each statement, and the event
loop gives it away some forty times a call. Apart, both have a core.
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import structlog

from gateway.store.base import Lease, StoreUnavailable, Write
from gateway.store.sqlite_file import FileLock
from gateway.store.sqlite_orders import Drop, Order, Outcome
from gateway.store.sqlite_thread import Hearer
from gateway.store.sqlite_wire import (
    Answered,
    Numbers,
    Ready,
    Refused,
    Report,
    Settled,
    Unfit,
    error_of,
    frame,
    reports,
)

MODULE = "gateway.store.sqlite_apart"

_log = structlog.get_logger(__name__)


class WriterProcess(asyncio.Protocol):
    """A `Place` for the writer. `lost` is called if its process ends before `close`."""

    def __init__(self, hearer: Hearer, lost: Callable[[], None]) -> None:
        self._hearer = hearer
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Ready] = self._loop.create_future()
        self._reports = reports()
        self._numbers = Numbers(self._say)
        self._said: list[bytes] = []
        self._asked = 0  # commits and orders that were not answered yet
        self._closing = False
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def start(self, path: Path, lock: FileLock, now: float) -> Ready:
        """Start it on the database of `lock`; raises `StoreUnavailable`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", MODULE, str(theirs.fileno()), str(path), repr(now)),
                    pass_fds=(theirs.fileno(), lock.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                )
            ours.setblocking(False)
            await self._loop.create_unix_connection(lambda: self, sock=ours)
            return await self._ready
        except BaseException as error:
            self._closing = True
            if self._transport is not None:
                self._transport.abort()
            ours.close()
            if self._process is not None:
                await self._process.wait()  # until then it holds the lock
            if isinstance(error, OSError):
                text = f"the database's writer can't be started: {error}"
                raise StoreUnavailable(text) from error
            raise

    def commit(self, writes: Sequence[Write], fence: Lease | None) -> None:
        """Have it written; `Hearer.settle` tells. Raises `StoreError` for what can't go over."""
        self._say(self._numbers.rows(writes, fence))
        self._asked += 1

    def ask(self, order: Order) -> None:
        """Have it done in its turn among the commits; `Hearer.answer` tells."""
        if isinstance(order, Drop):
            self._numbers.forget(order.generation.tables)
        self._say(frame(order))
        self._asked += 1

    def close(self) -> None:
        """End when all that waits is done; `Hearer.end` tells."""
        self._closing = True
        self._look()

    # Of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is the loop's."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Octets of reports."""
        for report in self._reports.read(data):
            self._take(report)
        self._look()

    def connection_lost(self, error: Exception | None) -> None:
        """The process ended, or we let it."""
        if not self._ready.done():
            self._ready.set_exception(StoreUnavailable("the database's writer ended at its start"))
        elif self._ready.exception() is None:
            self._ending = self._loop.create_task(self._end())

    def _say(self, said: bytes) -> None:
        """Say it together with what else is said in this turn of the loop: writing costs most."""
        if not self._said:
            self._loop.call_soon(self._flush)
        self._said.append(said)

    def _flush(self) -> None:
        said, self._said = self._said, []
        if self._transport is not None:
            self._transport.write(b"".join(said))

    def _take(self, report: Report) -> None:
        match report:
            case Settled(commits=commits, errors=errors, applied=applied):
                self._asked -= commits
                outcome = Outcome(
                    errors={at: error_of(error) for at, error in errors.items()},
                    applied=applied,
                    seconds=report.seconds,
                    trouble=report.trouble,
                )
                self._hearer.settle(commits, outcome)
            case Answered(answer=answer):
                self._answer(answer)
            case Refused(error=error):
                self._answer(error_of(error))
            case Ready():
                self._ready.set_result(report)
            case Unfit(reason=reason):
                self._ready.set_exception(StoreUnavailable(reason))

    def _answer(self, answer: Any) -> None:
        self._asked -= 1
        self._hearer.answer(answer)

    def _look(self) -> None:
        if self._closing and not self._asked and self._leaving is None:
            self._leaving = self._loop.create_task(self._leave())

    async def _leave(self) -> None:
        """Let it end, which closes our end as well."""
        await self._let_go()
        if self._transport is not None:
            self._transport.close()

    async def _let_go(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop ends as well
            await asyncio.to_thread(self._hearer.let_go)

    async def _end(self) -> None:
        assert self._process is not None
        code = await self._process.wait()
        try:
            if not self._closing:
                _log.critical("the database's writer ended", code=code)
                self._lost()
        finally:
            await self._let_go()
            self._hearer.unlock()
            self._hearer.end()
