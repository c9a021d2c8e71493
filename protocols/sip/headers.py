"""The headers that stay text in a message, read and written when somebody asks for one.

`read_…` takes a message's `Headers` and gives the value, None (of lists: an empty tuple) if the
header is not there; `write_…` gives name and value for `Headers.with_`. What can't be read raises
`RemoteProtocolError` that names the header and has the status to answer with. Where a header only
informs (Reason, Warning, identities, Privacy, Date) what can't be read is passed over instead: no
call fails for it. Digest's headers are in `digest`.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final, TypeVar

import msgspec

from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.grammar import (
    format_params,
    is_token,
    quote,
    read_number,
    read_params,
    split_list,
    unquote,
)
from protocols.sip.message import Headers, NameAddr
from protocols.sip.parts import format_name_addr, read_name_addr
from protocols.sip.uri import Params, parameter

MAX_NUMBER: Final = 2**32 - 1
"""The highest number of seconds, or of anything else, that a header says (§20.19)."""

Header = tuple[str, str]
T = TypeVar("T")

_WARNING: Final = re.compile(r"([0-9]{3})[ \t]++([^ \t\"]++)[ \t]++(\".*+)", re.DOTALL)
_RETRY_AFTER: Final = re.compile(r"([0-9]{1,10})[ \t]*+(?:\(([^()\\]*+)\))?[ \t]*+")
_RACK: Final = re.compile(r"([0-9]{1,64})[ \t]++([0-9]{1,64})[ \t]++([^ \t]++)")


def _only(headers: Headers, name: str, read: Callable[[str], T]) -> T | None:
    """The value of a header that may be there once; a fault is said to be this header's."""
    if name not in headers:
        return None
    values = headers.all(name)
    try:
        if len(values) > 1:
            raise RemoteProtocolError(f"it is there {len(values)} times")
        return read(values[0])
    except RemoteProtocolError as error:
        raise _named(name, error) from error


