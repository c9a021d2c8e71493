"""The WebSocket itself: who is let in, what is too much, and that nothing is left of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType, web
from aiohttp.test_utils import TestServer

from gateway.browsers.client import Client
from gateway.browsers.signal import PATH, Signal
from gateway.browsers.sockets import LARGEST_FRAME, Door, Origins
from protocols.voicesdk.session import Limits
from tests.unit.browsers.desks import OURS, World

EMPTY = {"clients": 0, "registered": 0, "calls": 0, "tasks": 0, "held": 0}


class Server:
    """`/signal` alone, on a port of its own."""

    def __init__(
        self, world: World, door: Door, url: str, session: ClientSession, stack: AsyncExitStack
    ) -> None:
        self.world = world
        self.door = door
        self._url = url
        self._session = session
        self._stack = stack

    async def opens(self, **headers: str) -> ClientWebSocketResponse:
        return await self._session.ws_connect(self._url, headers=headers)

    async def opens_from(self, address: str) -> ClientWebSocketResponse:
        """From an address of its own, of those that loopback has."""
        connector = TCPConnector(local_addr=(address, 0))
        session = await self._stack.enter_async_context(ClientSession(connector=connector))
        return await session.ws_connect(self._url)

    async def status(self, **headers: str) -> int:
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        async with self._session.get(self._url, headers={**upgrade, **headers}) as response:
            return response.status

    async def plain(self) -> int:
        async with self._session.get(self._url) as response:
            return response.status

    async def empties(self) -> None:
        for _ in range(1000):
            if not len(self.door) and self.world.desk.ledger() == EMPTY:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(self.world.desk.ledger())


@asynccontextmanager
async def serving(limits: Limits | None = None, **bounds: int) -> AsyncIterator[Server]:
    world = World()
    door = Door(Origins(), **bounds)
    app = web.Application()
    app.router.add_get(PATH, Signal(door, world.desk, world.tap, limits).handle)
    async with TestServer(app) as server, AsyncExitStack() as stack:
        session = await stack.enter_async_context(ClientSession())
        yield Server(world, door, str(server.make_url(PATH)), session, stack)


def frame(kind: str, **payload: Any) -> dict[str, Any]:
    return {"type": kind, "payload": payload, "version": "1.6"}


async def test_a_client_comes_registers_and_leaves() -> None:
    async with serving() as server:
        socket = await server.opens()
        await socket.send_json(frame("listen", token="alice"))
        await socket.send_json(frame("register", media={"audio": True}))
        assert [(await socket.receive_json())["type"] for _ in range(2)] == ["connected", "ready"]
        (client,) = server.world.desk.of(OURS, "alice")
        assert client.flow.remote[0] == "127.0.0.1"
        await socket.close()
        await server.empties()


async def test_idle_sockets_of_few_addresses_keep_out_nobody() -> None:
    async with serving(strangers=20, strangers_per_address=4) as server:
        idle = [await server.opens_from(f"127.0.1.{each % 5 + 1}") for each in range(20)]
        assert server.door.strangers == 20
        phones = []
        for number in range(30):
            phones.append(socket := await server.opens_from(f"127.0.2.{number + 1}"))
            await socket.send_json(frame("listen", token="alice"))
            assert (await socket.receive_json())["type"] == "connected"
        assert (len(server.door), server.door.strangers) == (len(phones) + 19, 19)
        assert (await idle[0].receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert idle[0].close_code == 1006
        await idle[-1].send_json(frame("listen", token="alice"))
        assert (await idle[-1].receive_json())["type"] == "connected"


async def test_a_page_of_a_stranger_is_refused() -> None:
    async with serving() as server:
        assert await server.status(Origin="https://evil.example") == 403
        assert len(server.door) == 0


async def test_what_is_no_websocket_is_told_so() -> None:
    async with serving() as server:
        assert await server.plain() == 426


async def test_a_frame_of_a_megabyte_closes_the_socket_alone() -> None:
    async with serving() as server:
        other = await server.opens()
        socket = await server.opens()
        await socket.send_str("x" * 1_000_000)
        assert (await socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
        assert socket.close_code == 1009
        await other.send_json(frame("listen", token="alice"))
        assert (await other.receive_json())["type"] == "connected"


async def test_the_largest_frame_that_may_be_is_read() -> None:
    async with serving() as server:
        socket = await server.opens()
        await socket.send_str("x" * (LARGEST_FRAME - 1))
        assert (await socket.receive_json())["payload"]["error"]["code"] == 31100


async def test_a_wrong_token_is_told_and_then_the_socket_is_closed() -> None:
    async with serving() as server:
        socket = await server.opens()
        await socket.send_json(frame("listen", token="forged"))
        assert (await socket.receive_json())["payload"]["error"]["code"] == 31204
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert socket.close_code == 1008
        await server.empties()


async def test_idle_sockets_are_bounded_and_closed() -> None:
    limits = Limits(listen=0.5)
    async with serving(limits, strangers=12, strangers_per_address=10) as server:
        there = await server.opens()
        await there.send_json(frame("listen", token="alice"))
        assert (await there.receive_json())["type"] == "connected"  # told once it is no stranger
        assert (len(server.door), server.door.strangers) == (1, 0)
        sockets = [await server.opens() for _ in range(10)]
        assert await server.status() == 429
        for socket in sockets:
            assert (await socket.receive_json())["payload"]["error"]["code"] == 31102
            assert (await socket.receive()).type is WSMsgType.CLOSE
        async with asyncio.timeout(30):
            while server.door.strangers:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.005)
        socket = await server.opens()
        await socket.send_json(frame("listen", token="alice"))
        assert (await socket.receive_json())["type"] == "connected"
        assert not there.closed
        for each in (there, socket):
            await each.close()
        await server.empties()


async def test_heartbeats_come_and_who_answers_none_is_let_go() -> None:
    async with serving(Limits(heartbeat=0.02, silence=1.0)) as server:
        socket = await server.opens()
        await socket.send_json(frame("listen", token="alice"))
        await socket.receive_json()
        assert await socket.receive_str() == "\n"
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            pass
        assert message.type is WSMsgType.CLOSE
        assert socket.close_code == 1001
        await server.empties()


async def test_a_socket_whose_timers_fail_is_cut_off_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(client: Client) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(Client, "handle_timer", fails)
    async with serving(Limits(heartbeat=0.05)) as server:
        socket = await server.opens()
        await socket.send_json(frame("listen", token="alice"))
        async with asyncio.timeout(30):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
        await server.empties()
    assert "a socket at /signal fell" in capsys.readouterr().out


async def test_octets_that_are_no_text_are_told() -> None:
    async with serving() as server:
        socket = await server.opens()
        await socket.send_bytes(b"\x00\xff")
        assert (await socket.receive_json())["payload"]["error"]["code"] == 31100
