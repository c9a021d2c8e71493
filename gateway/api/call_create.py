"""A call that REST makes, judged as Twilio judges it: `POST /Calls` to a row and what to do.

The answer is given when both are durable; which process makes the call is the calls' own affair
(`gateway/calls/placing`).
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from carriers.call_limits import Admission
from carriers.numbers import Address, Invalid, check_to
from carriers.routing import Medium, RouteRequest
from gateway import applications
from gateway.api.addresses import plus_restored
from gateway.api.http import refuse
from gateway.api.magic_numbers import refuse_test_callee, refuse_test_caller
from gateway.api.resources import Call, Kind, Param
from gateway.applications import Application
from gateway.calls import documents, orders
from gateway.calls.book import Book
from gateway.calls.browser import CLIENT
from gateway.calls.documents import Note
from gateway.calls.model import Call as Record
from gateway.calls.model import CallDirection, CallStatus
from gateway.calls.orders import HINT, Crowded, Place, Redirect
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.sids import CALL, new_sid
from gateway.store.base import Write
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.uri import SipUri, format_uri, parse_uri
from protocols.voicesdk.codec import read_parameters
from protocols.voicesdk.errors import RemoteProtocolError as Unreadable
from twiml.client_nouns import MAX_IDENTITY
from twiml.errors import Level
from twiml.nouns import CallEvent, RecordingEvent, RecordingTrack, Trim
from twiml.verbs import StartRecording

MAX_TWIML: Final = 4000  # characters
LONGEST: Final = 86_400  # seconds that a call may be given
_LONGEST_RINGING: Final = 600  # seconds
_MOST_ADDRESS: Final = 512  # characters
_MOST_HEADERS: Final = 1024  # characters of those in a SIP address
_MOST_CREDENTIAL: Final = 255  # characters
_CREDENTIAL: Final = re.compile(r"[!-~]*")
_HEADER: Final = re.compile(r"(?:X-[A-Za-z0-9!%*_+`'~.-]+|User-to-User)", re.IGNORECASE)
_DIGITS: Final = re.compile(r"[0-9A-Da-d#*wW]{1,32}")
_SHORT: Final = re.compile(r"[0-9]{2,6}")
_CALLER: Final = re.compile(r"[!-~]{1,255}")
AMD: Final = (
    *("MachineDetection", "MachineDetectionTimeout", "MachineDetectionSpeechThreshold"),
    *("MachineDetectionSpeechEndThreshold", "MachineDetectionSilenceTimeout"),
    *("AsyncAmd", "AsyncAmdStatusCallback", "AsyncAmdStatusCallbackMethod"),
    *("AmdStatusCallback", "AmdStatusCallbackMethod"),
)
UNUSED: Final = (
    *("Byoc", "CallReason", "CallToken", "ClientNotificationUrl", "Passports"),
    "RecordingConfigurationId",
)
UNHEEDED: Final = (
    *("EarlyMedia", "Region", "EmergencyAddress", "EmergencyCallerLocation"),
    *("EmergencyCallerPosition", "EmergencyCity", "EmergencyCountry", "EmergencyName"),
    *("EmergencyState", "EmergencyZipCode"),
)
"""Those that only a participant has."""
_NO_AMD: Final = 21263
_NOT_USED: Final = 20001


class _Callee(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be called: a number, a SIP address or a client, with headers or parameters."""

    to: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def is_number(self) -> bool:
        return not self.to.lower().startswith(("sip:", "sips:", CLIENT))


BOTH_GIVEN: Final = Note(
    error_code=32019,
    level=Level.WARNING,
    message="Twiml and Url were both given: Url is asked",
)
Along = Callable[[Record, Place], tuple[Place, list[Write]]]
"""What else goes with a call that is made: how it is made after all, and what is stored with it."""


async def create(call: Call) -> Record | Refusal:
    """Call somebody, and run a document when they answer."""
    return await made(call, lambda record, place: (place, []))


async def made(call: Call, along: Along) -> Record | Refusal:
    """The call that the form asks for, with what goes along."""
    found = await _application(call)
    if isinstance(found, Refusal):
        return found
    asked = judged(call, found)
    if isinstance(asked, Refusal):
        return asked
    record, place = asked
    place, writes = along(record, place)
    notes = [*documents.written(record, _notes(call), call.now), *writes]
    services = call.services
    taken = await services.calls.place(record, place, notes)
    if taken is None:
        taken = await _leave(call, record, place, notes)
    return refuse(taken.code, taken.reason) if isinstance(taken, Crowded) else taken