def _every(headers: Headers, name: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """The values of all lines of a header that is a list."""
    try:
        return tuple([read(each) for line in headers.all(name) for each in split_list(line)])
    except RemoteProtocolError as error:
        raise _named(name, error) from error


def _readable(headers: Headers, name: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """Those values of a list that can be read."""
    found: list[T] = []
    for line in headers.all(name):
        try:
            for each in split_list(line):
                found.append(read(each))
        except RemoteProtocolError:
            continue
    return tuple(found)


def _named(name: str, error: RemoteProtocolError) -> RemoteProtocolError:
    return RemoteProtocolError(f"{name}: {error}", status=error.status, header=name)


def _with_params(text: str) -> tuple[str, Params]:
    """A value, in small letters or not as it was written, and its parameters."""
    at = text.find(";")
    if at < 0:
        return text.strip(" \t"), ()
    return text[:at].strip(" \t"), read_params(text, at)


def _token(text: str) -> str:
    if not is_token(text):
        raise RemoteProtocolError(f"{text[:60]!r} is no token")
    return text


def _seconds(text: str) -> int:
    return read_number(text, MAX_NUMBER)


def _checked(value: int, what: str) -> int:
    if not 0 <= value <= MAX_NUMBER:
        raise LocalProtocolError(f"{what} is 0 to {MAX_NUMBER}, not {value}")
    return value


def read_tokens(headers: Headers, name: str) -> tuple[str, ...] | None:
    """Allow, Supported, Require, Unsupported, Proxy-Require, Allow-Events, …: lists of tokens.

    As they were written: methods are told apart by case, option tags are not. None if the header
    is not there, which for Allow says something else than an empty list (§20.5).
    """
    if name not in headers:
        return None
    return _every(headers, name, _token)


def write_tokens(name: str, tokens: Iterable[str]) -> Header:
    """A list of tokens under this name."""
    written = list(tokens)
    if not all(is_token(each) for each in written):
        raise LocalProtocolError(f"{name} is a list of tokens, not {written!r}")
    return name, ", ".join(written)


def read_count(headers: Headers, name: str) -> int | None:
    """Expires, Min-Expires, RSeq, Flow-Timer, Max-Breadth: a number below 2**32 and no more."""
    return _only(headers, name, _seconds)


def write_count(name: str, value: int) -> Header:
    """A number under this name."""
    return name, str(_checked(value, name))


class MediaType(msgspec.Struct, frozen=True, kw_only=True):
    """`type/subtype` in small letters, in Accept with `*` for any; parameters as written."""

    name: str
    params: Params = ()


def _media_type(text: str) -> MediaType:
    name, params = _with_params(text)
    kind, slash, subtype = name.partition("/")
    kind, subtype = kind.strip(" \t"), subtype.strip(" \t")
    if not slash or not is_token(kind) or not is_token(subtype):
        raise RemoteProtocolError(f"{name[:60]!r} is no media type")
    return MediaType(name=f"{kind}/{subtype}".lower(), params=params)


def read_accept(headers: Headers) -> tuple[MediaType, ...] | None:
    """Accept (§20.1); None if it is not there, which means application/sdp."""
    return _every(headers, "Accept", _media_type) if "Accept" in headers else None


def write_accept(types: Iterable[MediaType]) -> Header:
    """Accept."""
    return "Accept", ", ".join([f"{each.name}{format_params(each.params)}" for each in types])


def accepts(accepted: tuple[MediaType, ...] | None, name: str) -> bool:
    """Whether a peer with this Accept takes `type/subtype`; q=0 takes it out again (§20.1)."""
    if accepted is None:
        return name == "application/sdp"
    wider = {name: 2, f"{name.partition('/')[0]}/*": 1, "*/*": 0}
    fits = [each for each in accepted if each.name in wider]
    if not fits:
        return False
    nearest = max(fits, key=lambda each: wider[each.name])
    return (parameter(nearest.params, "q") or "1").strip("0.") != ""


def read_content_type(headers: Headers) -> MediaType | None:
    """Content-Type (§20.15)."""
    return _only(headers, "Content-Type", _media_type)


def write_content_type(value: MediaType) -> Header:
    """Content-Type."""
    return "Content-Type", f"{value.name}{format_params(value.params)}"


class Disposition(msgspec.Struct, frozen=True, kw_only=True):
    """What a body is for, in small letters: `session`, `render`, …; and whether it is needed."""

    kind: str
    handling: str = "required"
    params: Params = ()


def _disposition(text: str) -> Disposition:
    kind, params = _with_params(text)
    handling = parameter(params, "handling")
    rest = tuple([each for each in params if each[0] != "handling"])
    return Disposition(
        kind=_token(kind).lower(), handling=(handling or "required").lower(), params=rest
    )


def read_content_disposition(headers: Headers) -> Disposition | None:
    """Content-Disposition (§20.11)."""
    return _only(headers, "Content-Disposition", _disposition)


def write_content_disposition(value: Disposition) -> Header:
    """Content-Disposition."""
    params = format_params((("handling", value.handling), *value.params))
    return "Content-Disposition", f"{value.kind}{params}"


class SessionExpires(msgspec.Struct, frozen=True, kw_only=True):
    """How long a session lasts without a refresh; `refresher` is "uac", "uas" or "" (RFC 4028)."""

    seconds: int
    refresher: str = ""


def _session_expires(text: str) -> SessionExpires:
    seconds, params = _with_params(text)
    refresher = (parameter(params, "refresher") or "").lower()
    if refresher not in ("", "uac", "uas"):
        raise RemoteProtocolError(f"{refresher[:40]!r} is no refresher")
    return SessionExpires(seconds=_seconds(seconds), refresher=refresher)


def read_session_expires(headers: Headers) -> SessionExpires | None:
    """Session-Expires (RFC 4028 §4)."""
    return _only(headers, "Session-Expires", _session_expires)


def write_session_expires(value: SessionExpires) -> Header:
    """Session-Expires."""
    refresher = f";refresher={value.refresher}" if value.refresher else ""
    return "Session-Expires", f"{_checked(value.seconds, 'Session-Expires')}{refresher}"


def read_min_se(headers: Headers) -> int | None:
    """Min-SE, seconds (RFC 4028 §5); `write_count` writes it."""
    return _only(headers, "Min-SE", lambda text: _seconds(_with_params(text)[0]))


class RAck(msgspec.Struct, frozen=True, kw_only=True):
    """Which provisional response a PRACK acknowledges (RFC 3262 §7.2)."""

    rseq: int
    cseq: int
    method: str


def _rack(text: str) -> RAck:
    match = _RACK.fullmatch(text)
    if match is None:
        raise RemoteProtocolError(f"{text[:60]!r} is not two numbers and a method")
    return RAck(rseq=_seconds(match[1]), cseq=_seconds(match[2]), method=_token(match[3]))


def read_rack(headers: Headers) -> RAck | None:
    """RAck."""
    return _only(headers, "RAck", _rack)


def write_rack(value: RAck) -> Header:
    """RAck."""
    return "RAck", f"{value.rseq} {value.cseq} {value.method}"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why something was done: `protocol` is "SIP", "Q.850", …, `cause` its code, -1 if none."""

    protocol: str
    cause: int = -1
    text: str = ""


def _reason(text: str) -> Reason:
    protocol, params = _with_params(text)
    cause = parameter(params, "cause")
    return Reason(
        protocol=_token(protocol),
        cause=-1 if cause is None else _seconds(unquote(cause)),
        text=unquote(parameter(params, "text") or ""),
    )


def read_reason(headers: Headers) -> tuple[Reason, ...]:
    """Reason (RFC 3326), those that can be read."""
    return _readable(headers, "Reason", _reason)


def write_reason(*reasons: Reason) -> Header:
    """Reason."""
    return "Reason", ", ".join([_format_reason(each) for each in reasons])


def _format_reason(reason: Reason) -> str:
    cause = f";cause={reason.cause}" if reason.cause >= 0 else ""
    text = f";text={quote(reason.text)}" if reason.text else ""
    return f"{reason.protocol}{cause}{text}"


class SipWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A warning of `agent`, a host or a name, with its code of three digits (§20.43)."""

    code: int
    agent: str
    text: str


def _warning(text: str) -> SipWarning:
    match = _WARNING.fullmatch(text)
    if match is None:
        raise RemoteProtocolError(f"{text[:60]!r} is no warning")
    return SipWarning(code=int(match[1]), agent=match[2], text=unquote(match[3]))


def read_warning(headers: Headers) -> tuple[SipWarning, ...]:
    """Warning, those that can be read."""
    return _readable(headers, "Warning", _warning)


def write_warning(*warnings: SipWarning) -> Header:
    """Warning."""
    return "Warning", ", ".join([f"{w.code:03d} {w.agent} {quote(w.text)}" for w in warnings])


class RetryAfter(msgspec.Struct, frozen=True, kw_only=True):
    """When to ask again, in seconds; `duration`: for how long from then on, 0 if it is not said."""

    seconds: int
    comment: str = ""
    duration: int = 0


def _retry_after(text: str) -> RetryAfter:
    match = _RETRY_AFTER.match(text)
    if match is None:
        raise RemoteProtocolError(f"{text[:60]!r} is no time")
    duration = parameter(read_params(text, match.end()), "duration")
    return RetryAfter(
        seconds=_seconds(match[1]),
        comment=match[2] or "",
        duration=_seconds(duration) if duration else 0,
    )


def read_retry_after(headers: Headers) -> RetryAfter | None:
    """Retry-After (§20.33)."""
    return _only(headers, "Retry-After", _retry_after)


def write_retry_after(value: RetryAfter) -> Header:
    """Retry-After; its comment, which is for nobody but a reader, has no brackets of its own."""
    comment = f" ({value.comment})" if value.comment else ""
    duration = f";duration={value.duration}" if value.duration else ""
    return "Retry-After", f"{_checked(value.seconds, 'Retry-After')}{comment}{duration}"


def read_address(headers: Headers, name: str) -> NameAddr | None:
    """Refer-To (RFC 3515), Referred-By (RFC 3892), Reply-To: one address."""
    return _only(headers, name, read_name_addr)


def write_address(name: str, value: NameAddr) -> Header:
    """An address under this name."""
    return name, format_name_addr(value)


def read_addresses(headers: Headers, name: str) -> tuple[NameAddr, ...]:
    """Path (RFC 3327), Service-Route (RFC 3608): addresses that a message must be sent by."""
    return _every(headers, name, read_name_addr)


def write_addresses(name: str, values: Iterable[NameAddr]) -> Header:
    """Addresses under this name."""
    return name, ", ".join([format_name_addr(each) for each in values])


def read_identities(headers: Headers, name: str) -> tuple[NameAddr, ...]:
    """P-Asserted-Identity or P-Preferred-Identity (RFC 3325 §9), those that can be read."""
    return _readable(headers, name, read_name_addr)


def read_privacy(headers: Headers) -> tuple[str, ...]:
    """Privacy in small letters: `id`, `user`, `header`, `session`, `none`, … (RFC 3323 §4.2)."""
    found = []
    for line in headers.all("Privacy"):
        for each in line.replace(",", ";").split(";"):
            each = each.strip(" \t").lower()
            if is_token(each):
                found.append(each)
    return tuple(found)


def write_privacy(values: Iterable[str]) -> Header:
    """Privacy."""
    return "Privacy", ";".join(values)


class Replaces(msgspec.Struct, frozen=True, kw_only=True):
    """The dialog that an INVITE takes the place of, tags as its receiver has them (RFC 3891)."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False


def parse_replaces(text: str) -> Replaces:
    """Replaces as a text: what the URI of a Refer-To has among its headers."""
    call_id, params = _with_params(text)
    to_tag, from_tag = parameter(params, "to-tag"), parameter(params, "from-tag")
    if not call_id or " " in call_id or not to_tag or not from_tag:
        raise RemoteProtocolError("it is a Call-ID with to-tag and from-tag", header="Replaces")
    early_only = parameter(params, "early-only") is not None
    return Replaces(call_id=call_id, to_tag=to_tag, from_tag=from_tag, early_only=early_only)


def read_replaces(headers: Headers) -> Replaces | None:
    """Replaces."""
    return _only(headers, "Replaces", parse_replaces)


def write_replaces(value: Replaces) -> Header:
    """Replaces."""
    early = ";early-only" if value.early_only else ""
    text = f"{value.call_id};to-tag={value.to_tag};from-tag={value.from_tag}{early}"
    return "Replaces", text


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event package and the id of the subscription, "" if it has none (RFC 6665 §8.2.1)."""

    package: str
    id: str = ""
    params: Params = ()


def _event(text: str) -> Event:
    package, params = _with_params(text)
    rest = tuple([each for each in params if each[0] != "id"])
    return Event(package=_token(package), id=parameter(params, "id") or "", params=rest)


def read_event(headers: Headers) -> Event | None:
    """Event."""
    return _only(headers, "Event", _event)


def write_event(value: Event) -> Header:
    """Event."""
    params = (("id", value.id), *value.params) if value.id else value.params
    return "Event", f"{value.package}{format_params(params)}"


class SubscriptionState(msgspec.Struct, frozen=True, kw_only=True):
    """`active`, `pending` or `terminated`; seconds are -1 if not said (RFC 6665 §8.2.3)."""

    state: str
    reason: str = ""
    expires: int = -1
    retry_after: int = -1


def _subscription_state(text: str) -> SubscriptionState:
    state, params = _with_params(text)
    expires, retry = parameter(params, "expires"), parameter(params, "retry-after")
    return SubscriptionState(
        state=_token(state).lower(),
        reason=(parameter(params, "reason") or "").lower(),
        expires=_seconds(expires) if expires else -1,
        retry_after=_seconds(retry) if retry else -1,
    )


def read_subscription_state(headers: Headers) -> SubscriptionState | None:
    """Subscription-State."""
    return _only(headers, "Subscription-State", _subscription_state)


def write_subscription_state(value: SubscriptionState) -> Header:
    """Subscription-State."""
    reason = f";reason={value.reason}" if value.reason else ""
    expires = f";expires={value.expires}" if value.expires >= 0 else ""
    retry = f";retry-after={value.retry_after}" if value.retry_after >= 0 else ""
    return "Subscription-State", f"{value.state}{reason}{expires}{retry}"


def read_date(headers: Headers) -> datetime | None:
    """Date, in UTC (§20.17); None as well if it can't be read."""
    try:
        when = parsedate_to_datetime(headers.first("Date") or "")
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def write_date(when: datetime) -> Header:
    """Date, of a time that knows its zone."""
    return "Date", format_datetime(when.astimezone(UTC), usegmt=True)
