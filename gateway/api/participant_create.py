"""A participant who is called: a call of REST that runs a document with the conference in it."""

from collections.abc import Callable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import msgspec

from gateway.api import call_create
from gateway.api.call_create import AMD, NO_EFFECT, UNHEEDED, UNUSED
from gateway.api.checks import spelled
from gateway.api.http import refuse
from gateway.api.resources import Call, Kind, Param
from gateway.calls.model import Call as Record
from gateway.calls.orders import Place
from gateway.calls.room_tables import ConferenceRow
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.sids import CALL, is_sid
from gateway.store.base import Write
from twiml.conference_noun import CONFERENCE, MAX_CONFERENCE_NAME
from twiml.nouns import MAX_PARTICIPANTS, JitterBuffer

__all__ = ["PARAMS", "called_into", "misnamed"]

_ATTRIBUTES: Final = {
    "Muted": "muted",
    "Beep": "beep",
    "StartConferenceOnEnter": "startConferenceOnEnter",
    "EndConferenceOnExit": "endConferenceOnExit",
    "MaxParticipants": "maxParticipants",
    "WaitUrl": "waitUrl",
    "WaitMethod": "waitMethod",
    "Label": "participantLabel",
    "JitterBufferSize": "jitterBufferSize",
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
_IDLE: Final = frozenset({*AMD, *UNUSED, *UNHEEDED})
_URLS: Final = {
    "WaitUrl": 21205,
    "ConferenceStatusCallback": 21609,
    "ConferenceRecordingStatusCallback": 21205,
}
_SEVERAL: Final = ("ConferenceStatusCallbackEvent", "ConferenceRecordingStatusCallbackEvent")
_CODES: Final = {"Label": 16024}
_WAIT: Final = "WaitUrl"
_NAME_LENGTHS: Final = range(2, 256)


async def called_into(
    call: Call, room: ConferenceRow, writes: Callable[[Record], list[Write]]
) -> Record | Refusal:
    """The call that is made, and comes into the conference when it is answered.

    `writes` gives what is stored with it.
    """
    refusal = _wrong(call)
    if refusal is not None:
        return refusal
    attributes = {_ATTRIBUTES[param]: value for param, value in _given(call).items()}
    if call.switch("Coaching"):
        attributes["coach"] = call.text("CallSidToCoach")
    written = "".join(f" {each}={quoteattr(value)}" for each, value in attributes.items())
    dial = f"<Dial><Conference{written}>{escape(room.friendly_name)}</Conference></Dial>"
    display = call.text("CallerDisplayName")
    kept = {param: given for param, given in call.form.items() if param in _OF_CALLS | _IDLE}
    call.form.clear()
    call.form.update(kept, Twiml=[f"<Response>{dial}</Response>"])

    def along(record: Record, place: Place) -> tuple[Place, list[Write]]:
        placed = msgspec.structs.replace(place, display=display, conference_sid=room.sid)
        return placed, writes(record)

    return await call_create.made(call, along)


def misnamed(name: str) -> Refusal | None:
    """Why no document can bring anybody into a conference of this name, if so."""
    if len(name) <= MAX_CONFERENCE_NAME and name.isprintable() and name == name.strip() != "":
        return None
    most = f"1 to {MAX_CONFERENCE_NAME} characters that can be printed, no space around them"
    return refuse(20001, f"The name of a conference has {most}, as '{name[:40]}' has not")


def _given(call: Call) -> dict[str, str]:
    """What is said of them in the conference, as a document says it; nothing is a wait in silence.

    What else is empty is as none given.
    """
    said = {param: spelled(call.text(param)) for param in _ATTRIBUTES}
    said |= {param: " ".join(call.form.get(param, ())) for param in _SEVERAL}
    said["ConferenceRecord"] = _RECORDS.get(said["ConferenceRecord"], said["ConferenceRecord"])
    is_quiet = _WAIT in call.form
    return {name: value for name, value in said.items() if value or (name == _WAIT and is_quiet)}


def _wrong(call: Call) -> Refusal | None:
    """What of the form can't be, beside what is wrong with the call itself."""
    for name, code in _URLS.items():
        url = call.text(name)
        if url and not is_http_url(url):
            return refuse(code, f"{name} should be an http or https URL, not '{url[:80]}'")
    for name, value in _given(call).items():
        attribute = CONFERENCE.attributes[_ATTRIBUTES[name]]
        if attribute.read(value) is None:
            what = f"{name} should be {attribute.expected}, not '{value[:40]}'"
            return refuse(_CODES.get(name, 20001), what)
    label = call.text("Label")
    if "/" in label or is_sid(label, CALL):
        return refuse(16024)
    coached = call.text("CallSidToCoach")
    if call.switch("Coaching") and not is_sid(coached, CALL):
        return refuse(13240, "Coaching=true takes the CallSidToCoach as well, a call's SID")
    display = call.text("CallerDisplayName")
    if display and not call.text("To").lower().startswith(("sip:", "sips:")):
        return refuse(20001, "CallerDisplayName is for SIP addresses alone")
    if display and (len(display) not in _NAME_LENGTHS or not display.isprintable()):
        return refuse(20001, "CallerDisplayName has 2 to 255 characters that can be printed")
    return None


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
    Param(name="MaxParticipants", kind=Kind.INTEGER, doc=f"How many it takes: {MAX_PARTICIPANTS}."),
    Param(name="WaitUrl", doc="What they hear before it starts; nothing is silence."),
    Param(name="WaitMethod", kind=Kind.METHOD, error_code=21209, doc="How it is asked: POST."),
    Param(name="Coaching", kind=Kind.BOOLEAN, doc="Whether one call alone hears them."),
    Param(name="CallSidToCoach", doc="Which call that is."),
    Param(name="CallerDisplayName", doc="The name that is shown to a SIP address."),
    Param(
        name="ConferenceRecord",
        choices=(*_RECORDS, *_RECORDS.values()),
        doc="Whether the conference is recorded: false.",
    ),
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
    Param(name="EarlyMedia", kind=Kind.BOOLEAN, doc=f"true. {NO_EFFECT}"),
    Param(
        name="JitterBufferSize",
        choices=tuple(JitterBuffer),
        doc="How long is waited for late packets of theirs: large.",
    ),
    *(
        Param(name=name, doc=NO_EFFECT)
        for name in (*UNHEEDED[1:], *AMD, *UNUSED)
        if not name.startswith("AsyncAmd")
    ),
)
PARAMS: Final = (*(each for each in call_create.PARAMS if each.name in _OF_CALLS), *_OWN)
