"""Octets to SIP messages and back: strict in what routes a message, lazy in all the rest.

The start line, Via, From, To, Call-ID, CSeq, Max-Forwards, Route, Record-Route, Contact and
Content-Length are refused if they are wrong; other headers stay text until somebody asks
(`headers`). What can't be read is a value too: `Malformed` says why, and how to answer. Lines end
with CRLF and with nothing else (RFC 3261 §7); the header part is UTF-8 where it can be, and
whatever it is, it is written again as it was.
"""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.sip.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip.grammar import is_token
from protocols.sip.message import Headers, Message, NameAddr, Request, Response
from protocols.sip.parts import COMPACT, OTHERS, ROUTING, format_name_addr, format_via
from protocols.sip.reading import (
    MAX_CSEQ,
    MAX_HOPS,
    NOTHING,
    Head,
    answer_to,
    read_head,
    stated_length,
)
from protocols.sip.reading import Kind as Kind
from protocols.sip.reading import Limits as Limits
from protocols.sip.uri import format_uri

LIMITS: Final = Limits()

# What some send to keep a path open: line ends, spaces or NULs, and nothing else.
_IDLE: Final = b"\r\n \t\0"
_IDLE_STARTS: Final = frozenset({b"", *(bytes([each]) for each in _IDLE)})
_END: Final = b"\r\n\r\n"


class Malformed(msgspec.Struct, frozen=True, kw_only=True):
    """A message that can't be read; `header` is the one at fault, "" if it is none.

    `answer` is the response to send, None where silence is right: to a response, to an ACK, and
    where no Via says the way. What it could not read of From and To it repeats as it was, as a
    URI without a scheme; what was not there is such a URI without text, or an empty Call-ID, and
    is left out in writing. Its To has the request's tag or none: adding one is up to the caller.
    Only what is `recoverable` leaves a stream readable.
    """

    kind: Kind
    octets: bytes
    reason: str
    header: str
    status: int
    answer: Response | None
    recoverable: bool


class KeepAlive(StrEnum):
    """Line ends between messages (RFC 5626 §4.4.1), each reported once, however they came.

    `PONG` is a CRLF; `PING` is one right behind another, which is answered with one CRLF.
    """

    PING = "ping"
    PONG = "pong"


class Names(StrEnum):
    """How headers are called in what is written."""

    FULL = "full"
    COMPACT = "compact"


def read_datagram(octets: bytes, limits: Limits = LIMITS) -> Request | Response | Malformed | None:
    """The message in a datagram, None if it only keeps a path open (RFC 3261 §18.3).

    Octets behind the body are dropped; without Content-Length the body goes to the end.
    """
    if octets[:1] in _IDLE_STARTS:
        octets = octets.lstrip(_IDLE)
        if not octets:
            return None
    end = octets.find(_END, 0, limits.head)
    if end < 0:
        return _unended(octets, limits)
    head = read_head(octets[:end], limits)
    begin = end + 4
    length = len(octets) - begin if head.length is None else head.length
    if head.fault is None:
        if length > limits.body:
            head.fault = _too_large(length, limits)
        elif begin + length > len(octets):
            head.fault = RemoteProtocolError(
                f"Content-Length is {length}, and {len(octets) - begin} octets are there",
                header="Content-Length",
            )
        else:
            return head.message(octets[begin : begin + length])
    return _malformed(head, octets)


def _unended(octets: bytes, limits: Limits) -> Malformed:
    """A header part without its empty line; it may say where to answer all the same."""
    head = read_head(octets[: limits.head].removesuffix(b"\r\n"), limits)
    if len(octets) >= limits.head:
        head.fault = RemoteProtocolError(
            f"the header part is longer than {limits.head} octets", status=513
        )
    elif head.fault is None:
        head.fault = RemoteProtocolError("the header part has no end")
    return _malformed(head, octets)


def _too_large(length: int, limits: Limits) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"the body has {length} octets, {limits.body} are the limit",
        status=413,
        header="Content-Length",
    )


def _malformed(head: Head, octets: bytes, recoverable: bool = True) -> Malformed:
    fault = head.fault or RemoteProtocolError("it can't be read")
    return Malformed(
        kind=head.kind,
        octets=octets,
        reason=str(fault),
        header=fault.header,
        status=fault.status,
        answer=answer_to(head, fault.status),
        recoverable=recoverable,
    )


