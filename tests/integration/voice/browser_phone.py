"""A browser's phone for tests: SIP over WebSocket written by hand, and aiortc's whole connection.

It shares no code with the gateway: messages are text, descriptions are aiortc's own.
"""

import asyncio
import hashlib
import itertools
import re
import secrets
from collections.abc import Callable
from typing import Any

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription

from tests.webrtc_peer import Stranger

PATIENCE = 60.0


class Text:
    """A message: its first line, its headers by names in small letters, its body."""

    def __init__(self, written: str) -> None:
        head, _, self.body = written.partition("\r\n\r\n")
        self.line, *lines = head.split("\r\n")
        self.headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers.setdefault(name.lower(), []).append(value.strip())

    def __getitem__(self, name: str) -> str:
        return self.headers[name][0]

    @property
    def status(self) -> int:
        return int(self.line.split()[1]) if self.line.startswith("SIP/2.0") else 0

    @property
    def method(self) -> str:
        return self["cseq"].split()[1]

    @property
    def contact(self) -> str:
        found = re.search(r"<([^>]*)>", self["contact"])
        assert found is not None
        return found[1]


class BrowserPhone:
    """One tab: its WebSocket, its registration, one call at a time."""

    def __init__(self, user: str, domain: str, password: str, tone: float = 1000.0) -> None:
        self.user, self.domain, self.password = user, domain, password
        self.media = Stranger(tone)
        self.told: list[Text] = []
        self.statuses: dict[str, int] = {}
        """What requests of the gateway are answered with, by method; 200 if nothing is said."""
        self._host = f"{secrets.token_hex(6)}.invalid"
        self._contact = f"<sip:{secrets.token_hex(4)}@{self._host};transport=ws>"
        self._instance = f'+sip.instance="<urn:uuid:{secrets.token_hex(16)}>"'
        self._numbers = itertools.count(1)
        self._call: dict[str, str] = {}
        self._offered: Text | None = None
        self._news = asyncio.Event()
        self._next_tone = 0.0
        self._session = aiohttp.ClientSession()
        self._reading: asyncio.Task[None] | None = None
        self.socket: aiohttp.ClientWebSocketResponse

    async def open(self, url: str, **more: Any) -> "BrowserPhone":
        self.socket = await self._session.ws_connect(url, protocols=("sip",), **more)
        assert self.socket.protocol == "sip"
        self._reading = asyncio.create_task(self._read())
        return self

    def be_at(self, other: "BrowserPhone") -> None:
        """Claim another's contact."""
        self._contact = other._contact

    async def reconnect(self, url: str) -> None:
        """Lose the socket, and come back by another one; media know nothing of it."""
        await self.socket.close()
        if self._reading is not None:
            await self._reading
        await self.open(url)

    async def roam(self, url: str, address: str, tone: float) -> None:
        """Be in another network all at once: the socket and the media of before are dead."""
        await self._session.close()
        await self.media.close()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(local_addr=(address, 0))
        )
        self._next_tone = tone
        await self.open(url)

    async def _follow(self, request: Text) -> None:
        """Answer an offer in mid-call from the network that we are in now."""
        self.media = Stranger(self._next_tone)
        await self.answer(request, 200, await self._answer_of(request.body))

    async def close(self) -> None:
        await self.media.close()
        await self._session.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        async for message in self.socket:
            text = Text(message.data)
            self.told.append(text)
            if not text.status:
                await self._hear(text)
            self._news.set()

    async def _hear(self, request: Text) -> None:
        match request.method:
            case "ACK":
                return
            case "INVITE" if ";tag=" in request["to"]:
                await self._follow(request)
            case "INVITE":
                self._offered = request
                await self.answer(request, 180)
            case "CANCEL":
                await self.answer(request, 200)
                assert self._offered is not None
                await self.answer(self._offered, 487)
            case method:
                await self.answer(request, self.statuses.get(method, 200))

    async def until(self, fits: Callable[[Text], bool], since: int = 0) -> Text:
        async with asyncio.timeout(PATIENCE):
            while True:
                for each in self.told[since:]:
                    if fits(each):
                        return each
                self._news.clear()
                await self._news.wait()

    async def asked(self, method: str, since: int = 0) -> Text:
        """The first request of this method."""
        return await self.until(lambda each: not each.status and each.method == method, since)

    # Out

    async def answer(self, request: Text, status: int, body: str = "") -> None:
        to = request["to"]
        if ";tag=" not in to:
            to += f";tag={self._tag(request)}"
        copied = [f"Via: {each}" for each in request.headers["via"]]
        copied += [f"Record-Route: {each}" for each in request.headers.get("record-route", [])]
        copied += [f"From: {request['from']}", f"To: {to}"]
        copied += [f"Call-ID: {request['call-id']}", f"CSeq: {request['cseq']}"]
        await self._send(f"SIP/2.0 {status} X", copied, body)

    def _tag(self, request: Text) -> str:
        return hashlib.md5(request["call-id"].encode()).hexdigest()[:8]

    async def _send(self, line: str, headers: list[str], body: str, kind: str = "") -> None:
        said = [line, *headers, f"Contact: {self._contact};{self._instance}"]
        said.append("Supported: path,gruu,outbound")
        if body:
            said.append(f"Content-Type: {kind or 'application/sdp'}")
        said.append(f"Content-Length: {len(body.encode())}")
        await self.socket.send_str("\r\n".join(said) + "\r\n\r\n" + body)

    async def request(
        self,
        method: str,
        uri: str,
        dialog: dict[str, str],
        body: str = "",
        *,
        kind: str = "",
        more: tuple[str, ...] = (),
    ) -> Text:
        """Ask, with a password where one is wanted; the final response."""
        authorization: tuple[str, ...] = ()
        for _ in range(2):
            since, number = len(self.told), next(self._numbers)
            await self._ask(method, uri, dialog, number, body, kind, (*more, *authorization))
            final = await self.until(
                lambda each, number=number: (
                    each.status >= 200 and each["cseq"] == f"{number} {method}"
                ),
                since,
            )
            if method == "INVITE":
                dialog = {**dialog, "to": final["to"]}
                uri_of_ack = final.contact if final.status < 300 else uri
                await self._ask("ACK", uri_of_ack, dialog, number, "", "", ())
            if final.status != 401:
                return final
            authorization = (self._proof(method, uri, final["www-authenticate"]),)
            if method == "INVITE":
                dialog["to"] = dialog["to"].partition(";tag=")[0]
        raise AssertionError("the password is not taken")

    async def _ask(
        self,
        method: str,
        uri: str,
        dialog: dict[str, str],
        number: int,
        body: str,
        kind: str,
        more: tuple[str, ...],
    ) -> None:
        headers = [
            f"Via: SIP/2.0/WS {self._host};branch=z9hG4bK{secrets.token_hex(6)}",
            "Max-Forwards: 69",
            f"From: {dialog['from']}",
            f"To: {dialog['to']}",
            f"Call-ID: {dialog['id']}",
            f"CSeq: {number} {method}",
            *more,
        ]
        await self._send(f"{method} {uri} SIP/2.0", headers, body, kind)

    def _proof(self, method: str, uri: str, challenge: str) -> str:
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
        count, chance = "00000001", secrets.token_hex(8)

        def md5(*parts: str) -> str:
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        secret = md5(self.user, said["realm"], self.password)
        response = md5(secret, said["nonce"], count, chance, "auth", md5(method, uri))
        return (
            f'Authorization: Digest algorithm=MD5, username="{self.user}", realm="{said["realm"]}",'
            f' nonce="{said["nonce"]}", uri="{uri}", response="{response}", qop=auth,'
            f' cnonce="{chance}", nc={count}' + self._opaque(said)
        )

    def _opaque(self, said: dict[str, str]) -> str:
        return f', opaque="{said["opaque"]}"' if "opaque" in said else ""

    # What a person does

    async def register(self, expires: int = 600) -> Text:
        mine = f"<sip:{self.user}@{self.domain}>"
        dialog = {
            "from": f"{mine};tag={secrets.token_hex(4)}",
            "to": mine,
            "id": secrets.token_hex(8),
        }
        contact = f"{self._contact};{self._instance}"
        self._contact = f"{self._contact};reg-id=1;expires={expires}"
        try:
            return await self.request("REGISTER", f"sip:{self.domain}", dialog)
        finally:
            self._contact = contact.partition(f";{self._instance}")[0]

    async def call(self, to: str) -> Text:
        """Call somebody; when this returns there is an answer, and media are on their way."""
        uri = f"sip:{to}@{self.domain}"
        mine = f"<sip:{self.user}@{self.domain}>;tag={secrets.token_hex(4)}"
        dialog = {"from": mine, "to": f"<{uri}>", "id": secrets.token_hex(8)}
        offer = await self._offer(self.media.connection)
        final = await self.request("INVITE", uri, dialog, offer)
        assert final.status == 200, final.line
        self._call = {**dialog, "to": final["to"], "uri": final.contact}
        await self._accept(self.media.connection, final.body)
        return final

    async def pick_up(self) -> None:
        """Answer who calls."""
        request = await self.asked("INVITE")
        await self.answer(request, 200, await self._answer_of(request.body))
        self._call = {
            "from": f"{request['to']};tag={self._tag(request)}",
            "to": request["from"],
            "id": request["call-id"],
            "uri": request.contact,
        }

    async def change(self, sdp: str) -> Text:
        """Offer in mid-call."""
        return await self.ask("INVITE", sdp)

    async def move(self, tone: float) -> None:
        """Go on by another peer connection, as from another network, with another tone."""
        before, self.media = self.media, Stranger(tone)
        offer = await self._offer(self.media.connection)
        final = await self.change(offer)
        assert final.status == 200, final.line
        await self._accept(self.media.connection, final.body)
        await before.close()

    async def ask(self, method: str, body: str = "", kind: str = "", *more: str) -> Text:
        """A request in the call."""
        return await self.request(
            method, self._call["uri"], self._call, body, kind=kind, more=tuple(more)
        )

    async def press(self, digits: str) -> None:
        """Press keys as JsSIP does it."""
        for each in digits:
            body = f"Signal={each}\r\nDuration=100\r\n"
            final = await self.ask("INFO", body, "application/dtmf-relay")
            assert final.status == 200

    async def hears(self, tone: float) -> None:
        async with asyncio.timeout(PATIENCE):
            while abs(self.media.heard - tone) > 10:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.02)

    async def _answer_of(self, offer: str) -> str:
        connection = self.media.connection
        await connection.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return str(connection.localDescription.sdp)

    async def _offer(self, connection: RTCPeerConnection) -> str:
        await connection.setLocalDescription(await connection.createOffer())
        return str(connection.localDescription.sdp)

    async def _accept(self, connection: RTCPeerConnection, body: str) -> None:
        await connection.setRemoteDescription(RTCSessionDescription(sdp=body, type="answer"))
