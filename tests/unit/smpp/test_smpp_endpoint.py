"""Connections over loopback: batches, back pressure, timers, TLS, and every way to end."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from protocols.smpp import endpoint
from protocols.smpp.codec import encode
from protocols.smpp.endpoint import Connection, Listener
from protocols.smpp.events import (
    BindRequested,
    Bound,
    Closed,
    CloseReason,
    Event,
    PduRejected,
    RequestReceived,
    ResponseReceived,
)
from protocols.smpp.pdu import BindTransceiver, EnquireLink, EnquireLinkResp, SubmitSm, SubmitSmResp
from protocols.smpp.session import Role, Session, SessionConfig

TEXT = SubmitSm(source_addr="1", destination_addr="2", short_message=b"hello")
GENEROUS = 60.0
TLS = Path(__file__).parents[2] / "vectors" / "tls"

Serve = Callable[[Connection], Awaitable[None]]


def clock() -> float:
    return asyncio.get_running_loop().time()


async def answer_all(connection: Connection) -> None:
    """An SMSC that accepts everything."""
    while batch := await connection.events():
        for event in batch:
            if isinstance(event, BindRequested):
                connection.session.accept_bind(event.sequence_number, "smsc", clock())
            elif isinstance(event, RequestReceived):
                response = SubmitSmResp(message_id=str(event.sequence_number))
                connection.session.answer(event.sequence_number, response, clock())
        connection.flush()


@contextlib.asynccontextmanager
async def listening(
    serve: Serve = answer_all, config: SessionConfig | None = None, **settings: Any
) -> AsyncIterator[Listener]:
    def session(now: float) -> Session:
        return Session(Role.SMSC, config or SessionConfig(), now)

    listener = await endpoint.listen("127.0.0.1", 0, session, serve, clock=clock, **settings)
    try:
        async with asyncio.timeout(GENEROUS):
            yield listener
    finally:
        await listener.close()


async def connected(
    port: int, config: SessionConfig | None = None, host: str = "127.0.0.1", **settings: Any
) -> Connection:
    session = Session(Role.ESME, config or SessionConfig(), clock())
    return await endpoint.connect(host, port, session, clock=clock, **settings)


async def bound(port: int, config: SessionConfig | None = None, **settings: Any) -> Connection:
    connection = await connected(port, config, **settings)
    connection.session.bind(BindTransceiver(system_id="me"), clock())
    connection.flush()
    (event,) = await connection.events()
    assert isinstance(event, Bound)
    return connection


async def rest_of(connection: Connection) -> list[Event]:
    events: list[Event] = []
    while batch := await connection.events():
        events += batch
    return events


async def test_a_window_of_messages_and_unbind() -> None:
    async with listening() as listener:
        connection = await bound(listener.port, SessionConfig(window=50))
        assert connection.peer == f"127.0.0.1:{listener.port}"
        numbers = [connection.session.request(TEXT, clock()) for _ in range(50)]
        connection.flush()
        answered: list[Event] = []
        while len(answered) < 50:
            answered += await connection.events()
        found = [event for event in answered if isinstance(event, ResponseReceived)]
        assert [event.sequence_number for event in found] == numbers
        connection.session.unbind(clock())
        connection.flush()
        events = await rest_of(connection)
        assert events[-1] == Closed(reason=CloseReason.UNBOUND, outstanding=())
        assert await connection.events() == []
        await connection.wait_closed()
        assert connection._transport.get_write_buffer_size() == 0


async def test_what_came_together_is_one_batch_and_one_write() -> None:
    batches: asyncio.Queue[int] = asyncio.Queue()

    async def serve(connection: Connection) -> None:
        while batch := await connection.events():
            batches.put_nowait(sum(isinstance(event, RequestReceived) for event in batch))
            for event in batch:
                if isinstance(event, BindRequested):
                    connection.session.accept_bind(event.sequence_number, "smsc", clock())
            connection.flush()

    async with listening(serve) as listener:
        connection = await bound(listener.port, SessionConfig(window=100))
        for _ in range(100):
            connection.session.request(TEXT, clock())
        connection.flush()
        assert await batches.get() == 0  # the bind
        assert await batches.get() == 100
        connection.close()


async def test_nodelay_is_set_on_both_ends() -> None:
    found: list[int] = []

    async def serve(connection: Connection) -> None:
        found.append(nodelay(connection))
        await answer_all(connection)

    async with listening(serve) as listener:
        connection = await bound(listener.port)
        assert nodelay(connection)
        assert found and all(found)
        connection.close()


def nodelay(connection: Connection) -> int:
    wire = connection._transport.get_extra_info("socket")
    return int(wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


async def test_close_is_seen_by_both() -> None:
    ends: asyncio.Queue[list[Event]] = asyncio.Queue()

    async def serve(connection: Connection) -> None:
        ends.put_nowait(await rest_of(connection))

    async with listening(serve) as listener:
        connection = await connected(listener.port)
        connection.close()
        assert await connection.events() == [Closed(reason=CloseReason.CLOSED, outstanding=())]
        assert await connection.events() == []
        await connection.wait_closed()
        assert await ends.get() == [Closed(reason=CloseReason.PEER_CLOSED, outstanding=())]


async def test_listener_closes_what_it_serves() -> None:
    async with listening() as listener:
        first, second = await bound(listener.port), await bound(listener.port)
        assert len(listener.connections) == 2
        await listener.close()
        assert listener.connections == ()
        for connection in (first, second):
            (closed,) = await connection.events()
            assert isinstance(closed, Closed)
            assert closed.reason is CloseReason.PEER_CLOSED
        with pytest.raises(OSError):
            await connected(listener.port)


async def test_connection_ends_when_it_is_served() -> None:
    async def serve(connection: Connection) -> None:
        await connection.events()

    async with listening(serve) as listener:
        connection = await connected(listener.port)
        connection.session.bind(BindTransceiver(), clock())
        connection.flush()
        assert await rest_of(connection) == [Closed(reason=CloseReason.PEER_CLOSED, outstanding=())]


async def test_an_error_in_serving_goes_to_the_loop_and_ends_the_connection() -> None:
    async def serve(connection: Connection) -> None:
        raise RuntimeError("lost the plot")

    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    async with listening(serve) as listener:
        connection = await connected(listener.port)
        assert isinstance((await rest_of(connection))[-1], Closed)
    assert str(reported[0]["exception"]) == "lost the plot"
    assert "127.0.0.1:" in reported[0]["message"]


async def test_timer_wakes_the_session() -> None:
    async with listening(config=SessionConfig(session_init_timeout=0.05)) as listener:
        connection = await connected(listener.port)
        (closed,) = await connection.events()
        assert closed == Closed(reason=CloseReason.PEER_CLOSED, outstanding=())


async def test_timer_is_moved_when_something_is_due_earlier() -> None:
    async def serve(connection: Connection) -> None:
        batch = await connection.events()
        assert isinstance(batch[0], BindRequested)
        connection.session.accept_bind(batch[0].sequence_number, "smsc", clock())
        connection.flush()
        await rest_of(connection)

    async with listening(serve) as listener:
        config = SessionConfig(response_timeout=0.05, enquire_link_interval=1000)
        connection = await bound(listener.port, config)
        number = connection.session.request(TEXT, clock())
        connection.flush()
        (timed_out,) = await connection.events()
        assert timed_out.sequence_number == number
        connection.close()


async def test_a_silent_peer_is_asked_again_and_again() -> None:
    async with listening(config=SessionConfig(enquire_link_interval=0.02)) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(encode(BindTransceiver(interface_version=0), sequence_number=1))
        assert (await reader.readexactly(21))[4:8].hex() == "80000009"
        for number in (1, 2, 3):
            enquiry = await reader.readexactly(16)
            assert enquiry == encode(EnquireLink(), sequence_number=number)
            writer.write(encode(EnquireLinkResp(), sequence_number=number))
        (connection,) = listener.connections
        assert not connection.session.closed
        writer.close()


class Held:
    """An SMSC that hands its connection to the test and reads events until the end."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[Connection] = asyncio.Queue()

    async def serve(self, connection: Connection) -> None:
        self.connections.put_nowait(connection)
        await rest_of(connection)


