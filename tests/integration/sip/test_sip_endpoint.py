"""SIP's sockets against peers made of plain sockets: UDP, TCP, and what may go wrong on them."""

import asyncio
import contextlib
import gc
import os
import resource
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from protocols.sip import endpoint
from protocols.sip.codec import Malformed
from protocols.sip.errors import LocalProtocolError
from protocols.sip.sizes import Sizes
from protocols.sip.transport import Flow, Hop, Transport
from protocols.sip.wire import (
    Bounds,
    Closed,
    Event,
    Failed,
    Listen,
    Opened,
    Patience,
    Received,
    Refused,
)
from tests.integration.sip.peers import LONG, Box, call_ids, options
from tests.ports import free_port, refusing_port

Start = Callable[..., Awaitable[Box]]
UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS


class Peer:
    """A UDP socket, or a TCP connection with what came over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read(self, octets: bytes) -> None:
        """Reads exactly these."""
        got = await asyncio.wait_for(self.reader.readexactly(len(octets)), LONG)
        assert got == octets

    async def ended(self) -> bytes:
        """Waits until we are closed; gives what came before."""
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(self.reader.read(), LONG)
        return b""


@contextlib.asynccontextmanager
async def connected(box: Box, **more: Any) -> Any:
    host, port = box.at(TCP if "ssl" not in more else TLS)
    reader, writer = await asyncio.open_connection(host, port, **more)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def listening(host: str = "127.0.0.1") -> Any:
    """A TCP server that keeps the peers which connected, as a queue, and its hop."""
    peers: asyncio.Queue[Peer] = asyncio.Queue()
    made: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(writer)
        await peers.put(Peer(reader, writer))

    server = await asyncio.start_server(serve, host, 0)
    place = server.sockets[0].getsockname()
    try:
        yield peers, Hop(transport=TCP, host=place[0], port=place[1])
    finally:
        server.close()
        for writer in made:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


# UDP


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagrams_come_and_go_by_hop_and_by_flow(start: Start, host: str) -> None:
    one, two = await start(UDP, host=host), await start(UDP, host=host)
    one.endpoint.send(options("there"), two.hop(UDP))
    (there,) = await two.wait(Received)
    assert there.flow.remote == one.at(UDP)
    assert there.flow.local == two.at(UDP)
    assert there.flow.transport is UDP
    assert abs(there.at - time.monotonic()) < LONG
    two.endpoint.send(options("back"), there.flow)
    (back,) = await one.wait(Received)
    assert call_ids([there, back]) == ["there", "back"]
    assert back.flow.remote == two.at(UDP)


async def test_what_keeps_a_path_open_is_no_message(start: Start) -> None:
    box = await start(UDP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for octets in (b"\r\n\r\n", b"\r\n", b"\0\0\0\0", b"", options("real")):
            peer.sendto(octets, box.at(UDP))
        (received,) = await box.wait(Received)
    assert call_ids([received]) == ["real"]
    assert box.of(Received) == [received]


async def test_garbage_in_a_datagram_is_told_and_harms_nobody(start: Start) -> None:
    box = await start(UDP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for octets in (os.urandom(1400), b"x" * 65507, options()[:90], options("good")):
            peer.sendto(octets, box.at(UDP))
        received = await box.wait(Received, 4)
    assert [isinstance(each.message, Malformed) for each in received] == [True, True, True, False]


async def test_a_burst_is_read_in_batches_and_whole(start: Start) -> None:
    sizes: list[int] = []
    box = Box()

    def receive(batch: list[Event]) -> None:
        sizes.append(len(batch))
        box(batch)

    box.endpoint = (await start(UDP, receiver=receive)).endpoint
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for _ in range(500):
            peer.sendto(options(), box.at(UDP))
    await box.wait(Received, 500)
    assert max(sizes) > 1
    assert len(sizes) < 100


async def test_a_refusal_is_told_with_the_place_that_refused(start: Start) -> None:
    """And reading goes on after it, on both loops."""
    box = await start(UDP)
    with refusing_port(socket.SOCK_DGRAM) as port:
        box.endpoint.send(options(), Hop(transport=UDP, host="127.0.0.1", port=port))
        (failed,) = await box.wait(Failed)
    assert failed.remote == ("127.0.0.1", port)
    assert "refused" in failed.reason.lower()
    for name in ("one", "two"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(options(name), box.at(UDP))
        await box.wait(Received, 1 if name == "one" else 2)
    assert call_ids(box.of(Received)) == ["one", "two"]


async def test_a_connection_to_itself_is_a_refusal(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a port of ours that nobody listens at, the kernel may give that very port as the source:
    TCP then connects the socket with itself (RFC 9293 §3.5, simultaneous open)."""
    box = await start(TCP)
    port = free_port()

    def from_there(wire: socket.socket, patience: Patience) -> None:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as `free_port` looks
        wire.bind(("127.0.0.1", port))
        wire.setblocking(False)

    monkeypatch.setattr(endpoint, "prepare", from_there)
    box.endpoint.send(options(), Hop(transport=TCP, host="127.0.0.1", port=port))
    (failed,) = await box.wait(Failed)
    assert "nobody listens there" in failed.reason
    assert box.endpoint.connections() == 0


