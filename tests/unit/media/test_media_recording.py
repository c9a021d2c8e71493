"""Recorders: what is in the file, when it was said, how it ends, and what it may not harm."""

import asyncio
import stat
from pathlib import Path

import numpy as np
import pytest
from media_world import Peer, World, chosen, leg, stream, until
from msgspec.structs import replace
from recording_world import loud, packets, pitch, recorded, talk, tracks

from gateway.media import wire
from gateway.media.footage import Footage
from gateway.media.graph import (
    Join,
    Leg,
    Mixer,
    Node,
    Note,
    Player,
    Recorder,
    Tone,
    Track,
    both_ways,
)
from gateway.media.recorder import PATIENCE, STUCK
from gateway.media.wav import Job
from protocols.rtp.audio import rms
from protocols.rtp.srtp import SrtpReceiver, SrtpSender, Suite, key_length
from protocols.rtp.tones import Sound
from protocols.sdp.formats import G722, OPUS, PCMA, PCMU, Codec
from protocols.sdp.media import Srtp, Stream

L16 = Codec(payload_type=96, name="L16", clock_rate=16000)
SUITE = Suite.AES_CM_128_HMAC_SHA1_80
SILENT = packets(0, 0.5)
BEEP = Sound(frequencies=(1000.0,))


def agreed(peer: Peer, codec: Codec = PCMU, **rest: object) -> Stream:
    return stream(peer.address, chosen(codec), **rest)  # type: ignore[arg-type]


def recorder(path: Path, **rest: object) -> Recorder:
    return Recorder(id="r", of="a", path=str(path), **rest)  # type: ignore[arg-type]


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


class Pair:
    """Two peers that hear each other, and the file of what is recorded of the first."""

    def __init__(self, world: World, folder: Path, codec: Codec = PCMU) -> None:
        self.world = world
        self.path = folder / "recording.wav"
        self.one, self.two = world.peer(), world.peer()
        self.legs: list[Node] = [leg("a", agreed(self.one, codec)), leg("b", agreed(self.two))]
        self.apply()

    def apply(self, *more: Node, joins: tuple[Join, ...] = both_ways("a", "b")) -> None:
        places = self.world.apply([*self.legs, *more], joins)
        self.a, self.b = places["a"], places["b"]

    def record(self, **rest: object) -> None:
        self.apply(recorder(self.path, **rest))

    async def end(self) -> wire.RecordingEnded:
        self.apply()
        return await recorded(self.world)


@pytest.fixture
def pair(world: World, tmp_path: Path) -> Pair:
    return Pair(world, tmp_path)


async def both_say(pair: Pair) -> None:
    """One says 440 Hz from 0.5 s to 1.0 s, the other 1,000 Hz from 0.7 s to 1.2 s."""
    await talk(
        (pair.one, pair.a, SILENT + packets(440, 0.5) + SILENT[:10]),
        (pair.two, pair.b, SILENT + SILENT[:10] + packets(1000, 0.5)),
    )


async def test_two_channels_have_each_what_it_is_and_when(pair: Pair) -> None:
    pair.record(channels=2)
    await both_say(pair)
    told = await pair.end()
    assert (told.cause, told.spoke, told.fault) == ("removed", True, "")
    assert told.seconds == pytest.approx(1.2, abs=0.03)
    (said, heard), rate = tracks(pair.path)
    assert rate == 8000
    assert len(said) == len(heard) == told.seconds * rate
    assert (pitch(said, rate), pitch(heard, rate)) == pytest.approx((440, 1000), abs=6)
    assert loud(said, rate) == pytest.approx((0.5, 1.0), abs=0.02)
    assert loud(heard, rate) == pytest.approx((0.7, 1.2), abs=0.02)