class StreamReader:
    """A stream of octets, cut into messages by Content-Length (RFC 3261 §18.3).

    `feed` what came, then ask for the `next` until None. Gives the same however the stream was
    cut, and holds at most one message and what was fed behind it. After a `Malformed` that is not
    recoverable there is nothing more.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0  # where the end of the header part can't begin before
        self._head: Head | None = None
        self._skipped = 0  # octets to come of the body of a malformed message
        self._idle = KeepAlive.PING
        self._readable = True

    def feed(self, octets: bytes) -> None:
        """Take octets as they came from the peer."""
        if self._readable:
            self._buffer += octets

    def next(self) -> Message | Malformed | KeepAlive | None:
        """The next message or sign of life, None until more octets are fed."""
        buffer = self._buffer
        if self._skipped:
            dropped = min(self._skipped, len(buffer))
            del buffer[:dropped]
            self._skipped -= dropped
        if self._head is None:
            if buffer[:2] == b"\r\n":
                del buffer[:2]
                ping = self._idle is KeepAlive.PONG
                self._idle = KeepAlive.PING if ping else KeepAlive.PONG
                return self._idle
            refused = self._take_head()
            if refused is not None:
                return refused
        head = self._head
        if head is None or head.length is None or len(buffer) < head.length:
            return None
        body = bytes(buffer[: head.length])
        del buffer[: head.length]
        self._head = None
        return head.message(body)

    def _take_head(self) -> Malformed | None:
        """Read the header part once it is whole; a `Malformed` if that is the end of it."""
        buffer, limits = self._buffer, self._limits
        end = buffer.find(_END, self._searched, limits.head)
        if end < 0:
            if len(buffer) >= limits.head:
                return self._give_up(_unended(bytes(buffer[: limits.head]), limits))
            self._searched = max(0, len(buffer) - 3)
            return None
        octets = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        self._searched = 0
        self._idle = KeepAlive.PING
        head = read_head(octets[:end], limits)
        if head.fault is None:
            self._check_length(head)
            if head.fault is None:
                self._head = head
                return None
            return self._give_up(_malformed(head, octets, recoverable=False))
        length = stated_length(head)
        if head.kind is Kind.NOISE or length is None or length > limits.body:
            return self._give_up(_malformed(head, octets, recoverable=False))
        self._skipped = length
        return _malformed(head, octets)

    def _check_length(self, head: Head) -> None:
        """Without a length, or with one that is not taken, nobody knows what comes next."""
        if head.length is None:
            head.fault = RemoteProtocolError(
                "a stream has no message without Content-Length", header="Content-Length"
            )
        elif head.length > self._limits.body:
            head.fault = _too_large(head.length, self._limits)

    def _give_up(self, last: Malformed) -> Malformed:
        self._readable = False
        self._buffer.clear()
        return msgspec.structs.replace(last, recoverable=False)


def encode(message: Message, *, names: Names = Names.FULL) -> bytes:
    """The octets of a message; its Content-Length is that of its body.

    Raises `LocalProtocolError` for what the specification forbids: numbers out of range, a header
    that has a field of its own, a line end in a value.
    """
    lines = [_start_line(message)]
    _write_routing(lines, message)
    _write_others(lines, message.headers)
    lines.append(f"Content-Length: {len(message.body)}")
    if names is Names.COMPACT:
        lines[1:] = [_compact(line) for line in lines[1:]]
    return b"%b\r\n\r\n%b" % (_joined(lines), message.body)


def check_said(headers: Headers, *, reason: str = "", contacts: tuple[NameAddr, ...] = ()) -> None:
    """Raise `LocalProtocolError` if `encode` would, of a message that says this."""
    lines = [reason, *[format_name_addr(each) for each in contacts]]
    _write_others(lines, headers)
    _joined(lines)


def _joined(lines: list[str]) -> bytes:
    said = "".join(lines)
    if "\n" in said or "\r" in said:
        raise LocalProtocolError(f"a line end stands in the header part: {said[:200]!r}")
    try:
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"the header part is no text: {error}") from error


def _start_line(message: Message) -> str:
    if isinstance(message, Response):
        if not 100 <= message.status <= 699:
            raise LocalProtocolError(f"a status is 100 to 699, not {message.status}")
        return f"SIP/2.0 {message.status} {message.reason}"
    if not is_token(message.method):
        raise LocalProtocolError(f"{message.method!r} is no method")
    if not 0 <= message.cseq <= MAX_CSEQ:
        raise LocalProtocolError(f"CSeq is 0 to {MAX_CSEQ}, not {message.cseq}")
    if not 0 <= message.max_forwards <= MAX_HOPS:
        raise LocalProtocolError(f"Max-Forwards is 0 to {MAX_HOPS}, not {message.max_forwards}")
    return f"{message.method} {format_uri(message.uri)} SIP/2.0"


def _write_routing(lines: list[str], message: Message) -> None:
    """What a message has fields for, but its length, in the order in which it is written."""
    for via in message.vias:
        lines.append(f"Via: {format_via(via)}")
    if message.from_.uri != NOTHING:
        lines.append(f"From: {format_name_addr(message.from_)}")
    if message.to.uri != NOTHING:
        lines.append(f"To: {format_name_addr(message.to)}")
    if message.call_id:
        lines.append(f"Call-ID: {message.call_id}")
    lines.append(f"CSeq: {message.cseq} {message.method}")
    if isinstance(message, Request):
        lines.append(f"Max-Forwards: {message.max_forwards}")
        for each in message.routes:
            lines.append(f"Route: {format_name_addr(each)}")
    for each in message.record_routes:
        lines.append(f"Record-Route: {format_name_addr(each)}")
    for each in message.contacts:
        lines.append(f"Contact: {format_name_addr(each)}")


def _write_others(lines: list[str], headers: Headers) -> None:
    for name, value in headers:
        if name not in OTHERS and (name in ROUTING or not is_token(name)):
            raise LocalProtocolError(f"{name!r} does not stand among the other headers")
        lines.append(f"{name}: {value}")


def _compact(line: str) -> str:
    name, _, value = line.partition(":")
    return f"{COMPACT.get(name, name)}:{value}"