async def test_a_refusal_does_not_eat_the_datagram_to_another(start: Start) -> None:
    one, two = await start(UDP), await start(UDP)
    with refusing_port(socket.SOCK_DGRAM) as port:
        dead = Hop(transport=UDP, host="127.0.0.1", port=port)
        for n in range(50):
            one.endpoint.send(options("lost"), dead)
            one.endpoint.send(options(str(n)), two.hop(UDP))
        assert call_ids(await two.wait(Received, 50)) == [str(n) for n in range(50)]
        assert {each.remote[1] for each in await one.wait(Failed)} == {dead.port}


@pytest.mark.parametrize(
    ("octets", "host", "reason"),
    [
        (b"x" * 65508, "127.0.0.1", "too long"),
        (b"x" * 70000, "127.0.0.1", "too long"),
        (b"x", "255.255.255.255", "ermission"),
        (b"x", "::1", "no UDP socket"),
    ],
)
async def test_what_cannot_be_sent_is_told(
    start: Start, octets: bytes, host: str, reason: str
) -> None:
    box = await start(UDP)
    hop = Hop(transport=UDP, host=host, port=9)
    box.endpoint.send(octets, hop)
    assert not box.of(Failed), "never while it is sent"
    (failed,) = await box.wait(Failed)
    assert failed.destination == hop
    assert reason in failed.reason


async def test_the_socket_of_a_hop_is_that_of_its_source(start: Start) -> None:
    listens = [Listen(transport=UDP, host="127.0.0.1"), Listen(transport=UDP, host="127.0.0.2")]
    one, two = await start(listens=listens), await start(UDP, host="127.0.0.3")
    for bound in one.endpoint.addresses():
        one.endpoint.send(options(), two.hop(UDP, source=bound[1]))
    assert [each.flow.remote for each in await two.wait(Received, 2)] == [
        bound for _, bound in one.endpoint.addresses()
    ]
    one.endpoint.send(options(), two.hop(UDP, source=("127.0.0.9", 0)))
    assert (await one.wait(Failed))[0].destination.source == ("127.0.0.9", 0)  # type: ignore[union-attr]


# TCP


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_streams_come_and_go_by_hop_and_by_flow(start: Start, host: str) -> None:
    one, two = await start(TCP, host=host), await start(TCP, host=host)
    one.endpoint.send(options("there"), two.hop(TCP))
    (there,) = await two.wait(Received)
    assert there.flow.local == two.at(TCP)
    two.endpoint.send(options("back"), there.flow)
    (back,) = await one.wait(Received)
    assert call_ids([there, back]) == ["there", "back"]
    (ours,) = one.of(Opened)
    assert ours.hop == two.hop(TCP)
    (theirs,) = two.of(Opened)
    assert theirs.hop is None
    assert (theirs.flow.remote, theirs.flow.local) == (ours.flow.local, ours.flow.remote)


