"""SIP over WebSocket as a browser opens it: who gets in, what passes, and how it ends."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.browsers.sip_socket import PATH, Patience, SipSockets
from gateway.browsers.sockets import Door, Origins
from gateway.proxies import Proxies
from protocols.sip.message import Request
from protocols.sip.sockets import tls
from protocols.sip.transport import Transport
from protocols.sip.wire import Bounds, Certificate, Closed, Received, Tls
from tests.integration.sip.peers import LONG, Authority, Box, options

Start = Callable[..., Awaitable[Box]]
Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def served(
    box: Box, door: Door | None = None, certificate: Certificate | None = None, **patience: float
) -> AsyncIterator[Client]:
    """A gateway's `/sip`, and who comes by HTTP."""
    let_in = Door(Origins()) if door is None else door
    sockets = SipSockets(let_in, lambda: box.endpoint, Patience(**patience))
    app = web.Application()
    app.router.add_get(PATH, sockets.handle)
    shown: dict[str, Any] = {}
    if certificate is not None:
        shown = {"ssl": tls.server_context(Tls(certificates=(certificate,)))}
    client = TestClient(TestServer(app, scheme="https" if certificate else "http"))
    await client.server.start_server(**shown)
    async with client:
        yield client


def opened(client: Client, **more: Any) -> Any:
    return client.ws_connect(PATH, protocols=more.pop("protocols", ("sip",)), **more)


async def test_messages_pass_both_ways_and_the_end_is_told(start: Start) -> None:
    box = await start(Transport.UDP)
    async with served(box) as client:
        async with opened(client) as socket:
            assert socket.protocol == "sip"
            await socket.send_str(options("text").decode())
            await socket.send_bytes(options("octets"))
            one, other = await box.wait(Received, 2)
            assert isinstance(one.message, Request) and isinstance(other.message, Request)
            assert (one.message.call_id, other.message.call_id) == ("text", "octets")
            assert one.flow.transport is Transport.WS and one.flow.remote[0] == "127.0.0.1"
            assert box.endpoint.advertised(one.flow)[1] == client.port
            box.endpoint.send(b"SIP/2.0 200 \xc3\xa9\r\n\r\n", one.flow)
            box.endpoint.send(b"SIP/2.0 200 \xff\r\n\r\n", one.flow)
            assert await socket.receive_str(timeout=LONG) == "SIP/2.0 200 é\r\n\r\n"
            assert await socket.receive_bytes(timeout=LONG) == b"SIP/2.0 200 \xff\r\n\r\n"
            await socket.send_str("\r\n\r\n")
            assert await socket.receive_str(timeout=LONG) == "\r\n"
        (closed,) = await box.wait(Closed)
        assert closed.flow == one.flow
        await box.calm()


async def test_a_socket_over_tls_is_secured(start: Start, authority: Authority) -> None:
    box = await start(Transport.UDP)
    certificate = authority.sign("socket", "127.0.0.1")
    trust = ssl.create_default_context(cafile=authority.trust)
    async with served(box, certificate=certificate) as client, opened(client, ssl=trust) as socket:
        await socket.send_str(options().decode())
        (received,) = await box.wait(Received)
        assert received.flow.transport is Transport.WSS


@pytest.mark.parametrize("protocols", [(), ("xmpp",)])
async def test_who_does_not_name_the_subprotocol_is_refused(
    start: Start, protocols: tuple[str, ...]
) -> None:
    async with served(await start(Transport.UDP)) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await opened(client, protocols=protocols)
        assert error.value.status == 400


async def test_a_request_of_plain_http_is_told_what_this_is(start: Start) -> None:
    async with served(await start(Transport.UDP)) as client:
        response = await client.get(PATH)
        assert response.status == 426 and "WebSockets" in await response.text()


async def test_pages_of_strangers_do_not_come_in(start: Start) -> None:
    box, door = await start(Transport.UDP), Door(Origins(named=("https://app.example.com",)))
    async with served(box, door) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await opened(client, origin="https://evil.example")
        assert error.value.status == 403 and len(door) == 0
        async with opened(client, origin="https://app.example.com"):
            assert len(door) == 1


async def test_sockets_over_the_limit_and_late_ones_are_told_so(start: Start) -> None:
    box, door = await start(Transport.UDP), Door(Origins(), strangers_per_address=1)
    async with served(box, door) as client:
        async with opened(client):
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await opened(client)
            assert error.value.status == 429
        await box.endpoint.close()
        async with opened(client) as late:
            assert (await late.receive(timeout=LONG)).type is aiohttp.WSMsgType.CLOSE
            assert late.close_code == aiohttp.WSCloseCode.TRY_AGAIN_LATER


