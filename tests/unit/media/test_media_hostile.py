"""What nobody should send, and graphs that nobody should ask for: the call is unharmed."""

import asyncio
import random
import tracemalloc
from collections.abc import Callable

import pytest
from media_world import Peer, World, chosen, leg, stream, telephone_events, until
from msgspec.structs import replace

from gateway.media import wire, worker
from gateway.media.graph import Graph, Join, Leg, Tone, both_ways
from gateway.media.mouth import Mouth
from gateway.media.routing import Routing
from gateway.media.switch import REST
from protocols.rtp.srtp import Suite, key_length
from protocols.rtp.tones import Sound
from protocols.sdp.formats import OPUS, PCMA, PCMU, Codec
from protocols.sdp.media import Srtp, Stream

SOUND = bytes(range(160))
SUITE = Suite.AES_CM_128_HMAC_SHA1_80
KEY = bytes(range(key_length(SUITE)))
WHERE = ("127.0.0.1", 4000)
PCM_LIKE = replace(PCMU, clock_rate=0)


def keys(suite: str = SUITE.value, send: bytes = KEY, receive: bytes = KEY) -> Srtp:
    return Srtp(suite=suite, send_key=send, receive_key=receive)


def agreed(**rest: object) -> Leg:
    return leg("a", replace(stream(WHERE, chosen(PCMU)), **rest))


IMPOSSIBLE = {
    "an unknown suite": (agreed(srtp=keys(suite="NULL")), "suite 'NULL'"),
    "a short key to send with": (agreed(srtp=keys(send=KEY[:-1])), "30 octets"),
    "no key to receive with": (agreed(srtp=keys(receive=b"")), "not 0"),
    "a long key": (agreed(srtp=keys(receive=KEY * 2)), "not 60"),
    "no codec": (agreed(codecs=()), "without a codec"),
    "a codec without a clock": (agreed(codecs=(chosen(PCM_LIKE),)), "clock of 0"),
    "a payload type of 8 bits": (agreed(events=(chosen(telephone_events(128)),)), "128"),
    "packets of no length": (agreed(ptime=0), "0 ms"),
    "packets of a second": (agreed(ptime=1000), "1000 ms"),
    "a port that is none": (agreed(remote=("127.0.0.1", 65_536)), "65536"),
    "a port of RTCP below 0": (agreed(remote_rtcp=("127.0.0.1", -1)), "-1"),
    "a name for a host": (replace(agreed(), host="localhost"), "IP addresses"),
    "signalling from a name": (replace(agreed(), signalling="carrier"), "IP addresses"),
    "a silence before it begins": (replace(agreed(), silence=-1.0), "silence"),
    "a silence of no number": (replace(agreed(), silence=float("nan")), "silence"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
async def test_a_leg_that_cannot_be_is_refused_and_changes_nothing(world: World, name: str) -> None:
    wrong, reason = IMPOSSIBLE[name]
    one, other = world.peer(), world.peer()
    good = [leg("a", stream(one.address, chosen(PCMU))), leg("b", _to(other))]
    places = world.apply(good, both_ways("a", "b"))
    refused = world.try_to([wrong, good[1]], both_ways("a", "b"))
    assert isinstance(refused, wire.Refused)
    assert reason in refused.reason
    assert not refused.is_full
    assert KEY.hex() not in refused.reason
    one.say(places["a"], SOUND)
    await until(lambda: other.heard)
    assert world.ports.free == world.ports.size - 2


async def test_a_defect_of_ours_ends_its_own_call_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = world.peer(), world.peer()
    legs = [leg("a", _to(one)), leg("b", _to(other))]
    places = world.apply(legs, both_ways("a", "b"))
    world.apply(legs[:1], call="broken")
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: reported.append(context["exception"]))
    monkeypatch.setattr(Routing, "connect", lambda *_: 1 // 0)
    wanted = Graph(call="broken", version=2, nodes=tuple(legs))
    refused = worker.apply(world.switch, wanted, world.now())
    assert isinstance(refused, wire.Refused)
    assert "ZeroDivisionError" in refused.reason
    assert [type(each) for each in reported] == [ZeroDivisionError]
    assert world.switch.calls == 1
    assert world.ports.free == world.ports.size - 2
    one.say(places["a"], SOUND)
    await until(lambda: other.heard)


async def test_a_node_that_raises_has_its_time_again_and_the_others_have_theirs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = world.peer(), world.peer()
    tone = Tone(id="t", sound=Sound(frequencies=(440.0,)))
    for name, peer in (("broken", one), ("whole", other)):
        world.apply([leg("a", _to(peer)), tone], [Join(source="t", hearer="a")], call=name)
    await until(lambda: one.heard and other.heard)
    told = Mouth.handle_timer

    def once(mouth: Mouth, now: float) -> None:
        monkeypatch.setattr(Mouth, "handle_timer", told)
        raise ZeroDivisionError

    monkeypatch.setattr(Mouth, "handle_timer", once)
    await until(lambda: world.failed)
    assert [type(each) for each in world.failed] == [ZeroDivisionError]
    world.failed.clear()
    before = {id(each): len(each.heard) for each in (one, other)}
    await asyncio.sleep(0.5)
    heard = sorted(len(each.heard) - before[id(each)] for each in (one, other))
    assert heard[0] <= 1
    assert heard[1] >= 24
    await asyncio.sleep(REST)
    assert min(len(each.heard) - before[id(each)] for each in (one, other)) > 15


def _to(peer: Peer, *codecs: Codec, **rest: object) -> Stream:
    return stream(peer.address, *map(chosen, codecs or (PCMU,)), **rest)  # type: ignore[arg-type]


def _tiny(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(13))


def _giant(chance: random.Random) -> bytes:
    return b"\x80\x00" + chance.randbytes(chance.choice((2047, 9_000, 65_000)))


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 400))


