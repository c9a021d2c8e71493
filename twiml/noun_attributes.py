"""What all that can be called in `<Dial>` have in common: a document of their own, callbacks."""

from typing import Final

from twiml import readers
from twiml.elements import GET_OR_POST, URL, Attribute
from twiml.errors import SCHEMA_WARNING
from twiml.nouns import CallEvent

_CALL_EVENTS: Final = {event.value: event for event in CallEvent}

_MACHINES: Final = "answering machines are not told from people"
UNDONE: Final = dict.fromkeys(
    (
        "amdStatusCallback",
        "amdStatusCallbackMethod",
        "machineDetection",
        "machineDetectionSilenceTimeout",
        "machineDetectionSpeechEndThreshold",
        "machineDetectionSpeechThreshold",
        "machineDetectionTimeout",
    ),
    _MACHINES,
)


def noun_attributes(method_code: int) -> dict[str, Attribute]:
    """The rows; `method_code` is the warning for a `method` that is neither GET nor POST."""
    return {
        "url": Attribute(
            field="url", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
        ),
        "method": Attribute(
            field="method", read=readers.method, code=method_code, expected=GET_OR_POST
        ),
        "statusCallback": Attribute(
            field="status_callback", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
        ),
        "statusCallbackEvent": Attribute(
            field="status_callback_event",
            read=readers.some_of(_CALL_EVENTS),
            code=SCHEMA_WARNING,
            expected="a list of initiated, ringing, answered and completed",
        ),
        "statusCallbackMethod": Attribute(
            field="status_callback_method",
            read=readers.method,
            code=SCHEMA_WARNING,
            expected=GET_OR_POST,
        ),
    }
