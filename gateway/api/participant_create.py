"""A participant who is called: a call of REST that runs a document with the conference in it."""

from typing import Final
from xml.sax.saxutils import escape, quoteattr

from gateway.api import call_create
from gateway.api.http import refuse
from gateway.api.resources import Call, Kind, Param
from gateway.calls.model import Call as Record
from gateway.messages.draft import Refusal

__all__ = ["PARAMS", "called_into"]

_ATTRIBUTES: Final = {
    "Muted": "muted",
    "Beep": "beep",
    "StartConferenceOnEnter": "startConferenceOnEnter",
    "EndConferenceOnExit": "endConferenceOnExit",
    "MaxParticipants": "maxParticipants",
    "WaitUrl": "waitUrl",
    "WaitMethod": "waitMethod",
    "Label": "participantLabel",
    "ConferenceRecord": "record",
    "ConferenceTrim": "trim",
    "ConferenceStatusCallback": "statusCallback",
    "ConferenceStatusCallbackMethod": "statusCallbackMethod",
    "ConferenceStatusCallbackEvent": "statusCallbackEvent",
    "ConferenceRecordingStatusCallback": "recordingStatusCallback",
    "ConferenceRecordingStatusCallbackMethod": "recordingStatusCallbackMethod",
    "ConferenceRecordingStatusCallbackEvent": "recordingStatusCallbackEvent",
}
_RECORDS: Final = {"true": "record-from-start", "false": "do-not-record"}
_OF_CALLS: Final = frozenset(
    {
        *("To", "From", "CallerId", "Timeout", "TimeLimit", "Record", "SendDigits"),
        *("StatusCallback", "StatusCallbackMethod", "StatusCallbackEvent"),
        *("SipAuthUsername", "SipAuthPassword", "RecordingChannels", "RecordingTrack", "Trim"),
        *("RecordingStatusCallback", "RecordingStatusCallbackMethod"),
        "RecordingStatusCallbackEvent",
    }
)


async def called_into(call: Call, name: str) -> Record | Refusal:
    """The call that is made, and that comes into the conference `name` when it is answered."""
    attributes = {
        attribute: " ".join(call.form[param])
        for param, attribute in _ATTRIBUTES.items()
        if param in call.form
    }
    if "record" in attributes:
        attributes["record"] = _RECORDS.get(attributes["record"], attributes["record"])
    if call.text("Coaching").lower() == "true":
        if not call.text("CallSidToCoach"):
            return refuse(13240, "Coaching=true takes the CallSidToCoach as well")
        attributes["coach"] = call.text("CallSidToCoach")
    written = "".join(f" {each}={quoteattr(value)}" for each, value in attributes.items())
    dial = f"<Dial><Conference{written}>{escape(name)}</Conference></Dial>"
    kept = {param: given for param, given in call.form.items() if param in _OF_CALLS}
    call.form.clear()
    call.form.update(kept, Twiml=[f"<Response>{dial}</Response>"])
    return await call_create.create(call)


_OWN: Final = (
    Param(name="Label", doc="What they go by in the conference, instead of their call."),
    Param(name="Muted", kind=Kind.BOOLEAN, doc="Whether the others don't hear them."),
    Param(
        name="Beep",
        choices=("true", "false", "onEnter", "onExit"),
        doc="When a beep is heard because of them: true.",
    ),
    Param(name="StartConferenceOnEnter", kind=Kind.BOOLEAN, doc="Whether they may start it: true."),
    Param(name="EndConferenceOnExit", kind=Kind.BOOLEAN, doc="Whether their going ends it: false."),
    Param(name="MaxParticipants", kind=Kind.INTEGER, doc="How many it takes: 250."),
    Param(name="WaitUrl", doc="What they hear before it starts; nothing is silence."),
    Param(name="WaitMethod", kind=Kind.METHOD, error_code=21209, doc="How it is asked: POST."),
    Param(name="Coaching", kind=Kind.BOOLEAN, doc="Whether one call alone hears them."),
    Param(name="CallSidToCoach", doc="Which call that is."),
    Param(name="ConferenceRecord", doc="Whether the conference is recorded: false."),
    Param(name="ConferenceTrim", choices=("trim-silence", "do-not-trim"), doc="trim-silence."),
    Param(name="ConferenceStatusCallback", doc="Told of what happens in it."),
    Param(
        name="ConferenceStatusCallbackMethod", kind=Kind.METHOD, error_code=21209, doc="How: POST."
    ),
    Param(name="ConferenceStatusCallbackEvent", repeated=True, doc="Which events are told."),
    Param(name="ConferenceRecordingStatusCallback", doc="Told of its recording."),
    Param(
        name="ConferenceRecordingStatusCallbackMethod",
        kind=Kind.METHOD,
        error_code=21209,
        doc="How: POST.",
    ),
    Param(
        name="ConferenceRecordingStatusCallbackEvent", repeated=True, doc="Which events are told."
    ),
)
PARAMS: Final = (*(each for each in call_create.PARAMS if each.name in _OF_CALLS), *_OWN)
