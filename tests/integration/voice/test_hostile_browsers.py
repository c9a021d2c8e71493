"""A thousand idle sockets, forged tokens, frames of a megabyte and garbage, while a page talks."""

import asyncio
import contextlib
import json
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.integration.voice.sdk import Page, application_of, key_of, token_of
from tests.integration.voice.test_browsers import pages, tone_file
from tests.integration.voice.world import ACCOUNT, World, world
from tests.webrtc_peer import on_loopback

__all__ = ["on_loopback", "pages"]

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("on_loopback")]

IDLE = 1000
ROOM = f"max_unproven_sockets_per_address = {IDLE}\nmax_unproven_sockets = {IDLE + 1}"
FORGED = 200
FRAMES = 20


async def test_a_call_goes_on_through_what_strangers_do(tmp_path: Path, pages: list[Page]) -> None:
    twiml = "<Response><Play loop='0'>/tone.wav</Play></Response>"
    async with world(tmp_path, "", twiml, http=ROOM) as here:
        here.app.sounds["/tone.wav"] = tone_file(440.0)
        key = await key_of(here)
        token = token_of(key, "alice", await application_of(here))
        page = Page(here)
        pages.append(page)
        await page.opens(token)
        await page.calls()
        await page.is_answered()
        await page.hears_tone(440.0)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as strangers:
            await sends_too_much(here, strangers)
            forged = [key.secret[:-1] + "x", key.secret[::-1]]
            await shows(here, strangers, [token.rpartition(".")[0] + "." + each for each in forged])
            await stays_idle(here, strangers)
        assert page.peer is not None
        heard = len(page.peer.payloads)
        await page.hears_tone(440.0)
        async with asyncio.timeout(30):
            while len(page.peer.payloads) <= heard + 15:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.05)
        await page.hangs_up()
        await here.ended()
        await page.closes()
        voice = here.gateway._voice
        assert voice is not None
        async with asyncio.timeout(60):
            while any(voice.browsers.desk.ledger().values()):  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.05)
        calls = await here.get(f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json")
        assert len(calls["calls"]) == 1


def address(here: World) -> str:
    return here.url.replace("http", "ws") + "/signal"


async def sends_too_much(here: World, strangers: aiohttp.ClientSession) -> None:
    """Frames of a megabyte close their sockets, and those that can't be read in the end."""
    for _ in range(FRAMES):
        socket = await strangers.ws_connect(address(here))
        await socket.send_str("[" * 1_000_000)
        await closed(socket)
        assert socket.close_code == 1009
        socket = await strangers.ws_connect(address(here))
        for _ in range(10):
            await socket.send_str("[" * 60_000)
        await closed(socket)
        assert socket.close_code == 1007


async def shows(here: World, strangers: aiohttp.ClientSession, tokens: list[str]) -> None:
    """Tokens that nobody here signed are refused with the code for that."""
    for number in range(FORGED):
        socket = await strangers.ws_connect(address(here))
        payload = {"token": tokens[number % len(tokens)]}
        await socket.send_str(json.dumps({"type": "listen", "payload": payload}))
        told = await socket.receive_json()
        assert told["payload"]["error"]["code"] in (31202, 31204)
        await closed(socket)
        assert socket.close_code == 1008


async def stays_idle(here: World, strangers: aiohttp.ClientSession) -> None:
    """A thousand from one place, which takes none of the page's, and all closed soon.

    For one more the first makes way, if it had the time to say who it is.
    """
    sockets = [await strangers.ws_connect(address(here)) for _ in range(IDLE)]
    with contextlib.suppress(aiohttp.WSServerHandshakeError):
        sockets.append(await strangers.ws_connect(address(here)))
    voice = here.gateway._voice
    assert voice is not None
    assert voice.browsers.door.strangers <= IDLE
    async with asyncio.timeout(30):
        await asyncio.gather(*map(closed, sockets))
    codes = [socket.close_code for socket in sockets]
    assert set(codes) <= {1006, 1008} and codes.count(1008) >= IDLE


async def closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    while (await socket.receive()).type is WSMsgType.TEXT:
        pass
