"""The machine of a conference: who hears what, when it starts and ends, and what is told."""

import msgspec
import pytest

from gateway.calls import conference as machine
from gateway.calls.conference import (
    Beeps,
    Change,
    Conference,
    Dismiss,
    Do,
    Ear,
    Hears,
    Leaving,
    Over,
    Reason,
    Refused,
    Starts,
    Status,
    Tell,
)
from twiml.nouns import Beep, ConferenceEvent
from twiml.nouns import Conference as Noun
from twiml.parameters import conference_parameters

NOUN = Noun(
    name="room",
    beep=Beep.NEVER,
    status_callback="http://app/events",
    status_callback_event=tuple(ConferenceEvent),
)


def noun(**changes: object) -> Noun:
    return msgspec.structs.replace(NOUN, **changes)


def room(first: Noun = NOUN) -> Conference:
    return Conference("CF1", first)


def join(conference: Conference, call_sid: str, one: Noun = NOUN, now: float = 1.0) -> list[Do]:
    dos = conference.join(call_sid, one, now)
    assert not isinstance(dos, Refused)
    return dos


def told(dos: list[Do]) -> list[str]:
    return [each.happening.event for each in dos if isinstance(each, Tell)]


def test_one_alone_waits_and_two_are_in_the_room() -> None:
    conference = room()

    assert join(conference, "CA1")[1:] == [Hears("CA1", Ear.WAITING)]
    assert conference.status is Status.INIT
    dos = join(conference, "CA2")

    assert conference.status is Status.IN_PROGRESS
    assert told(dos) == ["participant-join", "conference-start"]
    assert [each for each in dos if not isinstance(each, Tell)] == [
        Starts(),
        Hears("CA1", Ear.ROOM),
        Hears("CA2", Ear.ROOM),
    ]


def test_it_waits_for_one_who_may_start_it() -> None:
    conference, guest = room(), noun(start_on_enter=False)
    join(conference, "CA1", guest)
    assert Hears("CA2", Ear.WAITING) in join(conference, "CA2", guest)

    dos = join(conference, "CA3")

    assert [each for each in dos if isinstance(each, Hears)] == [
        Hears(f"CA{number}", Ear.ROOM) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("beep", "enters", "exits"),
    [
        (Beep.ALWAYS, True, True),
        (Beep.NEVER, False, False),
        (Beep.ON_ENTER, True, False),
        (Beep.ON_EXIT, False, True),
    ],
)
def test_it_beeps_as_who_comes_or_goes_says(beep: Beep, enters: bool, exits: bool) -> None:
    conference = room()
    join(conference, "CA1", noun(beep=Beep.ALWAYS))
    join(conference, "CA2")

    assert (Beeps() in join(conference, "CA3", noun(beep=beep))) is enters
    assert (Beeps() in conference.leave("CA3", Leaving.HUNG_UP, 2.0)) is exits


def test_beeping_on_exit_can_be_changed_later() -> None:
    conference = room()
    for each in ("CA1", "CA2", "CA3"):
        join(conference, each)

    assert told(conference.change("CA3", Change(beep_on_exit=True), 2.0)) == ["participant-modify"]
    assert Beeps() in conference.leave("CA3", Leaving.HUNG_UP, 3.0)


def test_no_beep_is_heard_before_it_starts() -> None:
    conference = room()

    assert Beeps() not in join(conference, "CA1", noun(beep=Beep.ALWAYS))


