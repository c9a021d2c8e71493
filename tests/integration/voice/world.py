"""A whole gateway with calls, in this process, and an app that answers with TwiML."""

import asyncio
import gc
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from gateway import config as configuration
from gateway.calls.applied import ApplicationCall
from gateway.calls.attending import Attending
from gateway.calls.dial_run import DialRun
from gateway.calls.hop import Hop as CallHop
from gateway.calls.model import Call, CallLeg
from gateway.calls.queue_run import QueueRun
from gateway.calls.queueing import Enqueued, Serving
from gateway.calls.room_run import Room
from gateway.calls.scoped import Scoped
from gateway.calls.sip_leg import SipLeg
from gateway.calls.transfer import Transfers
from gateway.calls.webrtc_leg import WebRtcLeg
from gateway.daemon.gateway import Gateway
from gateway.media.graph import Graph, Leg
from gateway.media.wire import Refused
from protocols.sip.overload import Lag
from protocols.sip.pace import Pace, Rate
from protocols.sip.transport import Hop, Transport

T = TypeVar("T")
PATIENCE = 60.0
SILENT = "<Response/>"
ACCOUNT = "AC" + "5" * 32
TOKEN = "5" * 32


async def until(held: Callable[[], Awaitable[T | None]]) -> T:
    """The first answer of `held` that is something: for what nobody tells of."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await held()):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def uncollected() -> AsyncIterator[None]:
    """Calls that begin and end here leave nothing that waits for the collector."""
    gc.collect()
    before = _of_calls()
    gc.disable()
    try:
        yield

        async def is_free() -> bool:
            return _of_calls() <= before

        await until(is_free)
    finally:
        gc.enable()


def _of_calls() -> Counter[type]:
    kinds = Counter(map(type, gc.get_objects()))
    return Counter({kind: count for kind, count in kinds.items() if issubclass(kind, _OF_CALLS)})


_OF_CALLS = (
    *(Scoped, Transfers, DialRun, ApplicationCall, SipLeg, WebRtcLeg, CallHop),
    *(Room, Attending, QueueRun, Enqueued, Serving),
)


@dataclass
class App:
    """Answers `/voice` with `twiml`, other paths with what `pages` and `sounds` have.

    `callers` have documents of their own at `/voice`, by who calls. It keeps what it was asked,
    and by which methods in `ways`.
    """

    twiml: str = SILENT
    callers: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    sounds: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    ways: list[tuple[str, str]] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    url: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        form = {**request.query, **await request.post()}
        self.asked.append((request.path, {name: str(value) for name, value in form.items()}))
        self.ways.append((request.method, request.path))
        self.news.set()
        if (gate := self.gates.get(request.path)) is not None:
            await gate.wait()
        if (sound := self.sounds.get(request.path)) is not None:
            return web.Response(body=sound, content_type="audio/wav")
        voice = self.callers.get(str(form.get("From")), self.twiml)
        text = self.pages.get(request.path, voice if request.path == "/voice" else SILENT)
        return web.Response(text=text, content_type="text/xml")

    async def until(
        self, path: str, where: Callable[[dict[str, str]], bool] = lambda form: True
    ) -> dict[str, str]:
        """The form of the first request for `path` that fits."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for asked, form in self.asked:
                    if asked == path and where(form):
                        return form
                self.news.clear()
                await self.news.wait()