@contextlib.asynccontextmanager
async def deaf_peer() -> AsyncIterator[tuple[Connection, asyncio.StreamReader, asyncio.Transport]]:
    """The SMSC's connection to a peer that does not read, and the peer."""
    held = Held()
    async with listening(held.serve) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        wire = writer.transport
        wire.pause_reading()
        yield await held.connections.get(), reader, wire
        wire.abort()


async def test_stop_reading_while_the_peer_does_not_read() -> None:
    """A peer that asks and never reads is not read either once our buffer is over high water."""
    async with deaf_peer() as (connection, reader, wire):
        connection._transport.write(encode(EnquireLink(), sequence_number=1) * (2 << 20))
        assert connection._transport.get_write_buffer_size() > endpoint.HIGH_WATER
        assert not connection._transport.is_reading()
        drained = asyncio.ensure_future(connection.drain())
        await asyncio.sleep(0)
        assert not drained.done()
        wire.resume_reading()
        swallowed = asyncio.ensure_future(swallow_all(reader))
        await drained
        assert connection._transport.is_reading()
        wire.abort()
        await swallowed


async def swallow_all(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


async def test_drain_returns_when_the_connection_is_gone() -> None:
    async with deaf_peer() as (connection, _, wire):
        connection._transport.write(bytes(32 << 20))
        assert not connection._transport.is_reading()
        drained = asyncio.ensure_future(connection.drain())
        wire.abort()
        await drained
        await connection.wait_closed()


async def test_a_peer_that_does_not_read_cannot_hold_the_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint, "LINGER", 0.05)
    async with deaf_peer() as (connection, _, _):
        connection._transport.write(bytes(32 << 20))
        connection.close()
        assert connection._transport.get_write_buffer_size() > 0
        await connection.wait_closed()


