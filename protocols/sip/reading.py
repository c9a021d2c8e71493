"""How the header part of a SIP message is read; `codec` cuts the octets and gives the values.

What routes a message is read strictly and becomes its fields; all else stays text. A fault does
not end the reading: whatever could be read still makes the answer to a request that could not.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import msgspec

from protocols.sip.errors import RemoteProtocolError
from protocols.sip.grammar import TOKEN_CHARACTERS, is_token, read_number, split_list
from protocols.sip.message import Headers, NameAddr, Request, Response, Via
from protocols.sip.parts import (
    ALL_CONTACTS,
    ROUTING,
    SPELLINGS,
    canonical,
    read_answered_contacts,
    read_contacts,
    read_name_addr,
    read_routes,
    read_vias,
    salvage_via,
)
from protocols.sip.status import phrase
from protocols.sip.uri import OtherUri, SipUri, parse_uri

MAX_CSEQ: Final = 2**32 - 1
MAX_HOPS: Final = 255
MAX_LENGTH: Final = 2**31 - 1

_VERSION: Final = re.compile(r"SIP/[0-9]{1,9}\.[0-9]{1,9}", re.IGNORECASE | re.ASCII)
_REQUEST_LINE: Final = re.compile(
    rf"([{TOKEN_CHARACTERS}]++) ([^ ]++) SIP/2\.0", re.IGNORECASE | re.ASCII
)
_STATUS_LINE: Final = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.ASCII)
_CSEQ: Final = re.compile(r"([0-9]{1,64})[ \t]++([^ \t]++)")
_CALL_ID: Final = re.compile(r"[^\x00-\x20\x7f]++")
_FOLD: Final = re.compile(r"\n[ \t]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

NOTHING: Final = OtherUri(scheme="", rest="")
"""Stands in an answer for an address that the request did not have; it is not written."""

_Lines = dict[str, list[str]]
# A header, its field, whether it may be there more than once, how its line or lines are read.
_Reader = tuple[str, str, bool, Callable[[Any], Any]]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is read: octets of the header part, of the request's URI and of the body; lines."""

    head: int = 16 * 1024
    lines: int = 256
    uri: int = 4096
    body: int = 64 * 1024


class Kind(StrEnum):
    """What a message that can't be read was meant to be, as far as its start line tells."""

    REQUEST = "request"
    RESPONSE = "response"
    NOISE = "noise"


class Head:
    """A header part as it was read: all of a message but its body, or what is wrong with it."""

    __slots__ = ("fault", "fields", "kind", "length", "lines", "method")

    def __init__(self) -> None:
        self.kind = Kind.NOISE
        self.method = ""  # of the request line
        self.lines: _Lines = {}  # the values of each header that routes, one for each line
        self.length: int | None = None
        self.fields: dict[str, Any] = {}
        self.fault: RemoteProtocolError | None = None

    def message(self, body: bytes) -> Request | Response:
        """The message, of a header part without a fault."""
        declared: type[Request | Response] = Request if self.kind is Kind.REQUEST else Response
        return declared(body=body, **self.fields)


def read_head(octets: bytes, limits: Limits) -> Head:
    """Read a header part without its empty line."""
    head = Head()
    text = octets.decode("utf-8", "surrogateescape")
    lines = text.split("\r\n")
    joined = "".join(lines)
    if _FOLD.search(text):
        lines = _unfold(lines)
    start = lines[0]
    head.kind = _kind_of(start)
    try:
        if "\r" not in joined and "\n" not in joined:
            others = _sort_lines(lines, head.lines, limits)
        else:
            _sort_lines([_CONTROL.sub(" ", line) for line in lines], head.lines, limits)
            raise RemoteProtocolError("a CR or LF stands alone in the header part")
        if head.kind is Kind.RESPONSE:
            _read_status_line(head, start)
            _read_fields(head, _OF_RESPONSE)
        else:
            _read_request_line(head, start, limits)
            _read_fields(head, _OF_REQUEST)
        head.fields["headers"] = Headers(others)
    except RemoteProtocolError as error:
        # Without its traceback, which would hold all of this until cycles are looked for.
        head.fault = RemoteProtocolError(str(error), status=error.status, header=error.header)
    return head