async def test_a_connection_of_ours_is_used_again_for_the_same_hop_alone(start: Start) -> None:
    box = await start(TCP)
    async with listening() as (peers, hop):
        for _ in range(3):
            box.endpoint.send(options(), hop)  # while it is being made, too
        peer = await peers.get()
        await peer.read(options() * 3)
        box.endpoint.send(options(), hop)
        await peer.read(options())
        other = Hop(transport=TCP, host=hop.host, port=hop.port, source=("127.0.0.2", 0))
        box.endpoint.send(options(), other)
        second = await peers.get()
        assert second.writer.get_extra_info("peername")[0] == "127.0.0.2"
    assert len(box.of(Opened)) == 2


async def test_a_connection_of_a_peer_is_used_by_its_flow_alone(start: Start) -> None:
    box = await start(TCP)
    async with connected(box) as peer:
        (opened,) = await box.wait(Opened)
        host, port = opened.flow.remote
        box.endpoint.send(options("hop"), Hop(transport=TCP, host=host, port=port))
        (failed,) = await box.wait(Failed)  # nobody listens where the peer came from
        assert failed.remote == (host, port)
        box.endpoint.send(options("flow"), opened.flow)
        await peer.read(options("flow"))


async def test_a_connection_that_broke_is_made_again_for_its_hop_not_for_its_flow(
    start: Start,
) -> None:
    box = await start(TCP)
    async with listening() as (peers, hop):
        box.endpoint.send(options(), hop)
        (await peers.get()).writer.close()
        (closed,) = await box.wait(Closed)
        box.endpoint.send(options(), closed.flow)
        (failed,) = await box.wait(Failed)
        assert failed.destination == closed.flow
        box.endpoint.send(options("again"), hop)
        await (await peers.get()).read(options("again"))


async def test_a_peer_that_refuses_is_told_once(start: Start) -> None:
    box = await start(TCP)
    with refusing_port(socket.SOCK_STREAM) as port:
        hop = Hop(transport=TCP, host="127.0.0.1", port=port)
        box.endpoint.send(options(), hop)
        box.endpoint.send(options(), hop)
        (failed,) = await box.wait(Failed)
        assert failed.destination == hop
        await box.calm()
    assert len(box.of(Failed)) == 1


async def test_a_peer_that_never_takes_us_is_given_up_in_time(start: Start) -> None:
    box = await start(patience=Patience(connect=0.3))
    with socket.socket() as full:  # its queue of one is full, so the kernel answers no more
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        host, port = full.getsockname()
        with socket.create_connection((host, port)):
            box.endpoint.send(options(), hop := Hop(transport=TCP, host=host, port=port))
            (failed,) = await box.wait(Failed)
    assert failed.destination == hop
    assert failed.reason == "no answer in time"


async def test_a_hop_that_is_no_address_is_our_mistake(start: Start) -> None:
    box = await start()
    with pytest.raises(LocalProtocolError, match="address"):
        box.endpoint.send(b"", Hop(transport=TCP, host="example.com", port=5060))
    with pytest.raises(LocalProtocolError, match="WS"):
        box.endpoint.listen(Listen(transport=Transport.WS, host="127.0.0.1"))


async def test_one_octet_at_a_time_is_a_message_all_the_same(start: Start) -> None:
    box = await start(TCP)
    async with connected(box) as peer:
        for octet in options("slow", b"body"):
            peer.writer.write(bytes([octet]))
            await peer.writer.drain()
            await asyncio.sleep(0)
        (received,) = await box.wait(Received)
    assert call_ids([received]) == ["slow"]


async def test_many_messages_at_once_come_in_one_batch(start: Start) -> None:
    box = await start(TCP)
    async with connected(box) as peer:
        peer.writer.write(b"".join(options(str(n), b"b" * n) for n in range(100)))
        assert call_ids(await box.wait(Received, 100)) == [str(n) for n in range(100)]


async def test_a_stream_that_is_no_sip_is_told_and_ended(start: Start) -> None:
    box = await start(TCP)
    async with connected(box) as peer, connected(box) as other:
        peer.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        (received,) = await box.wait(Received)
        assert isinstance(received.message, Malformed)
        assert await peer.ended() == b""
        (closed,) = await box.wait(Closed)
        assert "no SIP" in closed.reason
        other.writer.write(options("unharmed"))
        assert call_ids(await box.wait(Received, 2))[1] == "unharmed"


# How long connections live


