"""What is sent to an app about a call: names and values, in Twilio's order, of plain facts.

Values are text that can be sent as UTF-8 whatever a peer wrote. Source of names:
https://www.twilio.com/docs/voice/twiml and https://www.twilio.com/docs/voice/twiml/dial.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

import msgspec

from twiml.call import DialEnded, QueueLeft, Recorded, Referred, Texted

API_VERSION: Final = "2010-04-01"
# A peer's answer must not fill the app's request.
MAX_SIP_HEADERS: Final = 32

Parameters = tuple[tuple[str, str], ...]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a number is, as far as that is known."""

    city: str = ""
    state: str = ""
    zip: str = ""
    country: str = ""


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a call, as an app gets to know it; what is empty is not sent.

    `status` and `direction` are Twilio's words. `sip_headers` are those of the INVITE, of which
    `X-` ones are sent. `custom` go flat beside the others.
    """

    call_sid: str
    account_sid: str
    from_: str
    to: str
    status: str
    direction: str
    from_place: Place | None = None
    to_place: Place | None = None
    parent_call_sid: str = ""
    forwarded_from: str = ""
    caller_name: str = ""
    call_token: str = ""
    stir_verstat: str = ""
    stir_passport_token: str = ""
    answered_by: str = ""
    application_sid: str = ""
    sip_domain: str = ""
    sip_domain_sid: str = ""
    sip_call_id: str = ""
    sip_source_ip: str = ""
    sip_headers: tuple[tuple[str, str], ...] = ()
    custom: Parameters = ()


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a call that a status callback tells of.

    `at` is seconds since the epoch, `duration` whole seconds from the answer of a call that ended,
    None before.
    """

    at: float
    sequence: int
    duration: int | None = None
    sip_response_code: int = 0
    recording_url: str = ""
    recording_sid: str = ""
    recording_duration: str = ""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody stands in a queue; `position` counts from 1, times are seconds."""

    queue_sid: str
    position: int
    waited: int
    average: int
    size: int
    max_size: int


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """One who is in a conference, as an app gets to know it; empty `coached` coaches nobody."""

    call_sid: str
    muted: bool = False
    hold: bool = False
    coached: str = ""
    start_on_enter: bool = True
    end_on_exit: bool = False
    label: str = ""


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in a conference; `event` is Twilio's word, `at` seconds since the epoch.

    `reason_left` and `call_status` are of one who left, what begins with `ended` is of an end;
    what is empty is not sent.
    """

    conference_sid: str
    name: str
    event: str
    sequence: int
    at: float
    participant: Participant | None = None
    reason_left: str = ""
    call_status: str = ""
    ended_by: str = ""
    ended_by_label: str = ""
    ended_reason: str = ""
    ended_why: str = ""


_ALWAYS: Final = (
    ("CallSid", "call_sid"),
    ("AccountSid", "account_sid"),
    ("From", "from_"),
    ("To", "to"),
    ("Caller", "from_"),
    ("Called", "to"),
    ("CallStatus", "status"),
    ("Direction", "direction"),
)
_WHEN_KNOWN: Final = (
    ("ParentCallSid", "parent_call_sid"),
    ("ForwardedFrom", "forwarded_from"),
    ("CallerName", "caller_name"),
    ("CallToken", "call_token"),
    ("StirVerstat", "stir_verstat"),
    ("StirPassportToken", "stir_passport_token"),
    ("AnsweredBy", "answered_by"),
    ("ApplicationSid", "application_sid"),
    ("SipDomain", "sip_domain"),
    ("SipDomainSid", "sip_domain_sid"),
    ("SipCallId", "sip_call_id"),
    ("SipSourceIp", "sip_source_ip"),
)
_PLACES: Final = (
    ("From", "from_place"),
    ("To", "to_place"),
    ("Caller", "from_place"),
    ("Called", "to_place"),
)
_PLACE: Final = (("City", "city"), ("State", "state"), ("Zip", "zip"), ("Country", "country"))
_RECORDING: Final = (
    ("RecordingUrl", "recording_url"),
    ("RecordingSid", "recording_sid"),
    ("RecordingDuration", "recording_duration"),
)


