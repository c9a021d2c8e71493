"""Where peers connect: takes each connection there is, and rests when the system has no more."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from protocols.sip.transport import Transport
from protocols.sip.wire import Address

BACKLOG: Final = 1024
BATCH: Final = 64
"""Connections that are taken at a wake-up."""

REST: Final = 0.5
"""Seconds without taking any, after the system had no descriptor or memory for one."""

Taken = Callable[["Listener", socket.socket, Address], None]


class Listener:
    """A TCP or TLS listening socket; `taken` gets each connection, not yet prepared."""

    def __init__(self, transport: Transport, local: Address, taken: Taken) -> None:
        ipv6 = ":" in local[0]
        wire = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_STREAM)
        try:
            wire.setblocking(False)
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ipv6:
                wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            wire.bind(local)
            wire.listen(BACKLOG)
        except BaseException:
            wire.close()
            raise
        self.transport = transport
        self.local: Address = wire.getsockname()[:2]
        self._wire = wire
        self._taken = taken
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._wire.fileno())
        self._wire.close()

    def _listen(self) -> None:
        self._rest = None
        self._loop.add_reader(self._wire.fileno(), self._on_ready)

    def _on_ready(self) -> None:
        for _ in range(BATCH):
            try:
                wire, peer = self._wire.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # The connection stays in the queue, and poll would say so again and again.
                self._loop.remove_reader(self._wire.fileno())
                self._rest = self._loop.call_later(REST, self._listen)
                return
            self._taken(self, wire, peer[:2])