async def create_as_test(call: Call) -> Record | Refusal:
    """The call that test credentials ask for: judged by Twilio's magic numbers, not made."""
    refusal = refuse_test_caller(call.text("From")) or refuse_test_callee(call.text("To"))
    if refusal is not None:
        return refusal
    runs = _runs(call, None)
    if isinstance(runs, Refusal):
        return runs
    callee = _callee(call)
    if isinstance(callee, Refusal):
        return callee
    return _record(call, callee, call.text("From"), "", None)


async def _leave(call: Call, record: Record, place: Place, notes: list[Write]) -> Record | Crowded:
    """Store a call for whichever process makes it."""
    services = call.services
    if await orders.count_of(services.store, record.account_sid) >= services.limits.max_queued:
        return Crowded("Too many calls of the account wait ([sip] max_queued); try again later")
    book = Book(services.store, lambda: None)
    _, left = orders.left(record.account_sid, record.sid, place, call.now)
    await book.commit([*book.begun(record, None), left, *notes])
    services.store.hint(HINT)
    return record


async def _application(call: Call) -> Application | Refusal | None:
    """The application that the form names, None for none."""
    sid = call.text("ApplicationSid")
    if not sid:
        return None
    found = await applications.get(call.services.store, call.account.sid, sid)
    return found or refuse(21218, f"ApplicationSid {sid[:40]} is none of this account")


def judged(call: Call, application: Application | None) -> tuple[Record, Place] | Refusal:
    """The call that the form asks for, and how it is made, or why not."""
    callee = _callee(call)
    if isinstance(callee, Refusal):
        return callee
    caller = _caller(call, callee)
    if isinstance(caller, Refusal):
        return caller
    runs = _runs(call, application)
    if isinstance(runs, Refusal):
        return runs
    refusal = _wrong(call)
    if refusal is not None:
        return refusal
    holder = call.services.phone_numbers.holder(caller)
    record = _record(call, callee, caller, holder.sid if holder else "", application)
    place = Place(
        to=callee.to,
        caller=plus_restored(call.text("CallerId")) or caller,
        runs=runs,
        headers=callee.headers,
        username=call.text("SipAuthUsername"),
        password=call.text("SipAuthPassword"),
        timeout=int(call.text("Timeout") or 60),
        time_limit=int(call.text("TimeLimit") or 0),
        send_digits=call.text("SendDigits"),
        recording=_recording(call) if call.switch("Record") else None,
        application_sid=application.sid if application else "",
    )
    return record, place


def _record(
    call: Call, callee: _Callee, caller: str, number_sid: str, application: Application | None
) -> Record:
    told, method, events = _told(call, application)
    return Record(
        account_sid=call.account.sid,
        sid=new_sid(CALL, call.now),
        direction=CallDirection.OUTBOUND_API,
        status=CallStatus.QUEUED,
        from_address=caller,
        to_address=callee.to,
        phone_number_sid=number_sid,
        origin="rest",
        status_callback=told,
        status_callback_method=method,
        status_callback_events=events,
        date_created=call.now,
        date_updated=call.now,
    )


# Whom


def _callee(call: Call) -> _Callee | Refusal:
    given = plus_restored(call.text("To")).strip()
    if not given:
        return refuse(21201, "A 'To' is required: a number, sip:name@host or client:name")
    if given.lower().startswith(("sip:", "sips:")):
        return _sip(given)
    if given.lower().startswith(CLIENT):
        return _client(given[len(CLIENT) :])
    checked = check_to(given)
    if isinstance(checked, Address):
        return _Callee(to=checked.text)
    if _SHORT.fullmatch(given) and _is_for_help(call, given):
        return _Callee(to=given)
    assert isinstance(checked, Invalid)
    return refuse(21211, checked.reason)


def _is_for_help(call: Call, number: str) -> bool:
    """Whether a carrier takes it for an emergency."""
    asked = RouteRequest(
        medium=Medium.CALL,
        account_sid=call.account.sid,
        to=number,
        from_=plus_restored(call.text("From")),
        fraction=0.0,
    )
    return call.services.plan(asked, call.now).admission is Admission.EMERGENCY


def _client(given: str) -> _Callee | Refusal:
    """A client of the Voice SDK by its identity; whether it is there, the call finds out."""
    identity, _, query = given.partition("?")
    if not 0 < len(identity) <= MAX_IDENTITY or not identity.isprintable():
        return refuse(21211, f"A client's identity has 1 to {MAX_IDENTITY} characters")
    try:
        return _Callee(to=CLIENT + identity, headers=read_parameters(query))
    except Unreadable as error:
        return refuse(21227, f"'To' of a client: {error}")


