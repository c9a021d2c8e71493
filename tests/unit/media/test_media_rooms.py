"""Rooms of a worker: legs of several calls in one, whose peers have sockets of their own."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from media_world import World, chosen, heard_as, leg, stream, telephone_events, until
from mix_world import loudness, tone

from gateway.media import wire
from gateway.media.graph import Guest, Join, Mixer, Node, Note, Player, Tone
from protocols.rtp import codecs, formats
from protocols.rtp.audio import Pcm
from protocols.rtp.tones import Sound
from protocols.sdp.formats import G722, PCMA, PCMU, Codec
from protocols.sdp.media import Stream

ROOM = Mixer(id="room", tells_speech=True)
NAMES = ("a", "b", "c", "d")
PITCH = {"a": 400.0, "b": 700.0, "c": 1000.0, "d": 1300.0, "note": 1600.0}
CODECS = {"a": PCMU, "b": PCMA, "c": G722, "d": PCMU}
SECONDS = 0.8
PEAK = 4000.0


def format_of(codec: Codec) -> formats.Format:
    found = formats.find(codec.name, codec.clock_rate)
    assert found is not None
    return found


class Party:
    """Four peers, each a leg of a call of its own, who are guests of a room."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.peers = {name: world.peer(ssrc=0x20 + at) for at, name in enumerate(NAMES)}
        self.places = {
            name: world.apply([leg("leg", self.agreed(name))], call=name)["leg"] for name in NAMES
        }

    def agreed(self, name: str) -> Stream:
        keys = chosen(telephone_events(101))
        return stream(self.peers[name].address, chosen(CODECS[name]), dtmf=keys)

    def meet(self, *joins: Join, others: Sequence[Node] = (), names: Sequence[str] = NAMES) -> None:
        """A room in which these hear and are heard, unless it is said otherwise."""
        guests = [Guest(id=name, call=name, leg="leg") for name in names]
        said = {(each.source, each.hearer) for each in joins}
        both = [Join(source="room", hearer=name) for name in names]
        both += [Join(source=name, hearer="room") for name in names if (name, "room") not in said]
        self.world.apply([ROOM, *guests, *others], [*both, *joins], call="room")

    async def speak(self, names: Sequence[str] = NAMES) -> None:
        """Each says a tone of its own."""
        for peer in self.peers.values():
            peer.heard.clear()
        said = {name: self._packets(name) for name in names}
        for number in range(round(SECONDS * 50)):
            for name in names:
                peer, codec = self.peers[name], CODECS[name]
                peer.say(self.places[name], said[name][number], payload_type=codec.payload_type)
            await asyncio.sleep(0.02)

    def _packets(self, name: str) -> list[bytes]:
        format = format_of(CODECS[name])
        encoder, size = codecs.encoder(format), format.samples(20)
        samples = tone(format.sample_rate, PITCH[name], SECONDS, PEAK)
        return [
            encoder.encode(Pcm(rate=encoder.rate, samples=samples[at : at + size]))
            for at in range(0, len(samples), size)
        ]

    def hears(self, name: str) -> str:
        """Whom a peer hears in the last half of a second."""
        samples, rate = heard_as(self.peers[name].heard, CODECS[name])
        found = loudness(samples[-rate // 2 :], rate, list(PITCH.values()))
        return "".join(
            who if each > PEAK / 2 else "?"
            for who, each in zip(PITCH, found, strict=True)
            if each > PEAK / 40
        )

    def heard(self) -> list[str]:
        return [self.hears(name) for name in NAMES]


async def test_guests_of_a_room_hear_the_others_and_not_themselves(world: World) -> None:
    party = Party(world)
    party.meet()
    await party.speak()
    assert party.heard() == ["bcd", "acd", "abd", "abc"]
    for peer in party.peers.values():
        numbers = [(each.sequence - peer.heard[0].sequence) & 0xFFFF for each in peer.heard]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= SECONDS * 50 - 3


async def test_a_coach_and_one_who_is_muted(world: World) -> None:
    party = Party(world)
    muted = [Join(source="a", hearer="room"), Join(source="c", hearer="room", only="b")]
    party.meet(*muted)
    await party.speak()
    assert party.heard() == ["bd", "acd", "abd", "ab"]
    party.world.apply(
        [ROOM, *(Guest(id=name, call=name, leg="leg") for name in NAMES)],
        [*(Join(source="room", hearer=name) for name in NAMES), Join(source="d", hearer="room")],
        call="room",
    )
    await party.speak()
    assert party.heard() == ["d", "d", "d", ""]


@pytest.mark.parametrize("only", ["", "b"])
async def test_what_is_played_to_a_room_and_to_one_of_it(world: World, only: str) -> None:
    party = Party(world)
    note = Note(sound=Sound(frequencies=(PITCH["note"],), level=16), seconds=SECONDS)
    playing = Player(id="note", clips=(note,))
    party.meet(Join(source="note", hearer="room", only=only), others=[playing])
    await party.speak(["a"])
    assert party.heard() == (
        ["note", "anote", "anote", "anote"] if not only else ["", "anote", "a", "a"]
    )
    await until(lambda: world.of(wire.PlayerEnded))


async def test_a_tone_sounds_in_a_room(world: World) -> None:
    party = Party(world)
    beeps = Tone(id="note", sound=Sound(frequencies=(PITCH["note"],), level=16))
    party.meet(Join(source="note", hearer="room"), others=[beeps])
    await party.speak([])
    await asyncio.sleep(SECONDS)
    assert party.heard() == ["note"] * 4


async def test_who_leaves_a_room_and_whose_call_ends(world: World) -> None:
    party = Party(world)
    party.meet()
    await party.speak()
    world.switch.end("d", world.now())
    party.meet(names=["a", "b", "d"])
    await party.speak(["a", "b", "c"])
    assert party.hears("a") == "b"
    assert party.hears("b") == "a"
    assert not party.peers["c"].spoken
    world.switch.end("room", world.now())
    await party.speak(["a"])
    assert not any(each.spoken for each in party.peers.values())


async def test_a_peer_changes_its_codec_in_a_room(world: World) -> None:
    party = Party(world)
    party.meet()
    await party.speak()
    agreed = stream(party.peers["a"].address, chosen(G722))
    world.apply([leg("leg", agreed, offers=2)], call="a")
    CODECS["a"] = G722
    try:
        await party.speak()
        assert party.heard() == ["bcd", "acd", "abd", "abc"]
        assert {each.payload_type for each in party.peers["a"].heard} == {9}
    finally:
        CODECS["a"] = PCMU


async def test_it_is_told_who_speaks(world: World) -> None:
    party = Party(world)
    party.meet()
    await party.speak(["b"])
    (began,) = world.of(wire.SpeechBegan)
    assert (began.call, began.node) == ("room", "b")
    await until(lambda: world.of(wire.SpeechEnded))
    await party.speak(["a"])
    world.switch.end("a", world.now())
    assert [each.node for each in world.of(wire.SpeechEnded)] == ["b", "a"]


async def test_a_key_in_a_room_is_told_and_nobody_hears_it(world: World) -> None:
    party = Party(world)
    party.meet()
    peer, place = party.peers["a"], party.places["a"]
    for flags, units in ((10, 160), (10, 320), (0x8A, 480), (0x8A, 480), (0x8A, 480)):
        octets = bytes((5, flags)) + units.to_bytes(2, "big")
        peer.say(place, octets, payload_type=101, ticks=0)
        await asyncio.sleep(0.02)
    await until(lambda: world.of(wire.DigitPressed))
    assert world.of(wire.DigitPressed)[0].digit == "5"
    await asyncio.sleep(0.1)
    samples, _ = heard_as(party.peers["b"].heard, PCMA)
    assert len(samples)
    assert np.abs(samples).max() < 100


@pytest.mark.parametrize(
    ("joins", "reason"),
    [
        ([Join(source="a", hearer="room"), Join(source="a", hearer="room", only="b")], "twice"),
        ([Join(source="a", hearer="room", only="x")], "alone"),
        ([Join(source="a", hearer="b", only="a")], "alone"),
        ([Join(source="room", hearer="two")], "two can't hear room"),
        ([Join(source="a", hearer="room", buffer=float("nan"))], "can't wait"),
        ([Join(source="a", hearer="room", buffer=2.0)], "can't wait"),
    ],
)
async def test_rooms_that_cannot_be(world: World, joins: list[Join], reason: str) -> None:
    nodes = [leg("a"), leg("b"), ROOM, Mixer(id="two")]
    refused = world.try_to(nodes, joins)
    assert isinstance(refused, wire.Refused)
    assert reason in refused.reason