def _rtp(chance: random.Random) -> bytes:
    """A head of RTP whose flags promise what may not be there."""
    return bytes((0x80 | chance.randrange(64), chance.randrange(256))) + _noise(chance)


def _rtcp(chance: random.Random) -> bytes:
    head = bytes((0x80 | chance.randrange(64), chance.randrange(192, 224)))
    return head + chance.randrange(40).to_bytes(2, "big") + _noise(chance)


FLOODS = {each.__name__: each for each in (_tiny, _giant, _noise, _rtp, _rtcp)}
KINDS = {
    "relayed": (PCMU, None),
    "encrypted": (PCMU, keys()),
    "made over": (PCMA, None),
    "by libopus": (OPUS, None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_flood_harms_no_call(
    world: World, flood: Callable[[random.Random], bytes], kind: str
) -> None:
    """From a stranger, and from the peer itself, to both ports of a leg."""
    codec, srtp = KINDS[kind]
    one, other, wild = world.peer(), world.peer(), world.peer()
    mux = leg("a", _to(wild, codec, srtp=srtp, mux=True, dtmf=chosen(telephone_events(101))))
    world.apply([mux, leg("b", _to(wild))], both_ways("a", "b"), call="flooded")
    target = world.apply([mux, leg("b", _to(wild))], both_ways("a", "b"), call="flooded")["a"]
    legs = [leg("a", _to(one), offers=2), leg("b", _to(other))]
    places = world.apply(legs, both_ways("a", "b"))
    chance = random.Random(5)
    for burst in range(30):
        for _ in range(20):
            octets = flood(chance)
            for at in (target, places["a"]):
                wild.ports.send(octets, at.address)
                wild.ports.send_control(octets, (at.address[0], at.control))
        other.heard.clear()
        while not other.heard:  # a full buffer of the socket may lose some
            one.say(places["a"], SOUND)
            await asyncio.sleep(0.001)
        other.say(places["b"], SOUND)
        await until(lambda burst=burst: len(one.heard) > burst)
    assert {each.payload for each in one.heard} == {each.payload for each in other.heard} == {SOUND}


async def test_a_datagram_longer_than_any_packet_is_not_cut_and_passed_on(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(_to(one), _to(other))
    one.say(to_a, bytes(2048))
    one.say(to_a, SOUND)
    await until(lambda: other.heard)
    assert [each.payload for each in other.heard] == [SOUND]


async def test_a_source_under_another_name_in_each_packet_costs_no_memory(world: World) -> None:
    one, other = world.peer(), world.peer()
    to_a, _ = world.joined(_to(one), _to(other))

    def received() -> int:
        return world.readings("a").received.packets

    async def rage(first: int) -> None:
        for number in range(first, first + 2000):
            one.ssrc = number
            one.say(to_a, SOUND)
            if number % 50 == 0:
                await until(lambda number=number: received() == number)
        other.heard.clear()
        other.raw.clear()

    await rage(1)
    tracemalloc.start()
    await rage(2001)
    await until(lambda: tracemalloc.get_traced_memory()[0] < 100_000)  # what is told is read
    await rage(4001)
    await until(lambda: tracemalloc.get_traced_memory()[0] < 100_000)
    tracemalloc.stop()
