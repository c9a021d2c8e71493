"""A whole gateway behind a proxy: who is connected is shown, counted and traced as itself."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.voice.sdk import Page, application_of, key_of, token_of
from tests.integration.voice.world import ACCOUNT, World, world
from tests.webrtc_peer import on_loopback

__all__ = ["on_loopback"]

pytestmark = pytest.mark.usefixtures("on_loopback")

PROXIED = """proxies = ["127.0.0.1"]
public_url = "https://gw.example.com"
max_sockets_per_address = 1
max_unproven_sockets_per_address = 1
"""
ALLOWED = '[webhooks]\nallow = ["127.0.0.0/8"]'
TWIML = "<Response><Pause length='60'/></Response>"


@pytest.fixture
async def pages() -> AsyncIterator[list[Page]]:
    opened: list[Page] = []
    yield opened
    for page in opened:
        await page.closes()


async def opened(pages: list[Page], here: World, token: str, address: str) -> Page:
    """A device whose proxy says where it is."""
    page = Page(here)
    pages.append(page)
    forwarded = {"X-Forwarded-For": f"127.0.0.1, {address}", "X-Forwarded-Proto": "https"}
    page._http.headers.update(forwarded)
    return await page.opens(token)


async def clients(here: World) -> list[dict[str, Any]]:
    return list((await here.get("/v1/clients"))["clients"])


async def test_devices_are_listed_with_their_own_addresses_and_calls(
    tmp_path: Path, pages: list[Page]
) -> None:
    async with world(tmp_path, ALLOWED, TWIML, http=PROXIED) as here:
        token = token_of(await key_of(here), "alice", await application_of(here))
        page = await opened(pages, here, token, "203.0.113.1")
        await opened(pages, here, token, "2001:db8::1")
        await page.calls()
        await page.is_answered()
        assert (await here.app.until("/voice"))["From"] == "client:alice"
        first, second = await clients(here)
        host, _, port = first["source"].rpartition(":")
        assert (host, first["transport"], first["registered"]) == ("203.0.113.1", "WSS", True)
        assert 0 < int(port) < 65_536
        assert (first["identity"], first["calls"]) == ("alice", [page.callsid])
        assert second["source"].startswith("[2001:db8::1]:")
        assert second["calls"] == []
        shown = await here.get(f"/v1/calls/{page.callsid}/timeline")
        assert "203.0.113.1" in str(shown)
        await page.hangs_up()
        await here.ended()


async def test_an_address_has_its_own_share_and_strangers_theirs(
    tmp_path: Path, pages: list[Page]
) -> None:
    async with world(tmp_path, ALLOWED, TWIML, http=PROXIED) as here:
        token = token_of(await key_of(here), "alice")
        await opened(pages, here, token, "203.0.113.1")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await opened(pages, here, token, "203.0.113.1")
        assert refused.value.status == 429
        await opened(pages, here, token, "203.0.113.2")
        url = here.url.replace("http", "ws") + "/sip"
        told = {"X-Forwarded-For": "203.0.113.3"}
        async with here.http.ws_connect(url, protocols=("sip",), headers=told):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await here.http.ws_connect(url, protocols=("sip",), headers=told)
            assert refused.value.status == 429
            async with here.http.get(f"{here.url}/metrics") as response:
                text = await response.text()
        assert "trunkline_http_sockets 3.0" in text
        assert "trunkline_http_unproven_sockets 1.0" in text


async def test_through_a_proxy_the_page_makes_no_token_of_an_auth_token(tmp_path: Path) -> None:
    async with world(tmp_path, "", http=PROXIED) as here:
        form = {"Identity": "alice"}
        async with here.http.post(f"{here.url}/phone/token", data=form) as response:
            assert response.status == 403
            assert "auth token" in (await response.json())["message"]


async def test_a_subaccount_sees_none_of_its_parents_devices(
    tmp_path: Path, pages: list[Page]
) -> None:
    async with world(tmp_path, ALLOWED, TWIML, http=PROXIED) as here:
        await opened(pages, here, token_of(await key_of(here), "alice"), "203.0.113.1")
        sub = await here.gateway._ground.accounts.add_subaccount(ACCOUNT, "Sub", 1.0)
        headers = {"Authorization": aiohttp.encode_basic_auth(sub.sid, sub.auth_token)}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.get(f"{here.url}/v1/clients") as response,
        ):
            assert await response.json() == {"clients": [], "next": None}
        assert [each["identity"] for each in await clients(here)] == ["alice"]