def test_who_ends_it_by_going_sends_all_out() -> None:
    conference = room()
    join(conference, "CA1", noun(end_on_exit=True, participant_label="boss"))
    join(conference, "CA2")

    dos = conference.leave("CA1", Leaving.HUNG_UP, 3.0, "completed")

    assert [each for each in dos if not isinstance(each, Tell)] == [
        Dismiss("CA1"),
        Dismiss("CA2"),
        Over(),
    ]
    assert told(dos) == ["participant-leave", "participant-leave", "conference-end"]
    left, _, ended = (each.happening for each in dos if isinstance(each, Tell))
    said = dict(conference_parameters(left))
    assert said["ReasonParticipantLeft"] == "participant_hung_up"
    assert said["ParticipantCallStatus"] == "completed"
    said = dict(conference_parameters(ended))
    assert said["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"
    assert said["CallSidEndingConference"] == "CA1"
    assert said["ParticipantLabelEndingConference"] == "boss"
    assert conference.reason is Reason.MODERATOR_LEFT


def test_the_last_one_closes_the_door() -> None:
    conference = room()
    join(conference, "CA1")
    join(conference, "CA2")
    assert Over() not in conference.leave("CA1", Leaving.HUNG_UP, 2.0)

    assert conference.leave("CA2", Leaving.REMOVED, 3.0)[-1] == Over()
    assert conference.reason is Reason.LAST_KICKED


def test_it_stays_in_progress_when_one_is_left() -> None:
    conference = room()
    join(conference, "CA1")
    join(conference, "CA2")
    conference.leave("CA2", Leaving.HUNG_UP, 2.0)

    assert Hears("CA3", Ear.ROOM) in join(conference, "CA3")
    assert conference.status is Status.IN_PROGRESS


def test_what_is_told_is_counted_and_nothing_else() -> None:
    conference = room(noun(status_callback_event=(ConferenceEvent.LEAVE, ConferenceEvent.START)))
    happened = join(conference, "CA1") + join(conference, "CA2")
    happened += conference.leave("CA1", Leaving.HUNG_UP, 2.0)

    tells = [each.happening for each in happened if isinstance(each, Tell)]
    assert [(each.event, each.sequence) for each in tells] == [
        ("conference-start", 1),
        ("participant-leave", 2),
    ]


def test_events_without_a_callback_are_not_told() -> None:
    assert told(join(room(noun(status_callback="")), "CA1")) == []


def test_the_older_url_is_told_of_everything() -> None:
    older = noun(status_callback="", status_callback_event=(), event_callback_url="http://app/e")

    assert told(join(room(older), "CA1")) == ["participant-join"]


def test_the_first_one_says_what_belongs_to_the_room() -> None:
    conference = room(noun(max_participants=2, status_callback_event=()))
    join(conference, "CA1")
    assert told(join(conference, "CA2", noun(max_participants=250))) == []

    refused = conference.join("CA3", noun(max_participants=250), 1.0)

    assert isinstance(refused, Refused)
    assert refused.code == machine.FULL


def test_a_label_has_one_owner_at_a_time() -> None:
    conference, labelled = room(), noun(participant_label="ann")
    join(conference, "CA1", labelled)
    join(conference, "CA2")
    refused = conference.join("CA3", labelled, 1.0)
    assert isinstance(refused, Refused)
    assert refused.code == machine.LABEL_IN_USE

    conference.leave("CA1", Leaving.HUNG_UP, 2.0)
    assert Hears("CA3", Ear.ROOM) in join(conference, "CA3", labelled)


@pytest.mark.parametrize(
    ("change", "back", "events"),
    [
        (Change(muted=True), Change(muted=False), ["participant-mute", "participant-unmute"]),
        (Change(hold=True), Change(hold=False), ["participant-hold", "participant-unhold"]),
        (Change(coached="CA1"), Change(coached=""), ["participant-modify"] * 2),
        (Change(end_on_exit=True), Change(end_on_exit=False), ["participant-modify"] * 2),
    ],
)
def test_changes_are_told_once(change: Change, back: Change, events: list[str]) -> None:
    conference = room()
    join(conference, "CA1")
    join(conference, "CA2")

    dos = [conference.change("CA2", each, 2.0) for each in (change, change, back, back)]

    assert [told(each) for each in dos] == [[events[0]], [], [events[1]], []]


def test_who_is_held_hears_something_else() -> None:
    conference = room()
    join(conference, "CA1")
    conference.change("CA1", Change(hold=True), 1.5)
    dos = join(conference, "CA2")
    assert Hears("CA1", Ear.HOLD) in dos

    assert Hears("CA1", Ear.ROOM) in conference.change("CA1", Change(hold=False), 2.0)


def test_who_comes_while_it_ends_is_refused() -> None:
    conference = room()
    join(conference, "CA1")
    conference.end(2.0)

    refused = conference.join("CA2", NOUN, 2.0)

    assert isinstance(refused, Refused)
    assert refused.code == machine.IS_OVER


def test_what_comes_late_has_no_effect() -> None:
    conference = room()
    join(conference, "CA1")
    assert Dismiss("CA1") in conference.end(2.0)

    late = [
        conference.end(3.0),
        conference.leave("CA1", Leaving.HUNG_UP, 3.0),
        conference.change("CA1", Change(muted=True), 3.0),
        conference.spoke("CA1", "start", 3.0),
        conference.announced("end", 3.0),
    ]

    assert late == [[]] * len(late)
    assert conference.reason is Reason.OVER_REST


def test_who_leaves_during_an_announcement_to_them_is_not_named_by_its_end() -> None:
    conference = room()
    join(conference, "CA1")
    join(conference, "CA2")
    conference.leave("CA2", Leaving.HUNG_UP, 2.0)

    (tell,) = conference.announced("fail", 3.0, "CA2")

    assert isinstance(tell, Tell)
    assert tell.happening.event == "announcement-fail"
    assert tell.happening.participant is None


def test_speech_is_told_of_who_is_in() -> None:
    conference = room()
    join(conference, "CA1")

    assert told(conference.spoke("CA1", "start", 2.0) + conference.spoke("CA1", "stop", 3.0)) == [
        "participant-speech-start",
        "participant-speech-stop",
    ]
