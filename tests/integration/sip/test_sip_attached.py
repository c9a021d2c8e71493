"""WebSockets attached to SIP's sockets: frames in and out, and what becomes of them."""

from collections.abc import Awaitable, Callable

import pytest

from protocols.sip.codec import Malformed
from protocols.sip.message import Request
from protocols.sip.sockets.attached import Attached
from protocols.sip.transport import Flow, Hop, Transport
from protocols.sip.wire import Bounds, Closed, Failed, Opened, Received, Refused
from tests.integration.sip.peers import Box, options

Start = Callable[..., Awaitable[Box]]
HERE, THERE = ("192.0.2.1", 8080), ("198.51.100.9", 50000)


class Socket:
    """What holds the socket: keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed: list[str] = []
        self.proofs = 0

    def send(self, octets: bytes) -> None:
        self.written.append(octets)

    def close(self, reason: str) -> None:
        self.closed.append(reason)

    def proved(self) -> None:
        self.proofs += 1


def attach(box: Box, link: Socket, transport: Transport = Transport.WS) -> Attached:
    attached = box.endpoint.attach(link, transport, local=HERE, remote=THERE)
    assert isinstance(attached, Attached)
    return attached


async def test_a_frame_is_a_message_and_its_answer_another(start: Start) -> None:
    box, link = await start(Transport.UDP), Socket()
    attached = attach(box, link)
    (opened,) = box.of(Opened)
    assert opened.flow == attached.flow and opened.hop is None
    bare = options("call").replace(b"Content-Length: 0\r\n", b"")  # RFC 7118 §5.2.3
    attached.receive(bare)
    (received,) = box.of(Received)
    assert isinstance(received.message, Request) and received.message.call_id == "call"
    assert received.flow == Flow(
        id=attached.flow.id, transport=Transport.WS, local=HERE, remote=THERE
    )
    box.endpoint.send(b"SIP/2.0 200 OK\r\n\r\n", received.flow)
    assert link.written == [b"SIP/2.0 200 OK\r\n\r\n"]
    assert box.endpoint.advertised(received.flow) == HERE


async def test_who_holds_a_socket_is_told_once_that_its_peer_has_shown_who_it_is(
    start: Start,
) -> None:
    box, link, gone = await start(Transport.UDP), Socket(), Socket()
    attached, late = attach(box, link), attach(box, gone)
    for _ in range(2):
        box.endpoint.proved(attached.flow)
    late.gone("the peer closed it")
    box.endpoint.proved(late.flow)
    assert (attached.is_proven, link.proofs) == (True, 1)
    assert (late.is_proven, gone.proofs) == (False, 0)


async def test_line_ends_keep_a_socket_open(start: Start) -> None:
    box, link = await start(Transport.UDP), Socket()
    attached = attach(box, link)
    attached.receive(b"\r\n\r\n")
    attached.receive(b"\r\n")
    assert link.written == [b"\r\n"]
    assert not box.of(Received)


async def test_what_can_not_be_read_is_told_and_noise_ends_it(start: Start) -> None:
    box, link = await start(Transport.UDP), Socket()
    attached = attach(box, link)
    attached.receive(options().replace(b"CSeq: 1", b"CSeq: x"))
    assert not link.closed
    attached.receive(b"GET / HTTP/1.1\r\n\r\n")
    assert len(link.closed) == 1
    (closed,) = await box.wait(Closed)
    assert closed.flow == attached.flow
    assert all(isinstance(each.message, Malformed) for each in box.of(Received))
    attached.receive(options())
    assert len(box.of(Received)) == 2  # nothing after its end


async def test_a_socket_that_is_gone_is_reached_by_nothing(start: Start) -> None:
    box, link = await start(Transport.UDP), Socket()
    attached = attach(box, link)
    attached.gone("it left")
    attached.gone("it left again")
    box.endpoint.send(options(), attached.flow)
    (failed,) = await box.wait(Failed)
    assert failed.destination == attached.flow and not link.written
    assert [each.reason for each in box.of(Closed)] == ["it left"]
    assert box.endpoint.connections() == 0


async def test_nobody_is_called_by_websocket_who_did_not_come(start: Start) -> None:
    box = await start(Transport.UDP)
    hop = Hop(transport=Transport.WSS, host="198.51.100.9", port=443)
    box.endpoint.send(options(), hop)
    (failed,) = await box.wait(Failed)
    assert failed.destination == hop


async def test_sockets_take_no_place_of_connections_away(start: Start) -> None:
    box, link = await start(Transport.UDP, bounds=Bounds(connections=1, per_peer=1)), Socket()
    one = attach(box, link)
    attach(box, link, Transport.WSS)
    assert box.endpoint.connections() == 2
    one.gone("it left")
    assert box.endpoint.connections() == 1


async def test_a_dropped_flow_and_an_endpoint_that_closes_close_the_socket(start: Start) -> None:
    box, one, other = await start(Transport.UDP), Socket(), Socket()
    box.endpoint.drop(attach(box, one).flow)
    attach(box, other)
    await box.endpoint.close()
    assert (len(one.closed), len(other.closed)) == (1, 1)
    assert box.endpoint.connections() == 0
    late = box.endpoint.attach(Socket(), Transport.WS, local=HERE, remote=THERE)
    assert isinstance(late, Refused)


@pytest.mark.parametrize("frame", [b"", b"\0", b"\r\n\r\n\r\n", b" " * 100])
async def test_frames_of_nothing_are_nothing(start: Start, frame: bytes) -> None:
    box, link = await start(Transport.UDP), Socket()
    attached = attach(box, link)
    attached.receive(frame)
    assert not box.of(Received) and not link.closed
