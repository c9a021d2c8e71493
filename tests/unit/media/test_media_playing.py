"""Players: what is heard of clips, in each codec, for how long, and what is told of their end."""

import asyncio
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from media_world import Peer, World, chosen, heard_as, leg, loudest, stream, until, wav
from msgspec.structs import replace

from gateway.media import reel, sounds, wire
from gateway.media.graph import Clip, File, Graph, Guest, Join, Leg, Node, Note, Player, Silence
from gateway.media.player import DUMB, NOTHING
from gateway.media.reel import MOST_OCTETS, Reels, Wanted
from protocols.rtp import codecs, formats
from protocols.rtp.audio import rms
from protocols.rtp.tones import Sound
from protocols.sdp.description import Direction
from protocols.sdp.formats import G722, OPUS, PCMA, PCMU, Codec
from protocols.sdp.media import Stream

L16 = Codec(payload_type=96, name="L16", clock_rate=16000)
WIDE = Codec(payload_type=11, name="L16", clock_rate=44100)
GSM = Codec(payload_type=3, name="GSM", clock_rate=8000)
SPOKEN = (PCMU, PCMA, G722, OPUS, L16, WIDE)
BEEP = Sound(frequencies=(1000.0,))
TO_A = [Join(source="p", hearer="a")]


def agreed(peer: Peer, codec: Codec = PCMU, **rest: object) -> Stream:
    return stream(peer.address, chosen(codec), **rest)  # type: ignore[arg-type]


def play(
    world: World, to: Leg, *clips: Clip, loop: int = 1, name: str = "p", more: tuple[Node, ...] = ()
) -> None:
    nodes = [to, Player(id=name, clips=clips, loop=loop), *more]
    world.apply(nodes, [Join(source=name, hearer=to.id)])


async def ended(world: World) -> wire.PlayerEnded:
    await until(lambda: world.of(wire.PlayerEnded))
    (told,) = world.of(wire.PlayerEnded)
    assert isinstance(told, wire.PlayerEnded)
    return told


