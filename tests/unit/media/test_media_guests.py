"""Legs that are lent to another call of the worker, and legs that hear themselves."""

import asyncio

import pytest
from media_world import Peer, World, chosen, leg, stream, telephone_events, until
from msgspec.structs import replace

from gateway.media import wire
from gateway.media.graph import Guest, Join, Leg, Node, Tone, both_ways
from protocols.rtp import codecs, formats, tones
from protocols.rtp.audio import Pcm
from protocols.rtp.tones import KEYS, Sound
from protocols.sdp.formats import PCMA, PCMU, Codec
from protocols.sdp.media import DtmfMode

SOUND = bytes(range(160))
OTHER = bytes(range(40, 200))
EVENTS = telephone_events(101)
BEEPS = Tone(id="tone", sound=Sound(frequencies=(440.0,)))


def of(peer: Peer, name: str = "a", codec: Codec = PCMU, offers: int = 1, **rest: object) -> Leg:
    agreed = stream(peer.address, chosen(codec), **rest)  # type: ignore[arg-type]
    return leg(name, agreed, offers=offers)


def guest(call: str) -> Guest:
    return Guest(id=call, call=call, leg="a")


ROOM = [guest("one"), guest("two")]


async def says(world: World, peer: Peer, place: wire.Place, payload: bytes, *to: Peer) -> None:
    """A peer says this, and those hear it."""
    for each in to:
        each.heard.clear()
    peer.say(place, payload)
    await until(lambda: all(each.heard for each in to))
    assert {each.heard[-1].payload for each in to} == {payload}


async def test_guests_of_a_third_call_hear_each_other_until_it_ends(world: World) -> None:
    one, two = world.peer(), world.peer()
    at_one = world.apply([of(one)], call="one")["a"]
    assert world.apply(ROOM, both_ways("one", "two"), call="room") == {}
    at_two = world.apply([of(two)], call="two")["a"]
    await says(world, one, at_one, SOUND, two)
    await says(world, two, at_two, OTHER, one)
    world.switch.end("room", world.now())
    one.say(at_one, SOUND)
    two.say(at_two, SOUND)
    await asyncio.sleep(0.05)
    assert (len(one.spoken), len(two.spoken)) == (1, 1)


async def test_who_borrows_a_leg_sees_it_change(world: World) -> None:
    one, two = world.peer(), world.peer()
    at_one = world.apply([of(one)], call="one")["a"]
    world.apply([of(two)], call="two")
    world.apply(ROOM, both_ways("one", "two"), call="room")
    await says(world, one, at_one, SOUND, two)
    world.apply([of(two, codec=PCMA, offers=2)], call="two")
    two.heard.clear()
    one.say(at_one, SOUND)
    await until(lambda: two.heard)
    assert two.heard[-1].payload_type == PCMA.payload_type
    world.apply([of(one, codec=PCMA, offers=2)], call="one")
    one.say(at_one, OTHER, payload_type=8)
    await until(lambda: two.heard[-1].payload == OTHER)


async def test_what_a_call_says_of_its_own_leg_goes_before_what_a_borrower_says(
    world: World,
) -> None:
    one, two = world.peer(), world.peer()
    world.apply([of(one)], call="one")
    at_two = world.apply([of(two)], call="two")["a"]
    world.apply(ROOM, both_ways("one", "two"), call="room")
    alone: list[Node] = [of(one), BEEPS]
    world.apply(alone, [Join(source="tone", hearer="a")], call="one")
    await until(lambda: len(one.heard) > 5)
    two.say(at_two, SOUND)
    await asyncio.sleep(0.05)
    assert SOUND not in {each.payload for each in one.heard}
    world.apply([of(one)], call="one")
    await says(world, two, at_two, SOUND, one)


async def test_when_a_lender_ends_nothing_dangles_and_it_may_come_again(world: World) -> None:
    one, two = world.peer(), world.peer()
    at_one = world.apply([of(one)], call="one")["a"]
    world.apply([of(two)], call="two")
    world.apply(ROOM, both_ways("one", "two"), call="room")
    world.switch.end("two", world.now())
    one.say(at_one, SOUND)
    await asyncio.sleep(0.05)
    assert not two.heard
    world.apply([of(two)], call="two")
    await says(world, one, at_one, SOUND, two)
    for each in ("one", "room", "two"):
        world.switch.end(each, world.now())
    assert world.ports.free == world.ports.size
    assert not len(world.switch.lending)


async def test_a_guest_that_is_taken_away_hears_nothing_more(world: World) -> None:
    one, two = world.peer(), world.peer()
    at_one = world.apply([of(one)], call="one")["a"]
    world.apply([of(two)], call="two")
    world.apply(ROOM, both_ways("one", "two"), call="room")
    world.apply([guest("one")], call="room")
    one.say(at_one, SOUND)
    await asyncio.sleep(0.05)
    assert not two.spoken


@pytest.mark.parametrize(
    ("guests", "reason"),
    [
        ([guest("room")], "its own guest"),
        ([guest("one"), replace(guest("one"), id="again")], "the same leg"),
    ],
)
async def test_guests_that_cannot_be(world: World, guests: list[Guest], reason: str) -> None:
    refused = world.try_to(guests, call="room")
    assert isinstance(refused, wire.Refused)
    assert reason in refused.reason


# Echo


async def test_a_leg_that_hears_itself_has_back_what_its_peer_says(world: World) -> None:
    one = world.peer()
    places = world.apply([of(one, dtmf=chosen(EVENTS))], [Join(source="a", hearer="a")])
    for _ in range(10):
        one.say(places["a"], SOUND)
    one.say(places["a"], b"\x05\x0a\x00\xa0", payload_type=101)
    await until(lambda: len(one.heard) == 11)
    assert {each.payload for each in one.heard[:10]} == {SOUND}
    assert one.heard[-1].payload_type == 101
    world.apply([of(one, dtmf=chosen(EVENTS))])
    one.say(places["a"], SOUND)
    await asyncio.sleep(0.05)
    assert len(one.spoken) == 11


# Keys that nobody hears


@pytest.mark.parametrize("listens", [True, False])
async def test_keys_in_the_sound_of_a_peer_whom_nobody_hears(world: World, listens: bool) -> None:
    one = world.peer()
    wanted = replace(of(one), dtmf=DtmfMode.AUTO, listens_for_keys=listens)
    places = world.apply([wanted])
    sound = tones.render(KEYS["7"], rate=8000, start=0, count=800).samples
    quiet = 0 * sound
    encoder = codecs.encoder(formats.PCMU)
    for part in (sound, quiet):
        for at in range(0, 800, 160):
            pcm = Pcm(rate=8000, samples=part[at : at + 160])
            one.say(places["a"], encoder.encode(pcm))
            await asyncio.sleep(0.02)
    heard = [each.digit for each in world.of(wire.DigitPressed)]
    assert heard == (["7"] if listens else [])
