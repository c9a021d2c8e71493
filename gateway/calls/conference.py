"""A conference as a machine: who is in it, what each of them hears, and what is told of it.

It has no clock and no I/O: whoever runs it says what happens and carries out what comes back, in
the order in which it comes. It begins with the first who comes, starts when there are two of whom
one may start it, and is over when the last one is gone, when one goes who ends it, or when it is
told to; after that nothing has an effect. What belongs to the room is what the first one says.
Source: https://www.twilio.com/docs/voice/twiml/conference.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from twiml.nouns import Beep, ConferenceEvent, ConferenceRecord, JitterBuffer
from twiml.nouns import Conference as Noun
from twiml.parameters import Happening, Participant

FULL: Final = 16020
LABEL_IN_USE: Final = 16025
IS_OVER: Final = 16022

_TO_START: Final = 2


class Status(StrEnum):
    """Twilio's states of a conference."""

    INIT = "init"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"


class Ear(StrEnum):
    """What one who is in a conference hears."""

    WAITING = "waiting"
    ROOM = "room"
    HOLD = "hold"


class Leaving(StrEnum):
    """Why somebody leaves, in Twilio's words."""

    HUNG_UP = "participant_hung_up"
    SENT_ON = "participant_updated_via_api"
    REMOVED = "participant_removed_via_api"
    MODERATOR = "moderator_ended_conference"
    OVER_REST = "conference_ended_via_api"


class Reason(StrEnum):
    """`ReasonConferenceEnded`."""

    OVER_REST = "conference-ended-via-api"
    MODERATOR_LEFT = "participant-with-end-conference-on-exit-left"
    MODERATOR_KICKED = "participant-with-end-conference-on-exit-kicked"
    LAST_LEFT = "last-participant-left"
    LAST_KICKED = "last-participant-kicked"


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One who is in a conference: who they are, and how they are.

    `coached` is the SID of the one call that hears them, "" for all. `joined` is seconds since the
    epoch.
    """

    call_sid: str
    label: str = ""
    muted: bool = False
    hold: bool = False
    coached: str = ""
    start_on_enter: bool = True
    end_on_exit: bool = False
    beep: Beep = Beep.ALWAYS
    buffer: JitterBuffer = JitterBuffer.LARGE
    joined: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be otherwise with one who is in; None is no change, "" in `coached` nobody."""

    muted: bool | None = None
    hold: bool | None = None
    coached: str | None = None
    end_on_exit: bool | None = None
    beep_on_exit: bool | None = None


# What is to be done


class Hears(msgspec.Struct, frozen=True):
    """This one hears something else from now on."""

    call_sid: str
    ear: Ear


class Beeps(msgspec.Struct, frozen=True):
    """The room hears that somebody came or went."""


class Starts(msgspec.Struct, frozen=True):
    """From now on there is something to be recorded."""


class Dismiss(msgspec.Struct, frozen=True):
    """This one is in no more, and goes on as their documents say."""

    call_sid: str


class Tell(msgspec.Struct, frozen=True):
    """Have the room's status callback told."""

    happening: Happening


class Over(msgspec.Struct, frozen=True):
    """Nobody is in any more, and nobody comes."""


