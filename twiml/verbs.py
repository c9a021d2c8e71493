"""The verbs as values, with Twilio's defaults. URLs are as they were written.

Source of names and defaults: https://www.twilio.com/docs/messaging/twiml and
https://www.twilio.com/docs/voice/twiml.
"""

from enum import StrEnum
from typing import Final

import msgspec

from twiml.nouns import RecordingEvent, RecordingTrack, RecordMode, Rung, Standing, Trim

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


class Dial(msgspec.Struct, frozen=True, kw_only=True):
    """Call `nouns` and join the one that answers first; times are seconds.

    Empty `caller_id` is the caller's own. Empty `action` is the next verb. No `nouns` at all is a
    call that fails.
    """

    nouns: tuple[Rung | Standing, ...] = ()
    action: str = ""
    method: str = "POST"
    timeout: int = 30
    time_limit: int = 14400
    hangup_on_star: bool = False
    caller_id: str = ""
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


class Say(msgspec.Struct, frozen=True, kw_only=True):
    """Speak `text`, `loop` times, 0 without end.

    `ssml` is the content as one `<speak>` document if it had elements of SSML in it, else "". Empty
    `voice` and `language` are the account's.
    """

    text: str
    ssml: str = ""
    voice: str = ""
    language: str = ""
    loop: int = 1


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """Play the file at `url`, `loop` times, 0 without end; or press `digits` instead.

    `digits` are 0-9, *, #, A-D, w for half a second and W for a second.
    """

    url: str = ""
    digits: str = ""
    loop: int = 1


Prompt = Say | Play | Pause


class Gather(msgspec.Struct, frozen=True, kw_only=True):
    """Collect keys while `prompts` are heard and for `timeout` seconds after them or the last key.

    Empty `action` is the document that this stands in; `num_digits` 0 is any number of them. What
    belongs to speech is read and kept for it.
    """

    prompts: tuple[Prompt, ...] = ()
    input: tuple[str, ...] = ("dtmf",)
    action: str = ""
    method: str = "POST"
    timeout: int = 5
    finish_on_key: str = "#"
    num_digits: int = 0
    action_on_empty_result: bool = False


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Record the caller until a key of `finish_on_key`, `timeout` seconds of silence, `max_length`.

    Empty `action` is the document that this stands in.
    """

    action: str = ""
    method: str = "POST"
    timeout: int = 5
    finish_on_key: str = "1234567890*#"
    max_length: int = 3600
    play_beep: bool = True
    trim: Trim = Trim.TRIM_SILENCE
    recording_status_callback: str = ""
    recording_status_callback_method: str = "POST"
    recording_status_callback_event: tuple[RecordingEvent, ...] = (RecordingEvent.COMPLETED,)


class Enqueue(msgspec.Struct, frozen=True, kw_only=True):
    """Wait in the queue of this name until somebody dials it.

    `wait_url` is None for the hold music that is built in and "" for silence.
    """

    name: str
    action: str = ""
    method: str = "POST"
    wait_url: str | None = None
    wait_method: str = "POST"
    max_queue_size: int = 100


class Leave(msgspec.Struct, frozen=True):
    """Leave the queue; only in a document for who waits in one."""


class Echo(msgspec.Struct, frozen=True):
    """Let the caller hear what they say, until they hang up."""


class Refer(msgspec.Struct, frozen=True, kw_only=True):
    """Send the SIP caller to `uri` (RFC 3515), with `headers` in the REFER's target."""

    uri: str
    headers: tuple[tuple[str, str], ...] = ()
    action: str = ""
    method: str = "POST"


class Sms(msgspec.Struct, frozen=True, kw_only=True):
    """Send a text in the middle of a call. Empty `to` is the caller, empty `from_` the number."""

    body: str
    to: str = ""
    from_: str = ""
    action: str = ""
    method: str = "POST"
    status_callback: str = ""


class StartRecording(msgspec.Struct, frozen=True, kw_only=True):
    """`<Start><Recording>`: record the call from here on, beside what follows."""

    channels: int = 2
    track: RecordingTrack = RecordingTrack.BOTH
    trim: Trim = Trim.KEEP
    action: str = ""
    method: str = "POST"
    recording_status_callback: str = ""
    recording_status_callback_method: str = "POST"
    recording_status_callback_event: tuple[RecordingEvent, ...] = (RecordingEvent.COMPLETED,)


class StopRecording(msgspec.Struct, frozen=True):
    """`<Stop><Recording>`: end what `StartRecording` began."""


MessagingVerb = Message | Redirect
VoiceVerb = (
    Dial
    | Echo
    | Enqueue
    | Gather
    | Hangup
    | Leave
    | Pause
    | Play
    | Record
    | Redirect
    | Refer
    | Reject
    | Say
    | Sms
    | StartRecording
    | StopRecording
)
