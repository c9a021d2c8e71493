"""A room under a held clock: each hears all the others, and nobody what is not for them."""

from typing import Any

import numpy as np
import pytest
from media_world import HOST, chosen, stream
from mix_world import Person, Room, decoded, loudness, tone
from rough_path import delays, noise

from gateway.media import wire
from gateway.media.graph import BUFFERS
from gateway.media.node import Heard
from protocols.rtp.audio import Pcm, Samples
from protocols.sdp.formats import G722, L16_16000, OPUS, PCMA, PCMU, Codec

PEAK = 2000.0
TWELVE = (PCMU, PCMU, PCMA, PCMA, PCMU, PCMU, G722, G722, PCMU, OPUS, OPUS, PCMA)
LAWS = (PCMU, PCMA, PCMU, PCMA)


def frequency(place: int) -> float:
    return 300.0 + 150 * place


def rate_of(codec: Codec) -> int:
    return {"G722": 16_000, "opus": 48_000}.get(codec.name, 8000)


def party(codecs: tuple[Codec, ...] = TWELVE, seconds: float = 3.0, **rest: Any) -> list[Person]:
    return [
        Person(f"p{place}", codec, tone(rate_of(codec), frequency(place), seconds), **rest)
        for place, codec in enumerate(codecs)
    ]


def hears(person: Person, people: int = 12) -> set[int]:
    """Whom of all a person hears, by their tones."""
    found = loudness(person.heard(), rate_of(person.codec), [*map(frequency, range(people))])
    # Opus takes and adds some beside so many tones, on each kind of processor in another way.
    whole, silent = (0.7, 0.2) if person.codec is OPUS else (0.85, 0.02)
    assert all(each > whole * PEAK or each < silent * PEAK for each in found), found
    return {place for place, each in enumerate(found) if each > silent * PEAK}


def others(place: int, people: int = 12) -> set[int]:
    return set(range(people)) - {place}


# Who hears whom


def test_each_of_twelve_hears_the_others_and_not_itself() -> None:
    room, people = Room(), party()
    room.connect(people)
    room.run(2.5)
    for place, person in enumerate(people):
        assert hears(person) == others(place), person.id
        numbers = [
            (each.sequence - person.ear.packets[0].sequence) & 0xFFFF for each in person.ear.packets
        ]
        assert numbers == list(range(125))


@pytest.mark.parametrize("place", [0, 6, 9])
def test_who_is_muted_is_absent_and_hears_all_the_others(place: int) -> None:
    room, people = Room(), party()
    room.connect(people, muted=[f"p{place}"])
    room.run(2.5)
    for each in range(12):
        assert hears(people[each]) == others(place) - {each}


@pytest.mark.parametrize(("coach", "coached"), [(0, 2), (0, 6), (6, 1), (9, 3), (7, 6)])
def test_a_coach_is_heard_by_the_coached_alone_and_hears_all(coach: int, coached: int) -> None:
    room, people = Room(), party()
    room.connect(people, only={f"p{coach}": f"p{coached}"})
    room.run(2.5)
    for each in range(12):
        spared = set() if each == coached else {coach}
        assert hears(people[each]) == others(each) - spared, each


def test_a_coach_of_somebody_who_is_not_there_is_heard_by_nobody() -> None:
    room, people = Room(), party(LAWS)
    room.connect(people, only={"p0": "p9"})
    room.run(1.5)
    assert [hears(each, 4) for each in people] == [{1, 2, 3}, {2, 3}, {1, 3}, {1, 2}]


def test_who_is_not_in_a_room_any_more_neither_hears_nor_is_heard() -> None:
    room, people = Room(), party(LAWS, 5.0)
    room.connect(people)
    room.run(1.2)
    room.connect(people[1:])
    count = len(people[0].ear.packets)
    room.run(1.2)
    assert len(people[0].ear.packets) == count
    assert [hears(each, 4) for each in people[1:]] == [{2, 3}, {1, 3}, {1, 2}]


class Siren:
    """What makes its sound itself: a tone of so many seconds."""

    def __init__(self, frequency: float, seconds: float) -> None:
        self._frequency, self._seconds = frequency, seconds
        self.asked: list[int] = []

    def speaker(self, *_: object, **__: object) -> None:
        return None

    def pcm(self, rate: int, now: float) -> "Siren":
        self.asked.append(rate)
        self._left = tone(rate, self._frequency, self._seconds)
        return self

    def pull(self, count: int) -> Samples | None:
        part, self._left = self._left[:count], self._left[count:]
        return part if len(part) == count else None


