"""The parts of a message that route it, as text and as values; and how headers are called.

Via, and the headers that hold addresses: From, To, Contact, Route, Record-Route and their
likes (RFC 3261 §20). What can't be read raises `RemoteProtocolError`.
"""

import re
from contextlib import suppress
from functools import lru_cache
from typing import Final

from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.grammar import (
    MAX_ELEMENTS,
    format_params,
    is_token,
    quote,
    read_params,
    read_prefix_params,
    split_list,
    unescape,
)
from protocols.sip.message import NameAddr, Via
from protocols.sip.uri import (
    STAR,
    OtherUri,
    Params,
    SipUri,
    format_host,
    format_uri,
    parse_uri,
    read_ipv6,
    read_port,
)

# The headers that `codec` reads; they stand in fields and never among a message's `headers`.
ROUTING: Final = frozenset(
    {
        "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Route", "Record-Route",
        "Contact", "Content-Length",
    }
)  # fmt: skip
_KNOWN: Final = (
    *sorted(ROUTING), "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language",
    "Alert-Info", "Allow", "Allow-Events", "Authentication-Info", "Authorization", "Call-Info",
    "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Date",
    "Diversion", "Error-Info", "Event", "Expires", "Flow-Timer", "Geolocation",
    "History-Info", "Identity", "Identity-Info", "Info-Package", "In-Reply-To", "Join",
    "MIME-Version", "Max-Breadth", "Min-Expires", "Min-SE", "Organization",
    "P-Access-Network-Info", "P-Asserted-Identity", "P-Called-Party-ID", "P-Charging-Vector",
    "P-Early-Media", "P-Preferred-Identity", "Path", "Priority", "Privacy",
    "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Require",
    "RAck", "RSeq", "Reason", "Recv-Info", "Refer-Sub", "Refer-To", "Referred-By", "Reject-Contact",
    "Remote-Party-ID", "Replaces", "Reply-To", "Request-Disposition", "Require",
    "Resource-Priority", "Retry-After", "SIP-ETag", "SIP-If-Match", "Server", "Service-Route",
    "Session-Expires", "Session-ID", "Subject", "Subscription-State", "Supported", "Target-Dialog",
    "Timestamp", "Unsupported", "User-Agent", "User-to-User", "WWW-Authenticate", "Warning",
)  # fmt: skip
OTHERS: Final = frozenset(_KNOWN) - ROUTING
"""The names that are known of headers which stand among a message's `headers`."""

COMPACT: Final[dict[str, str]] = {
    "Accept-Contact": "a",
    "Referred-By": "b",
    "Content-Type": "c",
    "Request-Disposition": "d",
    "Content-Encoding": "e",
    "From": "f",
    "Call-ID": "i",
    "Reject-Contact": "j",
    "Supported": "k",
    "Content-Length": "l",
    "Contact": "m",
    "Identity-Info": "n",
    "Event": "o",
    "Refer-To": "r",
    "Subject": "s",
    "To": "t",
    "Allow-Events": "u",
    "Via": "v",
    "Session-Expires": "x",
    "Identity": "y",
}
"""The short names of headers (§7.3.3 and the registry of IANA)."""

# The usual ways to write a name; `canonical` knows the others.
SPELLINGS: Final[dict[str, str]] = {
    **{name: name for name in _KNOWN},
    **{name.lower(): name for name in _KNOWN},
    **{short: name for name, short in COMPACT.items()},
}

_VIA: Final = re.compile(
    r"SIP[ \t]*+/[ \t]*+([0-9.]++)[ \t]*+/[ \t]*+([A-Z0-9\-.!%*_+`'~]++)[ \t]++"
    r"(\[[0-9A-F:.]++\]|[A-Z0-9._\-]++)[ \t]*+(?::[ \t]*+([0-9]{1,5})[ \t]*+)?",
    re.IGNORECASE | re.ASCII,
)
# A display name in quotes, or without them more than tokens: phones write what they please, as
# long as it can't be taken for an address.
_IN_BRACKETS: Final = re.compile(
    r'(?:"((?:[^"\\]++|\\.)*)"[ \t]*+|([^\x00-\x08\x0a-\x1f\x7f"<>,;\\]*+))<([^<>]*+)>', re.DOTALL
)

ALL_CONTACTS: Final = (NameAddr(uri=STAR),)


def canonical(name: str) -> str | None:
    """`From` for `from`, `f` or `FROM`; a name that is not known as it is; None if it is none."""
    found = SPELLINGS.get(name)
    if found is not None:
        return found
    name = name.rstrip(" \t")
    found = SPELLINGS.get(name.lower())
    if found is not None:
        return found
    return name if is_token(name) else None


def read_via(text: str) -> Via:
    """One Via (§20.42), its parameters as they were written."""
    match = _VIA.match(text)
    if match is None:
        raise RemoteProtocolError(f"a hop can't be read: {text[:60]!r}")
    if match[1] != "2.0":
        raise RemoteProtocolError(f"a hop speaks SIP/{match[1][:20]}")
    end = match.end()
    return _hop(match, read_params(text, end) if end < len(text) else ())


