"""Web servers for the webhook tests: scripted down to the octet, on free ports."""

import asyncio
import ipaddress
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from gateway.webhooks.exchange import Connections
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.guard import Guard
from gateway.webhooks.request import Request

ACCOUNT = "AC" + "0" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
TLS = Path(__file__).parent.parent / "vectors" / "tls"
LOOPBACK = ipaddress.ip_network("127.0.0.1/32")


@dataclass
class Seen:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    connection: int

    @property
    def form(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body, keep_blank_values=True)


Reply = Callable[["Server", Seen, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server that answers each request with what `reply` writes; `seen` are the requests."""

    reply: Reply
    origin: str = ""
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a connection has ended

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while (seen := await self._read(reader, self.connections)) is not None:
                self.seen.append(seen)
                self.arrived.set()
                await self.reply(self, seen, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            self.left.set()
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Seen | None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = (
            head.decode("utf-8", "surrogateescape").removesuffix("\r\n\r\n").split("\r\n")
        )
        method, path, version = first.split(" ")
        assert version == "HTTP/1.1"
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name: value for name, value in pairs}
        assert len(headers) == len(pairs)
        body = await reader.readexactly(int(headers.get("Content-Length", "0")))
        return Seen(method, path, headers, body.decode(), number)


def answer(status: str = "200 OK", body: bytes = b"", **headers: str) -> Reply:
    """A whole response; header names are written with `_` for `-`."""
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if "Transfer_Encoding" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    return octets("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def twiml(body: str) -> Reply:
    return answer(body=body.encode(), Content_Type="text/xml")


def redirect(status: int, location: str, **headers: str) -> Reply:
    return answer(f"{status} Moved", Location=location, **headers)


def octets(whole: bytes) -> Reply:
    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(whole)

    return write


def last_words(whole: bytes) -> Reply:
    """Write `whole`, then end the connection."""

    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(whole)
        writer.close()

    return write


def dribble(whole: bytes, pause: float) -> Reply:
    """Write `whole` octet by octet, for ever from its last one."""

    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        for octet in whole:
            writer.write(bytes([octet]))
            await writer.drain()
            await asyncio.sleep(pause)
        while not writer.is_closing():
            writer.write(whole[-1:])
            await writer.drain()
            await asyncio.sleep(pause)

    return write


def by_path(**replies: Reply) -> Reply:
    """Another reply for each first part of the path."""

    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        name = seen.path.lstrip("/").partition("?")[0].partition("/")[0]
        await replies[name](server, seen, writer)

    return write


def in_turn(*replies: Reply) -> Reply:
    """One reply after the other; the last one stays."""

    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await replies[min(len(server.seen), len(replies)) - 1](server, seen, writer)

    return write


@asynccontextmanager
async def serving(
    reply: Reply, *, host: str = "127.0.0.1", certificate: str = ""
) -> AsyncIterator[Server]:
    """A server of `reply`; with `certificate`, one of TLS."""
    server = Server(reply)
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / f"{certificate}.pem")
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await server.serve(reader, writer)
        finally:
            tasks.discard(task)

    listener = await asyncio.start_server(handle, host, 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    server.origin = f"{'https' if certificate else 'http'}://{host}:{port}"
    try:
        yield server
    finally:
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def fetching(
    per_host: int = 64,
    tls: ssl.SSLContext | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Fetcher]:
    """A fetcher that may reach 127.0.0.1 and no other internal address."""
    async with Connections(Guard([LOOPBACK]), per_host=per_host, tls=tls) as connections:
        yield Fetcher(connections, clock=clock)


def asked(url: str, method: str = "POST", *parameters: tuple[str, str]) -> Request:
    return Request(
        url=url,
        method=method,
        parameters=parameters or (("MessageSid", "SM1"), ("From", "+15550002000")),
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        idempotency_token="token-1",
    )