@pytest.mark.parametrize("wide", [False, True])
def test_an_announcement_is_heard_by_all_or_by_one(wide: bool) -> None:
    codecs = (PCMU, PCMA, G722 if wide else PCMU)
    for only, heard_by in (("", {0, 1, 2}), ("p1", {1}), ("p2", {2})):
        room, people, siren = Room(), party(codecs), Siren(frequency(7), 2.0)
        announcement = Heard(id="says", sound=siren, only=only)
        room.connect(people, others=[announcement])
        room.run(1.0)
        room.connect(people, others=[announcement])
        room.run(0.6)
        assert siren.asked == [16_000 if wide else 8000]
        for place, person in enumerate(people):
            assert (7 in hears(person, 8)) is (place in heard_by)
        room.run(1.5)
        assert all(7 not in hears(each, 8) for each in people)


# In mid-speech


def clicks(samples: Samples) -> float:
    """The highest that anything is which no tone below 3 kHz has, as a peak of int16."""
    values = samples.astype(np.float64)
    # The third difference lets high sound pass, and a step as high as it is.
    return float(np.abs(np.diff(values, 3)).max())


@pytest.mark.parametrize("change", ["joins", "leaves", "is muted", "coaches"])
def test_nobody_hears_a_click_when_somebody(change: str) -> None:
    room = Room()
    said = tone(8000, 300, 4.0, 12_000.0)[7:]  # frames begin at its peak
    if change != "joins":
        said[:1600] = said[:1600] * (np.arange(1600) / 1600)
    loud = Person("loud", PCMU, said)
    ear = Person("ear", PCMU, tone(8000, 300, 0.0))
    third = Person("third", PCMU, tone(8000, 300, 0.0))
    room.connect([ear, third] if change == "joins" else [ear, third, loud])
    room.run(1.0)
    match change:
        case "joins":
            room.connect([ear, third, loud])
        case "leaves":
            room.connect([ear, third])
        case "is muted":
            room.connect([ear, third, loud], muted=["loud"])
        case _:
            room.connect([ear, third, loud], only={"loud": "third"})
    room.run(1.0)
    samples = ear.heard()
    assert loudness(samples[:8000] if change != "joins" else samples, 8000, [300])[0] > 5000
    # What cuts a tone of 12,000 off at once has differences of 12,000 and more.
    assert clicks(samples) < 3000


def test_a_participant_who_changes_codec_is_heard_on() -> None:
    room, people = Room(), party(LAWS, 3.0)
    room.connect(people)
    room.run(1.2)
    people[0].say(G722, tone(16_000, frequency(0), 3.0))
    room.connect(people)
    heard = len(people[1].ear.packets)
    room.run(1.6)
    assert hears(people[1], 4) == {0, 2, 3}
    assert len(people[1].ear.packets) == heard + 80
    people[0].ear.packets = people[0].ear.packets[60:]
    assert hears(people[0], 4) == {1, 2, 3}


def test_a_participant_whose_packets_stop_is_silent_soon_and_the_room_goes_on() -> None:
    room, people = Room(), party(LAWS, 4.0)
    people[0] = Person("p0", PCMU, tone(8000, frequency(0), 1.0))
    room.connect(people)
    room.run(1.4)
    heard = people[1].heard()
    assert loudness(heard[4000:6000], 8000, [frequency(0)])[0] > 0.85 * PEAK
    tail = loudness(heard[-800:], 8000, [frequency(0)])[0]
    assert tail < PEAK / 10  # 0.3 s after the last packet
    room.run(1.2)
    assert [hears(each, 4) for each in people] == [{1, 2, 3}, {2, 3}, {1, 3}, {1, 2}]
    assert all(len(each.ear.packets) == 130 for each in people)


def test_clocks_that_are_off_are_heard_for_ten_minutes_without_a_growing_delay() -> None:
    """Two speakers by turns, 200 ppm too slow and too fast: a blip tells how long a sound takes."""
    seconds, every = 600, 10
    speakers = [_blips(seconds, 0, every, drift=200e-6), _blips(seconds, 5, every, drift=-200e-6)]
    listener = Person("listener", PCMA, tone(8000, 500, 0.0))
    room = Room()
    room.connect([*speakers, listener])
    room.run(seconds)
    heard = np.abs(listener.heard().astype(np.int32))
    for first, drift in ((0, 200e-6), (5, -200e-6)):
        delays = []
        for second in range(first, seconds - every, every):
            begins = round(second * (1 + drift) * 8000)
            loud = np.flatnonzero(heard[begins : begins + 4000] > 3000)
            assert len(loud), second
            delays.append(loud[0] / 8000)
        assert max(delays) < 0.09
        assert abs(np.mean(delays[-10:]) - np.mean(delays[5:15])) < 0.02