async def test_the_peer_may_read_what_was_written_before_the_close() -> None:
    async with deaf_peer() as (connection, reader, wire):
        connection._transport.write(bytes(1 << 20))
        connection.close()
        wire.resume_reading()
        assert len(await reader.read(-1)) == 1 << 20
        await connection.wait_closed()


async def test_garbage_is_answered_before_the_close() -> None:
    events: list[Event] = []

    async def serve(connection: Connection) -> None:
        events.extend(await rest_of(connection))

    async with listening(serve) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await reader.read()
        assert answer.hex().startswith("000000108000000000000002")
        writer.close()
    assert isinstance(events[0], PduRejected)
    assert events[1] == Closed(reason=CloseReason.UNREADABLE, outstanding=())


async def test_reader_that_is_cancelled_loses_nothing() -> None:
    async with listening() as listener:
        connection = await bound(listener.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.events(), 0.01)
        connection.session.request(TEXT, clock())
        connection.flush()
        (answered,) = await connection.events()
        assert isinstance(answered, ResponseReceived)
        connection.close()


class Named(asyncio.Transport):
    """A transport that knows nothing but its peer."""


@pytest.mark.parametrize(
    ("peername", "peer"),
    [
        (("192.0.2.7", 2775), "192.0.2.7:2775"),
        (("2001:db8::7", 2775, 0, 0), "[2001:db8::7]:2775"),
        (None, "gone:0"),
    ],
)
async def test_peer_is_named(peername: object, peer: str) -> None:
    session = Session(Role.ESME, SessionConfig(), 0.0)
    assert Connection(session, Named({"peername": peername}), clock).peer == peer


async def test_tls() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(TLS / "good.pem")
    client = ssl.create_default_context(cafile=TLS / "ca.pem")
    async with listening(ssl=server) as listener:
        connection = await bound(listener.port, host="localhost", ssl=client)
        connection.session.request(TEXT, clock())
        connection.flush()
        (answered,) = await connection.events()
        assert isinstance(answered, ResponseReceived)
        assert nodelay(connection)
        connection.session.unbind(clock())
        connection.flush()
        assert isinstance((await rest_of(connection))[-1], Closed)
        await connection.wait_closed()
