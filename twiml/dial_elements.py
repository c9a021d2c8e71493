"""How `<Dial>` and the telephone numbers in it are written.

Attributes that need what this version does not do with a call's sound are read, so that a wrong
value is found, and whoever wrote them is told that they have no effect.
Source: https://www.twilio.com/docs/voice/twiml/dial.
"""

from typing import Any, Final

from twiml import readers
from twiml.elements import (
    GET_OR_POST,
    URL,
    Attribute,
    Complaint,
    Content,
    Element,
    Made,
    OnBadValue,
)
from twiml.errors import (
    INVALID_ANSWER_ON_BRIDGE,
    INVALID_CALLER_ID,
    INVALID_DIAL_CHILD,
    INVALID_DIAL_METHOD,
    INVALID_DIAL_RECORD,
    INVALID_DIAL_TIMEOUT,
    INVALID_HANGUP_ON_STAR,
    INVALID_NUMBER_METHOD,
    INVALID_PHONE_NUMBER,
    INVALID_RECORDING_CALLBACK,
    INVALID_RECORDING_EVENT,
    INVALID_RING_TONE,
    INVALID_SEND_DIGITS,
    INVALID_SEQUENTIAL,
    INVALID_TIME_LIMIT,
    INVALID_TRIM,
    SCHEMA_WARNING,
    TOO_MANY_URIS,
)
from twiml.noun_attributes import UNDONE, noun_attributes
from twiml.nouns import Number, RecordingEvent, RecordingTrack, RecordMode, Sip, Trim
from twiml.sip_nouns import SIP
from twiml.verbs import Dial

__all__ = ["DIAL", "MAX_NOUNS"]

MAX_NOUNS: Final = 10

_MAX_TIMEOUT: Final = 600  # seconds
_MAX_TIME_LIMIT: Final = 86400  # seconds
_YES_OR_NO: Final = "true or false"
_RING_TONES: Final = frozenset({
    "automatic", "at", "au", "be", "bg", "br", "ch", "cl", "cn", "cz", "de", "dk", "ee", "es", "fi",
    "fr", "gr", "hu", "il", "in", "it", "jp", "lt", "mx", "my", "nl", "no", "nz", "ph", "pl", "pt",
    "ru", "se", "sg", "th", "tw", "uk", "us", "us-old", "ve", "za",
})  # fmt: skip
_RECORD_MODES: Final = {mode.value: mode for mode in RecordMode} | {
    # The older values of the attribute.
    "true": RecordMode.FROM_ANSWER,
    "false": RecordMode.NEVER,
}


def _number(fields: dict[str, Any], content: Content) -> Made[Number]:
    number = readers.phone_number(content.text)
    if number is None:
        why = f"{content.text[:80]!r} is no phone number; it is not called"
        return Made(None, (Complaint(INVALID_PHONE_NUMBER, why),))
    return Made(Number(number=number, **fields))


def _dial(fields: dict[str, Any], content: Content) -> Made[Dial]:
    nouns = [part for part in content.parts if isinstance(part, Number | Sip)]
    complaints: list[Complaint] = []
    if content.text and nouns:
        complaints.append(
            Complaint(SCHEMA_WARNING, "the text beside the nouns of a <Dial> is not called")
        )
    elif content.text:
        made = _number({}, content)
        complaints += made.complaints
        nouns += [made.value] if made.value is not None else []
    if not nouns:
        complaints.append(Complaint(SCHEMA_WARNING, "a <Dial> calls nobody; its call fails"))
    if len(nouns) > MAX_NOUNS:
        why = f"of {len(nouns)} to call in a <Dial>, the first {MAX_NOUNS} are called"
        complaints.append(Complaint(TOO_MANY_URIS, why))
    return Made(Dial(nouns=tuple(nouns[:MAX_NOUNS]), **fields), tuple(complaints))


def _ring_tone(text: str) -> str | None:
    return text if text in _RING_TONES else None


def _reason(text: str) -> str | None:
    return text if 0 < len(text) <= 50 and text.isprintable() else None