_WAITING: Final = (
    ("QueueSid", "queue_sid"),
    ("QueuePosition", "position"),
    ("QueueTime", "waited"),
    ("AvgQueueTime", "average"),
    ("CurrentQueueSize", "size"),
    ("MaxQueueSize", "max_size"),
)
_LEFT_OR_ENDED: Final = (
    ("ReasonParticipantLeft", "reason_left"),
    ("ParticipantCallStatus", "call_status"),
    ("CallSidEndingConference", "ended_by"),
    ("ParticipantLabelEndingConference", "ended_by_label"),
    ("ReasonConferenceEnded", "ended_reason"),
    ("Reason", "ended_why"),
)


def voice_parameters(leg: Leg) -> Parameters:
    """What every request for a document says of the call."""
    sent = [(name, getattr(leg, field)) for name, field in _ALWAYS]
    sent.append(("ApiVersion", API_VERSION))
    for side, field in _PLACES:
        if (place := getattr(leg, field)) is not None:
            sent += [(side + name, getattr(place, part)) for name, part in _PLACE]
    sent += [(name, value) for name, field in _WHEN_KNOWN if (value := getattr(leg, field))]
    sent += header_parameters("SipHeader_", leg.sip_headers)
    sent += leg.custom
    return sendable(sent)


def status_parameters(leg: Leg, progress: Progress) -> Parameters:
    """What a status callback says; `leg` has the status that is told of."""
    sent: list[tuple[str, str]] = [
        ("Timestamp", _timestamp(progress.at)),
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(progress.sequence)),
    ]
    if progress.duration is not None:
        # Whole minutes, begun ones count: the older name for what is paid for.
        sent.append(("CallDuration", str(progress.duration)))
        sent.append(("Duration", str(-(-progress.duration // 60))))
    if progress.sip_response_code:
        sent.append(("SipResponseCode", str(progress.sip_response_code)))
    sent += [(name, value) for name, field in _RECORDING if (value := getattr(progress, field))]
    return (*voice_parameters(leg), *sendable(sent))


def dial_parameters(ended: DialEnded) -> Parameters:
    """What the `action` of a `<Dial>` is told beside the rest."""
    sent = [("DialCallStatus", ended.status.value)]
    if ended.call_sid:
        sent.append(("DialCallSid", ended.call_sid))
    if ended.duration is not None:
        sent.append(("DialCallDuration", str(ended.duration)))
    sent.append(("DialBridged", _said(ended.bridged)))
    if ended.recording_url:
        sent.append(("RecordingUrl", ended.recording_url))
    if ended.recording_sid:
        sent.append(("RecordingSid", ended.recording_sid))
        sent.append(("RecordingDuration", str(ended.recording_duration)))
    if ended.queue_result:
        sent += _queue(ended.queue_result, ended.queue_sid, ended.queue_time)
    if ended.sip_response_code:
        sent.append(("DialSipResponseCode", str(ended.sip_response_code)))
    if ended.sip_call_id:
        sent.append(("DialSipCallId", ended.sip_call_id))
    sent += header_parameters("DialSipHeader_", ended.sip_headers)
    return sendable(sent)


def gather_parameters(digits: str, finished_on: str) -> Parameters:
    """What the `action` of a `<Gather>` is told; either may be empty and is sent all the same."""
    return (("Digits", digits), ("FinishedOnKey", finished_on), ("msg", "Gather End"))


def record_parameters(recorded: Recorded, ended_by: str) -> Parameters:
    """What the `action` of a `<Record>` is told; `ended_by` is a key, `hangup` or empty."""
    return (
        ("RecordingUrl", recorded.url),
        ("RecordingSid", recorded.sid),
        ("RecordingDuration", str(recorded.duration)),
        ("Digits", ended_by),
    )


def queue_parameters(left: QueueLeft) -> Parameters:
    """What the `action` of an `<Enqueue>` is told."""
    return tuple(_queue(left.result.value, left.queue_sid, left.seconds))


def _queue(result: str, sid: str, seconds: int) -> list[tuple[str, str]]:
    return [
        ("QueueResult", result),
        *([("QueueSid", sid)] if sid else []),
        ("QueueTime", str(seconds)),
    ]


def waiting_parameters(waiting: Waiting) -> Parameters:
    """What the `waitUrl` of an `<Enqueue>` is told, each time it is asked."""
    return tuple((name, str(getattr(waiting, field))) for name, field in _WAITING)


def dequeued_parameters(queue_sid: str, waited: int, dequeuing: str) -> Parameters:
    """What the `url` of a `<Queue>` is told of who was waiting; `dequeuing` is who dialled."""
    # The name is written as Twilio writes it.
    return (
        ("QueueSid", queue_sid),
        ("QueueTime", str(waited)),
        ("DequeingCallSid", dequeuing),
    )


def conference_parameters(happening: Happening) -> Parameters:
    """What the status callback of a conference is told beside `AccountSid`."""
    sent = [
        ("ConferenceSid", happening.conference_sid),
        ("FriendlyName", happening.name),
        ("StatusCallbackEvent", happening.event),
        ("SequenceNumber", str(happening.sequence)),
        ("Timestamp", _timestamp(happening.at)),
    ]
    if happening.participant is not None:
        sent += _participant(happening.participant)
    told = [(name, getattr(happening, field)) for name, field in _LEFT_OR_ENDED]
    return sendable([*sent, *((name, value) for name, value in told if value)])


def _participant(one: Participant) -> list[tuple[str, str]]:
    return [
        ("CallSid", one.call_sid),
        ("Muted", _said(one.muted)),
        ("Hold", _said(one.hold)),
        ("Coaching", _said(bool(one.coached))),
        *([("CallSidToCoach", one.coached)] if one.coached else []),
        ("StartConferenceOnEnter", _said(one.start_on_enter)),
        ("EndConferenceOnExit", _said(one.end_on_exit)),
        *([("ParticipantLabel", one.label)] if one.label else []),
    ]


def sms_parameters(texted: Texted) -> Parameters:
    """What the `action` of a `<Sms>` is told; a text that was refused has no SID."""
    sid = [("SmsSid", texted.message_sid)] if texted.message_sid else []
    code = [("ErrorCode", str(texted.error_code))] if texted.error_code else []
    return (*sid, ("SmsStatus", texted.status), *code)


def refer_parameters(referred: Referred) -> Parameters:
    """What the `action` of a `<Refer>` is told, of the answers as far as they came."""
    codes = (
        ("ReferSipResponseCode", referred.sip_code),
        ("NotifySipResponseCode", referred.notify_code),
    )
    known = [(name, str(code)) for name, code in codes if code]
    return (("ReferCallStatus", referred.status.value), *known)


def header_parameters(prefix: str, headers: Iterable[tuple[str, str]]) -> Parameters:
    """The `X-` headers of a SIP message, `prefix` before their names; so many as are sent."""
    named = [(prefix + name, value) for name, value in headers if name[:2].upper() == "X-"]
    return tuple(named[:MAX_SIP_HEADERS])


def sendable(sent: Iterable[tuple[str, str]]) -> Parameters:
    """`sent` as UTF-8 can write it."""
    kept = tuple(sent)
    if "".join(map("".join, kept)).isascii():
        return kept
    # Octets of a SIP message that are no UTF-8 are lone surrogates in its values.
    return tuple((_utf8(name), _utf8(value)) for name, value in kept)


def once(sent: Iterable[tuple[str, str]]) -> Parameters:
    """`sent` with each name once: what stands before the others holds."""
    kept: dict[str, str] = {}
    for name, value in sent:
        kept.setdefault(name, value)
    return tuple(kept.items())


def _timestamp(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC))


def _said(value: object) -> str:
    return "true" if value else "false"


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
