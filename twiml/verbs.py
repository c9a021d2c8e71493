"""The verbs and nouns as values, with Twilio's defaults. URLs are as they were written.

Source of names and defaults: https://www.twilio.com/docs/messaging/twiml and
https://www.twilio.com/docs/voice/twiml.
"""

from enum import StrEnum
from typing import Final

import msgspec

MAX_MESSAGES: Final = 10
MAX_MEDIA: Final = 10
# How many documents one message may lead through before its run is cut off with 14106.
MAX_DOCUMENTS: Final = 50


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A text to send. Empty `to` is whoever texted, empty `from_` the number that was texted."""

    to: str = ""
    from_: str = ""
    action: str = ""
    method: str = "POST"
    status_callback: str = ""
    body: str = ""
    media: tuple[str, ...] = ()


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """Go on with the document at `url`; empty is the document that this stands in."""

    method: str = "POST"
    url: str = ""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Say nothing for `length` seconds."""

    length: int = 1


class Hangup(msgspec.Struct, frozen=True):
    """End the call."""


class RejectReason(StrEnum):
    """What a caller who is not let in gets to hear."""

    REJECTED = "rejected"
    BUSY = "busy"


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """Don't take the call; only as the first verb, after pauses at most."""

    reason: RejectReason = RejectReason.REJECTED


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


Noun = Number | Sip


class Dial(msgspec.Struct, frozen=True, kw_only=True):
    """Call `nouns` and join the one that answers first; times are seconds.

    Empty `caller_id` is the caller's own. Empty `action` is the next verb. No `nouns` at all is a
    call that fails.
    """

    nouns: tuple[Noun, ...] = ()
    action: str = ""
    method: str = "POST"
    timeout: int = 30
    time_limit: int = 14400
    hangup_on_star: bool = False
    caller_id: str = ""
    call_reason: str = ""
    answer_on_bridge: bool = False
    sequential: bool = False
    ring_tone: str = ""
    record: RecordMode = RecordMode.NEVER
    trim: Trim = Trim.KEEP
    recording_track: RecordingTrack = RecordingTrack.BOTH
    recording_status_callback: str = ""
    recording_status_callback_event: tuple[RecordingEvent, ...] = (RecordingEvent.COMPLETED,)
    recording_status_callback_method: str = "POST"
    refer_url: str = ""
    refer_method: str = "POST"


MessagingVerb = Message | Redirect
VoiceVerb = Dial | Hangup | Pause | Redirect | Reject