def salvage_via(text: str) -> Via | None:
    """As much of a Via as an answer needs to find its way; None if not even that can be read."""
    match = _VIA.match(text)
    if match is None:
        return None
    try:
        return _hop(match, read_prefix_params(text[match.end() :]))
    except RemoteProtocolError:
        return None


def _hop(match: re.Match[str], params: Params) -> Via:
    _, transport, host, port = match.groups()
    return Via(
        transport=transport.upper(),
        host=read_ipv6(host[1:-1]) if host[0] == "[" else host.lower(),
        port=read_port(port) if port else 0,
        params=params,
    )


def format_via(via: Via) -> str:
    """`SIP/2.0/UDP host:port;branch=…`."""
    host = format_host(via.host, via.port)
    return f"SIP/2.0/{via.transport} {host}{format_params(via.params)}"


def read_vias(lines: list[str]) -> tuple[Via, ...]:
    """All hops, the nearest first."""
    if len(lines) == 1 and "," not in lines[0]:
        return (read_via(lines[0]),)
    return tuple([read_via(each) for each in _elements(lines)])


def _elements(lines: list[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        values = split_list(line)
        if not values:
            raise RemoteProtocolError("it has no value")
        found += values
    if len(found) > MAX_ELEMENTS:
        raise RemoteProtocolError(f"there are {len(found)} of it, {MAX_ELEMENTS} are the limit")
    return found


def read_name_addr(text: str) -> NameAddr:
    """An address in any of its forms (§20.10): `"A" <sip:a@b>;x=y`, `A <sip:a@b>`, `sip:a@b;x=y`.

    Without <> all parameters are the header's, and the URI has none of `,`, `;` and `?`.
    """
    return _known_address(text) if len(text) <= _COMMON_LENGTH else _parse_address(text)


def _parse_address(text: str) -> NameAddr:
    match = _IN_BRACKETS.match(text)
    if match is None:
        return _read_addr_spec(text)
    quoted, bare, uri = match.groups()
    display = unescape(quoted) if quoted else bare.rstrip(" \t") if bare else ""
    end = match.end()
    params = read_params(text, end) if end < len(text) else ()
    return NameAddr(uri=parse_uri(uri), display=display, params=params)


# Every message of a dialog has the same ones, four in most: as many as 500 calls have.
_known_address: Final = lru_cache(maxsize=2048)(_parse_address)
_COMMON_LENGTH: Final = 200


def _read_addr_spec(text: str) -> NameAddr:
    if "<" in text or '"' in text:
        raise RemoteProtocolError(f"no display name and <URI>: {text[:60]!r}")
    end = text.find(";")
    bare = text if end < 0 else text[:end].rstrip(" \t")
    if "?" in bare or "," in bare:
        raise RemoteProtocolError(f"a URI with , or ? is written in <>: {text[:60]!r}")
    return NameAddr(uri=parse_uri(bare), params=read_params(text, end) if end >= 0 else ())


def read_name_addrs(lines: list[str]) -> tuple[NameAddr, ...]:
    """Addresses of all lines of a header."""
    if len(lines) == 1 and "," not in lines[0]:
        return (read_name_addr(lines[0]),)
    return tuple([read_name_addr(each) for each in _elements(lines)])


def read_contacts(lines: list[str]) -> tuple[NameAddr, ...]:
    """Contacts, or `*` alone (§10.2.2)."""
    return ALL_CONTACTS if lines == ["*"] else read_name_addrs(lines)


def read_answered_contacts(lines: list[str]) -> tuple[NameAddr, ...]:
    """Those of a response's contacts that can be read.

    A response that is not taken is worse than one that says less: nobody can tell its sender.
    """
    try:
        return read_contacts(lines)
    except RemoteProtocolError:
        return tuple(found for line in lines for found in _readable(line))


def _readable(line: str) -> list[NameAddr]:
    found: list[NameAddr] = []
    with suppress(RemoteProtocolError):
        for element in split_list(line):
            with suppress(RemoteProtocolError):
                found.append(read_name_addr(element))
    return found


def read_routes(lines: list[str]) -> tuple[NameAddr, ...]:
    """Route or Record-Route: addresses in <> alone (§20.34)."""
    routes = read_name_addrs(lines)
    if not all(isinstance(each.uri, SipUri) for each in routes):
        raise RemoteProtocolError("a route is a SIP URI")
    return routes


# As many as the calls of a moment have, four each; none is longer than a header part.
@lru_cache(maxsize=2048)
def format_name_addr(value: NameAddr) -> str:
    """The address with <> around its URI; a URI without a scheme (`*`, raw text) stands bare."""
    match value.uri:
        case OtherUri(scheme="", rest=text):
            if value.display:
                raise LocalProtocolError(f"{text[:60]!r} takes no display name")
        case uri:
            text = f"<{format_uri(uri)}>"
            if value.display:
                text = f"{quote(value.display)} {text}"
    return text + format_params(value.params) if value.params else text
