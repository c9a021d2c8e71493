"""Hints among the processes of one database, by NOTIFY and LISTEN on a connection of its own.

Hints of a few milliseconds go out together, and never inside of a commit: the server lets only
one transaction with notifications end at a time. A hint that is lost is no harm, and after the
connection was away everybody is told to look.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from gateway.store.base import StoreError
from gateway.store.postgres_link import FAILURES, Connection, Link, closed

_log = structlog.get_logger(__name__)

_CHANNEL: Final = "trunkline_hints"
_TOGETHER: Final = 0.003  # seconds
_PAUSE: Final = 0.5  # seconds between attempts to reconnect
_NOTIFY: Final = f"SELECT pg_notify('{_CHANNEL}', subject) FROM unnest($1::text[]) AS subject"


class Hints:
    """The hints of one process, in and out."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._events: dict[str, asyncio.Event] = {}
        self._pending: set[str] = set()
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises `StoreUnavailable`."""
        await self._listen()
        self._task = asyncio.get_running_loop().create_task(self._work(), name="store-hints")

    def hint(self, subject: str) -> None:
        """`Store.hint`."""
        self._pending.add(subject)
        self._wake.set()

    def watch(self, subject: str) -> asyncio.Event:
        """`Store.watch`: one event for each subject, whoever asks."""
        return self._events.setdefault(subject, asyncio.Event())

    async def close(self) -> None:
        """Send what is to be sent, then end."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def _listen(self) -> None:
        connection = await self._link.connect()
        try:
            await connection.add_listener(_CHANNEL, self._told)
        except FAILURES as error:
            connection.terminate()
            raise self._link.told(error) from error
        connection.add_termination_listener(lambda _: self._wake.set())
        self._connection = connection
        for event in self._events.values():
            event.set()

    def _told(self, connection: object, pid: int, channel: str, subject: object) -> None:
        ours = self._connection is not None and self._connection.get_server_pid() == pid
        event = self._events.get(str(subject))
        if event is not None and not ours:
            event.set()

    async def _work(self) -> None:
        while True:
            connection = self._connection
            if connection is not None and connection.is_closed():
                self._connection = None
            if self._connection is None and not self._closing:
                await self._again()
            elif self._pending and self._connection is not None:
                await self._send(self._connection)
            elif self._closing:
                break
            else:
                self._wake.clear()
                await self._wake.wait()
                await asyncio.sleep(_TOGETHER)
        if self._connection is not None:
            await closed(self._connection)

    async def _again(self) -> None:
        try:
            await self._listen()
        except StoreError:
            self._wake.clear()
            await _until(self._wake, _PAUSE)

    async def _send(self, connection: Connection) -> None:
        pending, self._pending = self._pending, set()
        try:
            await connection.execute(_NOTIFY, list(pending))
        except FAILURES as error:
            _log.debug("hints were lost", reason=str(error))
            connection.terminate()


async def _until(event: asyncio.Event, seconds: float) -> None:
    timer: Callable[[], None] = asyncio.get_running_loop().call_later(seconds, event.set).cancel
    try:
        await event.wait()
    finally:
        timer()
