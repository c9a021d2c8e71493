"""URIs of SIP and of telephone numbers (RFC 3261 §19.1, RFC 3966), read, written and compared."""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from protocols.sip.errors import LocalProtocolError, RemoteProtocolError

# Names are in small letters and in the order in which they were written; None: no "=".
Params = tuple[tuple[str, str | None], ...]


def parameter(params: Params, name: str) -> str | None:
    """The value of the parameter `name`, "" if it has none; None if it is not there."""
    for each, value in params:
        if each == name:
            return value or ""
    return None


class SipUri(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`sip:` and `sips:`. `user` is unescaped; `host` in small letters, IPv6 without brackets.

    `port` is 0 if none is written; `headers` is what stands after "?", unescaped.
    """

    host: str
    user: str = ""
    password: str = ""
    port: int = 0
    scheme: str = "sip"
    params: Params = ()
    headers: tuple[tuple[str, str], ...] = ()


class TelUri(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`tel:`: a number with its + if it is global, visual separators left as they are."""

    number: str
    params: Params = ()


class OtherUri(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A URI of a scheme that is not ours, or `*` with an empty scheme."""

    scheme: str
    rest: str


Uri = SipUri | TelUri | OtherUri

STAR: Final = OtherUri(scheme="", rest="*")

_SEPARATORS: Final = str.maketrans("", "", "-.()")
# One that only one side has makes the two differ; all others that only one has don't (§19.1.4).
_TELLING: Final = frozenset({"user", "ttl", "method", "maddr", "transport"})

_PARAM: Final = r"A-Za-z0-9\-_.!~*'()\[\]/:&+$%"
_SIP: Final = re.compile(
    r"(sips?):"
    r"(?:([A-Za-z0-9\-_.!~*'()&=+$,;?/#%]++)(?::([A-Za-z0-9\-_.!~*'()&=+$,%]*+))?@)?"
    r"(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9._\-]++)(?::([0-9]{1,5}))?"
    rf"((?:;[{_PARAM}]++(?:=[{_PARAM}=]*+)?)*)"  # base64 in a parameter is seen in the field
    r"(?:\?([A-Za-z0-9\-_.!~*'()\[\]/?:+$&=%]++))?",
    re.IGNORECASE | re.ASCII,
)
_TEL: Final = re.compile(
    rf"tel:(\+?+[0-9A-Fa-f*#\-.()]++)((?:;[{_PARAM}]++(?:=[{_PARAM}]*+)?)*)",
    re.IGNORECASE | re.ASCII,
)
_OTHER: Final = re.compile(r'([A-Za-z][A-Za-z0-9+.\-]*+):([^\x00-\x20\x7f<>"]++)')
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DIGIT: Final = re.compile(r"[0-9A-Fa-f*#]")

_USER_SAFE: Final = "-_.!~*'()&=+$,;?/"
_PASSWORD_SAFE: Final = "-_.!~*'()&=+$,"
_PARAM_SAFE: Final = "-_.!~*'()[]/:&+$"
_HEADER_SAFE: Final = "-_.!~*'()[]/?:+$"
_PLAIN: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()+$]*+")
_HOST: Final = re.compile(r"[A-Za-z0-9._\-]++")


def parse_uri(text: str) -> Uri:
    """A URI of any scheme (RFC 3261 §19.1.1, RFC 3966 §3, RFC 5954).

    Raises `RemoteProtocolError` for what breaks the grammar of `sip:`, `sips:` or `tel:`, or is
    no URI. Three colons before the IPv4 part of an IPv6 address are read as two (RFC 5118 §4.10);
    a bare # in the user part is taken.
    """
    return _known_uri(text) if len(text) <= _COMMON_LENGTH else _parse(text)


def _parse(text: str) -> Uri:
    escaped = "%" in text
    if escaped and _BAD_ESCAPE.search(text):
        raise _unreadable(text, "an escape has no two hexadecimal digits")
    match = _SIP.fullmatch(text)
    if match is not None:
        return _escaped_sip(match) if escaped else _plain_sip(match)
    match = _TEL.fullmatch(text)
    if match is not None:
        number, params = match.groups()
        if not _DIGIT.search(number):
            raise _unreadable(text, "it has no digits")
        return TelUri(
            number=number,
            params=tuple(
                [
                    (_unescape(name).lower(), None if value is None else _unescape(value))
                    for name, value in (_read_params(params) if params else ())
                ]
            ),
        )
    match = _OTHER.fullmatch(text)
    if match is None:
        raise _unreadable(text, "it is no URI")
    scheme = match[1].lower()
    if scheme in ("sip", "sips", "tel"):
        raise _unreadable(text, f"it is no URI of {scheme}:")
    return OtherUri(scheme=scheme, rest=match[2])


# Every message of a dialog has the same ones.
_known_uri: Final = lru_cache(maxsize=512)(_parse)
_COMMON_LENGTH: Final = 200


def _unreadable(text: str, why: str) -> RemoteProtocolError:
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return RemoteProtocolError(f"{shown!r} can't be read: {why}")


def _plain_sip(match: re.Match[str]) -> SipUri:
    scheme, user, password, host, port, params, headers = match.groups()
    return SipUri(
        host=read_ipv6(host[1:-1]) if host[0] == "[" else host.lower(),
        user=user or "",
        password=password or "",
        port=read_port(port) if port else 0,
        scheme=scheme.lower(),
        params=_read_params(params) if params else (),
        headers=_read_headers(headers) if headers else (),
    )


def _escaped_sip(match: re.Match[str]) -> SipUri:
    found = _plain_sip(match)
    return msgspec.structs.replace(
        found,
        user=_unescape(found.user),
        password=_unescape(found.password),
        params=tuple(
            [
                (_unescape(name).lower(), None if value is None else _unescape(value))
                for name, value in found.params
            ]
        ),
        headers=tuple([(_unescape(name), _unescape(value)) for name, value in found.headers]),
    )


def read_port(text: str) -> int:
    """A port, written in digits; `RemoteProtocolError` if there is none of this number."""
    if not 0 < (port := int(text)) <= 65535:
        raise RemoteProtocolError(f"{text} is no port")
    return port


def read_ipv6(text: str) -> str:
    """An IPv6 address without its brackets, in small letters."""
    text = text.replace(":::", "::")
    try:
        if "%" in text:
            raise ValueError
        IPv6Address(text)
    except ValueError:
        raise _unreadable(text, "it is no IPv6 address") from None
    return text.lower()


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape")


def _read_params(text: str) -> Params:
    """Parameters as they were written, which escapes may have to be taken out of."""
    found = _COMMON_PARAMS.get(text)
    if found is not None:
        return found
    params: list[tuple[str, str | None]] = []
    for each in text[1:].split(";"):
        name, equals, value = each.partition("=")
        params.append((name.lower(), value if equals else None))
    return tuple(params)


# Nearly all that there are.
_COMMON_PARAMS: Final[dict[str, Params]] = {
    ";lr": (("lr", None),),
    ";user=phone": (("user", "phone"),),
    ";transport=udp": (("transport", "udp"),),
    ";transport=tcp": (("transport", "tcp"),),
    ";transport=tls": (("transport", "tls"),),
    ";ob": (("ob", None),),
}


def _read_headers(text: str) -> tuple[tuple[str, str], ...]:
    headers = []
    for each in text.split("&"):
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise RemoteProtocolError(f"a header in a URI is name=value, not {each[:40]!r}")
        headers.append((name, value))
    return tuple(headers)


@lru_cache(maxsize=512)  # as many as the calls of a moment have
def format_uri(uri: Uri) -> str:
    """The URI as text; what its place does not allow is escaped (§19.1.2).

    Raises `LocalProtocolError` for a host or number that no escape can mend.
    """
    match uri:
        case SipUri():
            return _format_sip(uri)
        case TelUri(number=number, params=params):
            text = f"tel:{number}{_format_params(params)}"
            if _TEL.fullmatch(text) is None:
                raise LocalProtocolError(f"{number!r} is no telephone number")
            return text
        case OtherUri(scheme="", rest=rest):
            return rest
        case OtherUri(scheme=scheme, rest=rest):
            return f"{scheme}:{rest}"


def _format_sip(uri: SipUri) -> str:
    if uri.user:
        user = _escape(uri.user, _USER_SAFE)
        if uri.password:
            user = f"{user}:{_escape(uri.password, _PASSWORD_SAFE)}"
        text = f"{uri.scheme}:{user}@{format_host(uri.host, uri.port)}"
    else:
        text = f"{uri.scheme}:{format_host(uri.host, uri.port)}"
    if uri.params:
        text += _format_params(uri.params)
    if uri.headers:
        text += "?" + "&".join(
            f"{_escape(name, _HEADER_SAFE)}={_escape(value, _HEADER_SAFE)}"
            for name, value in uri.headers
        )
    return text


@lru_cache(maxsize=512)  # each hop writes ours, and its peer's
def format_host(host: str, port: int = 0) -> str:
    """`host:port`, an IPv6 address in brackets, without the port if it is 0."""
    if _HOST.fullmatch(host) is None:
        try:
            read_ipv6(host)
        except RemoteProtocolError:
            raise LocalProtocolError(f"{host!r} is no host") from None
        host = f"[{host}]"
    return f"{host}:{port}" if port else host


def _escape(text: str, safe: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe)


def _format_params(params: Params) -> str:
    return "".join(
        [
            f";{_escape(name, _PARAM_SAFE)}"
            if value is None
            else f";{_escape(name, _PARAM_SAFE)}={_escape(value, _PARAM_SAFE)}"
            for name, value in params
        ]
    )


def equivalent(one: Uri, other: Uri) -> bool:
    """Whether two URIs are the same address: RFC 3261 §19.1.4 with RFC 5954, RFC 3966 §4."""
    match one, other:
        case SipUri(), SipUri():
            return _same_sip(one, other)
        case TelUri(), TelUri():
            return _same_tel(one, other)
        case _:
            return one == other


def _same_sip(one: SipUri, other: SipUri) -> bool:
    if (one.scheme, one.user, one.password, one.port) != (
        other.scheme,
        other.user,
        other.password,
        other.port,
    ):
        return False
    if _host_key(one.host) != _host_key(other.host):
        return False
    ours, theirs = _params_key(one.params), _params_key(other.params)
    if any(ours[name] != theirs[name] for name in ours.keys() & theirs.keys()):
        return False
    if (ours.keys() ^ theirs.keys()) & _TELLING:
        return False
    return _headers_key(one.headers) == _headers_key(other.headers)


def _same_tel(one: TelUri, other: TelUri) -> bool:
    return _number_key(one.number) == _number_key(other.number) and (
        {name: _context_key(name, value) for name, value in _params_key(one.params).items()}
        == {name: _context_key(name, value) for name, value in _params_key(other.params).items()}
    )


def _number_key(number: str) -> str:
    return number.translate(_SEPARATORS).lower()


def _context_key(name: str, value: str) -> str:
    """Separators count for nothing in a number; a context may be a domain, where they do."""
    if name == "ext" or (name == "phone-context" and value.startswith("+")):
        return _number_key(value)
    return value


def _host_key(host: str) -> str:
    if ":" not in host:
        return host.lower()
    try:
        return str(IPv6Address(host))
    except ValueError:
        return host.lower()


def _params_key(params: Params) -> dict[str, str]:
    return {name: (value or "").lower() for name, value in params}


def _headers_key(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in headers)
