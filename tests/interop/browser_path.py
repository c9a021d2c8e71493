"""The network between a page and a gateway: loses, delays and forgets datagrams as a test says.

A page is told of the path's port in place of the gateway's, and the gateway is told of no candidate
of the page's, so that no packet finds another way. What is lost and late is told by a seed.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import Any

from tests.interop.chromium_peer import Page

Address = tuple[str, int]
# Puts the path between, in what the page says and is told; keeps when it began ICE anew.
_BETWEEN = r"""
(() => {
  const Theirs = WebSocket;
  const told = /(a=candidate:\S+ \d+ \S+ \d+) (\S+) (\d+) typ/g;
  window.gatewayPort = 0; window.reinvited = 0;
  window.WebSocket = class extends Theirs {
    constructor(...given) {
      super(...given);
      super.addEventListener("message", (event) => {
        if (!event.isTrusted) return;
        event.stopImmediatePropagation();
        const data = event.data.replace(told, (whole, before, host, port) => {
          window.gatewayPort = Number(port);
          return `${before} 127.0.0.1 @PORT@ typ`;
        });
        this.dispatchEvent(new MessageEvent("message", { data }));
      });
    }
    send(data) {
      if (data.includes('"type":"reinvite"')) window.reinvited += 1;
      super.send(data.replace(/a=candidate:[^\\]*\\r\\n/g, ""));
    }
  };
})()
"""


class _End(asyncio.DatagramProtocol):
    """A socket of the path's: `take` has what comes to it."""

    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, octets: bytes, source: Address) -> None:
        self._take(octets, source)

    def send(self, octets: bytes, to: Address) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(octets, to)


class NetworkPath:
    """Between the sockets of pages and one port of a gateway, which sees another socket for each.

    One datagram of each 50 is lost where `loss` is 0.02, and all are late by none to twice `jitter`
    seconds; both are for both ways.
    """

    def __init__(self, *, loss: float, jitter: float, seed: int = 1) -> None:
        self.jitter = jitter
        self.gateway: Address | None = None
        self._random = random.Random(seed)
        self._losses = {end: self._lost(loss) for end in ("page", "gateway")}
        self._front = _End(self._from_page)
        self._backs: dict[Address, _End] = {}
        self._dead: set[Address] = set()
        self.is_out = False  # carries nothing at all, for as long as it is
        self._opening: set[asyncio.Task[Any]] = set()

    async def open(self) -> int:
        """Its port for pages."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self._front, local_addr=("127.0.0.1", 0)
        )
        port: int = transport.get_extra_info("sockname")[1]
        return port

    def cut(self) -> None:
        """Carry nothing more for the sockets that pages have now; new ones are as any."""
        self._dead |= set(self._backs)

    async def lead(self, page: Page) -> None:
        """Carry to where the gateway told this page that it is."""
        self.gateway = ("127.0.0.1", await page.until("window.gatewayPort"))

    def close(self) -> None:
        for end in (self._front, *self._backs.values()):
            if end.transport is not None:
                end.transport.close()

    def _from_page(self, octets: bytes, source: Address) -> None:
        back = self._backs.get(source)
        if back is None:
            back = self._backs[source] = _End(lambda answer, _: self._to_page(answer, source))
            task = asyncio.get_running_loop().create_task(_opened(back))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        if self.gateway is not None and not next(self._losses["gateway"]):
            self._carry(back, octets, self.gateway, source)

    def _to_page(self, octets: bytes, page: Address) -> None:
        if not next(self._losses["page"]):
            self._carry(self._front, octets, page, page)

    def _carry(self, end: _End, octets: bytes, to: Address, page: Address) -> None:
        if self.is_out or page in self._dead:
            return
        late = self._random.uniform(0, 2 * self.jitter)
        asyncio.get_running_loop().call_later(late, end.send, octets, to)

    def _lost(self, share: float) -> Iterator[bool]:
        """Whether the next one is: one of as many as make the share, which one is chance."""
        run = round(1 / share) if share else 0
        while run:
            unlucky = self._random.randrange(run)
            yield from (at == unlucky for at in range(run))
        yield from repeat(False)


async def _opened(end: _End) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: end, local_addr=("127.0.0.1", 0))


@asynccontextmanager
async def network_path(
    *, loss: float = 0.0, jitter: float = 0.0
) -> AsyncIterator[tuple[NetworkPath, str]]:
    """A path, and the script that puts it between a page and its gateway."""
    path = NetworkPath(loss=loss, jitter=jitter)
    port = await path.open()
    try:
        yield path, _BETWEEN.replace("@PORT@", str(port))
    finally:
        path.close()
