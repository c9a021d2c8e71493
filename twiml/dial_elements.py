"""How `<Dial>` and the telephone numbers in it are written.

Source: https://www.twilio.com/docs/voice/twiml/dial.
"""

from typing import Any, Final

from twiml import readers
from twiml.client_nouns import APPLICATION, CLIENT
from twiml.common_attributes import CONFIGURATION, RECORDED, action, track, trim
from twiml.conference_noun import CONFERENCE
from twiml.elements import (
    GET_OR_POST,
    URL,
    YES_OR_NO,
    Attribute,
    Complaint,
    Content,
    Element,
    Made,
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
    INVALID_RING_TONE,
    INVALID_SEND_DIGITS,
    INVALID_SEQUENTIAL,
    INVALID_TIME_LIMIT,
    MIXED_CONFERENCE,
    SCHEMA_WARNING,
    TOO_MANY_URIS,
)
from twiml.noun_attributes import UNDONE, noun_attributes
from twiml.nouns import Conference, Number, Queue, RecordMode
from twiml.queue_elements import QUEUE
from twiml.sip_nouns import SIP
from twiml.verbs import Dial

__all__ = ["DIAL", "MAX_NOUNS"]

MAX_NOUNS: Final = 10

_MAX_TIMEOUT: Final = 600  # seconds
_MAX_TIME_LIMIT: Final = 86400  # seconds
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


_ROOMS_RECORD: Final = (
    "record of a <Dial> has no effect on a <Conference>: write record-from-start in that"
)


def _number(fields: dict[str, Any], content: Content) -> Made[Number]:
    number = readers.phone_number(content.text)
    if number is None:
        why = f"{content.text[:80]!r} is no phone number; it is not called"
        return Made(None, (Complaint(INVALID_PHONE_NUMBER, why),))
    return Made(Number(number=number, **fields))


def _dial(fields: dict[str, Any], content: Content) -> Made[Dial]:
    nouns = list(content.parts)
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
    nouns, mixed = _alone(nouns)
    complaints += mixed
    is_recorded = fields.get("record", RecordMode.NEVER) is not RecordMode.NEVER
    if is_recorded and any(isinstance(noun, Conference) for noun in nouns):
        complaints.append(Complaint(SCHEMA_WARNING, _ROOMS_RECORD))
    if len(nouns) > MAX_NOUNS:
        why = f"of {len(nouns)} to call in a <Dial>, the first {MAX_NOUNS} are called"
        complaints.append(Complaint(TOO_MANY_URIS, why))
    fields["nouns"] = tuple(nouns[:MAX_NOUNS])
    return Made(Dial(**fields), tuple(complaints))


def _alone(nouns: list[object]) -> tuple[list[object], tuple[Complaint, ...]]:
    """A room and a queue are not rung: the first of them is all that its `<Dial>` joins."""
    room = next((noun for noun in nouns if isinstance(noun, Conference | Queue)), None)
    if room is None or len(nouns) == 1:
        return nouns, ()
    code = MIXED_CONFERENCE if isinstance(room, Conference) else INVALID_DIAL_CHILD
    why = f"a <{type(room).__name__}> stands alone in a <Dial>; nothing else in it is called"
    return [room], (Complaint(code, why),)


def _ring_tone(text: str) -> str | None:
    return text if text in _RING_TONES else None


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
    undone={**UNDONE, "byoc": "carriers are those of the config"},
    make=_number,
)

_CALLING: Final = {
    **action(INVALID_DIAL_METHOD),
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
        expected=YES_OR_NO,
    ),
    "ringTone": Attribute(
        field="ring_tone",
        read=_ring_tone,
        code=INVALID_RING_TONE,
        expected="automatic or a country's ring tone",
    ),
    "sequential": Attribute(
        field="sequential", read=readers.yes_or_no, code=INVALID_SEQUENTIAL, expected=YES_OR_NO
    ),
    "referUrl": Attribute(
        field="refer_url", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
    ),
    "referMethod": Attribute(
        field="refer_method", read=readers.method, code=SCHEMA_WARNING, expected=GET_OR_POST
    ),
    "hangupOnStar": Attribute(
        field="hangup_on_star",
        read=readers.yes_or_no,
        code=INVALID_HANGUP_ON_STAR,
        expected=YES_OR_NO,
    ),
    "callReason": Attribute(
        field="",
        read=readers.line(50),
        code=SCHEMA_WARNING,
        expected="at most 50 characters",
    ),
}

_RECORDING: Final = {
    "record": Attribute(
        field="record",
        read=readers.one_of(_RECORD_MODES),
        code=INVALID_DIAL_RECORD,
        expected="do-not-record or one of record-from-answer and its kin",
        difference="a <Conference> has a record of its own, and this one is warned of (12200)",
    ),
    "trim": trim(),
    "recordingTrack": track("recording_track"),
    **RECORDED,
}

DIAL: Final = Element(
    attributes={**_CALLING, **_RECORDING},
    undone={
        **CONFIGURATION,
        "callReason": "carriers show nobody why a call is made, and are told nothing of it",
        "passports": "calls are not signed by STIR",
        "events": "there is no Event Streams",
    },
    children={
        "Application": APPLICATION,
        "Client": CLIENT,
        "Conference": CONFERENCE,
        "Number": _NUMBER,
        "Queue": QUEUE,
        "Sip": SIP,
    },
    undone_children={
        "Sim": "there are no SIM cards to call",
        "WhatsApp": "there is no way to WhatsApp",
    },
    child_code=INVALID_DIAL_CHILD,
    make=_dial,
)
