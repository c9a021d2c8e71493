"""rtpengine, real, does by its ng protocol what a media plane needs of it.

What was found out, and is held here: a side's SDP says where its packets go, and its flags count
for that side. With `port-latching` both local ports stay over each later offer. One re-offer of a
side, unanswered, points it elsewhere and leaves what was learnt of the other side. With
`asymmetric` and `strict-source` nobody but whom the SDP names is heard on a side; `asymmetric`
can't be taken back. Every offer opens again the seconds in which the address of a side without
it is learnt. A browser's ICE and DTLS go on over the other side's re-offers.
"""

import asyncio
import re
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.media.ng import Ng, NgAway, NgRefused
from protocols.rtp.events import Address
from protocols.rtp.packet import Kind, kind
from protocols.rtp.srtp import Refusal, SrtpReceiver, SrtpSender, Suite
from protocols.sdp import codec, webrtc
from protocols.sdp.description import Attributes
from protocols.sdp.media import Srtp
from protocols.webrtc.endpoint import Endpoint
from tests.interop.rtpengine_peer import HOST, Rtpengine

pytestmark = pytest.mark.interop

LEARNT = ["trust-address", "port-latching", "strict-source"]
NAMED = [*LEARNT, "asymmetric"]
CALL = "a call of two"
PACE = 0.01  # seconds from packet to packet
_HEAD = struct.Struct("!HHII")


class End(asyncio.DatagramProtocol):
    """One end of a stream, by a letter that its packets are full of."""

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.heard: Counter[str] = Counter()
        self._number = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.hear(data)

    def hear(self, octets: bytes) -> None:
        if len(octets) == 172:
            self.heard[chr(octets[12])] += 1

    @property
    def port(self) -> int:
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    @property
    def sdp(self) -> str:
        lines = ("v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0")
        media = (f"m=audio {self.port} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=sendrecv")
        return "".join(f"{line}\r\n" for line in (*lines, *media))

    def say(self, to: int) -> None:
        self._transport.sendto(self.packet(), (HOST, to))

    def packet(self) -> bytes:
        self._number += 1
        head = _HEAD.pack(0x8000, self._number, self._number * 160, ord(self.letter))
        return head + self.letter.encode() * 160

    def close(self) -> None:
        self._transport.close()


