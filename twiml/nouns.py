"""Whom and what a `<Dial>` may call, as values, and what verbs that record have in common.

Defaults are Twilio's, URLs are as they were written. Source of names and defaults:
https://www.twilio.com/docs/voice/twiml/dial and the pages of its nouns.
"""

from enum import StrEnum
from typing import Final

import msgspec

MAX_PARTICIPANTS: Final = 250


class CallEvent(StrEnum):
    """The events of a call that a status callback can be asked for."""

    INITIATED = "initiated"
    RINGING = "ringing"
    ANSWERED = "answered"
    COMPLETED = "completed"


class RecordMode(StrEnum):
    """From when a dialled call is recorded, and whether each side has a channel of its own."""

    NEVER = "do-not-record"
    FROM_ANSWER = "record-from-answer"
    FROM_RINGING = "record-from-ringing"
    FROM_ANSWER_DUAL = "record-from-answer-dual"
    FROM_RINGING_DUAL = "record-from-ringing-dual"


class Trim(StrEnum):
    """What becomes of silence at the ends of a recording."""

    TRIM_SILENCE = "trim-silence"
    KEEP = "do-not-trim"


class RecordingTrack(StrEnum):
    """Which side of a call is recorded."""

    BOTH = "both"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class RecordingEvent(StrEnum):
    """The events of a recording that its callback can be asked for."""

    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    ABSENT = "absent"


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A telephone number to call. `url` is a document for who answers, before they are joined."""

    number: str
    send_digits: str = ""
    url: str = ""
    method: str = "POST"
    status_callback: str = ""
    status_callback_event: tuple[CallEvent, ...] = (CallEvent.COMPLETED,)
    status_callback_method: str = "POST"


class SipUri(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a SIP peer and what to answer its challenge with.

    `uri` is without headers. Lower `priority` is tried first, higher `weight` more often.
    """

    uri: str
    username: str = ""
    password: str = ""
    priority: int = 10
    weight: int = 10

    def __repr__(self) -> str:
        """Everything but the password."""
        return f"SipUri(uri={self.uri!r}, username={self.username!r})"


class Sip(msgspec.Struct, frozen=True, kw_only=True):
    """A SIP peer to call, at the first of `uris` that takes the call, with `headers` in its INVITE.

    `codecs` are names in the order wanted; empty is whatever the gateway offers.
    """

    uris: tuple[SipUri, ...]
    headers: tuple[tuple[str, str], ...] = ()
    codecs: tuple[str, ...] = ()
    url: str = ""
    method: str = "POST"
    status_callback: str = ""
    status_callback_event: tuple[CallEvent, ...] = (CallEvent.COMPLETED,)
    status_callback_method: str = "POST"


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A registered browser or app to call by its identity, with `parameters` of the caller's."""

    identity: str
    parameters: tuple[tuple[str, str], ...] = ()
    url: str = ""
    method: str = "POST"
    status_callback: str = ""
    status_callback_event: tuple[CallEvent, ...] = (CallEvent.COMPLETED,)
    status_callback_method: str = "POST"


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """A call to another application's document, at `url` or where its voice URL says.

    `copy_parent_to` shows it the number that was called, else its own SID stands there.
    """

    application_sid: str
    parameters: tuple[tuple[str, str], ...] = ()
    customer_id: str = ""
    copy_parent_to: bool = False
    url: str = ""
    method: str = "POST"
    status_callback: str = ""
    status_callback_event: tuple[CallEvent, ...] = (CallEvent.COMPLETED,)
    status_callback_method: str = "POST"


class Beep(StrEnum):
    """When a conference hears that somebody comes or goes."""

    ALWAYS = "true"
    NEVER = "false"
    ON_ENTER = "onEnter"
    ON_EXIT = "onExit"


class JitterBuffer(StrEnum):
    """How long a participant's packets may be waited for."""

    LARGE = "large"
    MEDIUM = "medium"
    SMALL = "small"
    OFF = "off"


class ConferenceEvent(StrEnum):
    """The events of a conference that its callback can be asked for."""

    START = "start"
    END = "end"
    JOIN = "join"
    LEAVE = "leave"
    MUTE = "mute"
    HOLD = "hold"
    MODIFY = "modify"
    SPEAKER = "speaker"
    ANNOUNCEMENT = "announcement"


class ConferenceRecord(StrEnum):
    """Whether a conference is recorded."""

    NEVER = "do-not-record"
    FROM_START = "record-from-start"


class Conference(msgspec.Struct, frozen=True, kw_only=True):
    """A room by its name; what is said of the room itself counts from the first who comes.

    `wait_url` is None for the hold music that is built in and "" for silence. `coach` is the SID of
    the one call that hears this one.
    """

    name: str
    muted: bool = False
    beep: Beep = Beep.ALWAYS
    start_on_enter: bool = True
    end_on_exit: bool = False
    max_participants: int = MAX_PARTICIPANTS
    wait_url: str | None = None
    wait_method: str = "POST"
    coach: str = ""
    participant_label: str = ""
    jitter_buffer: JitterBuffer = JitterBuffer.LARGE
    record: ConferenceRecord = ConferenceRecord.NEVER
    trim: Trim = Trim.TRIM_SILENCE
    status_callback: str = ""
    status_callback_method: str = "POST"
    status_callback_event: tuple[ConferenceEvent, ...] = ()
    event_callback_url: str = ""
    recording_status_callback: str = ""
    recording_status_callback_method: str = "POST"
    recording_status_callback_event: tuple[RecordingEvent, ...] = (RecordingEvent.COMPLETED,)


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever waits longest in the queue of this name; `url` is theirs, before they are joined."""

    name: str
    url: str = ""
    method: str = "POST"


Noun = Number | Sip
"""Nouns that are reached by SIP."""

Rung = Noun | Client | Application
"""Nouns of which each is a call of its own; several ring in one `<Dial>`."""

Standing = Conference | Queue
"""Nouns that stand alone in a `<Dial>`: nobody is called, but others are there or come."""