def _kind_of(start: str) -> Kind:
    if start[:4].upper() == "SIP/":
        return Kind.RESPONSE
    if start[-8:] == " SIP/2.0" or _VERSION.search(start):
        return Kind.REQUEST
    return Kind.NOISE


def _unfold(lines: list[str]) -> list[str]:
    """Put continued lines together: a line end and the blanks around it are one space (§7.3.1)."""
    whole: list[list[str]] = []
    for line in lines:
        if whole and line[:1] in (" ", "\t"):
            whole[-1].append(line.strip(" \t"))
        else:
            whole.append([line])
    return [
        parts[0] if len(parts) == 1 else " ".join([parts[0].rstrip(" \t"), *parts[1:]])
        for parts in whole
    ]


def _sort_lines(lines: list[str], routing: _Lines, limits: Limits) -> list[tuple[str, str]]:
    """Put the values that route into `routing` by name; all others with their names, in order."""
    others: list[tuple[str, str]] = []
    spelled = SPELLINGS.get
    fault, status = "", 400
    if len(lines) - 1 > limits.lines:
        fault, status = f"there are {len(lines) - 1} headers, {limits.lines} are the limit", 513
        del lines[limits.lines + 1 :]  # those before may say the way back
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        known = spelled(name) or canonical(name)
        if not colon or known is None:
            fault = fault or f"{line[:60]!r} is no header"
        elif known not in ROUTING:
            others.append((known, value.strip(" \t")))
        elif known in routing:
            routing[known].append(value.strip(" \t"))
        else:
            routing[known] = [value.strip(" \t")]
    if fault:
        raise RemoteProtocolError(fault, status=status)
    return others


def _read_request_line(head: Head, line: str, limits: Limits) -> None:
    """`METHOD URI SIP/2.0` with one space between (§7.1)."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        words = line.split(" ")
        head.method = words[0]
        if _VERSION.fullmatch(words[-1]) and words[-1].upper() != "SIP/2.0":
            raise RemoteProtocolError(f"{words[-1]} is another protocol", status=505)
        raise RemoteProtocolError(f"{line[:60]!r} is no request line")
    method, target = match.groups()
    head.method = method
    if len(target) > limits.uri:
        raise RemoteProtocolError(
            f"the URI has {len(target)} octets, {limits.uri} are the limit", status=414
        )
    uri = parse_uri(target)
    if isinstance(uri, SipUri) and uri.headers:
        raise RemoteProtocolError("the URI of a request has no headers")
    head.fields["method"] = method
    head.fields["uri"] = uri


def _read_status_line(head: Head, line: str) -> None:
    """`SIP/2.0 200 OK`; the phrase may be empty, and the space before it left out (§7.2)."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise RemoteProtocolError(f"{line[:60]!r} is no status line")
    head.fields["status"] = int(match[1])
    head.fields["reason"] = match[2] or ""


def _read_fields(head: Head, readers: tuple[_Reader, ...]) -> None:
    """Read the headers that route; a fault is said to be that of the header it was found in."""
    lines, fields = head.lines, head.fields
    header = "Content-Length"
    try:
        if header in lines:
            head.length = _read_length(lines[header])
        for header, field, repeats, read in readers:
            values = lines.get(header)
            if values is None:
                if header in _REQUIRED:
                    raise RemoteProtocolError("it is missing")
            elif repeats:
                fields[field] = read(values)
            elif len(values) == 1:
                fields[field] = read(values[0])
            else:
                raise _repeated(values)
        header = "CSeq"
        _settle_method(fields)
        header = "Contact"
        _check_contacts(fields)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(
            f"{header}: {error}", status=error.status, header=header
        ) from error


def _settle_method(fields: dict[str, Any]) -> None:
    """The method of CSeq is a request's own, and says what a response is to (§8.1.1.5)."""
    fields["cseq"], method = fields["cseq"]
    if fields.setdefault("method", method) != method:
        raise RemoteProtocolError(f"it says {method[:40]}, the request is {fields['method'][:40]}")


