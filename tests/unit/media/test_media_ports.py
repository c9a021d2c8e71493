"""Port pairs and the one reader of their sockets, over loopback."""

import asyncio
import socket
import time

import pytest
from media_world import HOST, free_span, until

from protocols.rtp.endpoint import PortPair, PortRange, Reader
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.events import Address
from tests.ports import free_pairs

Heard = list[tuple[bytes, Address]]


def opened(span: PortRange, host: str = "127.0.0.1") -> PortPair:
    pair = span.open(host)
    assert pair is not None
    return pair


@pytest.mark.parametrize(("first", "last"), [(0, 10), (10, 10), (5, 6), (9, 8), (65_536, 65_540)])
def test_a_range_without_a_pair_is_refused(first: int, last: int) -> None:
    with pytest.raises(LocalProtocolError):
        PortRange(first, last)


@pytest.mark.parametrize(("first", "last", "pairs"), [(10, 13, 2), (9, 13, 2), (10, 14, 2)])
def test_rtp_is_even_and_rtcp_within_the_range(first: int, last: int, pairs: int) -> None:
    assert PortRange(first, last).size == pairs


def test_a_pair_is_two_neighbours_of_which_the_first_is_even() -> None:
    pair = opened(free_span(1))
    host, port = pair.address
    assert host == "127.0.0.1"
    assert port % 2 == 0
    assert pair.rtcp.getsockname() == (host, port + 1)
    assert pair.control_port == port + 1
    pair.close()


def test_a_range_that_is_used_up_says_so_and_goes_on_when_one_is_back() -> None:
    span = free_span(2)
    one, two = opened(span), opened(span)
    assert span.open("127.0.0.1") is None
    assert span.free == 0
    one.close()
    one.close()
    assert span.free == 1
    again = opened(span)
    assert again.address == one.address
    again.close()
    two.close()


def test_a_pair_that_came_back_is_the_last_to_be_used_again() -> None:
    span = free_span(3)
    one = opened(span)
    one.close()
    others = [opened(span) for _ in range(2)]
    assert one.address not in [each.address for each in others]
    for each in others:
        each.close()


@pytest.mark.parametrize(("begin", "pair"), [(0.0, 0), (0.4, 1), (0.5, 2), (0.999, 3)])
def test_a_range_begins_where_it_is_told_and_goes_round(begin: float, pair: int) -> None:
    first = free_pairs(4)
    span = PortRange(first, first + 7, begin)
    several = [opened(span) for _ in range(4)]
    ports = [each.address[1] for each in several]
    assert ports == [first + 2 * ((pair + more) % 4) for more in range(4)]
    for each in several:
        each.close()


@pytest.mark.parametrize("above", [0, 1])
def test_ports_of_other_programs_are_passed_over(above: int) -> None:
    span = free_span(2)
    first = opened(span)
    first.close()
    second = opened(span)
    second.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", first.address[1] + above))
        pair = opened(span)
        assert pair.address == second.address
        assert span.open("127.0.0.1") is None
        pair.close()
    assert span.free == 2


def test_an_address_that_is_not_ours_is_an_error_and_costs_no_pair() -> None:
    span = free_span(1)
    with pytest.raises(OSError, match="assign"):
        span.open("192.0.2.1")
    assert span.free == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagrams_go_both_ways(host: str) -> None:
    span = free_span(2, host)
    one, two = opened(span, host), opened(span, host)
    reader = Reader(asyncio.get_running_loop(), time.monotonic)
    heard: Heard = []
    controls: Heard = []
    reader.add(two.rtp, lambda octets, source, now: heard.append((octets, source)))
    reader.add(two.rtcp, lambda octets, source, now: controls.append((octets, source)))
    for number in range(3):
        one.send(bytes((number,)), two.address)
    one.send_control(b"control", (host, two.control_port))
    await until(lambda: len(heard) == 3)
    await until(lambda: controls)
    assert heard == [(bytes((number,)), one.address) for number in range(3)]
    assert controls == [(b"control", (host, one.control_port))]
    assert one.unsent == 0
    reader.remove(two.rtp)
    one.send(b"no more", two.address)
    one.send_control(b"mark", (host, two.control_port))
    await until(lambda: len(controls) == 2)
    assert len(heard) == 3
    assert reader._read() == 0  # it does not ask again and again for what nobody reads
    reader.close()
    one.close()
    two.close()


