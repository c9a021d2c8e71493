"""Attributes that several verbs have: where a verb's end is told, and a recording's."""

from typing import Final

from twiml import readers
from twiml.elements import GET_OR_POST, URL, Attribute, OnBadValue
from twiml.errors import (
    INVALID_RECORDING_CALLBACK,
    INVALID_RECORDING_EVENT,
    INVALID_TRIM,
    SCHEMA_WARNING,
)
from twiml.nouns import RecordingEvent, RecordingTrack, Trim

__all__ = ["CONFIGURATION", "RECORDED", "action", "track", "trim"]

CONFIGURATION: Final = {
    "recordingConfigurationId": "there are no configurations of recordings to name"
}

RECORDED: Final = {
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


def action(method_code: int) -> dict[str, Attribute]:
    """The rows; `method_code` is the warning for a `method` that is neither GET nor POST."""
    return {
        "action": Attribute(
            field="action", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
        ),
        "method": Attribute(
            field="method", read=readers.method, code=method_code, expected=GET_OR_POST
        ),
    }


def trim(code: int = INVALID_TRIM, on_bad_value: OnBadValue = OnBadValue.USE_DEFAULT) -> Attribute:
    """What becomes of silence at the ends."""
    return Attribute(
        field="trim",
        read=readers.one_of({trim.value: trim for trim in Trim}),
        code=code,
        expected="trim-silence or do-not-trim",
        on_bad_value=on_bad_value,
    )


def track(name: str) -> Attribute:
    """Which side is recorded; `name` is the field."""
    return Attribute(
        field=name,
        read=readers.one_of({track.value: track for track in RecordingTrack}),
        code=SCHEMA_WARNING,
        expected="both, inbound or outbound",
    )
