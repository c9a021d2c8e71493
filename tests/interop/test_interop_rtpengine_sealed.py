"""Media sealed with keys of SDP pass a real rtpengine as they are: workers have the keys."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from gateway.media.graph import both_ways
from gateway.media.ng import Ng
from gateway.media.plane import Happened, Opened
from gateway.media.rtpengine.names import fresh_names
from gateway.media.rtpengine.plane import Rtpengine
from gateway.media.wire import Applied
from gateway.media.workers import Workers, WorkersConfig
from protocols.rtp.packet import Malformed, Packet, read, write
from protocols.rtp.srtp import Refusal, SrtpReceiver, SrtpSender, Suite
from protocols.sdp.media import Srtp
from tests.interop.rtpengine_peer import Rtpengine as Peer
from tests.interop.rtpengine_peer import engine
from tests.unit.media.ng_world import CALL, HOST, graph, leg, stream

__all__ = ["engine"]

pytestmark = pytest.mark.interop

SUITE = "AES_CM_128_HMAC_SHA1_80"
OURS, THEIRS = bytes(range(30)), bytes(range(30, 60))
PATIENCE = 30.0


class End(asyncio.DatagramProtocol):
    """A phone's media: one packet every 20 ms, sealed if it has keys."""

    def __init__(self, letter: bytes, sealer: Any = None, opener: Any = None) -> None:
        self.letter, self.sealer, self.opener = letter, sealer, opener
        self.heard: set[bytes] = set()
        self.transport: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        opened = data if self.opener is None else self.opener.unprotect(data)
        if isinstance(opened, Refusal):
            return
        packet = read(opened)
        if not isinstance(packet, Malformed):
            self.heard.add(packet.payload)

    def says(self, to: tuple[str, int], number: int) -> None:
        octets = write(
            Packet(
                payload_type=0,
                sequence=number,
                timestamp=number * 160,
                ssrc=7,
                payload=self.letter * 160,
            )
        )
        self.transport.sendto(self.sealer.protect(octets) if self.sealer else octets, to)


@pytest.fixture
async def plane(engine: Peer) -> AsyncIterator[Rtpengine]:
    told: list[Happened] = []
    made: list[Workers] = []
    config = WorkersConfig(workers=1, first=16_000, last=31_999)

    def behind(receiver: Any) -> Workers:
        made.append(Workers(config, receiver))
        return made[0]

    ng = Ng(engine.address)
    plane = Rtpengine(ng, behind, told.append, fresh_names())
    await made[0].start()
    await plane.start()
    yield plane
    await plane.close()
    await made[0].close()
    await ng.close()


async def test_who_has_keys_and_who_has_none_hear_each_other(
    plane: Rtpengine, engine: Peer
) -> None:
    loop = asyncio.get_running_loop()
    keys = SrtpSender(Suite(SUITE), THEIRS), SrtpReceiver(Suite(SUITE), OURS)
    ends = End(b"s", *keys), End(b"p")
    for each in ends:
        await loop.create_datagram_endpoint(lambda end=each: end, (HOST, 0))
    sealed, plain = (each.transport.get_extra_info("sockname")[1] for each in ends)
    assert isinstance(plane.open(CALL), Opened)
    srtp = Srtp(suite=SUITE, send_key=OURS, receive_key=THEIRS)
    one = leg("a", stream=msgspec.structs.replace(stream(sealed), srtp=srtp))
    applied = await plane.apply(graph(1, one, leg("b", plain), joins=both_ways("a", "b")))
    assert isinstance(applied, Applied)
    assert plane.counts()["fronts"] == 2 and plane.counts()["bridged"] == 0
    async with asyncio.timeout(PATIENCE):
        for number in range(1 << 15):
            for end, id in zip(ends, ("a", "b"), strict=True):
                end.says(applied.places[id].address, number)
            await asyncio.sleep(0.02)
            if ends[0].heard and ends[1].heard:
                break
    assert (ends[0].heard, ends[1].heard) == ({b"p" * 160}, {b"s" * 160})
    await plane.end(CALL)
    assert engine.calls() == []
    for each in ends:
        each.transport.close()
