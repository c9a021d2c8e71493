"""A simulated phone's line, with the far end's socket in the hand."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from protocols.rtp.packet import Kind, Packet, kind, read, write
from protocols.sdp.description import Direction
from protocols.sdp.formats import COMFORT_NOISE, PCMA, PCMU, Codec, events
from protocols.sdp.media import Chosen, Stream
from sims.media import Line, Studio
from sims.media_sounds import tones

PATIENCE = 60.0
SSRC = 0x1234


class Far(asyncio.DatagramProtocol):
    """The other end of a line."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if kind(data) is Kind.RTP:
            packet = read(data)
            assert isinstance(packet, Packet)
            self.packets.append(packet)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.transport.get_extra_info("sockname")
        return host, port

    def send(self, line: Line, sequence: int, payload: bytes, payload_type: int = 0) -> None:
        packet = Packet(
            payload_type=payload_type,
            sequence=sequence,
            timestamp=sequence * 160,
            ssrc=SSRC,
            payload=payload,
        )
        self.transport.sendto(write(packet), line.address)

    async def until(self, count: int) -> list[Packet]:
        async with asyncio.timeout(PATIENCE):
            while len(self.packets) < count:  # noqa: ASYNC110  # datagrams come when they come
                await asyncio.sleep(0.005)
        return self.packets


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    loop = asyncio.get_running_loop()
    transport, far = await loop.create_datagram_endpoint(Far, local_addr=("127.0.0.1", 0))
    yield far
    transport.close()
    await asyncio.sleep(0)


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    studio = Studio("127.0.0.1")
    yield studio
    assert studio.lines == 0
    studio.close()


@pytest.fixture
async def line(studio: Studio) -> AsyncIterator[Line]:
    line = studio.open()
    assert line is not None
    yield line
    line.close()
    line.close()  # harmless


def chosen(codec: Codec, theirs: int | None = None) -> Chosen:
    sent = (
        codec
        if theirs is None
        else Codec(payload_type=theirs, name=codec.name, clock_rate=codec.clock_rate)
    )
    return Chosen(sent=sent, received=codec)


def stream(far: Far, line: Line, **changes: Any) -> Stream:
    values: dict[str, Any] = {
        "slot": 0,
        "local": line.address,
        "local_rtcp": line.address,
        "remote": far.address,
        "remote_rtcp": None,
        "is_private": True,
        "rtcp_mux": True,
        "direction": Direction.SENDRECV,
        "codecs": (chosen(PCMU),),
        "events": (chosen(events(8000, 101), 96),),
    }
    return Stream(**{**values, **changes})


def distinct(count: int) -> Iterator[bytes]:
    """Payloads of which each is another."""
    return (number.to_bytes(2, "big") * 80 for number in range(count))


async def test_silence_goes_out_at_its_pace(far: Far, line: Line) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    line.follow(stream(far, line), "127.0.0.1")
    packets = await far.until(10)
    assert loop.time() - began >= 0.17
    assert {each.payload for each in packets} == {b"\xff" * 160}
    first = packets[0]
    assert [each.sequence for each in packets] == [
        (first.sequence + at) & 0xFFFF for at in range(len(packets))
    ]
    assert [each.timestamp for each in packets] == [
        (first.timestamp + 160 * at) & 0xFFFF_FFFF for at in range(len(packets))
    ]
    assert len({each.ssrc for each in packets}) == 1


async def test_what_was_not_said_in_time_is_left_out(far: Far, line: Line) -> None:
    line.follow(stream(far, line), "127.0.0.1")
    await far.until(2)
    time.sleep(0.8)  # noqa: ASYNC251  # the loop stands still
    before = len(far.packets)
    await far.until(before + 3)
    assert len(far.packets) < before + 15


@pytest.mark.parametrize("ptime", [10, 30, 60])
async def test_packets_are_as_long_as_was_agreed(far: Far, line: Line, ptime: int) -> None:
    line.follow(stream(far, line, ptime=ptime), "127.0.0.1")
    first, second, *_ = await far.until(2)
    assert len(first.payload) == 8 * ptime
    assert (second.timestamp - first.timestamp) & 0xFFFF_FFFF == 8 * ptime