_NUMBER: Final = Element(
    attributes={
        "sendDigits": Attribute(
            field="send_digits",
            read=readers.matching(r"[0-9*#wW]{1,128}"),
            code=INVALID_SEND_DIGITS,
            expected="digits, *, #, and w for half a second",
        ),
        **noun_attributes(INVALID_NUMBER_METHOD),
    },
    undone=UNDONE | {"byoc", "sendDigits"},
    make=_number,
)

_CALLING: Final = {
    "action": Attribute(
        field="action", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
    ),
    "method": Attribute(
        field="method", read=readers.method, code=INVALID_DIAL_METHOD, expected=GET_OR_POST
    ),
    "timeout": Attribute(
        field="timeout",
        read=readers.integer(1, _MAX_TIMEOUT),
        code=INVALID_DIAL_TIMEOUT,
        expected=f"a whole number of seconds from 1 to {_MAX_TIMEOUT}",
    ),
    "timeLimit": Attribute(
        field="time_limit",
        read=readers.integer(1, _MAX_TIME_LIMIT),
        code=INVALID_TIME_LIMIT,
        expected=f"a whole number of seconds from 1 to {_MAX_TIME_LIMIT}",
    ),
    "callerId": Attribute(
        field="caller_id",
        read=readers.caller,
        code=INVALID_CALLER_ID,
        expected="a phone number, client: and a name, or a SIP user",
    ),
    "answerOnBridge": Attribute(
        field="answer_on_bridge",
        read=readers.yes_or_no,
        code=INVALID_ANSWER_ON_BRIDGE,
        expected=_YES_OR_NO,
    ),
    "ringTone": Attribute(
        field="ring_tone",
        read=_ring_tone,
        code=INVALID_RING_TONE,
        expected="automatic or a country's ring tone",
    ),
    "sequential": Attribute(
        field="sequential", read=readers.yes_or_no, code=INVALID_SEQUENTIAL, expected=_YES_OR_NO
    ),
    "referUrl": Attribute(
        field="refer_url", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
    ),
    "referMethod": Attribute(
        field="refer_method", read=readers.method, code=SCHEMA_WARNING, expected=GET_OR_POST
    ),
}

_UNDONE: Final = {
    "hangupOnStar": Attribute(
        field="hangup_on_star",
        read=readers.yes_or_no,
        code=INVALID_HANGUP_ON_STAR,
        expected=_YES_OR_NO,
    ),
    "callReason": Attribute(
        field="call_reason", read=_reason, code=SCHEMA_WARNING, expected="at most 50 characters"
    ),
    "record": Attribute(
        field="record",
        read=readers.one_of(_RECORD_MODES),
        code=INVALID_DIAL_RECORD,
        expected="do-not-record or one of record-from-answer and its kin",
    ),
    "trim": Attribute(
        field="trim",
        read=readers.one_of({trim.value: trim for trim in Trim}),
        code=INVALID_TRIM,
        expected="trim-silence or do-not-trim",
    ),
    "recordingTrack": Attribute(
        field="recording_track",
        read=readers.one_of({track.value: track for track in RecordingTrack}),
        code=SCHEMA_WARNING,
        expected="both, inbound or outbound",
    ),
    "recordingStatusCallback": Attribute(
        field="recording_status_callback",
        read=readers.url_reference,
        code=INVALID_RECORDING_CALLBACK,
        expected=URL,
    ),
    "recordingStatusCallbackEvent": Attribute(
        field="recording_status_callback_event",
        read=readers.some_of({event.value: event for event in RecordingEvent}),
        code=INVALID_RECORDING_EVENT,
        expected="a list of in-progress, completed and absent",
        # Twilio's level for this one is error, not warning.
        on_bad_value=OnBadValue.END_DOCUMENT,
    ),
    "recordingStatusCallbackMethod": Attribute(
        field="recording_status_callback_method",
        read=readers.method,
        code=SCHEMA_WARNING,
        expected=GET_OR_POST,
    ),
}

DIAL: Final = Element(
    attributes={**_CALLING, **_UNDONE},
    undone=frozenset({*_UNDONE, "passports", "events", "recordingConfigurationId"}),
    children={"Number": _NUMBER, "Sip": SIP},
    undone_children=frozenset({"Application", "Client", "Conference", "Queue", "Sim", "WhatsApp"}),
    child_code=INVALID_DIAL_CHILD,
    make=_dial,
)
