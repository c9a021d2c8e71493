"""coturn believes what Tokens.json gives, as long as it counts, and reaches the gateway alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from aioice.stun import TransactionFailed
from aioice.turn import TurnTransport, create_turn_endpoint

from gateway.access.turn import Credential, IceServers, mint
from tests.interop.coturn_peer import SECRET, coturn

pytestmark = pytest.mark.interop


class Heard(asyncio.DatagramProtocol):
    """What comes, and what went wrong; an echo where it is told to be."""

    def __init__(self, *, is_echo: bool = False) -> None:
        self._is_echo = is_echo
        self.came: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.is_over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.came.put_nowait(data)
        if self._is_echo:
            cast(asyncio.DatagramTransport, self._transport).sendto(data.upper(), addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over.set()

    def error_received(self, exc: Exception) -> None:
        self.came.put_nowait(exc)


def minted(port: int, now: float, secret: str = SECRET) -> Credential:
    url = f"turn:127.0.0.1:{port}?transport=udp"
    return mint(IceServers(urls=(url,), secret=secret), "alice", now, 600)


@asynccontextmanager
async def relayed(
    port: int, credential: Credential, transport: str = "udp"
) -> AsyncIterator[tuple[TurnTransport, Heard]]:
    """A relay for who shows `credential`."""
    relay, heard = await create_turn_endpoint(
        Heard,
        ("127.0.0.1", port),
        credential.username,
        credential.password,
        transport=transport,
    )
    try:
        yield relay, heard
    finally:
        relay.close()
        async with asyncio.timeout(10):
            await heard.is_over.wait()


@asynccontextmanager
async def echo(host: str) -> AsyncIterator[tuple[str, int]]:
    """Somebody who says everything back, in capitals."""
    loop = asyncio.get_running_loop()
    transport, heard = await loop.create_datagram_endpoint(
        lambda: Heard(is_echo=True), local_addr=(host, 0)
    )
    yield transport.get_extra_info("sockname")
    transport.close()
    await heard.is_over.wait()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_what_was_minted_relays_to_the_gateway_and_nowhere_else(
    tmp_path: Path, transport: str
) -> None:
    async with (
        coturn(tmp_path) as port,
        echo("127.0.0.1") as ours,
        echo("127.0.0.2") as other,
        relayed(port, minted(port, time.time()), transport) as (relay, heard),
    ):
        relay.sendto(b"hello", ours)
        async with asyncio.timeout(10):
            assert await heard.came.get() == b"HELLO"
        relay.sendto(b"hello", other)
        async with asyncio.timeout(10):
            told = await heard.came.get()
        assert isinstance(told, TransactionFailed), told
        assert told.response.attributes["ERROR-CODE"][0] == 403


async def test_what_has_expired_or_has_another_secret_relays_nothing(tmp_path: Path) -> None:
    async with coturn(tmp_path) as port:
        now = time.time()
        for wrong in (minted(port, now - 601), minted(port, now, "another secret")):
            with pytest.raises(TransactionFailed) as error:
                async with relayed(port, wrong):
                    pass
            assert error.value.response.attributes["ERROR-CODE"][0] == 401
        async with relayed(port, minted(port, now)):
            pass
