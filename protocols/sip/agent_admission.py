"""What of a peer's request can be told before anybody looks at what it wants (RFC 3261 §8.2).

Methods, extensions, bodies and numbers that we can't take are refused here by rule, each with the
header that says what we could. The tables are also what Allow, Supported and Accept say.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from protocols.sip.agent_commands import INSIDE, OUTSIDE, Reliability, Settings
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.headers import (
    Header,
    MediaType,
    accepts,
    read_accept,
    read_content_disposition,
    read_content_type,
    read_tokens,
    write_accept,
    write_count,
    write_tokens,
)
from protocols.sip.matching import has_identity
from protocols.sip.message import Request
from protocols.sip.multipart import TYPE, is_multipart, parts_of
from protocols.sip.session_offers import description_of
from protocols.sip.session_refresh import too_small
from protocols.sip.uri import OtherUri, SipUri

EXTENSIONS: Final = ("100rel", "timer", "replaces")
"""RFC 3262, RFC 4028, RFC 3891."""

_OF_REGISTER: Final = (*EXTENSIONS, "path", "outbound")
"""RFC 3327 and RFC 5626 as well."""

_DESCRIBING: Final = frozenset({"INVITE", "UPDATE", "PRACK", "ACK"})
_FORWARDED: Final = frozenset({"INVITE", "MESSAGE"})


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is refused with at once."""

    status: int
    headers: tuple[Header, ...] = ()


def allowed(settings: Settings) -> tuple[str, ...]:
    """The methods of Allow."""
    inside = tuple(each for each in INSIDE if each in settings.inside)
    return (*inside, *sorted(settings.outside - settings.inside))


def abilities(settings: Settings, reliable: Reliability) -> tuple[Header, ...]:
    """Allow and Supported; NEVER leaves out reliable provisional responses."""
    inside = reliable is Reliability.NEVER
    extensions = [each for each in EXTENSIONS if not (inside and each == "100rel")]
    return write_tokens("Allow", allowed(settings)), write_tokens("Supported", extensions)


def accept_header(settings: Settings) -> Header:
    """Accept."""
    return write_accept([MediaType(name=each) for each in (*settings.descriptions, TYPE)])


def objection(request: Request, settings: Settings) -> Refusal | None:
    """Why a request, in a session or outside, is refused at once; None if it is not."""
    try:
        for check in _CHECKS:
            found = check(request, settings)
            if found is not None:
                return found
    except RemoteProtocolError as error:
        return Refusal(status=error.status)
    return None


def _check_method(request: Request, settings: Settings) -> Refusal | None:
    """§8.2.1. What belongs to a session and comes without one gets 481 (§12.2.2)."""
    method = request.method
    if request.to.tag and method in settings.inside:
        return None
    if method in settings.outside:
        return None
    if method == "SUBSCRIBE":
        return Refusal(status=489, headers=(("Allow-Events", "refer"),))
    if method == "REFER":
        return Refusal(status=403)  # only those we talk to may send us elsewhere
    if method in settings.inside - OUTSIDE:
        return Refusal(status=481)
    able = [each for each in allowed(settings) if each != method]
    return Refusal(status=405, headers=(write_tokens("Allow", able),))


def _check_target(request: Request, settings: Settings) -> Refusal | None:
    """§8.2.2.1."""
    return Refusal(status=416) if isinstance(request.uri, OtherUri) else None


def _check_hops(request: Request, settings: Settings) -> Refusal | None:
    """What we would send on has gone far enough (RFC 7332 §4); all else ends here anyway."""
    if request.max_forwards or request.to.tag or request.method not in _FORWARDED:
        return None
    return Refusal(status=483)


def _check_extensions(request: Request, settings: Settings) -> Refusal | None:
    """§8.2.2.3."""
    if "Require" not in request.headers:
        return None
    required = read_tokens(request.headers, "Require") or ()
    able = _OF_REGISTER if request.method == "REGISTER" else EXTENSIONS
    unknown = [each for each in required if each.lower() not in able]
    if not unknown:
        return None
    return Refusal(status=420, headers=(write_tokens("Unsupported", unknown),))


def _check_body(request: Request, settings: Settings) -> Refusal | None:
    """§8.2.3. A body that may be left alone is."""
    headers = request.headers
    if not request.body:
        return None
    encoding = headers.first("Content-Encoding")
    if encoding is not None and encoding.lower() != "identity":
        return Refusal(status=415, headers=(("Accept-Encoding", "identity"),))
    if request.method not in _DESCRIBING or headers.first("Content-Type") in settings.descriptions:
        return None
    disposition = read_content_disposition(headers)
    if disposition is not None and disposition.handling == "optional":
        return None
    kind = read_content_type(headers)
    if kind is not None and kind.name in settings.descriptions:
        return None
    if kind is not None and is_multipart(kind) and _is_understood(request, kind, settings):
        return None
    return Refusal(status=415, headers=(accept_header(settings),))


def _is_understood(request: Request, kind: MediaType, settings: Settings) -> bool:
    """Whether a body of several parts has a description, and nothing that we had to know."""
    for part in parts_of(request.body, kind):
        found = part.type
        known = found is not None and found.name in settings.descriptions
        if part.is_required and not known:
            return False
    return description_of(request, settings.descriptions) is not None


def _check_accept(request: Request, settings: Settings) -> Refusal | None:
    """A caller that takes no description that we could answer with (§21.4.7)."""
    if request.method != "INVITE" or "Accept" not in request.headers:
        return None
    accepted = read_accept(request.headers)
    if accepted and not any(accepts(accepted, each) for each in settings.descriptions):
        return Refusal(status=406, headers=(accept_header(settings),))
    return None


def _check_contact(request: Request, settings: Settings) -> Refusal | None:
    """§8.1.1.8: without one SIP URI nobody could be called back in the dialog.

    In RFC 2543 From could do for it (RFC 4475 §3.4.1).
    """
    if request.method != "INVITE" or request.to.tag:
        return None
    contacts = request.contacts
    if not contacts and not has_identity(request.vias[0].branch):
        contacts = (request.from_,)
    if len(contacts) == 1 and isinstance(contacts[0].uri, SipUri):
        return None
    return Refusal(status=400)


_CHECKS: Final[tuple[Callable[[Request, Settings], Refusal | None], ...]] = (
    _check_method,
    _check_target,
    _check_hops,
    _check_extensions,
    _check_body,
    _check_accept,
    _check_contact,
)


def timer_objection(request: Request, settings: Settings) -> Refusal | None:
    """Whether a first INVITE wants too short a session timer (RFC 4028 §9).

    Who knows no timers would not understand: it was a proxy's wish.
    """
    try:
        brief = too_small(request, settings.refresh.minimum)
        known = read_tokens(request.headers, "Supported") or ()
    except RemoteProtocolError as error:
        return Refusal(status=error.status)
    if not brief or "timer" not in known:
        return None
    minimum = settings.refresh.minimum
    return Refusal(status=422, headers=(write_count("Min-SE", minimum),))