def _blips(seconds: int, first: int, every: int, *, drift: float) -> Person:
    said = np.zeros(8000 * (seconds + 1), dtype=np.int16)
    blip = tone(8000, 500, 0.04, 8000.0)
    for second in range(first, seconds, every):
        said[second * 8000 : second * 8000 + len(blip)] = blip
    return Person(f"speaker {first}", PCMU, said, drift=drift)


@pytest.mark.parametrize("size", ["off", "small", "medium", "large"])
def test_packets_wait_no_longer_than_they_may(size: str) -> None:
    """On a path that shakes them by a quarter of a second."""
    said = noise(8000, 6.0, seed=3)
    shaken = Person("shaken", PCMU, said, network=lambda number, chance: chance.random() / 4)
    ear = Person("ear", PCMA, said[:0])
    room = Room()
    room.connect([shaken, ear], buffers={"shaken": BUFFERS[size]})
    room.run(6.0)
    late = [each for each in delays(said, ear.heard(), 8000)[150:] if each is not None]
    # Most; when the next one is there already who is late is heard all the same.
    assert np.median(late) < BUFFERS[size] + 0.045
    assert len(late) >= {"off": 60, "small": 70, "medium": 110, "large": 148}[size]
    assert min(late) >= min(BUFFERS[size], 0.25)


# What is said by whom


def test_speech_is_told_when_it_begins_and_when_it_ended() -> None:
    quiet = np.random.default_rng(1).normal(0, 60, 8000 * 5)
    for begins in (8000, 24000):
        quiet[begins : begins + 4000] += tone(8000, 400, 0.5, 6000.0)
    talker = Person("talker", PCMU, quiet.astype(np.int16))
    room = Room(tells_speech=True)
    room.connect([talker, Person("other", PCMA, tone(8000, 400, 0.0))])
    changes = []
    for _ in range(450):
        room.run(0.01)
        changes += [(type(each), room.now - 100.0) for each in room.told]
        assert all(getattr(each, "node", "") == "talker" for each in room.told)
        room.told.clear()
    kinds = [kind for kind, _ in changes]
    assert kinds == [wire.SpeechBegan, wire.SpeechEnded] * 2
    assert [round(at, 2) for _, at in changes] == pytest.approx([1.11, 2.15, 3.11, 4.15], abs=0.03)


# How it is said


def test_those_who_only_listen_hear_the_same_octets() -> None:
    speaker = Person("speaker", PCMU, tone(8000, 500, 2.0))
    ears = [
        Person(f"ear{place}", codec, tone(8000, 500, 0.0))
        for place, codec in enumerate((PCMU, PCMU, G722, G722, OPUS, OPUS))
    ]
    room = Room()
    room.connect([speaker, *ears], muted=[each.id for each in ears])
    room.run(1.0)
    for one, other in (ears[:2], ears[2:4], ears[4:]):
        assert len(one.ear.octets) == 50
        # Not equal by chance: made once.
        assert all(
            mine is theirs
            for mine, theirs in zip(one.ear.octets[1:], other.ear.octets[1:], strict=True)
        )


@pytest.mark.parametrize("codec", [PCMU, G722, OPUS], ids=lambda codec: codec.name)
@pytest.mark.parametrize(("ptime", "packets"), [(10, 100), (20, 50), (40, 25), (60, 16)])
def test_packets_of_other_lengths_go_in_and_out(codec: Codec, ptime: int, packets: int) -> None:
    rate = rate_of(codec)
    one = Person("one", codec, tone(rate, 500, 1.5), ptime=ptime)
    other = Person("other", codec, tone(rate, 800, 1.5), ptime=ptime)
    room = Room()
    room.connect([one, other])
    room.run(1.2)
    last = one.ear.packets[-packets:]
    ticks = codec.clock_rate * ptime // 1000
    assert len(one.ear.packets) == 1200 // ptime
    assert [(each.timestamp - last[0].timestamp) & 0xFFFF_FFFF for each in last] == [
        number * ticks for number in range(packets)
    ]
    assert loudness(one.heard()[:rate], rate, [500, 800]) == pytest.approx(
        [0, PEAK], abs=0.3 * PEAK
    )


def test_a_room_that_is_too_loud_gets_quieter_and_is_not_cut_off() -> None:
    """Six voices that come to twice of what a sample has room for."""
    room = Room()
    people = [
        Person(f"p{place}", PCMU, tone(8000, frequency(place), 6.0, 11_000.0)) for place in range(6)
    ]
    ear = Person("ear", L16_16000, tone(16_000, 500, 0.0))
    room.connect([*people, ear])
    room.run(2.5)
    loud = ear.heard()
    found = loudness(loud, 16_000, [frequency(place) for place in range(6)])
    assert min(found) > 4000
    # What is cut off has harmonics between the tones and above them.
    wrong = loudness(loud, 16_000, [frequency(place) + 75 for place in range(12)])
    assert max(wrong) < 150
    room.connect([people[0], ear])
    room.run(2.0)
    assert loudness(ear.heard(), 16_000, [frequency(0)])[0] == pytest.approx(11_000, rel=0.05)