@dataclass
class World:
    gateway: Gateway
    app: App
    http: aiohttp.ClientSession

    def hop(self, transport: Transport = Transport.UDP) -> Hop:
        port = self.gateway.ports[f"sip_{transport.lower()}"]
        return Hop(transport=transport, host="127.0.0.1", port=port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.ports['http']}"

    @property
    def book(self) -> Any:
        voice = self.gateway._voice
        assert voice is not None
        return voice.calls._house.book

    async def get(self, path: str) -> Any:
        async with self.http.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def calls(self) -> list[dict[str, Any]]:
        found = await self.get(f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json")
        return list(found["calls"])

    async def call(self, sid: str) -> Call:
        found = await self.book.get(ACCOUNT, sid)
        assert isinstance(found, Call)
        return found

    async def stored(self, where: Callable[[Call], bool]) -> Call:
        """The first call whose row fits, once there is one: only our 2xx waits for rows."""

        async def found() -> Call | None:
            calls = [await self.call(each["sid"]) for each in await self.calls()]
            return next((each for each in calls if where(each)), None)

        return await until(found)

    async def legs(self, sid: str) -> list[CallLeg]:
        return list(await self.book.legs(sid))

    async def ended(self) -> None:
        """Return when no call lives."""
        voice = self.gateway._voice
        assert voice is not None
        async with asyncio.timeout(PATIENCE):
            while len(voice.calls):
                await asyncio.wait(list(voice.calls._running))

    def graphs(self, legs: int = 1000) -> list[Graph]:
        """What media workers are asked for from now on; they refuse more `legs` in one call."""
        voice = self.gateway._voice
        assert voice is not None
        plane, asked = voice.calls._house.plane, []
        apply = plane.apply

        def noted(graph: Graph) -> Any:
            asked.append(graph)
            if sum(isinstance(each, Leg) for each in graph.nodes) <= legs:
                return apply(graph)
            why: dict[str, Any] = {"reason": "no port is free", "is_full": True}
            refused = asyncio.get_running_loop().create_future()
            refused.set_result(Refused(call=graph.call, version=graph.version, **why))
            return refused

        plane.apply = noted  # type: ignore[method-assign]
        return asked

    def fall_behind(self) -> None:
        """Let signalling be behind, for good: who can wait is turned away."""
        voice = self.gateway._voice
        assert voice is not None
        overload = voice.station.overload
        overload._lag = Lag(most=0.0)  # it stays as late as it is
        overload._free = Pace(Rate(per_second=0.0, at_once=0.0), 0.0)
        overload.share, overload._credit = 0.95, 99.0

    async def quiet(self) -> None:
        """Return when no transaction, call or connection of SIP is left."""
        voice = self.gateway._voice
        assert voice is not None
        agent, endpoint = voice.station.agent, voice.station.endpoint
        end = asyncio.get_running_loop().time() + PATIENCE

        def left() -> dict[str, float]:
            return {
                "servers": agent.layer.servers,
                "clients": agent.layer.clients,
                "connections": endpoint.connections(),
                "timer": agent.timer() or 0,
            }

        while any(left().values()):
            assert asyncio.get_running_loop().time() < end, left()
            await asyncio.sleep(0.01)
        assert self.ledger() == {}

    def ledger(self) -> dict[str, int]:
        """What the process holds for calls: empty when nothing is left of any.

        An INVITE of ours is known for as long as a 2xx of another fork may come: 64*T1.
        """
        voice = self.gateway._voice
        assert voice is not None
        held = dict(voice.station.agent.ledger()) | {"invites": 0}
        calls = voice.calls
        held |= {"live": len(calls._live), "legs": len(calls._legs), "running": len(calls)}
        held["ladder"] = len(calls._house.ladder)
        held["channels"] = sum(
            standing.calls
            for name in voice.trunks.names()
            if (standing := voice.trunks.standing(name)) is not None
        )
        return {name: count for name, count in held.items() if count}


BASE = """
[http]
listen = "127.0.0.1:0"
{http}
[smpp]
listen = ""
[sip]
udp = ["127.0.0.1:0"]
tcp = ["127.0.0.1:0"]
{sip}
[media]
workers = {workers}
{media}
"""


@asynccontextmanager
async def world(
    folder: Path,
    config: str,
    twiml: str = SILENT,
    *,
    workers: int = 1,
    http: str = "",
    sip: str = "",
    media: str = "",
) -> AsyncIterator[World]:
    """`{app}` in `config` stands for the app's URL; the last three are more keys of sections."""
    app = App(twiml=twiml)
    web_app = web.Application()
    web_app.router.add_route("*", "/{path:.*}", app.answer)
    runner = web.AppRunner(web_app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    app.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    file = folder / "trunkline.toml"
    base = BASE.replace("{workers}", str(workers)).replace("{http}", http).replace("{sip}", sip)
    base = base.replace("{media}", media)
    file.write_text(base + config.replace("{app}", app.url))
    data = folder / "var"
    data.mkdir(exist_ok=True)
    environ = {"TRUNKLINE_ACCOUNT_SID": ACCOUNT, "TRUNKLINE_AUTH_TOKEN": TOKEN}
    gateway = Gateway(configuration.load(file, {}), data, environ)
    await gateway.start()
    basic = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    try:
        async with aiohttp.ClientSession(headers={"Authorization": f"Basic {basic}"}) as client:
            yield World(gateway, app, client)
    finally:
        await gateway.close()
        await runner.cleanup()