async def test_an_echo_is_what_came_in_the_order_in_which_it_came(far: Far, line: Line) -> None:
    line.follow(stream(far, line), "127.0.0.1")
    line.echo()
    await asyncio.sleep(0.05)
    far.packets.clear()
    payloads = list(distinct(50))
    order = [at for at in range(50) if at not in (7, 30)]  # two are lost
    order[3], order[4] = order[4], order[3]  # two change places
    for at in order:
        far.send(line, 1000 + at, payloads[at])
        await asyncio.sleep(0)
    packets = await far.until(len(order))
    assert [each.payload for each in packets] == [payloads[at] for at in order]
    base = packets[0].timestamp
    assert [(each.timestamp - base) & 0xFFFF_FFFF for each in packets] == [
        (at - order[0]) * 160 & 0xFFFF_FFFF for at in order
    ]
    assert {each.ssrc for each in packets} != {SSRC}
    line.be_silent()
    await far.until(len(order) + 2)
    assert far.packets[-1].payload == b"\xff" * 160


async def test_an_echo_speaks_the_other_sides_numbers_and_leaves_keys_out(
    far: Far, line: Line
) -> None:
    noise = chosen(COMFORT_NOISE, 19)
    own = stream(far, line, codecs=(chosen(PCMA, 100),), noise=(noise,))
    line.follow(own, "127.0.0.1")
    line.echo()
    await asyncio.sleep(0.05)
    far.packets.clear()
    far.send(line, 1, b"\x05\x0a\x00\xa0", 101)
    far.send(line, 2, b"a" * 160, 8)
    far.send(line, 3, b"\x40", 13)
    first, second = await far.until(2)
    assert (first.payload_type, first.payload) == (100, b"a" * 160)
    assert (second.payload_type, second.payload) == (19, b"\x40")
    assert line.hearing.keys == "5"


async def test_keys_are_pressed_as_events(far: Far, line: Line) -> None:
    line.follow(stream(far, line), "127.0.0.1")
    async with asyncio.timeout(PATIENCE):
        await line.press("7#")
    await far.until(len(far.packets) + 1)  # what was pressed came before
    events_sent = [each for each in far.packets if each.payload_type == 96]
    assert [each.payload[0] for each in events_sent] == sorted(
        [each.payload[0] for each in events_sent]
    )
    assert {each.payload[0] for each in events_sent} == {7, 11}
    assert len({each.timestamp for each in events_sent}) == 2
    ends = [each for each in events_sent if each.payload[1] & 0x80]
    assert len(ends) == 6  # each end is told three times


async def test_what_a_stranger_sends_is_not_heard(far: Far, line: Line) -> None:
    line.follow(stream(far, line), "127.0.0.1")
    loop = asyncio.get_running_loop()
    transport, stranger = await loop.create_datagram_endpoint(Far, local_addr=("127.0.0.1", 0))
    far.send(line, 1, b"\x06\x0a\x00\xa0", 101)
    async with asyncio.timeout(PATIENCE):
        await line.until(lambda: line.hearing.keys == "6")
        stranger.send(line, 2, b"\x05\x0a\x00\xa0", 101)
        far.send(line, 3, b"\x07\x0a\x00\xa0", 101)
        await line.until(lambda: len(line.hearing.keys) > 1)
    transport.close()
    await asyncio.sleep(0)
    assert line.hearing.keys == "67"
    assert stranger.packets == []


@pytest.mark.parametrize(
    ("direction", "sends"), [(Direction.RECVONLY, False), (Direction.SENDONLY, True)]
)
async def test_who_is_on_hold_sends_nothing(
    far: Far, line: Line, direction: Direction, sends: bool
) -> None:
    line.follow(stream(far, line, direction=direction), "127.0.0.1")
    said = asyncio.get_running_loop().create_task(line.play(lambda rate: tones((440,), 0.2, rate)))
    async with asyncio.timeout(PATIENCE):
        await said  # time goes on all the same
    await asyncio.sleep(0.05)
    assert bool(far.packets) is sends


async def test_the_dead_send_and_hear_nothing(far: Far, line: Line) -> None:
    line.follow(stream(far, line), "127.0.0.1")
    await far.until(1)
    line.die()
    await asyncio.sleep(0.05)
    far.packets.clear()
    far.send(line, 1, b"\x05\x0a\x00\xa0", 101)
    await asyncio.sleep(0.1)
    assert far.packets == [] and line.hearing.keys == ""


async def test_ports_that_are_all_in_use_are_none(studio: Studio) -> None:
    small = Studio("127.0.0.1", 31_990, 31_999)
    lines = [found for _ in range(6) if (found := small.open()) is not None]
    assert len(lines) <= 5
    assert small.open() is None
    for each in lines:
        each.close()
    again = small.open()
    assert again is not None
    again.close()
    assert small.lines == 0
    small.close()
