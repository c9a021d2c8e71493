"""What an app is told of a call with each request: the call's values under Twilio's names.

Source of names: https://www.twilio.com/docs/voice/twiml and, for calls by SIP,
https://www.twilio.com/docs/voice/api/receiving-sip.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.calls.model import Call, CallStatus
from protocols.addresses import address_of
from protocols.sip.message import Request
from protocols.sip.transport import Flow
from protocols.sip.uri import SipUri, Uri, format_uri
from twiml.parameters import (
    Leg,
    Parameters,
    Place,
    header_parameters,
    sendable,
    voice_parameters,
)

DOMAIN: Final = "domain:"
"""How the `origin` of a call begins that came in by a SIP domain; the domain's SID follows."""

# Nothing here knows where a number is; Twilio sends empty values then.
_NOWHERE: Final = Place()


def call_parameters(
    call: Call, *, status: CallStatus | None = None, extra: Iterable[tuple[str, str]] = ()
) -> Parameters:
    """What every request for a document says of `call`, as if it had `status` if that is given.

    `extra` stand behind the rest, such as those of `sip_parameters`.
    """
    return voice_parameters(leg_of(call, status=status, extra=extra))


def leg_of(
    call: Call, *, status: CallStatus | None = None, extra: Iterable[tuple[str, str]] = ()
) -> Leg:
    """`call` as the parameters of an app's requests are made of it."""
    return Leg(
        call_sid=call.sid,
        account_sid=call.account_sid,
        from_=call.from_address,
        to=call.to_address,
        status=(status or call.status).value,
        direction=call.direction.value,
        from_place=_place(call.from_address),
        to_place=_place(call.to_address),
        parent_call_sid=call.parent_sid,
        forwarded_from=call.forwarded_from,
        caller_name=call.caller_name,
        sip_domain=call.domain,
        sip_domain_sid=call.origin.removeprefix(DOMAIN) if call.origin.startswith(DOMAIN) else "",
        custom=tuple(extra),
    )


def _place(address: str) -> Place | None:
    return _NOWHERE if address.startswith("+") else None


def sip_parameters(request: Request, flow: Flow, *, username: str = "") -> Parameters:
    """What is told of the INVITE `request` that came by `flow`, for the `extra` of its call.

    `username` is the one that a digest was given for, "" where none was asked for. Of the headers
    those are told whose names begin with `X-`.
    """
    known = [("SipUsername", username)] if username else []
    source = flow.remote[0]  # a socket for both families shows IPv4 in IPv6
    return sendable(
        (
            ("SipCallId", request.call_id),
            ("SipSourceIp", str(address_of(source) or source)),
            *known,
            *header_parameters("SipHeader_", request.headers),
        )
    )


def sip_address(uri: Uri) -> str:
    """`uri` as `From` and `To` of a call by a SIP domain have it: who and where, nothing else."""
    if isinstance(uri, SipUri):
        uri = msgspec.structs.replace(uri, password="", params=(), headers=())
    return format_uri(uri)