async def test_who_proves_nobody_is_closed_whatever_it_says(start: Start) -> None:
    box = await start(Transport.UDP)
    async with served(box, proof=0.3) as client, opened(client) as user:
        await user.send_str(options("user").decode())
        (received,) = await box.wait(Received)
        box.endpoint.proved(received.flow)
        async with opened(client) as idle, opened(client) as talker:
            await talker.send_str(options("talker").decode())
            for each in (idle, talker):
                assert (await each.receive(timeout=LONG)).type is aiohttp.WSMsgType.CLOSE
                assert each.close_code == aiohttp.WSCloseCode.GOING_AWAY
        box.endpoint.proved(received.flow)
        box.endpoint.send(b"SIP/2.0 200 OK\r\n\r\n", received.flow)
        assert await user.receive_str(timeout=LONG)
        await box.calm(1)


async def test_sockets_of_strangers_leave_room_for_phones(start: Start) -> None:
    box, door = await start(Transport.UDP), Door(Origins(), most=2, strangers=3)
    async with served(box, door, proof=0.5) as client, opened(client) as phone:
        await phone.send_str(options("phone").decode())
        (received,) = await box.wait(Received)
        box.endpoint.proved(received.flow)
        assert (len(door), door.strangers) == (1, 0)
        idle = [await opened(client) for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await opened(client)
        assert error.value.status == 503
        for each in idle:
            assert (await each.receive(timeout=LONG)).type is aiohttp.WSMsgType.CLOSE
        async with asyncio.timeout(LONG):
            while door.strangers:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
        async with opened(client) as other:
            await other.send_str(options("other").decode())
            _, received = await box.wait(Received, 2)
            box.endpoint.proved(received.flow)
            assert (len(door), door.strangers) == (2, 0)
            box.endpoint.send(b"SIP/2.0 200 OK\r\n\r\n", received.flow)
            assert await other.receive_str(timeout=LONG)


async def test_a_client_behind_a_proxy_is_known_by_its_own_address(start: Start) -> None:
    box = await start(Transport.UDP)
    trusted = Proxies(trusted=(ip_network("127.0.0.0/8"),))
    door = Door(Origins(), strangers_per_address=1, proxies=trusted)
    told = {"X-Forwarded-For": "198.51.100.9, 203.0.113.1", "X-Forwarded-Proto": "https"}
    async with served(box, door) as client, opened(client, headers=told) as socket:
        await socket.send_str(options().decode())
        (received,) = await box.wait(Received)
        assert received.flow.transport is Transport.WSS
        assert received.flow.remote[0] == "203.0.113.1"
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await opened(client, headers=told)
        assert error.value.status == 429
        async with opened(client, headers={"X-Forwarded-For": "203.0.113.2"}) as other:
            await other.send_str(options().decode())
            _, plain = await box.wait(Received, 2)
            assert plain.flow.transport is Transport.WS


async def test_a_megabyte_closes_a_socket_and_no_other(start: Start) -> None:
    box = await start(Transport.UDP)
    async with served(box) as client, opened(client) as rude, opened(client) as other:
        await rude.send_str("A" * 1024 * 1024)
        assert (await rude.receive(timeout=LONG)).type is aiohttp.WSMsgType.CLOSE
        assert rude.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        await other.send_str(options().decode())
        await box.wait(Received)


async def test_noise_closes_a_socket(start: Start) -> None:
    box = await start(Transport.UDP)
    async with served(box) as client, opened(client) as rude:
        await rude.send_str('{"type":"register"}')
        assert (await rude.receive(timeout=LONG)).type is aiohttp.WSMsgType.CLOSE
        await box.calm()


async def test_who_answers_no_ping_is_closed(start: Start) -> None:
    box = await start(Transport.UDP)
    async with served(box, heartbeat=0.2) as client, opened(client, autoping=False) as dead:
        await dead.send_str(options().decode())
        await box.wait(Received)
        await box.wait(Closed)
        await box.calm()


async def test_who_reads_nothing_is_cut_off(start: Start) -> None:
    box = await start(Transport.UDP, bounds=Bounds(unsent=10_000))
    async with served(box) as client, opened(client) as deaf:
        await deaf.send_str(options().decode())
        (received,) = await box.wait(Received)
        for _ in range(100):
            box.endpoint.send(b"SIP/2.0 200 OK\r\n" + b"a" * 1000, received.flow)
        await box.wait(Closed)
        await box.calm()


async def test_an_endpoint_that_closes_takes_its_sockets_with_it(start: Start) -> None:
    box = await start(Transport.UDP)
    async with served(box) as client, opened(client) as socket:
        await socket.send_str(options().decode())
        await box.wait(Received)
        await box.endpoint.close()
        async with asyncio.timeout(LONG):
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == aiohttp.WSCloseCode.GOING_AWAY