def test_a_tap_has_all_that_is_heard_in_the_order_of_time() -> None:
    room, people = Room(), party((PCMU, G722, PCMA, OPUS))
    taken: list[tuple[float, Pcm]] = []
    room.connect(people, only={"p0": "p1", "p1": "p9"}, muted=["p2"])
    room.mixer.tap([lambda pcm, at: taken.append((at, pcm))])
    room.run(2.0)
    assert [round(at - taken[0][0], 6) for at, _ in taken] == [
        pytest.approx(number * 0.02) for number in range(len(taken))
    ]
    assert {(each.rate, len(each.samples)) for _, each in taken} == {(8000, 160)}
    samples = np.concatenate([each.samples for _, each in taken])
    found = loudness(samples, 8000, [frequency(place) for place in range(4)])
    assert found == pytest.approx([PEAK, PEAK, 0, PEAK], abs=0.15 * PEAK)
    room.mixer.tap([])
    count = len(taken)
    room.run(0.2)
    assert len(taken) == count


def test_a_room_with_a_tap_and_no_seat_is_mixed_and_one_without_is_not() -> None:
    room, people = Room(), party((PCMU, PCMA))
    taken: list[Pcm] = []
    room.connect(people, deaf=["p0", "p1"])
    room.run(0.5)
    assert room.mixer.timer(room.now) == float("inf")
    room.mixer.tap([lambda pcm, at: taken.append(pcm)])
    room.run(1.0)
    assert len(taken) > 40
    room.mixer.close(room.now)
    assert room.mixer.timer(room.now) == float("inf")


def test_a_silent_room_says_silence_without_a_break() -> None:
    room = Room()
    people = [Person("a", PCMU, tone(8000, 500, 0.0)), Person("b", G722, tone(16_000, 500, 0.0))]
    room.connect(people)
    room.run(1.0)
    for person in people:
        assert len(person.ear.packets) == 50
        assert np.abs(person.heard().astype(np.int32)).max() < 20


def test_who_comes_late_to_its_frames_leaves_out_what_it_missed() -> None:
    room, people = Room(), party((PCMU, PCMU), 6.0)
    room.connect(people)
    room.run(0.5)
    count = len(people[0].ear.packets)
    room.now += 1.0
    room.run(0.1)
    packets = people[0].ear.packets
    assert len(packets) - count < 12
    gap = (packets[count].timestamp - packets[count - 1].timestamp) & 0xFFFF_FFFF
    assert gap == pytest.approx(8000, abs=400)
    assert packets[count].sequence == (packets[count - 1].sequence + 1) & 0xFFFF


def test_who_wants_to_hear_nothing_is_sent_nothing() -> None:
    room, people = Room(), party((PCMU, PCMU))
    people[0].ear.is_open = False
    room.connect(people)
    room.run(0.5)
    assert not people[0].ear.packets
    assert len(people[1].ear.packets) == 25


def test_a_codec_that_is_none_of_ours_neither_hears_nor_is_heard() -> None:
    room, people = Room(), party((PCMU, PCMA))
    other = Person("other", PCMU, tone(8000, frequency(2), 2.0))
    other.stream = stream((HOST, 4), chosen(Codec(name="G729", clock_rate=8000, payload_type=18)))
    room.connect([*people, other])
    room.run(1.2)
    assert [hears(each, 3) for each in people] == [{1}, {0}]
    assert not other.ear.packets


def test_a_peer_of_two_clocks_is_heard_in_whichever_it_speaks() -> None:
    room = Room()
    speaker = Person("speaker", PCMU, tone(8000, 500, 1.0))
    ear = Person("ear", PCMA, tone(8000, 500, 0.0))
    both = stream((HOST, 4), chosen(PCMU), chosen(OPUS))
    speaker.stream = both
    room.connect([speaker, ear])
    room.run(1.0)
    speaker.say(OPUS, tone(48_000, 900, 1.5))
    speaker.stream = both
    room.run(1.3)
    heard = ear.heard()
    assert loudness(heard[:7000], 8000, [500, 900]) == pytest.approx([PEAK, 0], abs=0.2 * PEAK)
    assert loudness(heard, 8000, [500, 900]) == pytest.approx([0, PEAK], abs=0.15 * PEAK)
    # Who says one codec and hears another doesn't hear itself all the same.
    own = decoded(speaker.ear.packets, PCMU)
    assert len(own) == 8000 * 2.3
    assert loudness(own, 8000, [500, 900]) == pytest.approx([0, 0], abs=0.03 * PEAK)