Do = Hears | Beeps | Starts | Dismiss | Tell | Over


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody can't come in; `code` is Twilio's."""

    code: int
    reason: str


_KINDS: Final = {
    "conference-start": ConferenceEvent.START,
    "conference-end": ConferenceEvent.END,
    "participant-join": ConferenceEvent.JOIN,
    "participant-leave": ConferenceEvent.LEAVE,
    "participant-mute": ConferenceEvent.MUTE,
    "participant-unmute": ConferenceEvent.MUTE,
    "participant-hold": ConferenceEvent.HOLD,
    "participant-unhold": ConferenceEvent.HOLD,
    "participant-modify": ConferenceEvent.MODIFY,
    "participant-speech-start": ConferenceEvent.SPEAKER,
    "participant-speech-stop": ConferenceEvent.SPEAKER,
    "announcement-end": ConferenceEvent.ANNOUNCEMENT,
    "announcement-fail": ConferenceEvent.ANNOUNCEMENT,
}
_ENTER: Final = frozenset({Beep.ALWAYS, Beep.ON_ENTER})
_EXIT: Final = frozenset({Beep.ALWAYS, Beep.ON_EXIT})
_KICKED: Final = frozenset({Leaving.REMOVED, Leaving.SENT_ON})
_BEEPS: Final = {
    (True, True): Beep.ALWAYS,
    (True, False): Beep.ON_ENTER,
    (False, True): Beep.ON_EXIT,
    (False, False): Beep.NEVER,
}


def told_events(noun: Noun) -> frozenset[ConferenceEvent]:
    """Which events the first one wants told; the older URL for events is told of all."""
    if noun.status_callback:
        return frozenset(noun.status_callback_event)
    return frozenset(ConferenceEvent) if noun.event_callback_url else frozenset()


class Conference:
    """See the module; `noun` is that of the first who comes, who has yet to `join`."""

    def __init__(self, sid: str, noun: Noun) -> None:
        self.sid: Final = sid
        self.name: Final = noun.name
        self.records: Final = noun.record is ConferenceRecord.FROM_START
        self.events: Final = told_events(noun)
        self.status = Status.INIT
        self.reason: Reason | None = None
        self.ended_by = ""
        self._most: Final = noun.max_participants
        self._people: dict[str, Person] = {}
        self._told = 0

    @property
    def people(self) -> tuple[Person, ...]:
        """Who is in, who came first is first."""
        return tuple(self._people.values())

    def person(self, call_sid: str) -> Person | None:
        """One who is in."""
        return self._people.get(call_sid)

    def ear(self, person: Person) -> Ear:
        """What one who is in hears."""
        if person.hold:
            return Ear.HOLD
        return Ear.ROOM if self.status is Status.IN_PROGRESS else Ear.WAITING

    def resume(self, people: Iterable[Person], told: int) -> None:
        """Go on from what is stored of one that began: who is in, and how many were told of it."""
        self._people = {each.call_sid: each for each in people}
        self._told = told
        self.status = Status.IN_PROGRESS

    # What happens

    def join(self, call_sid: str, noun: Noun, now: float) -> list[Do] | Refused:
        """Somebody comes in."""
        refused = self._objection(noun)
        if refused is not None:
            return refused
        person = Person(
            call_sid=call_sid,
            label=noun.participant_label,
            muted=noun.muted,
            coached=noun.coach,
            start_on_enter=noun.start_on_enter,
            end_on_exit=noun.end_on_exit,
            beep=noun.beep,
            buffer=noun.jitter_buffer,
            joined=now,
        )
        self._people[call_sid] = person
        dos = self._tell("participant-join", now, person)
        if self.status is Status.IN_PROGRESS:
            dos.append(Hears(call_sid, Ear.ROOM))
        elif self._can_start():
            self.status = Status.IN_PROGRESS
            dos += [Starts(), *self._tell("conference-start", now)]
            dos += [Hears(each.call_sid, self.ear(each)) for each in self.people]
        else:
            return [*dos, Hears(call_sid, Ear.WAITING)]
        return [*dos, Beeps()] if person.beep in _ENTER else dos

    def leave(self, call_sid: str, why: Leaving, now: float, call_status: str = "") -> list[Do]:
        """Somebody goes, or is sent; `call_status` is what their call is then."""
        person = self._people.pop(call_sid, None)
        if person is None:
            return []
        dos: list[Do] = [Dismiss(call_sid)]
        dos += self._tell("participant-leave", now, person, why, call_status)
        kicked = why in _KICKED
        if person.end_on_exit:
            reason = Reason.MODERATOR_KICKED if kicked else Reason.MODERATOR_LEFT
            return dos + self._end(reason, now, Leaving.MODERATOR, person)
        if not self._people:
            return dos + self._end(
                Reason.LAST_KICKED if kicked else Reason.LAST_LEFT, now, why, person
            )
        if self.status is Status.IN_PROGRESS and person.beep in _EXIT:
            dos.append(Beeps())
        return dos

    def change(self, call_sid: str, change: Change, now: float) -> list[Do]:
        """Somebody is muted, held, or otherwise changed; what is so already is not told."""
        before = self._people.get(call_sid)
        if before is None:
            return []
        after = _changed(before, change)
        self._people[call_sid] = after
        dos: list[Do] = []
        if after.muted != before.muted:
            event = "participant-mute" if after.muted else "participant-unmute"
            dos += self._tell(event, now, after)
        if after.hold != before.hold:
            event = "participant-hold" if after.hold else "participant-unhold"
            dos += self._tell(event, now, after)
        if _rest(before) != _rest(after):
            dos += self._tell("participant-modify", now, after)
        return [*dos, Hears(call_sid, self.ear(after))] if after != before else dos

    def spoke(self, call_sid: str, event: str, now: float) -> list[Do]:
        """Somebody began to speak, or stopped: `event` is "start" or "stop"."""
        person = self._people.get(call_sid)
        return self._tell(f"participant-speech-{event}", now, person) if person else []

    def announced(self, event: str, now: float, call_sid: str = "") -> list[Do]:
        """An announcement was heard, by one or by all, or could not be: "end" or "fail"."""
        if self.status is Status.COMPLETED:
            return []
        return self._tell(f"announcement-{event}", now, self._people.get(call_sid))

    def end(self, now: float) -> list[Do]:
        """Everybody is sent out, over REST."""
        if self.status is Status.COMPLETED:
            return []
        return self._end(Reason.OVER_REST, now, Leaving.OVER_REST)

    # Inside

    def _objection(self, noun: Noun) -> Refused | None:
        if self.status is Status.COMPLETED:
            return Refused(code=IS_OVER, reason=f"the conference {self.name!r} is over")
        if len(self._people) >= self._most:
            why = f"the conference {self.name!r} has all the {self._most} people that it takes"
            return Refused(code=FULL, reason=why)
        label = noun.participant_label
        if label and any(each.label == label for each in self.people):
            return Refused(code=LABEL_IN_USE, reason=f"the label {label!r} is another's there")
        return None

    def _can_start(self) -> bool:
        enough = len(self._people) >= _TO_START
        return enough and any(each.start_on_enter for each in self.people)

    def _end(self, reason: Reason, now: float, why: Leaving, by: Person | None = None) -> list[Do]:
        self.status, self.reason = Status.COMPLETED, reason
        self.ended_by = by.call_sid if by else ""
        dos: list[Do] = []
        for person in self.people:
            del self._people[person.call_sid]
            dos.append(Dismiss(person.call_sid))
            dos += self._tell("participant-leave", now, person, why)
        ended = self._happening("conference-end", now)
        if ended is not None:
            ended = msgspec.structs.replace(
                ended,
                ended_by=self.ended_by,
                ended_by_label=by.label if by else "",
                ended_reason=reason.value,
                ended_why=_said(reason, by),
            )
            dos.append(Tell(ended))
        return [*dos, Over()]

    def _tell(
        self,
        event: str,
        now: float,
        person: Person | None = None,
        why: Leaving | None = None,
        call_status: str = "",
    ) -> list[Do]:
        told = self._happening(event, now)
        if told is None:
            return []
        if person is not None:
            told = msgspec.structs.replace(
                told,
                participant=_shown(person),
                reason_left="" if why is None else why.value,
                call_status=call_status,
            )
        return [Tell(told)]

    def _happening(self, event: str, now: float) -> Happening | None:
        """What is told of an event; None if nobody wants it. Those that are told are counted."""
        if _KINDS[event] not in self.events:
            return None
        self._told += 1
        return Happening(
            conference_sid=self.sid, name=self.name, event=event, sequence=self._told, at=now
        )


def _changed(person: Person, change: Change) -> Person:
    said = {
        name: value
        for name in ("muted", "hold", "coached", "end_on_exit")
        if (value := getattr(change, name)) is not None
    }
    if change.beep_on_exit is not None:
        said["beep"] = _BEEPS[person.beep in _ENTER, change.beep_on_exit]
    return msgspec.structs.replace(person, **said)


def _rest(person: Person) -> tuple[object, ...]:
    return person.coached, person.end_on_exit, person.beep


def _shown(person: Person) -> Participant:
    return Participant(
        call_sid=person.call_sid,
        muted=person.muted,
        hold=person.hold,
        coached=person.coached,
        start_on_enter=person.start_on_enter,
        end_on_exit=person.end_on_exit,
        label=person.label,
    )


def _said(reason: Reason, by: Person | None) -> str:
    who = f"participant {by.call_sid}" if by else "the REST API"
    return {
        Reason.OVER_REST: "the conference was ended over the REST API",
        Reason.MODERATOR_LEFT: f"{who} with endConferenceOnExit left",
        Reason.MODERATOR_KICKED: f"{who} with endConferenceOnExit was removed",
        Reason.LAST_LEFT: f"{who} was the last one, and left",
        Reason.LAST_KICKED: f"{who} was the last one, and was removed",
    }[reason]
