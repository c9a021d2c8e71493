"""A peer on a bare UDP socket, which says what it is told to: for what no user agent does."""

import asyncio
import secrets
from collections.abc import Callable

from msgspec.structs import replace

from protocols.sdp import codec as sdp
from protocols.sdp.media import LocalMedia
from protocols.sdp.negotiation import Negotiation
from protocols.sip.codec import encode, read_datagram
from protocols.sip.derive import reply
from protocols.sip.message import NO_HEADERS, Headers, NameAddr, Request, Response, Via
from protocols.sip.uri import SipUri
from tests.integration.voice.phones import PATIENCE

Message = Request | Response


class Raw(asyncio.DatagramProtocol):
    """Keeps what comes, in its order."""

    def __init__(self) -> None:
        self.came: list[Message] = []
        self.gateway: tuple[str, int] = ("", 0)
        self._news = asyncio.Event()
        self.transport: asyncio.DatagramTransport

    async def open(self) -> "Raw":
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        return self

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    @property
    def contact(self) -> NameAddr:
        return NameAddr(uri=SipUri(user="raw", host="127.0.0.1", port=self.port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = read_datagram(data)
        if isinstance(message, Request | Response):
            self.gateway = addr
            self.came.append(message)
            self._news.set()

    def say(self, message: Message) -> None:
        self.transport.sendto(encode(message), self.gateway)

    def answer(self, request: Request, status: int, tag: str = "", body: bytes = b"") -> None:
        """Respond; with a description where `body` is one."""
        headers = Headers((("Content-Type", "application/sdp"),)) if body else Headers()
        response = reply(request, status, tag=tag, headers=headers, body=body)
        self.say(replace(response, contacts=(self.contact,)))

    def request(
        self, method: str, to: SipUri, *, headers: Headers = NO_HEADERS, body: bytes = b""
    ) -> Request:
        """A request outside of dialogs, not yet sent."""
        branch = "z9hG4bK" + secrets.token_hex(8)
        via = Via(transport="UDP", host="127.0.0.1", port=self.port, params=(("branch", branch),))
        return Request(
            method=method,
            uri=to,
            vias=(via,),
            from_=replace(self.contact, params=(("tag", secrets.token_hex(4)),)),
            to=NameAddr(uri=to),
            call_id=secrets.token_hex(8),
            cseq=1,
            contacts=(self.contact,),
            headers=headers,
            body=body,
        )

    async def until(self, fits: Callable[[Message], bool], since: int = 0) -> Message:
        async with asyncio.timeout(PATIENCE):
            while True:
                for message in self.came[since:]:
                    if fits(message):
                        return message
                self._news.clear()
                await self._news.wait()

    async def asked(self, method: str, fits: Callable[[Request], bool] = lambda _: True) -> Request:
        """The first request of a method that fits."""
        found = await self.until(
            lambda each: isinstance(each, Request) and each.method == method and fits(each)
        )
        assert isinstance(found, Request)
        return found

    async def told(self, status: int = 200) -> Response:
        """The first response of at least `status`."""
        found = await self.until(lambda each: isinstance(each, Response) and each.status >= status)
        assert isinstance(found, Response)
        return found

    def close(self) -> None:
        self.transport.close()


def described(offer: bytes, port: int) -> bytes:
    """An answer to an offer: PCMU at a port of loopback."""
    negotiation = Negotiation(session_id=7, key=secrets.token_bytes)
    negotiation.receive_offer(sdp.read(offer))
    answered = negotiation.answer(LocalMedia(address="127.0.0.1", port=port))
    return sdp.write(answered.description)  # type: ignore[union-attr]