async def test_a_ping_of_a_peer_is_answered(start: Start) -> None:
    box = await start(TCP)
    async with connected(box) as peer:
        peer.writer.write(b"\r\n\r\n")
        await peer.read(b"\r\n")
        peer.writer.write(options() + b"\r\n\r\n" + options())
        await peer.read(b"\r\n")
        assert len(await box.wait(Received, 2)) == 2


@pytest.mark.waiting
async def test_our_pings_keep_a_connection_and_find_that_it_is_dead(start: Start) -> None:
    box = await start(patience=Patience(ping=0.2, pong=4.0))
    async with listening() as (peers, hop):
        box.endpoint.send(options(), hop)
        peer = await peers.get()
        await peer.read(options())
        for _ in range(3):
            await peer.read(b"\r\n\r\n")
            peer.writer.write(b"\r\n")
        await peer.read(b"\r\n\r\n")  # and no pong
        (closed,) = await box.wait(Closed)
        assert "ping" in closed.reason


@pytest.mark.waiting
async def test_a_peer_that_knows_no_pings_keeps_its_connection(start: Start) -> None:
    box = await start(patience=Patience(ping=0.05, pong=0.05))
    async with listening() as (peers, hop):
        box.endpoint.send(options(), hop)
        peer = await peers.get()
        await peer.read(options() + b"\r\n\r\n")
        await asyncio.sleep(0.3)
        box.endpoint.send(options("still"), hop)
        await peer.read(options("still"))
    assert len(box.of(Opened)) == 1


async def test_a_message_that_never_ends_is_cut_off(start: Start) -> None:
    """Though an octet comes again and again."""
    box = await start(TCP, patience=Patience(whole=0.4))
    async with connected(box) as peer:

        async def drip() -> None:
            with contextlib.suppress(OSError):
                for octet in options() * 10:
                    peer.writer.write(bytes([octet]))
                    await peer.writer.drain()
                    await asyncio.sleep(0.05)

        dripping = asyncio.get_running_loop().create_task(drip())
        (closed,) = await box.wait(Closed)
        assert "whole" in closed.reason
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
    assert not box.of(Received)


async def test_a_connection_over_which_nothing_passes_is_closed(start: Start) -> None:
    box = await start(TCP, patience=Patience(idle=0.3))
    async with connected(box) as peer:
        assert await peer.ended() == b""
    (closed,) = await box.wait(Closed)
    assert "nothing passed" in closed.reason


