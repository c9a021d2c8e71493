"""A gateway behind nginx, by the site that is shown: clients count by their own addresses.

Clients come from 127.0.0.2 and the like, the proxy from 127.0.0.1, which alone is trusted.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.tries import DEFAULT_TRIES
from protocols.sip.transport import Transport
from tests.integration.sip.peers import Authority
from tests.integration.voice.sdk import Page, key_of, token_of
from tests.integration.voice.world import ACCOUNT, TOKEN, World, world
from tests.interop.nginx_peer import nginx

pytestmark = pytest.mark.interop

PROXIED = """proxies = ["127.0.0.1"]
public_url = "https://gw.example.com"
max_unproven_sockets_per_address = 2
"""
SPOOFED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "http",
    "Forwarded": "for=1.1.1.1",
}
REGISTER = (
    "REGISTER sip:nobody.example SIP/2.0\r\nVia: SIP/2.0/WSS x.invalid;branch=z9hG4bK1\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:alice@nobody.example>;tag=1\r\n"
    "To: <sip:alice@nobody.example>\r\n"
    "Call-ID: 1\r\nCSeq: 1 REGISTER\r\nContact: <sip:alice@x.invalid;transport=ws>\r\n"
    "Content-Length: 0\r\n\r\n"
)


@dataclass
class Fronted:
    """A gateway, and where its proxy is."""

    here: World
    port: int
    authority: Authority

    def client(self, address: str, **headers: str) -> aiohttp.ClientSession:
        """Who comes from an address of this machine, and says what clients may not."""
        connector = aiohttp.TCPConnector(
            local_addr=(address, 0), ssl=self.authority.client(), limit=0
        )
        return aiohttp.ClientSession(connector=connector, headers={**SPOOFED, **headers})

    def url(self, path: str, scheme: str = "https") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def fronted(folder: Path) -> AsyncIterator[Fronted]:
    authority = Authority(folder)
    certificate = authority.sign("nginx", "127.0.0.1")
    async with world(folder, "", http=PROXIED) as here:
        gateway = here.gateway.ports["http"]
        async with nginx(folder, gateway, certificate) as port:
            yield Fronted(here, port, authority)


async def test_a_device_is_shown_as_itself(tmp_path: Path) -> None:
    async with fronted(tmp_path) as front:
        page = Page(front.here)
        await page._http.close()
        page._http, page._url = front.client("127.0.0.2"), front.url("/signal", "wss")
        await page.opens(token_of(await key_of(front.here), "alice"))
        [shown] = (await front.here.get("/v1/clients"))["clients"]
        host, _, _ = shown["source"].rpartition(":")
        assert (host, shown["transport"]) == ("127.0.0.2", Transport.WSS)
        assert page._socket is not None
        await page._socket.close()
        await page.closes()


async def test_strangers_of_one_address_keep_out_nobody_of_another(tmp_path: Path) -> None:
    async with (
        fronted(tmp_path) as front,
        front.client("127.0.0.2") as one,
        front.client("127.0.0.3") as other,
    ):
        url: Any = {"url": front.url("/sip", "wss"), "protocols": ("sip",)}
        idle = [await one.ws_connect(**url) for _ in range(2)]
        assert {socket.protocol for socket in idle} == {"sip"}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await one.ws_connect(**url)
        assert refused.value.status == 429
        async with other.ws_connect(**url) as socket:
            await socket.send_str(REGISTER)
            answer = await socket.receive_str(timeout=30)
            assert answer.startswith("SIP/2.0 4")
            assert "received=127.0.0.3" in answer
        for each in idle:
            await each.close()


async def test_who_guesses_locks_out_nobody_else(tmp_path: Path) -> None:
    wrong = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, "a wrong token")}
    right = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, TOKEN)}
    async with (
        fronted(tmp_path) as front,
        front.client("127.0.0.2") as one,
        front.client("127.0.0.3") as other,
    ):
        url = front.url("/v1/registrations")
        for _ in range(DEFAULT_TRIES):
            async with one.get(url, headers=wrong) as response:
                assert response.status == 401
        for who, status in ((one, 429), (other, 200)):
            async with who.get(url, headers=right) as response:
                assert response.status == status


async def test_the_softphone_page_comes_through(tmp_path: Path) -> None:
    async with fronted(tmp_path) as front, front.client("127.0.0.2") as client:
        async with client.get(front.url("/phone")) as response:
            assert response.status == 200 and "<html" in await response.text()
        origin = {"Origin": "https://gw.example.com"}
        async with client.ws_connect(front.url("/signal", "wss"), headers=origin):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(
                front.url("/signal", "wss"), headers={"Origin": "https://evil.example"}
            )
        assert refused.value.status == 403
