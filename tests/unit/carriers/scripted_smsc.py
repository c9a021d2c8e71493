"""A message centre for tests: real sockets on a free port, answers as the test says."""

import asyncio
import ssl
from collections.abc import Callable

from protocols.smpp.endpoint import Connection, Listener, listen
from protocols.smpp.events import BindRequested, Closed, RequestReceived, ResponseReceived
from protocols.smpp.pdu import Bind, DataSm, DataSmResp, Pdu, SubmitSm, SubmitSmResp
from protocols.smpp.session import Role, Session, SessionConfig

PATIENCE = 60.0  # seconds; generous, because nothing waits for luck


class Link:
    """One connection of an ESME, as the message centre sees it."""

    def __init__(self, smsc: "Smsc", connection: Connection) -> None:
        self._smsc = smsc
        self._connection = connection
        self.bind: Bind | None = None
        self.bound = False
        self.requests: list[RequestReceived] = []
        self.responses: list[ResponseReceived] = []
        self.closed = ""

    @property
    def submits(self) -> list[SubmitSm]:
        """The submit_sm that came so far."""
        return [request.pdu for request in self.requests if isinstance(request.pdu, SubmitSm)]

    def respond(self, request: RequestReceived, command_status: int = 0) -> None:
        """Answer one submit_sm or data_sm; the message_id is `id-` and the sequence_number."""
        message_id = "" if command_status else f"id-{request.sequence_number}"
        kind = DataSmResp if isinstance(request.pdu, DataSm) else SubmitSmResp
        response = kind(message_id=message_id, tlvs=self._smsc.response_tlvs)
        self._connection.session.answer(
            request.sequence_number, response, self._now(), command_status
        )
        self._connection.flush()

    def send(self, pdu: Pdu) -> int:
        """Send a request; its sequence_number."""
        sequence_number = self._connection.session.request(pdu, self._now())
        self._connection.flush()
        return sequence_number

    def unbind(self) -> None:
        """Ask the ESME to leave."""
        self._connection.session.unbind(self._now())
        self._connection.flush()

    def write(self, octets: bytes) -> None:
        """Put raw octets on the wire."""
        self._connection._transport.write(octets)

    def fall_silent(self) -> None:
        """Read nothing more, and so answer nothing."""
        self._connection._transport.pause_reading()

    def kill(self) -> None:
        """Drop the connection without a word."""
        self._connection._transport.abort()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def serve(self) -> None:
        while not self.closed:
            for event in await self._connection.events():
                match event:
                    case BindRequested():
                        self._bind(event)
                    case RequestReceived():
                        self.requests.append(event)
                        if self._smsc.answering:
                            self.respond(event)
                    case ResponseReceived():
                        self.responses.append(event)
                    case Closed():
                        self.closed = event.reason
            self._connection.flush()
            self._smsc.changed.set()

    def _bind(self, event: BindRequested) -> None:
        self.bind = event.pdu
        status = self._smsc.bind_statuses.pop(0) if self._smsc.bind_statuses else 0
        session = self._connection.session
        if status:
            session.refuse_bind(event.sequence_number, status, self._now())
        else:
            session.accept_bind(event.sequence_number, "smsc", self._now())
            self.bound = True


class Smsc:
    """Listens; `links` are the connections in their order, closed ones too."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.answering = True
        self.bind_statuses: list[int] = []
        self.response_tlvs: tuple[tuple[int, bytes], ...] = ()
        self.changed = asyncio.Event()
        self._listener: Listener | None = None

    @property
    def port(self) -> int:
        assert self._listener is not None
        return self._listener.port

    async def start(self, tls: ssl.SSLContext | None = None, port: int = 0) -> "Smsc":
        config = SessionConfig(enquire_link_interval=0.0, window=1000)
        self._listener = await listen(
            "127.0.0.1",
            port,
            lambda now: Session(Role.SMSC, config, now),
            self._accept,
            clock=asyncio.get_running_loop().time,
            ssl=tls,
        )
        return self

    async def _accept(self, connection: Connection) -> None:
        link = Link(self, connection)
        self.links.append(link)
        await link.serve()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds()`; it is looked at after each thing that came in."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    @property
    def live(self) -> list[Link]:
        """The links that are bound and stand."""
        return [link for link in self.links if link.bound and not link.closed]

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.close()
