"""Graphs of all kinds of nodes by chance, in calls that borrow legs: nothing is left."""

import asyncio
import random
from pathlib import Path

import pytest
from media_world import World, chosen, leg, stream, wav
from msgspec.structs import replace

from gateway.media import wire
from gateway.media.graph import (
    Clip,
    File,
    Guest,
    Join,
    Leg,
    Mixer,
    Node,
    Note,
    Player,
    Recorder,
    Silence,
    Tone,
    Track,
)
from gateway.media.switch import TICK
from protocols.rtp.tones import Sound
from protocols.sdp.description import Direction
from protocols.sdp.formats import G722, OPUS, PCMA, PCMU

CALLS = ("one", "two", "three", "four")
NAMES = ("a", "b", "c", "d", "e", "f")
CODECS = (PCMU, PCMA, G722, OPUS)
BEEP = Sound(frequencies=(440.0,))
SAID = b"\x55" * 160


class Chance:
    """What a graph may have in it."""

    def __init__(self, seed: int, world: World, folder: Path) -> None:
        self._chance = random.Random(seed)
        self._folder = folder
        self._peers = [world.peer(ssrc=number) for number in range(6)]
        self._file = File(path=wav(folder, (440.0, 0.1)))
        self._offers = 1
        self._kinds = (
            *(self._leg, self._tone, self._player, self._mixer, self._recorder, self._guest),
            *(self._leg, self._leg, self._player, self._recorder, self._guest),
        )
        self.files = 0

    def pick(self, *these: str) -> str:
        return self._chance.choice(these)

    def graph(self) -> tuple[list[Node], list[Join]]:
        """Mostly one that can be."""
        names = self._chance.sample(NAMES, self._chance.randrange(len(NAMES) + 1))
        nodes = [self._chance.choice(self._kinds)(name) for name in names]
        heard = [each.id for each in nodes if isinstance(each, Leg | Mixer)]
        if heard:
            nodes = [
                replace(each, of=self.pick(*heard)) if isinstance(each, Recorder) else each
                for each in nodes
            ]
        joins = [
            Join(source=self.pick(*names), hearer=each.id)
            for each in nodes
            if isinstance(each, Leg | Guest | Mixer) and self._chance.random() < 0.7
        ]
        if names and self._chance.random() < 0.2:
            both = (self.pick(*names), self.pick(*names))
            joins.append(Join(source=both[0], hearer=both[1], only=self.pick("", *names)))
        return nodes, joins

    def _leg(self, name: str) -> Node:
        peer, codec = self._chance.choice(self._peers), self._chance.choice(CODECS)
        way = self._chance.choice((Direction.SENDRECV,) * 3 + tuple(Direction))
        agreed = stream(peer.address, chosen(codec), direction=way)
        self._offers += 1
        made = leg(name, None if self._chance.random() < 0.2 else agreed, offers=self._offers)
        return made

    def _tone(self, name: str) -> Node:
        return Tone(id=name, sound=BEEP)

    def _player(self, name: str) -> Node:
        some: tuple[Clip, ...] = (
            self._file,
            File(path="/nowhere"),
            Silence(seconds=0.05),
            Note(sound=BEEP, seconds=0.05),
        )
        clips = tuple(self._chance.sample(some, self._chance.randrange(1, 4)))
        return Player(id=name, clips=clips, loop=self._chance.randrange(3))

    def _mixer(self, name: str) -> Node:
        return Mixer(id=name, tells_speech=self._chance.random() < 0.5)

    def _recorder(self, name: str) -> Node:
        self.files += 1
        return Recorder(
            id=name,
            of=self.pick(*NAMES),
            path=str(self._folder / f"{self.files}.wav"),
            track=self._chance.choice(tuple(Track)),
            channels=self._chance.choice((1, 1, 2)),
            is_paused=self._chance.random() < 0.3,
            skips=self._chance.random() < 0.5,
            silence=self._chance.choice((0.0, 0.2)),
            limit=self._chance.choice((0.0, 0.1)),
            trims=self._chance.random() < 0.5,
        )

    def _guest(self, name: str) -> Node:
        return Guest(id=name, call=self.pick(*CALLS), leg=self.pick(*NAMES))

    def say(self, world: World, places: dict[str, wire.Place]) -> None:
        """Somebody says something to each leg."""
        for place in places.values():
            self._chance.choice(self._peers).say(place, SAID)


def files(folder: Path) -> list[Path]:
    """What was recorded."""
    return [each for each in folder.iterdir() if each.name != "sound.wav"]


@pytest.mark.parametrize("seed", range(4))
async def test_no_graph_breaks_anything_or_leaves_anything(
    world: World, tmp_path: Path, seed: int
) -> None:
    chance = Chance(seed, world, tmp_path)
    applied = refused = 0
    for _ in range(150):
        call = chance.pick(*CALLS)
        nodes, joins = chance.graph()
        answer = world.try_to(nodes, joins, call)
        if isinstance(answer, wire.Applied):
            applied += 1
            chance.say(world, answer.places)
        else:
            refused += 1
        if chance.pick("end", *"......") == "end":
            world.switch.end(call, world.now())
        await asyncio.sleep(5 * TICK)
    assert min(applied, refused) > 20
    for call in CALLS:
        world.switch.end(call, world.now())
    assert len(files(tmp_path)) == len(world.of(wire.RecordingEnded)) > 5
    assert not any(each.fault for each in world.of(wire.RecordingEnded))
    assert world.ports.free == world.ports.size