async def test_one_channel_has_both(pair: Pair) -> None:
    pair.record()
    await both_say(pair)
    await pair.end()
    (mixed,), rate = tracks(pair.path)
    assert loud(mixed, rate) == pytest.approx((0.5, 1.2), abs=0.02)
    at = round(0.8 * rate)
    power = np.abs(np.fft.rfft(mixed[at : at + rate // 10].astype(np.float64)))
    assert sorted(power.argsort()[-2:] * 10) == [440, 1000]


@pytest.mark.parametrize(("track", "frequency"), [(Track.INBOUND, 440), (Track.OUTBOUND, 1000)])
@pytest.mark.parametrize("channels", [1, 2])
async def test_one_direction_alone(
    pair: Pair, track: Track, frequency: float, channels: int
) -> None:
    pair.record(track=track, channels=channels)
    await both_say(pair)
    await pair.end()
    found, rate = tracks(pair.path)
    own = found[0 if track is Track.INBOUND else -1]
    assert pitch(own, rate) == pytest.approx(frequency, abs=6)
    assert sum(rms(each) > 0 for each in found) == 1


@pytest.mark.parametrize(
    ("codec", "rate"), [(PCMA, 8000), (G722, 16000), (OPUS, 16000), (L16, 16000)]
)
async def test_each_codec_is_recorded(
    world: World, tmp_path: Path, codec: Codec, rate: int
) -> None:
    pair = Pair(world, tmp_path, codec)
    pair.legs[1] = replace(pair.legs[1], stream=agreed(pair.two, codec), offers=2)  # type: ignore[type-var]
    pair.record(channels=2)
    silence = packets(0, 0.3, codec)
    await talk(
        (pair.one, pair.a, silence + packets(440, 0.5, codec)),
        (pair.two, pair.b, silence + packets(1000, 0.5, codec)),
        codec=codec,
    )
    await pair.end()
    (said, heard), found = tracks(pair.path)
    assert found == rate
    assert (pitch(said, rate), pitch(heard, rate)) == pytest.approx((440, 1000), abs=6)
    for each in (said, heard):
        assert loud(each, rate) == pytest.approx((0.3, 0.8), abs=0.02)


async def test_what_is_played_and_pressed_is_heard_too(pair: Pair) -> None:
    note = Player(id="p", clips=(Note(sound=BEEP, seconds=0.3),))
    joins = (Join(source="p", hearer="a"),)
    pair.apply(note, recorder(pair.path, track=Track.OUTBOUND), joins=joins)
    await until(lambda: pair.world.of(wire.PlayerEnded))
    pair.apply(Tone(id="t", sound=BEEP), recorder(pair.path, track=Track.OUTBOUND))
    await asyncio.sleep(0.2)
    pair.world.switch.press("call", "a", "1", pair.world.now(), 0.2)
    await asyncio.sleep(0.4)
    await pair.end()
    (heard,), rate = tracks(pair.path)
    assert loud(heard[: round(0.4 * rate)], rate) == pytest.approx((0.0, 0.3), abs=0.02)
    key = heard[round(0.4 * rate) :]
    begin, end = loud(key, rate)
    assert end - begin == pytest.approx(0.2, abs=0.02)
    assert pitch(key, rate) in (pytest.approx(697, abs=8), pytest.approx(1209, abs=8))


async def test_what_is_encrypted_is_recorded_in_clear(world: World, tmp_path: Path) -> None:
    one = world.peer()
    key = bytes(range(key_length(SUITE)))
    srtp = Srtp(suite=SUITE.value, send_key=key, receive_key=key[::-1])
    path = tmp_path / "secret.wav"
    to = leg("a", agreed(one, srtp=srtp))
    file = recorder(path, channels=2)
    place = world.apply([to, file], [Join(source="a", hearer="a")])["a"]
    seal = SrtpSender(SUITE, key[::-1])
    for payload in packets(440, 0.5):
        sealed = seal.protect(one.write(payload))
        assert isinstance(sealed, bytes)
        one.ports.send(sealed, place.address)
        await asyncio.sleep(0.02)
    world.apply([to])
    await recorded(world)
    (said, heard), rate = tracks(path)
    assert pitch(said, rate) == pytest.approx(440, abs=6)
    assert pitch(heard, rate) == pytest.approx(440, abs=6)
    assert isinstance(SrtpReceiver(SUITE, key).unprotect(one.raw[-1]), bytes)


async def test_what_was_lost_is_silence_and_what_was_reordered_is_not(pair: Pair) -> None:
    pair.record(track=Track.INBOUND)
    said = packets(440, 1.0)
    written = [pair.one.write(each) for each in said]
    for number in range(0, 50, 2):  # each second one comes before the first
        for each in (number + 1, number):
            if not 20 <= each < 30:
                pair.one.ports.send(written[each], pair.a.address)
        await asyncio.sleep(0.04)
    await pair.end()
    ((found,), _) = tracks(pair.path)
    frames = [rms(found[at : at + 160]) > 1000 for at in range(0, 49 * 160, 160)]
    assert frames.index(True) <= 1
    gap = "".join("x" if each else "." for each in frames).strip(".")
    assert gap.count(".") in (10, 11)
    assert "." * 10 in gap


# Pauses


@pytest.mark.parametrize("skips", [True, False])
async def test_a_pause_is_left_out_or_silent(pair: Pair, skips: bool) -> None:
    pair.record(channels=2, skips=skips)
    quiet = packets(0, 0.4)
    await talk((pair.one, pair.a, quiet + packets(440, 0.4)))
    pair.record(channels=2, skips=skips, is_paused=True)
    await talk((pair.one, pair.a, packets(2000, 1.0)))
    pair.record(channels=2, skips=skips)
    await talk((pair.one, pair.a, packets(1000, 0.4)), (pair.two, pair.b, packets(1500, 0.4)))
    told = await pair.end()
    (said, heard), rate = tracks(pair.path)
    resumed = 0.8 if skips else 1.8
    assert told.seconds == pytest.approx(resumed + 0.4, abs=0.04)
    before, after = said[: round(0.8 * rate)], said[round((resumed - 0.02) * rate) :]
    assert pitch(before, rate) == pytest.approx(440, abs=6)
    assert pitch(after, rate) == pytest.approx(1000, abs=6)
    assert loud(heard, rate)[0] == pytest.approx(resumed, abs=0.04)
    if not skips:
        assert rms(said[round(0.82 * rate) : round(1.78 * rate)]) == 0


# Ends


async def test_a_limit_is_kept_to_the_frame(pair: Pair) -> None:
    pair.record(limit=1.0)
    begun = pair.world.now()
    await talk((pair.one, pair.a, packets(440, 1.6)))
    told = await recorded(pair.world)
    assert (told.cause, told.seconds) == ("limit", 1.0)
    assert pair.world.now() - begun < 1.8
    (found,), rate = tracks(pair.path)
    assert len(found) == rate
    size = pair.path.stat().st_size
    await talk((pair.one, pair.a, packets(440, 1.2)), (pair.two, pair.b, packets(440, 1.2)))
    assert pair.path.stat().st_size == size
    pair.legs[0] = leg("a", agreed(pair.one, G722), offers=2)
    pair.record(limit=1.0)
    assert pair.path.stat().st_size == size
    pair.apply()
    assert len(pair.world.of(wire.RecordingEnded)) == 1
    await until(lambda: len(pair.two.heard) > 130)


@pytest.mark.parametrize("noise", [0.0, 60.0])
async def test_silence_ends_it_when_nobody_speaks_any_more(pair: Pair, noise: float) -> None:
    """What hums all the time is no speech."""
    pair.record(track=Track.INBOUND, silence=1.0)
    hum = packets(150, 3.0, peak=noise)
    await talk((pair.one, pair.a, hum[:25] + packets(440, 0.6) + hum))
    told = await recorded(pair.world)
    assert (told.cause, told.spoke) == ("silence", True)
    assert told.seconds == pytest.approx(0.5 + 0.6 + 1.0, abs=0.25)


async def test_silence_from_the_beginning_is_told_as_nobody(pair: Pair) -> None:
    pair.record(track=Track.INBOUND, silence=1.0)
    await talk((pair.one, pair.a, packets(0, 2.0)))
    told = await recorded(pair.world)
    assert (told.cause, told.spoke) == ("silence", False)
    assert told.seconds == pytest.approx(1.0, abs=0.25)


async def test_trimming_cuts_silence_at_both_ends_and_not_between(pair: Pair) -> None:
    pair.record(channels=2, trims=True, silence=1.0)
    quiet = packets(0, 0.6)
    await talk((pair.one, pair.a, quiet + packets(440, 0.4) + quiet + packets(440, 0.4)))
    told = await recorded(pair.world)
    assert told.seconds == pytest.approx(0.2 + 1.4 + 0.2, abs=0.1)
    (said, _), rate = tracks(pair.path)
    assert len(said) == told.seconds * rate
    assert loud(said, rate) == pytest.approx((0.2, 1.6), abs=0.06)
    assert rms(said[round(0.65 * rate) : round(1.15 * rate)]) < 50


async def test_trimming_cuts_the_silence_after_the_last_word(pair: Pair) -> None:
    """However short it was: the caller pressed a key."""
    pair.record(track=Track.INBOUND, trims=True)
    await talk((pair.one, pair.a, packets(440, 0.5) + packets(0, 0.4)))
    told = await pair.end()
    assert told.seconds == pytest.approx(0.5 + 0.2, abs=0.03)


async def test_trimming_leaves_nothing_of_silence(pair: Pair) -> None:
    pair.record(trims=True)
    await talk((pair.one, pair.a, packets(0, 1.5)))
    told = await pair.end()
    assert (told.seconds, told.spoke) == (0.0, False)
    assert len(tracks(pair.path)[0][0]) == 0


# Files


async def test_a_file_can_be_read_at_any_time(pair: Pair) -> None:
    pair.record(channels=2)
    begun = pair.world.now()
    for _ in range(6):
        await talk((pair.one, pair.a, packets(440, 0.5)))
        passed = pair.world.now() - begun
        if pair.path.exists() and passed > 1.5:
            (said, heard), rate = tracks(pair.path)
            assert len(said) == len(heard)
            assert passed - 1.1 < len(said) / rate <= passed
            assert rms(said[-rate // 2 :]) > 4000
    assert stat.S_IMODE(pair.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("path", ["/dev/full", "/nowhere/recording.wav", "/proc/recording.wav"])
async def test_a_file_that_cannot_be_written_is_told_and_the_call_goes_on(
    pair: Pair, path: str
) -> None:
    pair.apply(recorder(Path(path)))
    await talk((pair.one, pair.a, packets(440, 2.0)))
    told = await recorded(pair.world)
    assert told.cause == "fault"
    assert path in told.fault
    assert len(pair.two.heard) == 100
    pair.apply()
    pair.record()
    await talk((pair.one, pair.a, packets(440, 0.5)))
    pair.apply()
    await until(lambda: len(pair.world.of(wire.RecordingEnded)) == 2)
    assert pair.world.of(wire.RecordingEnded)[1].fault == ""


async def test_a_recording_is_told_before_the_end_of_its_call(pair: Pair) -> None:
    pair.record()
    await talk((pair.one, pair.a, packets(440, 0.5)))
    pair.world.switch.end("call", pair.world.now())
    ends = [
        type(each)
        for each in pair.world.told
        if isinstance(each, wire.LegClosed | wire.RecordingEnded | wire.Ended)
    ]
    assert sorted(each.__name__ for each in ends[:-1]) == [
        "LegClosed",
        "LegClosed",
        "RecordingEnded",
    ]
    assert ends[-1] is wire.Ended
    assert pair.world.switch.calls == 0


class _Stuck:
    """A disk that does nothing until it is asked."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def do(self, job: Job, octets: int = 0) -> bool:
        self.jobs.append(job)
        return True


@pytest.mark.parametrize("wakes", [True, False])
async def test_the_end_of_a_call_waits_for_the_disk_but_not_for_ever(
    world: World, tmp_path: Path, wakes: bool
) -> None:
    disk = _Stuck()
    world.use(disk)
    pair = Pair(world, tmp_path)
    pair.record()
    await talk((pair.one, pair.a, packets(440, 0.5)))
    world.switch.end("call", world.now())
    begun = world.now()
    assert world.ports.free == world.ports.size
    await asyncio.sleep(0.1)
    assert not world.of(wire.Ended)
    assert world.switch.calls == 1
    if wakes:
        for job in disk.jobs:
            job()
    await until(lambda: world.of(wire.Ended))
    told = await recorded(world)
    assert told.fault == ("" if wakes else STUCK)
    assert world.now() - begun == pytest.approx(0.1 if wakes else PATIENCE, abs=0.1)
    assert world.switch.calls == 0


@pytest.mark.parametrize("by_itself", [True, False])
async def test_a_defect_of_ours_costs_the_recording_and_not_the_call(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, by_itself: bool
) -> None:
    monkeypatch.setattr(Footage, "add", lambda *_: 1 // 0)
    pair.record()
    await talk((pair.one, pair.a, packets(440, 2.0 if by_itself else 0.2)))
    if not by_itself:
        pair.world.switch.end("call", pair.world.now())
        assert pair.world.of(wire.Ended)
    told = await recorded(pair.world)
    assert told.cause == ("fault" if by_itself else "removed")
    assert "ZeroDivisionError" in told.fault
    assert len(pair.two.heard) == (100 if by_itself else 10)


async def test_a_leg_is_recorded_from_before_its_answer(pair: Pair) -> None:
    answered = pair.legs[0]
    pair.world.switch.end("call", pair.world.now())
    pair.world.apply([leg("a"), recorder(pair.path)], call="later")
    await asyncio.sleep(0.5)
    place = pair.world.apply([answered, recorder(pair.path)], call="later")["a"]
    await talk((pair.one, place, packets(440, 0.5)))
    pair.world.switch.end("later", pair.world.now())
    told = await recorded(pair.world)
    assert told.seconds == pytest.approx(1.0, abs=0.03)
    (found,), rate = tracks(pair.path)
    assert loud(found, rate) == pytest.approx((0.5, 1.0), abs=0.03)


async def test_a_peer_that_changes_its_codec_goes_on(pair: Pair) -> None:
    pair.record(channels=2)
    await talk((pair.one, pair.a, packets(440, 0.5)))
    pair.legs[0] = replace(pair.legs[0], stream=agreed(pair.one, G722), offers=2)  # type: ignore[type-var]
    pair.record(channels=2)
    await talk((pair.one, pair.a, packets(1000, 0.5, G722)), codec=G722)
    told = await pair.end()
    (said, _), rate = tracks(pair.path)
    assert rate == 8000
    assert pitch(said[: round(0.48 * rate)], rate) == pytest.approx(440, abs=6)
    assert pitch(said[round(0.52 * rate) :], rate) == pytest.approx(1000, abs=6)
    assert told.seconds == pytest.approx(1.0, abs=0.03)


async def test_two_recorders_of_one_leg(pair: Pair) -> None:
    other = pair.path.with_name("other.wav")
    pair.apply(recorder(pair.path, channels=2), replace(recorder(other), id="s", limit=0.5))
    await both_say(pair)
    await pair.end()
    assert (await recorded(pair.world, "s")).cause == "limit"
    (_, heard), rate = tracks(pair.path)
    assert loud(heard, rate) == pytest.approx((0.7, 1.2), abs=0.02)
    assert len(tracks(other)[0][0]) == rate // 2


async def test_a_room_is_recorded_with_all_who_speak(world: World, tmp_path: Path) -> None:
    path = tmp_path / "room.wav"
    peers = [world.peer() for _ in range(2)]
    legs: list[Leg] = [leg(f"l{number}", agreed(peer)) for number, peer in enumerate(peers)]
    joins = [Join(source=each.id, hearer="m") for each in legs]
    joins += [Join(source="m", hearer=each.id) for each in legs]
    nodes: list[Node] = [*legs, Mixer(id="m")]
    places = world.apply([*nodes, Recorder(id="r", of="m", path=str(path))], joins)
    await talk(
        (peers[0], places["l0"], SILENT + packets(440, 0.5, peak=4000) + SILENT),
        (peers[1], places["l1"], SILENT + SILENT + packets(1000, 0.5, peak=4000)),
    )
    await asyncio.sleep(0.2)
    world.apply(nodes, joins)
    told = await recorded(world)
    (found,), rate = tracks(path)
    begin, end = loud(found, rate)
    assert (begin, end) == pytest.approx((0.5, 1.5), abs=0.1)  # rooms wait for what is late
    middle = round((begin + end) / 2 * rate)
    assert pitch(found[:middle], rate) == pytest.approx(440, abs=6)
    assert pitch(found[middle:], rate) == pytest.approx(1000, abs=6)
    assert told.spoke


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"path": "/tmp/a\0b"}, "no path"),
        ({"path": ""}, "no path"),
        ({"channels": 3}, "3 channels"),
        ({"channels": 0}, "0 channels"),
        ({"silence": -1.0}, "-1.0 s"),
        ({"silence": float("nan")}, "nan s"),
        ({"limit": float("inf")}, "inf s"),
        ({"limit": 1e12}, "1000000000000.0 s"),
        ({"of": "none"}, "no leg of the call"),
        ({"of": "t"}, "no leg of the call"),
        ({"of": "m", "channels": 2}, "a mixer, which has one"),
    ],
)
async def test_recorders_that_cannot_be(
    world: World, tmp_path: Path, wrong: dict[str, object], reason: str
) -> None:
    node = replace(recorder(tmp_path / "none.wav"), **wrong)
    nodes = [leg("a"), Tone(id="t", sound=BEEP), Mixer(id="m"), node]
    refused = world.try_to(nodes)
    assert isinstance(refused, wire.Refused)
    assert reason in refused.reason
    assert not files(tmp_path)
