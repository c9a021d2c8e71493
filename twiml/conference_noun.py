"""How a conference is written in `<Dial>`. Source: https://www.twilio.com/docs/voice/conference."""

from typing import Any, Final

from twiml import readers
from twiml.common_attributes import CONFIGURATION, RECORDED, trim
from twiml.elements import (
    GET_OR_POST,
    URL,
    YES_OR_NO,
    Attribute,
    Complaint,
    Content,
    Element,
    Made,
    OnBadValue,
)
from twiml.errors import (
    INVALID_BEEP,
    INVALID_COACH,
    INVALID_CONFERENCE_NAME,
    INVALID_CONFERENCE_TRIM,
    INVALID_END_ON_EXIT,
    INVALID_MUTED,
    INVALID_START_ON_ENTER,
    INVALID_WAIT_METHOD,
    INVALID_WAIT_URL,
    SCHEMA_WARNING,
)
from twiml.nouns import (
    MAX_PARTICIPANTS,
    Beep,
    Conference,
    ConferenceEvent,
    ConferenceRecord,
    JitterBuffer,
)
from twiml.queue_elements import HOLD_MUSIC

__all__ = ["CONFERENCE", "MAX_CONFERENCE_NAME", "MAX_LABEL"]

MAX_CONFERENCE_NAME: Final = 128  # characters
MAX_LABEL: Final = 128

_NAME: Final = readers.line(MAX_CONFERENCE_NAME)


def _conference(fields: dict[str, Any], content: Content) -> Made[Conference]:
    name = _NAME(content.text)
    if name is None:
        why = f"{content.text[:80]!r} is no name of a conference; nobody is brought into it"
        return Made(None, (Complaint(INVALID_CONFERENCE_NAME, why),))
    return Made(Conference(name=name, **fields))


_COMING_AND_GOING: Final = {
    "muted": Attribute(
        field="muted", read=readers.yes_or_no, code=INVALID_MUTED, expected=YES_OR_NO
    ),
    "beep": Attribute(
        field="beep",
        read=readers.one_of({beep.value: beep for beep in Beep}),
        code=INVALID_BEEP,
        expected="true, false, onEnter or onExit",
    ),
    "startConferenceOnEnter": Attribute(
        field="start_on_enter",
        read=readers.yes_or_no,
        code=INVALID_START_ON_ENTER,
        expected=YES_OR_NO,
    ),
    "endConferenceOnExit": Attribute(
        field="end_on_exit",
        read=readers.yes_or_no,
        code=INVALID_END_ON_EXIT,
        expected=YES_OR_NO,
        on_bad_value=OnBadValue.END_DOCUMENT,
    ),
    "maxParticipants": Attribute(
        field="max_participants",
        read=readers.integer(2, MAX_PARTICIPANTS),
        code=SCHEMA_WARNING,
        expected=f"a whole number from 2 to {MAX_PARTICIPANTS}",
    ),
    "coach": Attribute(
        field="coach",
        read=readers.matching(r"CA[0-9a-f]{32}"),
        code=INVALID_COACH,
        expected="the SID of a call",
        on_bad_value=OnBadValue.END_DOCUMENT,
    ),
    "participantLabel": Attribute(
        field="participant_label",
        read=readers.line(MAX_LABEL),
        code=SCHEMA_WARNING,
        expected=f"at most {MAX_LABEL} characters",
    ),
    "jitterBufferSize": Attribute(
        field="jitter_buffer",
        read=readers.one_of({size.value: size for size in JitterBuffer}),
        code=SCHEMA_WARNING,
        expected="large, medium, small or off",
    ),
}

_HEARD_AND_TOLD: Final = {
    "waitUrl": Attribute(
        field="wait_url",
        read=readers.url_or_nothing,
        code=INVALID_WAIT_URL,
        expected=f"{URL}, or nothing for silence",
        difference=HOLD_MUSIC,
    ),
    "waitMethod": Attribute(
        field="wait_method",
        read=readers.method,
        code=INVALID_WAIT_METHOD,
        expected=GET_OR_POST,
    ),
    "record": Attribute(
        field="record",
        read=readers.one_of({record.value: record for record in ConferenceRecord}),
        code=SCHEMA_WARNING,
        expected="do-not-record or record-from-start",
    ),
    "trim": trim(INVALID_CONFERENCE_TRIM, OnBadValue.END_DOCUMENT),
    "statusCallback": Attribute(
        field="status_callback", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
    ),
    "statusCallbackEvent": Attribute(
        field="status_callback_event",
        read=readers.some_of({event.value: event for event in ConferenceEvent}),
        code=SCHEMA_WARNING,
        expected=f"a list of {', '.join(ConferenceEvent)}",
    ),
    "statusCallbackMethod": Attribute(
        field="status_callback_method",
        read=readers.method,
        code=SCHEMA_WARNING,
        expected=GET_OR_POST,
    ),
    "eventCallbackUrl": Attribute(
        field="event_callback_url", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
    ),
}

CONFERENCE: Final = Element(
    attributes={**_COMING_AND_GOING, **_HEARD_AND_TOLD, **RECORDED},
    undone={
        **CONFIGURATION,
        "region": "a gateway runs in one place",
    },
    make=_conference,
)