def _check_contacts(fields: dict[str, Any]) -> None:
    if fields.get("contacts") is ALL_CONTACTS and fields["method"] != "REGISTER":
        raise RemoteProtocolError("* is a contact of REGISTER alone")


def _repeated(values: list[str]) -> RemoteProtocolError:
    return RemoteProtocolError(f"it is there {len(values)} times")


def _read_length(values: list[str]) -> int:
    if len(values) != 1:
        raise _repeated(values)
    return read_number(values[0], MAX_LENGTH)


def _read_call_id(value: str) -> str:
    if _CALL_ID.fullmatch(value) is None:
        raise RemoteProtocolError(f"it is one word, not {value[:60]!r}")
    return value


def _read_cseq(value: str) -> tuple[int, str]:
    return _known_cseq(value) if len(value) <= _COMMON_CSEQ else _parse_cseq(value)


def _parse_cseq(value: str) -> tuple[int, str]:
    match = _CSEQ.fullmatch(value)
    if match is None or not is_token(match[2]):
        raise RemoteProtocolError(f"{value[:60]!r} is no number and method")
    return read_number(match[1], MAX_CSEQ), match[2]


# Dialogs are short, and nearly all begin to count at the same number.
_known_cseq: Final = lru_cache(maxsize=512)(_parse_cseq)
_COMMON_CSEQ: Final = 20


def _read_max_forwards(value: str) -> int:
    return read_number(value, MAX_HOPS)


_REQUIRED: Final = frozenset({"Via", "From", "To", "Call-ID", "CSeq"})
_OF_RESPONSE: Final[tuple[_Reader, ...]] = (
    ("Via", "vias", True, read_vias),
    ("CSeq", "cseq", False, _read_cseq),
    ("From", "from_", False, read_name_addr),
    ("To", "to", False, read_name_addr),
    ("Call-ID", "call_id", False, _read_call_id),
    ("Record-Route", "record_routes", True, read_routes),
    ("Contact", "contacts", True, read_answered_contacts),
)
_OF_REQUEST: Final[tuple[_Reader, ...]] = (
    *_OF_RESPONSE[:-1],
    ("Contact", "contacts", True, read_contacts),
    ("Max-Forwards", "max_forwards", False, _read_max_forwards),
    ("Route", "routes", True, read_routes),
)


def answer_to(head: Head, status: int) -> Response | None:
    """The response to a request that can't be read, out of what can be (§8.2.6.2)."""
    if head.kind is not Kind.REQUEST:
        return None
    vias = _salvage_vias(head.lines.get("Via", []))
    number, method = _salvage_cseq(head)
    if not vias or "ACK" in (head.method, method):
        return None
    call_id = head.lines.get("Call-ID", [""])[0]
    return Response(
        status=status,
        reason=phrase(status),
        method=method,
        vias=vias,
        from_=_salvage_address(head.lines.get("From")),
        to=_salvage_address(head.lines.get("To")),
        call_id=call_id,
        cseq=number,
    )


def _salvage_vias(lines: list[str]) -> tuple[Via, ...]:
    """The hops up to the first that can't be read at all."""
    vias: list[Via] = []
    for line in lines:
        try:
            elements = split_list(line)
        except RemoteProtocolError:
            elements = line.split(",", 1)[:1]
        for element in elements:
            via = salvage_via(element)
            if via is None:
                return tuple(vias)
            vias.append(via)
    return tuple(vias)


def _salvage_address(lines: list[str] | None) -> NameAddr:
    text = lines[0] if lines else ""
    try:
        return read_name_addr(text)
    except RemoteProtocolError:
        return NameAddr(uri=OtherUri(scheme="", rest=text))


def _salvage_cseq(head: Head) -> tuple[int, str]:
    match = _CSEQ.match(head.lines.get("CSeq", [""])[0])
    return (int(match[1]), match[2]) if match else (0, head.method or "UNKNOWN")


def stated_length(head: Head) -> int | None:
    """What Content-Length says in a header part with a fault, if it says it once."""
    try:
        return _read_length(head.lines.get("Content-Length", []))
    except RemoteProtocolError:
        return None