def _sip(given: str) -> _Callee | Refusal:
    try:
        uri = parse_uri(given) if len(given) <= _MOST_ADDRESS + _MOST_HEADERS else None
    except RemoteProtocolError:
        uri = None
    if not isinstance(uri, SipUri):
        return refuse(21211, f"{given[:80]} is no SIP address; one is sip:name@host")
    if sum(len(name) + len(value) + 2 for name, value in uri.headers) > _MOST_HEADERS:
        return refuse(21227, f"The headers of 'To' may have {_MOST_HEADERS} characters")
    for name, value in uri.headers:
        if not _HEADER.fullmatch(name) or not value.isprintable():
            return refuse(21228, f"{name[:40]!r} can't be a header of a call; X- and a name can")
    bare = msgspec.structs.replace(uri, password="", headers=())
    return _Callee(to=format_uri(bare), headers=uri.headers)


def _caller(call: Call, callee: _Callee) -> str | Refusal:
    """As whom it is called: a number of the account's, where a telephone is called."""
    given = plus_restored(call.text("From")).strip()
    if not given:
        return refuse(21213, "A 'From' is required: a number of the account")
    shown = plus_restored(call.text("CallerId"))
    for each in filter(None, (given, shown)):
        if not callee.is_number:
            if not _CALLER.fullmatch(each):
                return refuse(21212, f"{each[:80]!r} can't be shown to who is called")
            continue
        checked = check_to(each)
        if isinstance(checked, Invalid):
            return refuse(21212, f"{each[:80]} is not a number to call from: +, 7 to 15 digits")
        number = call.services.phone_numbers.holder(checked.text)
        if number is None or number.account_sid != call.account.sid:
            return refuse(21210, f"{checked.text} is not a number of this account")
    checked = check_to(given)
    return checked.text if isinstance(checked, Address) else given


# What it runs, and whom it tells


def _runs(call: Call, application: Application | None) -> Redirect | Refusal:
    if application is not None:
        settings = application.settings
        if not settings.get("voice_url"):
            return refuse(21218, f"Application {application.sid} has no VoiceUrl")
        return Redirect(
            url=settings["voice_url"],
            method=settings.get("voice_method") or "POST",
            fallback_url=settings.get("voice_fallback_url", ""),
            fallback_method=settings.get("voice_fallback_method") or "POST",
        )
    url, fallback, twiml = call.text("Url"), call.text("FallbackUrl"), call.text("Twiml")
    for name, given in (("Url", url), ("FallbackUrl", fallback)):
        if given and not is_http_url(given):
            return refuse(21205, f"{name} should be an http or https URL, not '{given[:80]}'")
    if not url and not twiml:
        return refuse(21205, "A Url, Twiml or ApplicationSid says what the call is to run")
    if not url and len(twiml) > MAX_TWIML:
        return refuse(32018, f"Twiml may have {MAX_TWIML} characters, not {len(twiml)}")
    return Redirect(
        url=url,
        method=(call.text("Method") or "POST").upper(),
        fallback_url=fallback if url else "",
        fallback_method=(call.text("FallbackMethod") or "POST").upper(),
        twiml="" if url else twiml,
    )


def _told(call: Call, application: Application | None) -> tuple[str, str, tuple[str, ...]]:
    """Who is told, how, and of which events; an application's settings replace the form's."""
    if application is not None:
        settings = application.settings
        method = settings.get("status_callback_method") or "POST"
        return settings.get("status_callback", ""), method, (CallEvent.COMPLETED.value,)
    wanted = _words(call, "StatusCallbackEvent") or [CallEvent.COMPLETED.value]
    events = tuple(each.value for each in CallEvent if each.value in wanted)
    method = (call.text("StatusCallbackMethod") or "POST").upper()
    return call.text("StatusCallback"), method, events


def _words(call: Call, name: str) -> list[str]:
    """The values of a list, which some clients write as one."""
    return [word for given in call.form.get(name, ()) for word in given.split()]


def _recording(call: Call) -> StartRecording:
    events = _words(call, "RecordingStatusCallbackEvent") or [RecordingEvent.COMPLETED.value]
    return StartRecording(
        channels=2 if call.text("RecordingChannels") == "dual" else 1,
        track=RecordingTrack(call.text("RecordingTrack") or RecordingTrack.BOTH.value),
        trim=Trim(call.text("Trim") or Trim.TRIM_SILENCE.value),
        recording_status_callback=call.text("RecordingStatusCallback"),
        recording_status_callback_method=(
            call.text("RecordingStatusCallbackMethod") or "POST"
        ).upper(),
        recording_status_callback_event=tuple(each for each in RecordingEvent if each in events),
    )


# What else may be wrong