@pytest.mark.parametrize("rate", [8000, 24000, 44100])
@pytest.mark.parametrize("codec", SPOKEN, ids=lambda codec: f"{codec.name}-{codec.clock_rate}")
async def test_a_file_is_heard_in_each_codec(
    world: World, tmp_path: Path, codec: Codec, rate: int
) -> None:
    one = world.peer()
    play(world, leg("a", agreed(one, codec)), File(path=wav(tmp_path, (440.0, 0.5), rate=rate)))
    assert (await ended(world)).fault == ""
    assert len(one.spoken) == 25
    first = one.spoken[0]
    ticks = codec.clock_rate // 50
    assert [(each.timestamp - first.timestamp) & 0xFFFF_FFFF for each in one.spoken] == [
        number * ticks for number in range(25)
    ]
    assert {each.payload_type for each in one.heard} == {codec.payload_type}
    samples, heard_at = heard_as(one.spoken, codec)
    middle = samples[len(samples) // 4 : len(samples) // 4 * 3]
    assert loudest(middle, heard_at) == pytest.approx(440, abs=6)
    assert rms(middle) == pytest.approx(8000 / 2**0.5, rel=0.1)


@pytest.mark.parametrize("replaced", [os.replace, lambda other, path: Path(path).unlink()])
async def test_what_is_played_is_heard_to_its_end(
    world: World, tmp_path: Path, replaced: Callable[[str, str], None]
) -> None:
    """Whoever keeps the file may take it away, or put another one in its place, meanwhile."""
    one = world.peer()
    path = wav(tmp_path, (440.0, 1.5))
    play(world, leg("a", agreed(one)), File(path=path))
    await until(lambda: one.heard)
    replaced(wav(tmp_path, (900.0, 1.5), name="other"), path)
    await ended(world)
    samples, rate = heard_as(one.heard, PCMU)
    end = samples[-rate // 2 :]
    assert loudest(end, rate) == pytest.approx(440, abs=6)
    assert rms(end) == pytest.approx(8000 / 2**0.5, rel=0.1)


def opened() -> int:
    """How many descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_file_is_closed_when_nobody_plays_it(tmp_path: Path) -> None:
    path = wav(tmp_path, (440.0, 0.1))
    before = opened()
    pieces = [sounds.measure([File(path=path)]) for _ in range(5)]
    assert opened() == before + 1
    assert len({each[0] for each in pieces}) == 1
    pieces.clear()
    assert opened() == before


def test_reels_that_nobody_plays_are_not_kept_without_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reel, "MOST_REELS", 2)
    reels = Reels()
    before = opened()
    for number in range(5):
        pieces, _ = sounds.measure([File(path=wav(tmp_path, (440.0, 0.1), name=str(number)))])
        wanted = Wanted(pieces=pieces, format=formats.PCMU, ptime=20)
        reels.give_back(reels.take(wanted, 0))
        del pieces, wanted
    assert opened() == before + 2


async def test_clips_follow_each_other_without_a_gap(world: World, tmp_path: Path) -> None:
    """A file's odd end is in the packet in which the next one begins."""
    one = world.peer()
    parts = (0.111, 0.107, 0.103)
    files = [File(path=wav(tmp_path, (500.0, each), name=f"{each}")) for each in parts]
    play(world, leg("a", agreed(one)), *files)
    await ended(world)
    assert len(one.spoken) == 17  # 0.321 s, rounded up once
    samples, _ = heard_as(one.spoken, PCMU)
    whole = samples[: round(0.321 * 8000)]
    quiet = [rms(whole[at : at + 16]) < 2000 for at in range(0, len(whole) - 16, 16)]
    assert not any(quiet)


async def test_silence_and_notes_last_as_long_as_they_say(world: World, tmp_path: Path) -> None:
    one = world.peer()
    file = File(path=wav(tmp_path, (440.0, 0.2)))
    play(world, leg("a", agreed(one)), file, Silence(seconds=0.1), Note(sound=BEEP, seconds=0.2))
    await ended(world)
    samples, rate = heard_as(one.heard, PCMU)
    assert loudest(samples[:1600], rate) == pytest.approx(440, abs=6)
    assert rms(samples[1620:2380]) < 50
    assert loudest(samples[2400:4000], rate) == pytest.approx(1000, abs=6)
    assert len(samples) == 4000


async def test_a_loop_is_played_so_often_and_no_more(world: World, tmp_path: Path) -> None:
    one = world.peer()
    file = File(path=wav(tmp_path, (440.0, 0.1)))
    begun = world.now()
    play(world, leg("a", agreed(one)), file, Silence(seconds=0.1), loop=3)
    await ended(world)
    assert world.now() - begun == pytest.approx(0.6, abs=0.03)
    samples, _ = heard_as(one.heard[:30], PCMU)
    loud = [rms(samples[at : at + 160]) > 2000 for at in range(0, len(samples), 160)]
    assert loud == ([True] * 5 + [False] * 5) * 3
    await asyncio.sleep(0.2)
    assert len(one.spoken) == 15
    assert len(world.of(wire.PlayerEnded)) == 1


async def test_a_loop_without_end_ends_with_its_join(world: World, tmp_path: Path) -> None:
    one = world.peer()
    to = leg("a", agreed(one))
    play(world, to, File(path=wav(tmp_path, (440.0, 0.1))), loop=0)
    await until(lambda: len(one.heard) > 100)
    world.apply([to])
    count = len(one.spoken)
    await asyncio.sleep(0.2)
    assert len(one.spoken) == count
    assert not world.of(wire.PlayerEnded)


async def test_one_player_is_heard_by_two_and_its_end_told_once(
    world: World, tmp_path: Path
) -> None:
    one, two = world.peer(), world.peer()
    file = File(path=wav(tmp_path, (440.0, 0.3)))
    legs = [leg("a", agreed(one)), leg("b", agreed(two, OPUS))]
    joins = [*TO_A, Join(source="p", hearer="b")]
    world.apply([*legs, Player(id="p", clips=(file,))], joins)
    assert (await ended(world)) == wire.PlayerEnded(call="call", player="p")
    assert (len(one.spoken), len(two.spoken)) == (15, 15)


async def test_who_comes_later_hears_the_rest_and_another_codec_goes_on(
    world: World, tmp_path: Path
) -> None:
    one, two = world.peer(), world.peer()
    player = Player(id="p", clips=(File(path=wav(tmp_path, (440.0, 0.3), (900.0, 0.3))),))
    world.apply([leg("a", agreed(one)), leg("b", agreed(two)), player], TO_A)
    await until(lambda: len(one.heard) == 15)
    both = [*TO_A, Join(source="p", hearer="b")]
    world.apply([leg("a", agreed(one, PCMA), offers=2), leg("b", agreed(two)), player], both)
    await ended(world)
    samples, rate = heard_as(two.spoken, PCMU)
    assert loudest(samples[160:], rate) == pytest.approx(900, abs=6)
    assert len(two.spoken) == pytest.approx(15, abs=1)
    late = [each for each in one.heard if each.payload_type == PCMA.payload_type]
    samples, rate = heard_as(late, PCMA)
    assert loudest(samples[160:], rate) == pytest.approx(900, abs=6)
    assert len(one.spoken) == pytest.approx(30, abs=1)


async def test_time_goes_on_in_a_hold(world: World, tmp_path: Path) -> None:
    one = world.peer()
    player = Player(id="p", clips=(File(path=wav(tmp_path, (440.0, 0.5))),))
    held = replace(agreed(one), direction=Direction.RECVONLY)
    begun = world.now()
    world.apply([leg("a"), player], TO_A)
    await asyncio.sleep(0.2)  # nobody hears it yet
    world.apply([leg("a", held), player], TO_A)
    await ended(world)
    assert world.now() - begun == pytest.approx(0.7, abs=0.03)
    assert not one.heard


# What can't be played


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def _stereo(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    struct.pack_into("<H", octets, 22, 2)
    path.write_bytes(octets)


def _of_no_rate(path: Path) -> None:
    octets = bytearray(path.read_bytes())
    struct.pack_into("<I", octets, 24, 12_345)
    path.write_bytes(octets)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _chunks(path: Path) -> None:
    path.write_bytes(b"RIFF\xff\xff\xff\xffWAVE" + b"LIST\x00\x00\x00\x00" * 1000)


def _empty(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:44])


UNREADABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "gone": (Path.unlink, "No such file"),
    "cut": (_cut, "no whole WAV"),
    "stereo": (_stereo, "2 channels"),
    "of no rate": (_of_no_rate, "12345 Hz"),
    "a pipe": (_pipe, "no file"),
    "a folder": (_folder, "no file"),
    "full of chunks": (_chunks, "no samples"),
    "text": (lambda path: path.write_text("x" * 100) and None, "no WAV"),
    "empty": (_empty, NOTHING),
}


@pytest.mark.parametrize("loop", [1, 0])
@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_unreadable_file_is_told_and_the_call_goes_on(
    world: World, tmp_path: Path, name: str, loop: int
) -> None:
    spoil, reason = UNREADABLE[name]
    one = world.peer()
    path = wav(tmp_path, (440.0, 0.2))
    spoil(Path(path))
    play(world, leg("a", agreed(one)), File(path=path), loop=loop)
    assert reason in (await ended(world)).fault
    assert not one.spoken
    play(world, leg("a", agreed(one)), Note(sound=BEEP, seconds=0.1), name="q")
    await until(lambda: len(one.spoken) == 5)


async def test_what_can_be_read_is_played_though_the_rest_can_not(
    world: World, tmp_path: Path
) -> None:
    one = world.peer()
    file = File(path=wav(tmp_path, (440.0, 0.1)))
    play(world, leg("a", agreed(one)), File(path=str(tmp_path / "none.wav")), file)
    assert "none.wav: No such file" in (await ended(world)).fault
    assert len(one.spoken) == 5


async def test_a_file_that_is_cut_while_it_plays_goes_on_as_silence(
    world: World, tmp_path: Path
) -> None:
    one = world.peer()
    path = wav(tmp_path, (440.0, 1.0))
    play(world, leg("a", agreed(one)), File(path=path))
    await until(lambda: len(one.heard) == 10)
    os.truncate(path, 0)
    await ended(world)
    assert len(one.heard) >= 50
    samples, _ = heard_as(one.heard[:50], PCMU)
    assert rms(samples[-4000:]) < 50


async def test_a_peer_that_takes_no_sound_of_ours(world: World) -> None:
    one = world.peer()
    play(world, leg("a", agreed(one, GSM)), Note(sound=BEEP, seconds=0.1))
    assert (await ended(world)).fault == DUMB


@pytest.mark.parametrize(
    ("clips", "loop", "reason"),
    [
        ((), 1, "1 to 100 clips"),
        ((Silence(seconds=1.0),) * 101, 1, "1 to 100 clips"),
        ((Silence(seconds=0.0), Note(sound=BEEP, seconds=0.0)), 0, "last no time"),
        ((Silence(seconds=-1.0),), 1, "-1.0 s"),
        ((Silence(seconds=float("nan")),), 1, "nan s"),
        ((Silence(seconds=float("inf")),), 1, "inf s"),
        ((Silence(seconds=1e9),), 1, "1000000000.0 s"),
        ((Note(sound=BEEP, seconds=1e300),), 1, "1e+300 s"),
        ((Note(sound=Sound(frequencies=()), seconds=1.0),), 1, "frequencies"),
        ((File(path="/tmp/a\0b"),), 1, "no path"),
        ((File(path=""),), 1, "no path"),
        ((File(path="/" * 2000),), 1, "no path"),
        ((Silence(seconds=1.0),), -1, "loop of -1"),
        ((Silence(seconds=1.0),), 10**9, "loop of 1000000000"),
    ],
)
async def test_players_that_cannot_be(
    world: World, clips: tuple[Clip, ...], loop: int, reason: str
) -> None:
    refused = world.try_to([leg("a"), Player(id="p", clips=clips, loop=loop)], TO_A)
    assert isinstance(refused, wire.Refused)
    assert reason in refused.reason
    assert world.ports.free == world.ports.size


async def test_a_player_hears_nobody(world: World) -> None:
    nodes = [leg("a"), Player(id="p", clips=(Silence(seconds=1.0),))]
    refused = world.try_to(nodes, [Join(source="a", hearer="p")])
    assert isinstance(refused, wire.Refused)
    assert "hears nobody" in refused.reason


# What it costs


async def test_all_who_play_a_file_share_its_packets(world: World, tmp_path: Path) -> None:
    peers = [world.peer() for _ in range(3)]
    player = Player(id="p", clips=(File(path=wav(tmp_path, (440.0, 1.0))),))
    for number, peer in enumerate(peers):
        world.apply([leg("a", agreed(peer)), player], TO_A, call=f"call-{number}")
    await until(lambda: len(world.of(wire.PlayerEnded)) == 3)
    assert world.switch.reels.octets == 50 * (160 + 100)
    first = [each.payload for each in peers[0].heard]
    assert all([each.payload for each in peer.heard] == first for peer in peers)


async def test_reels_take_no_more_than_they_may(world: World, tmp_path: Path) -> None:
    """What is played at the time stays whole in the ear, however little room there is."""
    reels = world.switch.reels
    reels.most = most = 20 * 260
    peers = [world.peer() for _ in range(3)]
    for number, peer in enumerate(peers):
        path = wav(tmp_path, (500.0 + 100 * number, 2.5), name=f"{number}")
        player = Player(id="p", clips=(File(path=path),), loop=2)
        world.apply([leg("a", agreed(peer)), player], TO_A, call=f"call-{number}")
    highest = 0
    while len(world.of(wire.PlayerEnded)) < 3:
        await asyncio.sleep(0.02)
        highest = max(highest, reels.octets)
    assert highest <= 3 * 52 * 260
    for number, peer in enumerate(peers):
        samples, rate = heard_as(peer.spoken, PCMU)
        assert len(samples) == 5 * 8000
        assert loudest(samples, rate) == pytest.approx(500 + 100 * number, abs=1)
    for number in range(3):
        world.switch.end(f"call-{number}", world.now())
    assert reels.octets <= most


async def test_a_long_file_is_encoded_as_it_is_played_and_from_where(
    world: World, tmp_path: Path
) -> None:
    one = world.peer()
    path = wav(tmp_path, (440.0, 300.0), (900.0, 300.0))
    play(world, leg("a", agreed(one)), File(path=path))
    await until(lambda: len(one.heard) == 10)
    assert world.switch.reels.octets <= 12 * 260
    pieces, _ = sounds.measure([File(path=path)])
    wanted = Wanted(pieces=pieces, format=formats.OPUS, ptime=20)
    reels = Reels()
    late = reels.take(wanted, 20_000)
    decoder = codecs.decoder(formats.OPUS)
    parts = [decoder.decode(late.payload(20_000 + number)) for number in range(10)]
    samples = np.concatenate([each.samples for each in parts if each is not None])
    assert loudest(samples[4800:], 48_000) == pytest.approx(900, abs=11)
    assert reels.octets < 10 * 1000
    reels.give_back(late)
    assert (reels.octets, reels.players) == (0, 0)
    assert MOST_OCTETS == 64 << 20


async def test_a_guest_is_played_to(world: World) -> None:
    one = world.peer()
    world.apply([leg("a", agreed(one))], call="lender")
    player = Player(id="p", clips=(Note(sound=BEEP, seconds=0.2),))
    guest = Guest(id="g", call="lender", leg="a")
    world.apply([guest, player], [Join(source="p", hearer="g")])
    assert (await ended(world)).fault == ""
    samples, rate = heard_as(one.heard, PCMU)
    assert len(samples) == 1600
    assert loudest(samples, rate) == pytest.approx(1000, abs=6)


async def test_nothing_is_told_of_a_player_that_is_taken_away(world: World) -> None:
    one = world.peer()
    to = leg("a", agreed(one))
    play(world, to, Note(sound=BEEP, seconds=0.3))
    await until(lambda: one.heard)
    play(world, to, Note(sound=BEEP, seconds=0.1), name="q")
    assert (await ended(world)).player == "q"
    await asyncio.sleep(0.4)
    assert len(world.of(wire.PlayerEnded)) == 1
    world.switch.end("call", world.now())
    refused = world.switch.apply(Graph(call="call", version=0), world.now())
    assert isinstance(refused, wire.Refused)


def test_samples_are_what_they_were_made_of(tmp_path: Path) -> None:
    path = wav(tmp_path, (440.0, 0.33))
    pieces, fault = sounds.measure([File(path=path)])
    assert not fault
    whole = np.concatenate(list(sounds.tape(pieces, 8000)))
    assert len(whole) == round(0.33 * 8000)
    assert whole.tobytes() == Path(path).read_bytes()[44:]
    rest = np.concatenate(list(sounds.tape(pieces, 8000, 0.1)))
    assert rest.tobytes() == whole[800:].tobytes()
