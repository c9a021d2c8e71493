"""Headless Chromium as a peer: pages of ours with others' packages, steered by DevTools.

Each browser has a microphone that hears one tone. Nothing that it asks for leaves the machine.
"""

import asyncio
import json
import os
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from math import pi
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import numpy as np
from aiohttp import web

CACHE = Path(os.environ.get("TRUNKLINE_CACHE") or Path.home() / ".cache" / "trunkline")
PACKAGES = CACHE / "browsers"
_HERE = Path(__file__).parent / "browsers"
_PATIENCE = 20.0
_RATE = 48_000
_NEAR = 15.0  # Hz; the spectrum has steps of 6
_LOUD = -60.0  # dB
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--autoplay-policy=no-user-gesture-required",
    "--ignore-certificate-errors",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)
_PAGE = """<!doctype html><meta charset="utf-8"><title>a page of the tests</title>
<script src="/own/hearing.js"></script>{scripts}"""


class PageError(AssertionError):
    """A page threw; the text has what it said before."""


class Page:
    """One page, with what it said on its console, and the URLs that it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())
        self.said: list[str] = []
        self.asked: list[str] = []

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if (waiting := self._waiting.pop(told.get("id", -1), None)) is not None:
                waiting.set_result(told)
            elif told.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.said.append(json.dumps(told["params"])[:2000])
            elif told.get("method") == "Network.requestWillBeSent":
                self.asked.append(told["params"]["request"]["url"])
            elif told.get("method") == "Network.webSocketCreated":
                self.asked.append(told["params"]["url"])

    async def command(self, method: str, **given: object) -> dict[str, Any]:
        """What DevTools answer."""
        self._number += 1
        waiting = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": given})
        async with asyncio.timeout(_PATIENCE):
            told = await waiting
        if "error" in told:
            raise PageError(f"{method}: {told['error']}")
        result: dict[str, Any] = told["result"]
        return result

    async def run(self, script: str) -> Any:
        """What an expression comes to, a promise when it is kept; as JSON has it."""
        told = await self.command(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if (thrown := told.get("exceptionDetails")) is not None:
            said = "\n".join(self.said[-30:])
            raise PageError(f"{script[:200]}: {json.dumps(thrown)[:2000]}\n{said}")
        return told["result"].get("value")

    async def until(self, script: str) -> Any:
        """The first value of an expression that is something."""
        value = None
        try:
            async with asyncio.timeout(_PATIENCE):
                while not (value := await self.run(script)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            told = await self.run("JSON.stringify(window.events)")
            said = "\n".join([f"it was told {told}", *self.said[-30:]])
            raise PageError(f"never held: {script}; it is {value!r}\n{said}") from None
        return value

    async def hears(self, stream: str, frequency: float) -> None:
        """Return when a stream, an expression, sounds so."""
        heard = f"(async () => {{ const stream = {stream}; return stream && hear(stream); }})()"
        fits = (
            f"found && found.level > {_LOUD} && Math.abs(found.frequency - {frequency}) < {_NEAR}"
        )
        await self.until(f"{heard}.then((found) => {fits})")

    async def crash(self) -> None:
        """Have its process end as by a fault; nothing can be asked of it then."""
        await self._socket.send_json({"id": 0, "method": "Page.crash"})

    async def hears_nothing(self, stream: str) -> None:
        """Return when nothing is heard of a stream."""
        await self.until(f"(async () => (await hear({stream})).level < {_LOUD})()")

    async def close(self) -> None:
        """Steer it no more."""
        await self._socket.close()
        await self._reading


class Chromium:
    """A browser that runs."""

    def __init__(self, session: aiohttp.ClientSession, port: int, pages: str) -> None:
        self._session = session
        self._port = port
        self._pages = pages
        self._open: list[Page] = []

    async def page(self, *packages: str, own: str = "", first: str = "") -> Page:
        """A page with these of `PACKAGES` loaded, and a script of our own; `first` runs before."""
        wanted = [("script", f"/packages/{each}") for each in packages]
        wanted += [("script", f"/own/{own}")] * bool(own)
        return await self.open(f"{self._pages}/page?{urlencode(wanted)}", first)

    async def open(self, url: str, first: str = "") -> Page:
        """A page of anybody's."""
        made = await self._session.put(f"http://127.0.0.1:{self._port}/json/new?about:blank")
        found = json.loads(await made.text())
        socket = await self._session.ws_connect(found["webSocketDebuggerUrl"], max_msg_size=0)
        page = Page(socket)
        self._open.append(page)
        await page.command("Runtime.enable")
        await page.command("Page.enable")
        await page.command("Network.enable")
        await page.command("Page.addScriptToEvaluateOnNewDocument", source=first)
        await page.command("Page.navigate", url=url)
        await page.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page

    async def close(self) -> None:
        """Let go of its pages."""
        for page in self._open:
            await page.close()


async def _page(request: web.Request) -> web.Response:
    names = request.query.getall("script", [])
    scripts = "".join(f'<script src="{escape(each)}"></script>' for each in names)
    return web.Response(text=_PAGE.format(scripts=scripts), content_type="text/html")


@asynccontextmanager
async def pages() -> AsyncIterator[str]:
    """A web server with the page and the packages; its URL."""
    app = web.Application()
    app.router.add_get("/page", _page)
    app.router.add_static("/own", _HERE)
    app.router.add_static("/packages", PACKAGES)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def chromium(folder: Path, served: str, tone: float) -> AsyncIterator[Chromium]:
    """A browser whose microphone hears `tone`, with `folder` for itself."""
    profile, log = folder / "profile", folder / "chromium.log"
    sound = await asyncio.to_thread(_tone, folder, tone)
    program = shutil.which("chromium") or "chromium"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program,
            *_FLAGS,
            f"--user-data-dir={profile}",
            f"--use-file-for-fake-audio-capture={sound}",
            "about:blank",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        port = await _port(profile, process, log)
        async with aiohttp.ClientSession() as session:
            browser = Chromium(session, port, served)
            try:
                yield browser
            finally:
                await browser.close()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 15)
        await process.wait()


async def _port(profile: Path, process: asyncio.subprocess.Process, log: Path) -> int:
    """Where its DevTools listen."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            if process.returncode is not None:
                raise AssertionError(f"chromium ended:\n{await asyncio.to_thread(log.read_text)}")
            try:
                text = await asyncio.to_thread((profile / "DevToolsActivePort").read_text)
            except FileNotFoundError:
                text = ""
            if "\n" in text:
                return int(text.split("\n", 1)[0])
            await asyncio.sleep(0.05)


def _tone(folder: Path, frequency: float) -> Path:
    """Ten seconds of it, which are repeated."""
    folder.mkdir(exist_ok=True)
    path = folder / "microphone.wav"
    times = np.arange(10 * _RATE) / _RATE
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, _RATE, 0, "NONE", ""))
        file.writeframes((np.sin(2 * pi * frequency * times) * 12_000).astype("<i2").tobytes())
    return path
