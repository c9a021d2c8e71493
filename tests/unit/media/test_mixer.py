"""A room under a held clock: each hears all the others, and nobody what is not for them."""

from typing import Any

import numpy as np
import pytest
from mix_world import Person, Room, loudness, tone

from gateway.media import wire
from gateway.media.node import Heard
from protocols.rtp.audio import Samples
from protocols.sdp.formats import G722, OPUS, PCMA, PCMU, Codec

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
    # Opus has noise of its own beside so many tones.
    silent = PEAK / (5 if person.codec is OPUS else 50)
    assert all(each > 0.85 * PEAK or each < silent for each in found), found
    return {place for place, each in enumerate(found) if each > silent}


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


@pytest.mark.parametrize("drift", [-200e-6, 200e-6])
def test_a_clock_that_is_off_is_heard_for_ten_minutes_without_a_growing_delay(
    drift: float,
) -> None:
    """A short rise of the tone every 10 s tells how long a sound takes."""
    seconds, every = 600, 10
    said = np.zeros(8000 * (seconds + 1), dtype=np.int16)
    blip = tone(8000, 500, 0.04, 8000.0)
    for second in range(0, seconds, every):
        said[second * 8000 : second * 8000 + len(blip)] = blip
    speaker = Person("speaker", PCMU, said, drift=drift)
    listener = Person("listener", PCMU, said[:0])
    room = Room()
    room.connect([speaker, listener])
    room.run(seconds)
    heard = np.abs(listener.heard().astype(np.int32))
    delays = []
    for second in range(0, seconds - every, every):
        begins = round(second * (1 + drift) * 8000)
        loud = np.flatnonzero(heard[begins : begins + 4000] > 3000)
        assert len(loud), second
        delays.append(loud[0] / 8000)
    assert max(delays) < 0.09
    assert abs(np.mean(delays[-10:]) - np.mean(delays[5:15])) < 0.02


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
