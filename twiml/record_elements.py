"""How recording is written: `<Record>`, and `<Recording>` in `<Start>` and `<Stop>`.

Sources: https://www.twilio.com/docs/voice/twiml/record and /recording.
"""

from typing import Any, Final

import msgspec

from twiml import readers
from twiml.common_attributes import CONFIGURATION, RECORDED, action, track, trim
from twiml.elements import (
    URL,
    YES_OR_NO,
    Attribute,
    Complaint,
    Content,
    Element,
    Made,
    OnBadValue,
    unused_text,
)
from twiml.errors import (
    INVALID_MAX_LENGTH,
    INVALID_PLAY_BEEP,
    INVALID_RECORD_KEY,
    INVALID_RECORD_METHOD,
    INVALID_RECORD_TIMEOUT,
    INVALID_START_CHILD,
    INVALID_TRANSCRIBE,
    INVALID_TRANSCRIBE_CALLBACK,
    SCHEMA_WARNING,
)
from twiml.prompt_elements import LONGEST_CALL
from twiml.verbs import Record, StartRecording, StopRecording

__all__ = ["RECORD", "START", "STOP"]

_NO_TEXT: Final = "recordings are not transcribed"
_UNDONE_CHILDREN: Final = {
    "Siprec": "this version sends calls to no recorder",
    "Stream": "this version streams no sound",
    "Transcription": "this version does not transcribe",
}


class _Recording(msgspec.Struct, frozen=True):
    fields: dict[str, Any]


def _record(fields: dict[str, Any], content: Content) -> Made[Record]:
    return Made(Record(**fields), unused_text(content, "Record"))


def _recording(fields: dict[str, Any], content: Content) -> Made[_Recording]:
    return Made(_Recording(fields), unused_text(content, "Recording"))


def _start(fields: dict[str, Any], content: Content) -> Made[StartRecording]:
    found, complaints = _first(content, "Start")
    value = None if found is None else StartRecording(**fields, **found.fields)
    return Made(value, complaints)


def _stop(fields: dict[str, Any], content: Content) -> Made[StopRecording]:
    found, complaints = _first(content, "Stop")
    return Made(None if found is None else StopRecording(), complaints)


def _first(content: Content, name: str) -> tuple[_Recording | None, tuple[Complaint, ...]]:
    found = content.of(_Recording)
    complaints = unused_text(content, name)
    if len(found) > 1:
        why = f"of {len(found)} <Recording> in a <{name}>, the first counts"
        complaints += (Complaint(INVALID_START_CHILD, why),)
    if not found:
        why = f"a <{name}> without a <Recording> has no effect"
        complaints += (Complaint(SCHEMA_WARNING, why),)
    return found[0] if found else None, complaints


RECORD: Final = Element(
    attributes={
        **action(INVALID_RECORD_METHOD),
        "timeout": Attribute(
            field="timeout",
            read=readers.integer(0, LONGEST_CALL),
            code=INVALID_RECORD_TIMEOUT,
            expected="a whole number of seconds; 0 is for any silence",
        ),
        "finishOnKey": Attribute(
            field="finish_on_key",
            read=readers.matching(r"[0-9*#]{0,12}"),
            code=INVALID_RECORD_KEY,
            expected="some of 0-9, * and #, or nothing for no key",
        ),
        "maxLength": Attribute(
            field="max_length",
            read=readers.integer(1, LONGEST_CALL),
            code=INVALID_MAX_LENGTH,
            expected=f"a whole number of seconds from 1 to {LONGEST_CALL}",
        ),
        "playBeep": Attribute(
            field="play_beep",
            read=readers.yes_or_no,
            code=INVALID_PLAY_BEEP,
            expected=YES_OR_NO,
        ),
        "trim": trim(),
        **RECORDED,
        "transcribe": Attribute(
            field="", read=readers.yes_or_no, code=INVALID_TRANSCRIBE, expected=YES_OR_NO
        ),
        "transcribeCallback": Attribute(
            field="",
            read=readers.url_reference,
            code=INVALID_TRANSCRIBE_CALLBACK,
            expected=URL,
            # Twilio's level for this one is error, not warning.
            on_bad_value=OnBadValue.END_DOCUMENT,
        ),
    },
    undone={**CONFIGURATION, "transcribe": _NO_TEXT, "transcribeCallback": _NO_TEXT},
    make=_record,
)

_CHANNELS: Final = {"mono": 1, "dual": 2}

START: Final = Element(
    attributes=action(SCHEMA_WARNING),
    children={
        "Recording": Element(
            attributes={
                "channels": Attribute(
                    field="channels",
                    read=readers.one_of(_CHANNELS),
                    code=SCHEMA_WARNING,
                    expected="mono or dual",
                ),
                "track": track("track"),
                "trim": trim(),
                **RECORDED,
            },
            undone=CONFIGURATION,
            make=_recording,
        )
    },
    undone_children=_UNDONE_CHILDREN,
    child_code=INVALID_START_CHILD,
    make=_start,
)

STOP: Final = Element(
    children={"Recording": Element(make=_recording)},
    undone_children=_UNDONE_CHILDREN,
    child_code=INVALID_START_CHILD,
    make=_stop,
)