class WebEnd(End):
    """A browser's: ICE and DTLS by our own endpoint, packets as SRTP to wherever ICE found."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.is_met = asyncio.Event()
        self._at: Address | None = None
        self._opener: SrtpReceiver | None = None
        self._sealer: SrtpSender | None = None
        local = (HOST, self.port)
        self.endpoint = Endpoint(
            host=HOST, local=local, is_offerer=True, send=transport.sendto, watcher=self
        )

    @property
    def sdp(self) -> str:
        mine = ("a=rtcp-mux", *_lines(webrtc.attributes_of(self.endpoint.side, "0")))
        plain = super().sdp.replace("RTP/AVP", webrtc.PROTOCOL)
        return plain + "".join(f"{line}\r\n" for line in mine)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if kind(data) not in (Kind.RTP, Kind.RTCP):
            self.endpoint.take(data, addr)
        elif self._opener is not None and kind(data) is Kind.RTP:
            opened = self._opener.unprotect(data)
            assert not isinstance(opened, Refusal), opened
            self.hear(opened)

    def say(self, to: int) -> None:
        assert self._sealer is not None and self._at is not None, "it was not met"
        sealed = self._sealer.protect(self.packet())
        assert isinstance(sealed, bytes), sealed
        self._transport.sendto(sealed, self._at)

    def found(self, address: Address) -> None:
        self._at = address

    def keyed(self, keys: Srtp) -> None:
        self._opener = SrtpReceiver(Suite(keys.suite), keys.receive_key)
        self._sealer = SrtpSender(Suite(keys.suite), keys.send_key)
        self.is_met.set()

    def lost(self, cause: str, reason: str) -> None:
        raise AssertionError(f"the path of a browser is lost: {reason}")

    def close(self) -> None:
        self.endpoint.close()
        super().close()


def _lines(attributes: Attributes) -> Iterator[str]:
    for name, value in attributes:
        yield f"a={name}" if value is None else f"a={name}:{value}"


class Ends:
    """Peer A, worker B, and others; one ng call with the sides `peer` and `inner`."""

    def __init__(self, ng: Ng, ends: dict[str, End]) -> None:
        self._ng = ng
        self._ends = ends

    def __getitem__(self, letter: str) -> End:
        return self._ends[letter]

    def add(self, end: End) -> None:
        """Another, which is closed with the others."""
        self._ends[end.letter] = end

    async def offer(self, of: str, letter: str, flags: list[str], call: str = CALL) -> int:
        """The port that the other side has for it."""
        return await self._tell("offer", of, letter, flags, call)

    async def answer(self, of: str, letter: str, flags: list[str], call: str = CALL) -> int:
        """The port that who offered has."""
        return await self._tell("answer", of, letter, flags, call)

    async def join(self, peer: str, inner: str, call: str = CALL) -> tuple[int, int]:
        """The ports for the two."""
        for_inner = await self.offer("peer", peer, LEARNT, call)
        return await self.answer("inner", inner, NAMED, call), for_inner

    async def _tell(self, verb: str, of: str, letter: str, flags: list[str], call: str) -> int:
        other = "inner" if of == "peer" else "peer"
        tags = (of, other) if verb == "offer" else (other, of)
        return await self.point(verb, tags, self[letter].sdp, flags, call)

    async def point(
        self, verb: str, tags: tuple[str, str], sdp: str, flags: list[str], call: str = CALL
    ) -> int:
        told = await self._ng.ask(
            verb,
            **{"call_id": call, "from_tag": tags[0], "to_tag": tags[1], "sdp": sdp},
            ICE="remove",
            flags=flags,
            replace=["origin"],
        )
        found = re.search(r"^m=audio (\d+) ", told["sdp"], re.MULTILINE)
        assert found is not None, told
        return int(found[1])

    async def learnt(self) -> dict[str, Any]:
        """How rtpengine sees the peer's stream."""
        told = await self._ng.ask("query", call_id=CALL)
        stream: dict[str, Any] = told["tags"]["peer"]["medias"][0]["streams"][0]
        return stream

    async def talk(self, *, seconds: float = 0.3, **to: int) -> dict[str, set[str]]:
        """Who was heard by whom in the end, when these speak to those ports at once."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for letter, port in to.items():
                self[letter].say(port)
            await asyncio.sleep(PACE)
        for each in self._ends.values():
            each.heard.clear()
        for _ in range(20):
            for letter, port in to.items():
                self[letter].say(port)
            await asyncio.sleep(PACE)
        await asyncio.sleep(0.2)
        return {name: set(each.heard) for name, each in self._ends.items() if each.heard}


@pytest.fixture
def rtpengine(tmp_path: Path) -> Iterator[Rtpengine]:
    started = Rtpengine(tmp_path / "rtpengine")
    yield started
    print(started.log())  # shown if the test failed
    started.close()


@pytest.fixture
async def ng(rtpengine: Rtpengine) -> AsyncIterator[Ng]:
    client = Ng(rtpengine.address, patience=30)
    yield client
    await client.close()


@pytest.fixture
async def ends(ng: Ng) -> AsyncIterator[Ends]:
    loop, found = asyncio.get_running_loop(), {}
    for letter in "ABCDX":
        _, found[letter] = await loop.create_datagram_endpoint(
            lambda letter=letter: End(letter),  # type: ignore[misc]
            local_addr=(HOST, 0),
        )
    yield Ends(ng, found)
    for each in found.values():
        each.close()


async def test_two_sides_talk_are_asked_for_and_leave_nothing(
    rtpengine: Rtpengine, ng: Ng, ends: Ends
) -> None:
    assert await ng.ask("ping") == {"result": "pong"}
    to_peer, to_inner = await ends.join("A", "B")
    assert await ends.talk(A=to_peer, B=to_inner) == {"A": {"B"}, "B": {"A"}}
    stream = await ends.learnt()
    assert stream["endpoint"]["port"] == ends["A"].port
    assert stream["stats"]["packets"] >= 20
    assert rtpengine.calls() == [CALL]
    await ng.ask("delete", call_id=CALL, from_tag="peer", delete_delay=0)
    assert rtpengine.calls() == []
    with pytest.raises(NgRefused, match="Unknown call-id"):
        await ng.ask("query", call_id=CALL)


async def test_one_re_offer_points_a_side_elsewhere_and_ports_stay(ends: Ends) -> None:
    """What B says from then on is not heard; A is found where it was learnt, not where it says."""
    to_inner = await ends.offer("peer", "X", LEARNT)
    to_peer = await ends.answer("inner", "B", NAMED)
    assert await ends.talk(A=to_peer, B=to_inner) == {"A": {"B"}, "B": {"A"}}
    assert await ends.offer("inner", "C", NAMED) == to_peer
    assert await ends.talk(seconds=0, B=to_inner, C=to_inner) == {"A": {"C"}}
    assert await ends.talk(A=to_peer, B=to_inner, C=to_inner) == {"A": {"C"}, "C": {"A"}}
    assert await ends.offer("inner", "B", NAMED) == to_peer
    assert await ends.talk(A=to_peer, B=to_inner, C=to_inner) == {"A": {"B"}, "B": {"A"}}


async def test_two_calls_are_joined_without_who_was_between_them_and_parted(ends: Ends) -> None:
    to_a, to_b = await ends.join("A", "B", "one")
    to_d, to_c = await ends.join("D", "C", "two")
    apart = {"A": {"B"}, "B": {"A"}, "C": {"D"}, "D": {"C"}}
    say = {"A": to_a, "B": to_b, "C": to_c, "D": to_d}
    assert await ends.talk(**say) == apart
    sdp, inner = ends["B"].sdp, ("inner", "peer")
    for call, theirs, port in (("one", to_c, to_a), ("two", to_b, to_d)):
        pointed = sdp.replace(f"m=audio {ends['B'].port} ", f"m=audio {theirs} ")
        assert await ends.point("offer", inner, pointed, NAMED, call) == port
    assert await ends.talk(**say) == {"A": {"D"}, "D": {"A"}}
    for call, letter in (("one", "B"), ("two", "C")):
        await ends.offer("inner", letter, NAMED, call)
    assert await ends.talk(**say) == apart


async def test_a_peer_that_moves_is_followed_by_its_re_offer(ends: Ends) -> None:
    to_peer, to_inner = await ends.join("A", "B")
    assert await ends.talk(A=to_peer, B=to_inner) == {"A": {"B"}, "B": {"A"}}
    assert await ends.join("D", "B") == (to_peer, to_inner)
    assert await ends.talk(D=to_peer, B=to_inner) == {"D": {"B"}, "B": {"D"}}


async def test_who_is_pinned_is_robbed_by_nobody_at_a_switch(ends: Ends) -> None:
    to_peer, to_inner = await ends.join("A", "B")
    await ends.talk(A=to_peer, B=to_inner)
    assert await ends.offer("inner", "C", NAMED) == to_peer
    assert await ends.answer("peer", "A", NAMED) == to_inner
    assert await ends.talk(X=to_peer, C=to_inner) == {"A": {"C"}}
    assert await ends.talk(A=to_peer, X=to_peer, C=to_inner) == {"A": {"C"}, "C": {"A"}}
    assert await ends.offer("inner", "B", NAMED) == to_peer
    assert await ends.talk(A=to_peer, X=to_peer, B=to_inner) == {"A": {"B"}, "B": {"A"}}


async def test_a_browser_goes_on_as_it_was_while_the_other_side_is_pointed_elsewhere(
    ng: Ng, ends: Ends
) -> None:
    loop = asyncio.get_running_loop()
    _, browser = await loop.create_datagram_endpoint(lambda: WebEnd("W"), local_addr=(HOST, 0))
    ends.add(browser)
    said = {"call_id": CALL, "replace": ["origin"]}
    to_peer, to_inner = {"from_tag": "peer", "to_tag": "inner"}, {"from_tag": "inner"}
    plain = {"ICE": "remove", "DTLS": "off", "transport_protocol": "RTP/AVP"}
    web = {"ICE": "force", "transport_protocol": webrtc.PROTOCOL}
    offered = await ng.ask("offer", **said, **to_peer, **plain, flags=LEARNT, sdp=browser.sdp)
    answered = await ng.ask(
        "answer", **said, **to_peer, **web, flags=NAMED, rtcp_mux=["accept"], sdp=ends["B"].sdp
    )
    answer = codec.read(answered["sdp"].encode())
    theirs = webrtc.side_of(answer, answer.media[0])
    assert theirs is not None, answered
    browser.endpoint.connect(theirs)
    await asyncio.wait_for(browser.is_met.wait(), 30)
    inner = codec.read(offered["sdp"].encode()).media[0].port
    assert await ends.talk(W=0, B=inner) == {"W": {"B"}, "B": {"W"}}
    for letter in "CB":
        told = await ng.ask(
            "offer", **said, **to_inner, to_tag="peer", **web, flags=NAMED, sdp=ends[letter].sdp
        )
        again = codec.read(told["sdp"].encode())
        kept = webrtc.side_of(again, again.media[0])
        assert kept is not None and (kept.ufrag, kept.password) == (theirs.ufrag, theirs.password)
        assert kept.candidates == theirs.candidates
        heard = await ends.talk(W=0, B=inner, C=inner)
        assert heard == {"W": {letter}, letter: {"W"}}


async def test_who_was_killed_is_away_at_once_and_back_with_nothing(
    rtpengine: Rtpengine, ng: Ng, ends: Ends
) -> None:
    await ends.join("A", "B")
    rtpengine.kill()
    with pytest.raises(NgAway, match="nobody listens"):
        await ng.ask("ping")
    rtpengine.start()
    assert await ng.ask("list") == {"result": "ok", "calls": []}
    with pytest.raises(NgRefused, match="Unknown call-id"):
        await ng.ask("query", call_id=CALL)


async def test_a_command_as_large_as_a_datagram_is_read(ng: Ng) -> None:
    assert await ng.ask("ping", junk="x" * 65_400) == {"result": "pong"}


async def test_many_are_set_up_and_taken_down_at_once(
    rtpengine: Rtpengine, ng: Ng, ends: Ends
) -> None:
    names = [f"call {number}" for number in range(100)]
    ports = await asyncio.gather(*(ends.join("A", "B", each) for each in names))
    assert len({port for pair in ports for port in pair}) == 200
    assert sorted(rtpengine.calls()) == sorted(names)
    await asyncio.gather(*(ng.ask("delete", call_id=each, delete_delay=0) for each in names))
    assert rtpengine.calls() == []
