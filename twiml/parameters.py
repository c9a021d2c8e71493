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
        ("Timestamp", format_datetime(datetime.fromtimestamp(progress.at, UTC))),
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
    sent.append(("DialBridged", "true" if ended.bridged else "false"))
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
    # Octets of a SIP message that are no UTF-8 are lone surrogates in its values.
    return tuple((_utf8(name), _utf8(value)) for name, value in sent)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
