"""A page with the Voice SDK, as far as its wire goes: a WebSocket, and aiortc's own connection.

It offers no candidates, as the SDK does, and says what that says in the order in which it does.
"""

import asyncio
import contextlib
import json
import re
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiortc import RTCSessionDescription

from gateway.access.keys import Key
from gateway.access.tokens import Grant, mint
from tests.integration.voice.world import ACCOUNT, World
from tests.webrtc_peer import Stranger

PATIENCE = 60.0
Told = tuple[str, dict[str, Any]]


async def key_of(world: World, account: str = ACCOUNT) -> Key:
    """A new key of the account."""
    return await world.gateway._ground.keys.add(account, "pages", time.time())


def token_of(key: Key, identity: str, application: str = "", ttl: float = 3600) -> str:
    """An Access Token."""
    grant = Grant(identity=identity, outgoing_application_sid=application)
    return mint(key, grant, time.time(), ttl)


async def application_of(world: World, path: str = "/voice") -> str:
    """The SID of a new application that asks the test's app."""
    url = f"{world.url}/2010-04-01/Accounts/{ACCOUNT}/Applications.json"
    form = {"FriendlyName": "pages", "VoiceUrl": world.app.url + path}
    async with world.http.post(url, data=form) as response:
        return str((await response.json())["sid"])


class Page:
    """One device."""

    def __init__(self, world: World, tone: float = 1000.0) -> None:
        self._url = world.url.replace("http", "ws") + "/signal"
        self._tone = tone
        self._http = aiohttp.ClientSession()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._told: list[Told] = []
        self._news = asyncio.Event()
        self.peer: Stranger | None = None
        self.callsid = ""
        self.reconnect = ""

    # The socket

    async def opens(self, token: str, *, registers: bool = True) -> "Page":
        """Show a token, and take calls from then on."""
        self._socket = await self._http.ws_connect(self._url)
        self._reading = asyncio.get_running_loop().create_task(self._read(self._socket))
        await self.says("listen", token=token, reconnectTimeout=30)
        await self.hears("connected")
        if registers:
            await self.says("register", media={"audio": True})
            await self.hears("ready")
        return self

    async def says(self, kind: str, **payload: Any) -> None:
        assert self._socket is not None
        text = json.dumps({"type": kind, "payload": payload, "version": "1.6"})
        await self._socket.send_str(text)

    async def hears(self, kind: str) -> dict[str, Any]:
        """The payload of the next message of a type; what else came is kept."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while True:
            for at, (told, payload) in enumerate(self._told):
                if told == kind:
                    del self._told[at]
                    return payload
            self._news.clear()
            try:
                async with asyncio.timeout_at(end):
                    await self._news.wait()
            except TimeoutError:
                raise AssertionError(f"no {kind}, but {self._told}") from None

    async def drops(self) -> None:
        """Lose the socket as a network does: without a word."""
        assert self._socket is not None
        assert self._reading is not None
        self._reading.cancel()
        transport = self._socket._response.connection
        assert transport is not None
        assert transport.transport is not None
        transport.transport.abort()

    async def closes(self) -> None:
        if self.peer is not None:
            await self.peer.close()
        if self._reading is not None:
            self._reading.cancel()
        with contextlib.suppress(Exception):
            await self._http.close()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.data == "\n":
                await socket.send_str("\n")
                continue
            frame = json.loads(message.data)
            self._told.append((frame["type"], frame["payload"]))
            self._news.set()

    # Calls

    async def calls(self, **parameters: str) -> None:
        """Invite, as far as it rings or is answered."""
        if self.peer is not None:
            await self.peer.close()
        self.peer = peer = Stranger(self._tone)
        connection = peer.connection
        await connection.setLocalDescription(await connection.createOffer())
        self.callsid = "TJS7d0c"
        sdp = bare(connection.localDescription.sdp)
        await self.says(
            "invite", callsid=self.callsid, sdp=sdp, twilio={"params": urlencode(parameters)}
        )

    async def is_answered(self) -> None:
        told = await self.hears("answer")
        self.callsid, self.reconnect = told["callsid"], told["reconnect"]
        await self.takes(told["sdp"])

    async def takes(self, sdp: str) -> None:
        """Take an answer of the gateway's."""
        assert self.peer is not None
        await self.peer.connection.setRemoteDescription(_description(sdp, "answer"))

    async def is_called(self) -> dict[str, Any]:
        """The invitation; it rings."""
        told = await self.hears("invite")
        self.callsid, self.reconnect = told["callsid"], told["reconnect"]
        self._offer = told["sdp"]
        return told

    async def answers(self) -> None:
        self.peer = peer = Stranger(self._tone)
        connection = peer.connection
        await connection.setRemoteDescription(_description(self._offer, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        await self.says("answer", callsid=self.callsid, sdp=bare(connection.localDescription.sdp))

    async def comes_back(self, token: str) -> dict[str, Any]:
        """Open another socket and take the call up on it."""
        assert self.peer is not None
        await self.opens(token)
        await self.says(
            "invite",
            callsid=self.callsid,
            reconnect=self.reconnect,
            sdp=bare(self.peer.connection.localDescription.sdp),
            twilio={},
        )
        return await self.hears("answer")

    async def takes_over(self, other: "Page") -> None:
        """Take a call that another page has, or that rings there, as `connectToken` has it."""
        self.peer = peer = Stranger(self._tone)
        connection = peer.connection
        await connection.setLocalDescription(await connection.createOffer())
        self.callsid = other.callsid
        sdp = bare(connection.localDescription.sdp)
        proof = other.reconnect
        await self.says("invite", callsid=self.callsid, reconnect=proof, sdp=sdp, twilio={})
        await self.is_answered()

    async def hangs_up(self) -> None:
        await self.says("hangup", callsid=self.callsid)

    async def hears_tone(self, frequency: float) -> None:
        """Return when it hears this tone."""
        assert self.peer is not None
        async with asyncio.timeout(PATIENCE):
            while abs(self.peer.heard - frequency) > 5:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.05)

    async def moves(self) -> None:
        """Change the network: another connection of its own, and an offer that says so."""
        assert self.peer is not None
        before, self.peer = self.peer, Stranger(self._tone)
        connection = self.peer.connection
        await connection.setLocalDescription(await connection.createOffer())
        sdp = bare(connection.localDescription.sdp)
        await before.close()
        await self.says("reinvite", callsid=self.callsid, sdp=sdp)
        await self.takes((await self.hears("answer"))["sdp"])

    async def press(self, digits: str) -> None:
        """Press keys in the signalling."""
        await self.says("dtmf", callsid=self.callsid, dtmf=digits)


def bare(sdp: str) -> str:
    """Without candidates, which the SDK does not wait for."""
    return re.sub(r"a=(candidate|end-of-candidates)[^\n]*\n", "", sdp)


def _description(sdp: str, kind: str) -> RTCSessionDescription:
    return RTCSessionDescription(sdp=sdp, type=kind)