async def test_a_receiver_may_close_a_socket_that_has_something_too() -> None:
    span = free_span(3)
    sender, *pairs = (opened(span) for _ in range(3))
    reader = Reader(asyncio.get_running_loop(), time.monotonic)
    heard: Heard = []

    def hear(octets: bytes, source: Address, now: float) -> None:
        heard.append((octets, source))
        for each in pairs:
            reader.remove(each.rtp)
            each.close()

    for each in pairs:
        reader.add(each.rtp, hear)
        sender.send(b"one", each.address)
    await until(lambda: heard)
    await asyncio.sleep(0)
    assert len(heard) == 1
    reader.close()
    sender.close()


def test_what_the_system_does_not_take_is_counted() -> None:
    pair = opened(free_span(1))
    pair.send(b"an IPv6 address has no place here", ("::1", 9))
    pair.send_control(b"nor here", ("::1", 9))
    assert pair.unsent == 2
    pair.close()


async def test_a_receiver_that_raises_costs_itself_one_datagram() -> None:
    """What it raises is the loop's; it and the others are read on."""
    span = free_span(3)
    sender, one, other = (opened(span) for _ in range(3))
    loop = asyncio.get_running_loop()
    raised: list[object] = []
    loop.set_exception_handler(lambda loop, context: raised.append(context["exception"]))
    reader = Reader(loop, time.monotonic)
    heard: Heard = []

    def fail(octets: bytes, source: Address, now: float) -> None:
        raise ZeroDivisionError(octets)

    reader.add(one.rtp, fail)
    reader.add(other.rtp, lambda octets, source, now: heard.append((octets, source)))
    for number in range(3):
        sender.send(bytes((number,)), one.address)
        sender.send(bytes((number,)), other.address)
    await until(lambda: len(raised) == len(heard) == 3)
    assert {type(each) for each in raised} == {ZeroDivisionError}
    reader.close()
    for each in (sender, one, other):
        each.close()


async def test_a_receiver_may_close_the_reader() -> None:
    span = free_span(2)
    sender, one = (opened(span) for _ in range(2))
    loop = asyncio.get_running_loop()
    raised: list[object] = []
    loop.set_exception_handler(lambda loop, context: raised.append(context))
    reader = Reader(loop, time.monotonic)
    closed = asyncio.Event()

    def close(octets: bytes, source: Address, now: float) -> None:
        reader.close()
        closed.set()

    reader.add(one.rtp, close)
    sender.send(b"end", one.address)
    await closed.wait()
    await asyncio.sleep(0.01)  # several rests
    assert not raised
    sender.close()
    one.close()


async def test_who_is_late_reads_all_that_came_before_the_loop_does() -> None:
    reader = Reader(asyncio.get_running_loop(), time.monotonic)
    span = free_span(2)
    one, other = span.open(HOST), span.open(HOST)
    assert one is not None
    assert other is not None
    heard: list[tuple[str, bytes]] = []
    reader.add(one.rtp, lambda octets, source, now: heard.append(("one", octets)))
    reader.add(other.rtp, lambda octets, source, now: heard.append(("other", octets)))
    for payload in (b"1", b"2", b"3"):
        one.send(payload, one.address)
        one.send(payload, other.address)
    reader.catch_up()
    assert sorted(heard) == [(who, each) for who in ("one", "other") for each in (b"1", b"2", b"3")]
    reader.close()
    one.close()
    other.close()