def _wrong(call: Call) -> Refusal | None:
    for name, code in (("StatusCallback", 21609), ("RecordingStatusCallback", 21205)):
        url = call.text(name)
        if url and not is_http_url(url):
            return refuse(code, f"{name} should be an http or https URL, not '{url[:80]}'")
    for name, code, known in (
        ("StatusCallbackEvent", 21626, tuple(each.value for each in CallEvent)),
        ("RecordingStatusCallbackEvent", 20001, tuple(each.value for each in RecordingEvent)),
    ):
        if strange := [each for each in _words(call, name) if each not in known]:
            what = f"'{strange[0][:40]}' is no {name}"
            return refuse(code, f"{what}; {', '.join(known)} are")
    timeout, limit = call.text("Timeout"), call.text("TimeLimit")
    if timeout and not 0 < int(timeout) <= _LONGEST_RINGING:
        return refuse(21208, f"Timeout should be from 1 to {_LONGEST_RINGING}, not {timeout}")
    if limit and not 0 < int(limit) <= LONGEST:
        return refuse(20001, f"TimeLimit should be from 1 to {LONGEST} seconds, not {limit}")
    digits = call.text("SendDigits")
    if digits and not _DIGITS.fullmatch(digits):
        return refuse(21206, "SendDigits has up to 32 of 0-9, *, #, A-D, w and W")
    for name, long, strange_code in (
        ("SipAuthUsername", 21221, 21222),
        ("SipAuthPassword", 21223, 21224),
    ):
        if len(call.text(name)) > _MOST_CREDENTIAL:
            return refuse(long)
        if not _CREDENTIAL.fullmatch(call.text(name)):
            return refuse(strange_code)
    return None


def _notes(call: Call) -> list[Note]:
    """What was asked for and has no effect."""
    notes = []
    for names, code in ((AMD, _NO_AMD), ((*UNUSED, *UNHEEDED), _NOT_USED)):
        given = [name for name in names if call.text(name).lower() not in ("", "false", "none")]
        notes += [(code, f"{name} has no effect in this version") for name in given]
    found = [Note(error_code=code, level=Level.WARNING, message=why) for code, why in notes]
    both = call.text("Url") and call.text("Twiml") and not call.text("ApplicationSid")
    return [BOTH_GIVEN, *found] if both else found


_URL: Final = "an http(s) URL"
NO_EFFECT: Final = "Has no effect in this version: a warning is kept."
_METHODS: Final = "GET or POST (the default)."


def _method(name: str) -> Param:
    return Param(name=name, kind=Kind.METHOD, error_code=21209, doc=_METHODS)


PARAMS: Final = (
    Param(name="To", doc="Who is called: E.164, such as +447700900123, or sip:name@host."),
    Param(name="From", doc="A number of the account; to SIP whoever is to be shown."),
    Param(name="Url", doc=f"Asked for the document when the call is answered: {_URL}."),
    _method("Method"),
    Param(name="Twiml", doc=f"The document itself, {MAX_TWIML} characters at most."),
    Param(name="ApplicationSid", doc="Whose VoiceUrl and StatusCallback hold, for all others."),
    Param(name="FallbackUrl", doc="Asked when Url fails."),
    _method("FallbackMethod"),
    Param(name="StatusCallback", doc=f"Told what becomes of the call: {_URL}."),
    _method("StatusCallbackMethod"),
    Param(
        name="StatusCallbackEvent",
        repeated=True,
        doc="initiated, ringing, answered, completed (the default).",
    ),
    Param(name="SendDigits", doc="Keys that are pressed at the answer; w waits 0.5 s, W 1 s."),
    Param(
        name="Timeout",
        kind=Kind.INTEGER,
        error_code=21208,
        doc=f"Seconds to ring: 60, at most {_LONGEST_RINGING}.",
    ),
    Param(name="TimeLimit", kind=Kind.INTEGER, doc="Seconds from the answer after which it ends."),
    Param(name="Record", kind=Kind.BOOLEAN, doc="Whether the call is recorded from its answer."),
    Param(name="RecordingChannels", choices=("mono", "dual"), doc="mono, or a channel for each."),
    Param(name="RecordingTrack", choices=tuple(each.value for each in RecordingTrack), doc="both."),
    Param(name="RecordingStatusCallback", doc=f"Told of the recording: {_URL}."),
    _method("RecordingStatusCallbackMethod"),
    Param(
        name="RecordingStatusCallbackEvent",
        repeated=True,
        doc="in-progress, completed (the default), absent.",
    ),
    Param(name="Trim", choices=tuple(each.value for each in Trim), doc="trim-silence."),
    Param(name="CallerId", doc="Who is shown instead of From, by the same rules."),
    Param(name="SipAuthUsername", doc="What a SIP peer's challenge is answered with."),
    Param(name="SipAuthPassword", doc="The password for it."),
    *(Param(name=name, doc=NO_EFFECT) for name in (*AMD[:8], *UNUSED)),
)
