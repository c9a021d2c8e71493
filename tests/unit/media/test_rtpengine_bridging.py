"""Which legs are bridged: those between which a worker would pass on all as it is."""

from typing import Any

import pytest

from gateway.media.graph import Join, Leg, Mixer, Player, Recorder, both_ways
from gateway.media.ng import NgRefused
from gateway.media.rtpengine.bridging import bridges
from gateway.media.rtpengine.descriptions import Peer, peer_of, read, write
from gateway.media.wire import Place
from protocols.rtp.latch import LatchPolicy
from protocols.sdp.description import Direction
from protocols.sdp.formats import COMFORT_NOISE, PCMA, PCMU, events
from protocols.sdp.media import Chosen, DtmfMode, Srtp, Stream
from tests.unit.media.ng_world import graph, leg, stream, talk

SRTP = Srtp(suite="AES_CM_128_HMAC_SHA1_80", send_key=bytes(30), receive_key=bytes(30))
ABLE = ("a", "b", "c")
CODEC = Chosen(sent=PCMU, received=PCMU)


def chosen(sent: Any, received: Any) -> Chosen:
    return Chosen(sent=sent, received=received)


def two(one: Leg, other: Leg) -> dict[str, str]:
    return bridges(graph(1, one, other, joins=both_ways("a", "b")), ABLE)


def test_two_who_speak_the_same_are() -> None:
    assert two(leg("a", 5000), leg("b", 6000)) == {"a": "b", "b": "a"}
    assert bridges(talk(1), ("a",)) == {}
    assert bridges(talk(1), ()) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"codecs": (chosen(PCMA, PCMA),)},
        {"codecs": (CODEC, chosen(PCMA, PCMA))},
        {"noise": (chosen(COMFORT_NOISE, COMFORT_NOISE),)},
        {"events": ()},
        {"events": (chosen(events(8000, 96), events(8000, 96)),)},
        {"srtp": SRTP},
        {"remote": None},
        {"direction": Direction.SENDONLY},
        {"direction": Direction.RECVONLY},
        {"direction": Direction.INACTIVE},
    ],
    ids=str,
)
def test_two_who_differ_are_not(changes: dict[str, Any]) -> None:
    other = leg("b", stream=stream(6000, **changes))
    assert two(leg("a", 5000), other) == {}
    assert two(leg("a", stream=stream(5000, **changes)), leg("b", 6000)) == {}


def test_types_have_to_be_those_of_the_hearer() -> None:
    ours, theirs = events(8000, 96), events(8000, 101)
    crossed = leg("a", stream=stream(5000, events=(chosen(ours, theirs),)))
    assert two(crossed, leg("b", stream=stream(6000, events=(chosen(theirs, ours),)))) == {
        "a": "b",
        "b": "a",
    }
    assert two(crossed, leg("b", 6000)) == {}


@pytest.mark.parametrize(
    ("one", "other", "passes"),
    [
        (DtmfMode.INBAND, DtmfMode.INBAND, True),
        (DtmfMode.INFO, DtmfMode.INFO, True),
        (DtmfMode.INBAND, DtmfMode.INFO, False),
        (DtmfMode.AUTO, DtmfMode.INFO, False),
        (DtmfMode.INFO, DtmfMode.AUTO, False),
    ],
)
def test_keys_in_the_sound_that_somebody_wants_otherwise(
    one: DtmfMode, other: DtmfMode, passes: bool
) -> None:
    silent = {"events": ()}
    found = two(
        leg("a", stream=stream(5000, **silent), dtmf=one),
        leg("b", stream=stream(6000, **silent), dtmf=other),
    )
    assert bool(found) is passes


def test_who_is_listened_to_is_not() -> None:
    assert two(leg("a", 5000, listens_for_keys=True), leg("b", 6000)) == {}
    assert bridges(talk(1, Recorder(id="r", of="b", path="/r.wav")), ABLE) == {}


def test_joins_of_other_kinds() -> None:
    one, other, third = leg("a", 5000), leg("b", 6000), leg("c", 7000)
    a_to_b = Join(source="a", hearer="b")
    assert bridges(graph(1, one, other, joins=(a_to_b,)), ABLE) == {}
    assert bridges(graph(1, one, joins=(Join(source="a", hearer="a"),)), ABLE) == {}
    ring = (a_to_b, Join(source="b", hearer="c"), Join(source="c", hearer="a"))
    assert bridges(graph(1, one, other, third, joins=ring), ABLE) == {}
    overheard = (*both_ways("a", "b"), Join(source="a", hearer="c"))
    assert bridges(graph(1, one, other, third, joins=overheard), ABLE) == {}
    mixed = (*both_ways("a", "b"), Join(source="b", hearer="m"))
    assert bridges(graph(1, one, other, Mixer(id="m"), joins=mixed), ABLE) == {}
    played = graph(1, one, Player(id="p", clips=()), joins=(Join(source="p", hearer="a"),))
    assert bridges(played, ABLE) == {}


# What rtpengine is told


def described(host: str, leg_: Leg, **changes: Any) -> Peer:
    found: Stream = stream(5000, remote=(host, 5000), remote_rtcp=(host, 5001), **changes)
    return peer_of(leg_, found, None)


def test_who_is_behind_a_nat_is_learnt_and_nobody_else() -> None:
    public, signalling = "203.0.113.9", "198.51.100.7"
    peer = leg("a", signalling=signalling)
    named = described(public, peer, is_private=False)
    assert (named.address, named.is_learnt) == ((public, 5000), False)
    behind = described("10.0.0.9", peer)
    assert (behind.address, behind.control, behind.is_learnt) == ((signalling, 5000), 5001, True)
    beside = described("10.0.0.9", leg("a", signalling="10.0.0.9"))
    assert (beside.address[0], beside.is_learnt) == ("10.0.0.9", False)
    alone = leg("a", signalling=signalling, latch=LatchPolicy.NAMED)
    assert not described("10.0.0.9", alone).is_learnt


def test_who_holds_is_where_they_were() -> None:
    peer = leg("a", signalling="198.51.100.7")
    before = described("203.0.113.9", peer, is_private=False)
    held = stream(0, remote=None, remote_rtcp=None)
    assert peer_of(peer, held, before) == before
    fresh = peer_of(peer, held, None)
    assert (fresh.address, fresh.is_learnt) == (("198.51.100.7", 9), True)
    named = leg("a", signalling="198.51.100.7", latch=LatchPolicy.NAMED)
    assert not peer_of(named, held, None).is_learnt


def test_a_side_is_written_and_read() -> None:
    peer = Peer(address=("2001:db8::1", 5004), control=5009, is_muxed=True, codecs=(PCMA,))
    text = write(peer)
    assert "c=IN IP6 2001:db8::1\r\n" in text and "a=rtcp-mux\r\n" in text
    assert "m=audio 5004 RTP/AVP 8\r\n" in text
    assert read({"sdp": text}) == Place(address=("2001:db8::1", 5004), control=5009)
    for answer in ({}, {"sdp": "v=1"}, {"sdp": text.replace("audio 5004", "audio 0")}):
        with pytest.raises(NgRefused):
            read(answer)