async def test_a_peer_that_does_not_read_is_cut_off_at_the_bound(start: Start) -> None:
    box = await start(TCP, bounds=Bounds(unsent=200_000))
    with socket.create_connection(box.at(TCP)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        (opened,) = await box.wait(Opened)
        sent = 0
        while not box.of(Closed) and sent < 50_000_000:
            box.endpoint.send(b"x" * 10_000, opened.flow)
            sent += 10_000
            await asyncio.sleep(0)
        (closed,) = await box.wait(Closed)
    assert closed.reason == "the peer does not read"
    assert sent < 50_000_000
    await box.calm()


async def test_a_peer_that_reads_too_slowly_is_cut_off_in_time(start: Start) -> None:
    box = await start(TCP, bounds=Bounds(unsent=40_000_000), patience=Patience(read=0.5))
    with socket.create_connection(box.at(TCP)):
        (opened,) = await box.wait(Opened)
        box.endpoint.send(b"x" * 30_000_000, opened.flow)
        (closed,) = await box.wait(Closed)
    assert closed.reason == "the peer does not read"
    await box.calm()


async def test_what_waits_for_a_connection_is_bounded(start: Start) -> None:
    box = await start(bounds=Bounds(waiting=10_000))
    async with listening() as (_, hop):
        for _ in range(11):
            box.endpoint.send(b"x" * 1000, hop)
        (failed,) = await box.wait(Failed)
        assert failed.reason == "too much waits for it"
        await box.calm()


async def test_one_peer_cannot_take_all_connections(start: Start) -> None:
    box = await start(TCP, bounds=Bounds(per_peer=2, connections=3))
    async with connected(box), connected(box):
        await box.wait(Opened, 2)
        async with connected(box) as third:
            assert await third.ended() == b""
        (refused,) = await box.wait(Refused)
        assert "127.0.0.1 has 2" in refused.reason
        address = box.at(TCP)
        with socket.create_connection(address, source_address=("127.0.0.7", 0)):
            await box.wait(Opened, 3)
            with socket.create_connection(address, source_address=("127.0.0.8", 0)) as fifth:
                assert "the limit" in (await box.wait(Refused, 2))[1].reason
                assert fifth.recv(1) == b""
            hop = Hop(transport=TCP, host="127.0.0.1", port=9)
            box.endpoint.send(options(), hop)
            assert (await box.wait(Failed))[0].destination == hop
    await box.calm()
    async with connected(box):
        await box.wait(Opened, 4)


@pytest.mark.waiting
async def test_a_system_without_descriptors_is_asked_again_later(start: Start) -> None:
    box = await start(TCP)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    peers = [socket.socket() for _ in range(3)]
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        for peer in peers:
            peer.connect(box.at(TCP))
        await asyncio.sleep(0.1)
        assert not box.of(Opened)
        before = time.process_time()
        await asyncio.sleep(0.2)
        assert time.process_time() - before < 0.15, "it turns round and round"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await box.wait(Opened, 3)
    for peer in peers:
        peer.close()


async def test_storms_of_connections_leave_nothing(start: Start) -> None:
    box = await start(TCP)
    for wave in range(5):
        peers = [socket.create_connection(box.at(TCP)) for _ in range(100)]
        for n, peer in enumerate(peers):
            if n % 3 == wave % 3:
                peer.sendall(options() if n % 2 else options()[:50])
            if n % 5 == 0:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
    await box.wait(Closed, 400)
    await box.calm()
    async with connected(box) as peer:
        peer.writer.write(options("alive"))
        before = len(box.of(Received))
        await box.wait(Received, before + 1)
    assert "alive" in call_ids(box.of(Received))


# The whole


async def test_a_large_request_goes_over_udp_where_tcp_is_refused(start: Start) -> None:
    one, two = await start(UDP), await start(UDP)
    sizes, large = Sizes(), options("large", b"x" * 1500)
    first, second = sizes.hops(two.hop(UDP), len(large), 0.0)
    one.endpoint.send(large, first)
    (failed,) = await one.wait(Failed)
    assert isinstance(failed.destination, Hop)
    sizes.fail(failed.destination, 0.0)
    one.endpoint.send(large, second)
    assert call_ids(await two.wait(Received)) == ["large"]
    assert sizes.hops(two.hop(UDP), len(large), 1.0) == (two.hop(UDP),)


async def test_a_receiver_that_fails_stops_nothing(start: Start) -> None:
    problems: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    box = Box()

    def fail(batch: list[Event]) -> None:
        box(batch)
        raise ValueError("what now?")

    box.endpoint = (await start(UDP, TCP, receiver=fail)).endpoint
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for n in range(2):
            peer.sendto(options(), box.at(UDP))
            await box.wait(Received, n + 1)
    async with connected(box) as stream:
        for n in range(2):
            stream.writer.write(options())
            await box.wait(Received, n + 3)
    assert {str(each["exception"]) for each in problems} == {"what now?"}


async def test_a_connection_can_be_dropped_after_what_was_sent(start: Start) -> None:
    box = await start(TCP)
    async with connected(box) as peer:
        (opened,) = await box.wait(Opened)  # it is told of while it is still being settled
        last = options("last", b"x" * 4_000_000)
        box.endpoint.send(last, opened.flow)
        box.endpoint.drop(opened.flow)
        assert await peer.ended() == last
    (closed,) = await box.wait(Closed)
    assert closed.flow == opened.flow
    box.endpoint.drop(opened.flow)


async def test_an_address_that_is_taken_leaves_nothing_open(start: Start) -> None:
    box = await start(UDP)
    before = descriptors()
    taken = Listen(transport=UDP, host="127.0.0.1", port=box.at(UDP)[1])
    with pytest.raises(OSError, match="in use"):
        await start(listens=[Listen(transport=TCP, host="127.0.0.1"), taken])
    assert descriptors() == before


async def test_how_we_are_to_be_reached(start: Start) -> None:
    listens = [
        Listen(transport=UDP, host="127.0.0.1"),
        Listen(transport=UDP, host="127.0.0.2", advertised=("198.51.100.7", 0)),
        Listen(transport=TCP, host="0.0.0.0"),
        Listen(transport=UDP, host="::1", advertised=("", 5099)),
    ]
    box = await start(listens=listens)
    (_, one), (_, two), (_, tcp), _ = box.endpoint.addresses()
    told = box.endpoint.advertised
    assert told(Hop(transport=UDP, host="127.0.0.1", port=9)) == one
    assert told(Hop(transport=UDP, host="127.0.0.9", port=9, source=two)) == (
        "198.51.100.7",
        two[1],
    )
    assert told(Hop(transport=UDP, host="::1", port=9)) == ("::1", 5099)
    # Everything's address is no address: the one from which we speak
    assert told(Hop(transport=TCP, host="127.0.0.1", port=9)) == ("127.0.0.1", tcp[1])
    # A flow of ours comes from a passing port; we are reached at the listener's
    flow = Flow(id=1, transport=TCP, local=("127.0.0.1", 40000), remote=("127.0.0.1", 9))
    assert told(flow) == ("127.0.0.1", tcp[1])
    assert told(Hop(transport=TLS, host="127.0.0.1", port=9)) == ("127.0.0.1", 5061)


def descriptors() -> list[str]:
    """Those that are open, by what they are."""
    gc.collect()
    found = []
    for each in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{each}").partition(":")[0])  # noqa: PTH115
    return sorted(found)


async def test_closing_leaves_no_socket_no_task_and_no_timer(start: Start) -> None:
    box = await start(UDP)  # what a loop makes for itself at its first socket is there
    async with listening() as (peers, hop):
        await asyncio.sleep(0.05)
        before, tasks = descriptors(), asyncio.all_tasks()
        ours = await start(UDP, TCP, TCP)
        with socket.create_connection(ours.at(TCP)) as peer:
            ours.endpoint.send(options("bye"), hop)
            await ours.wait(Opened, 2)
            other = Hop(transport=TCP, host="127.0.0.1", port=hop.port, source=("127.0.0.2", 0))
            ours.endpoint.send(options(), other)  # not even begun
            ours.endpoint.send(options(), box.hop(UDP))
            await ours.endpoint.close()
            assert ours.endpoint.connections() == 0
            assert peer.recv(1) == b""
        assert len(ours.of(Closed)) == 2
        assert (await ours.wait(Failed))[0].destination == other
        served = await peers.get()
        assert await served.ended() == options("bye")
        served.writer.close()
        await served.writer.wait_closed()
        ours.endpoint.send(options(), hop)
        ours.endpoint.send(options(), box.hop(UDP))
        async with asyncio.timeout(LONG):
            while asyncio.all_tasks() != tasks or descriptors() != before:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert await ours.endpoint.close() is None


async def test_closing_ends_what_was_taken_and_not_begun(start: Start) -> None:
    box = await start(TCP)
    with socket.socket() as peer:
        peer.connect(box.at(TCP))
        async with asyncio.timeout(LONG):
            while not box.endpoint.connections():  # noqa: ASYNC110 - the very turn counts
                await asyncio.sleep(0)
        await box.endpoint.close()
        peer.settimeout(LONG)
        assert peer.recv(1) == b""
    assert box.endpoint.connections() == 0
    gc.collect()  # a socket that nobody closed would be told of here


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_phone_that_asks_by_stun_hears_that_its_flow_stands(
    start: Start, host: str
) -> None:
    """RFC 5626 §4.4.2: over UDP it takes its registration for lost otherwise."""
    box = await start(UDP, host=host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as phone:
        phone.setblocking(False)
        phone.bind((host, 0))
        transaction = os.urandom(12)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(phone, box.at(UDP))
        await loop.sock_sendall(phone, b"\x00\x01\x00\x00\x21\x12\xa4\x42" + transaction)
        said = await asyncio.wait_for(loop.sock_recv(phone, 1000), LONG)
        assert said[:2] == b"\x01\x01" and said[8:20] == transaction
        assert int.from_bytes(said[26:28], "big") ^ 0x2112 == phone.getsockname()[1]
        await loop.sock_sendall(phone, options("after"))
        assert call_ids(await box.wait(Received)) == ["after"]
