"""One end of the local socket between the plane and a worker: frames come, and frames go."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar, cast

from gateway.media import wire

T = TypeVar("T")


class Link(asyncio.Protocol, Generic[T]):
    """What comes is read by `read` and taken by `take`; who raises there ends the link.

    `gone` is done when it is over, whoever ended it.
    """

    def __init__(self, read: Callable[[bytes], Iterable[T]], take: Callable[[T], None]) -> None:
        self.take = take
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._read = read
        self._said: list[bytes] = []
        self._transport: asyncio.Transport

    def say(self, value: wire.Command | wire.Report) -> None:
        """Say it together with what else is said in this turn of the loop: writing costs most."""
        if not self._said:
            self._loop.call_soon(self._write)
        self._said.append(wire.write(value))

    def _write(self) -> None:
        said, self._said = self._said, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(said))

    def cut(self) -> None:
        """End it: what was not written yet is lost."""
        self._transport.abort()

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`, as for the others."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, octets: bytes) -> None:
        """They may be a part of a frame, or many."""
        try:
            for each in self._read(octets):
                self.take(each)
        except Exception as error:  # of which the loop would say nothing if it is an OSError
            self._loop.call_exception_handler({"message": "a link ended", "exception": error})
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        """The other end is closed, or this one."""
        if not self.gone.done():
            self.gone.set_result(None)
