"""Invariant: whatever octets come, over datagrams or a stream, reading them gives values.

- Nothing is raised, and what is refused has an answer that can be written, or none;
- a stream gives the same however it is cut, and what a datagram gives where both can tell;
- what was read is written so that it reads the same, in both ways of naming headers; or it can't
  be written, and then something in it was forgiven in reading;
- headers that stay text are read or named as the fault.
"""

import random
from collections.abc import Callable, Iterator
from typing import Final

from protocols.sip import headers as h
from protocols.sip.codec import (
    KeepAlive,
    Limits,
    Malformed,
    Names,
    StreamReader,
    encode,
    read_datagram,
)
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.message import Headers, Message, Request, Response
from protocols.sip.uri import equivalent, format_uri, parse_uri
from tests.vectors.torture import torture

SEEDS: Final = [each.wire for rfc in ("rfc4475", "rfc5118") for each in torture(rfc)]
LIMITS: Final = Limits(head=4096, lines=64, uri=512, body=2048)
_PIECES: Final = (
    b"\r\n", b"\r\n\r\n", b"\r\n ", b"\r", b"\n", b"\t", b" ", b"\0", b":", b";", b",", b'"',
    b"\\", b"<", b">", b"[", b"]", b"@", b"%", b"%00", b"=", b"?", b"*", b"SIP/2.0", b"SIP/2.0/UDP",
    b"sip:", b"tel:", b"\xff", b"\xc3\xa9", b"Via: ", b"v:", b"f:", b"Contact: *", b"l: 3\r\n",
    b"Content-Length: 99999999999\r\n", b"CSeq: 1 ACK\r\n", b";tag=", b";branch=", b"::", b"-1",
)  # fmt: skip
_READERS: Final[tuple[tuple[str, Callable[[Headers], object]], ...]] = (
    ("Require", lambda each: h.read_tokens(each, "Require")),
    ("Expires", lambda each: h.read_count(each, "Expires")),
    ("Accept", h.read_accept),
    ("Content-Type", h.read_content_type),
    ("Content-Disposition", h.read_content_disposition),
    ("Session-Expires", h.read_session_expires),
    ("Min-SE", h.read_min_se),
    ("RAck", h.read_rack),
    ("Reason", h.read_reason),
    ("Warning", h.read_warning),
    ("Retry-After", h.read_retry_after),
    ("Refer-To", lambda each: h.read_address(each, "Refer-To")),
    ("Path", lambda each: h.read_addresses(each, "Path")),
    ("P-Asserted-Identity", lambda each: h.read_identities(each, "P-Asserted-Identity")),
    ("Privacy", h.read_privacy),
    ("Replaces", h.read_replaces),
    ("Event", h.read_event),
    ("Subscription-State", h.read_subscription_state),
    ("Date", h.read_date),
)


def bent(chance: random.Random, octets: bytes) -> bytes:
    """The same message with some faults in it."""
    body = bytearray(octets)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(6):
            case 0:
                body[at:at] = chance.choice(_PIECES)
            case 1:
                del body[at : at + chance.randrange(1, 20)]
            case 2:
                body[at:at] = body[at : at + chance.randrange(1, 60)] * chance.randrange(1, 20)
            case 3:
                body[at : at + 1] = bytes([chance.randrange(256)])
            case 4:
                other = chance.choice(SEEDS)
                cut = chance.randrange(len(other))
                body[at:at] = other[cut : cut + chance.randrange(80)]
            case 5:
                del body[at:]
    return bytes(body)


def stream(chance: random.Random) -> bytes:
    """Some messages, good and bad, and signs of life between them."""
    pieces = []
    for _ in range(chance.randrange(1, 5)):
        pieces.append(bent(chance, chance.choice(SEEDS)))
        pieces.append(chance.choice((b"", b"", b"\r\n", b"\r\n\r\n", b"\r")))
    return b"".join(pieces)


def cuts(chance: random.Random, octets: bytes) -> Iterator[list[bytes]]:
    """The same stream whole, octet by octet, and in pieces of any size."""
    yield [octets]
    yield [octets[at : at + 1] for at in range(len(octets))]
    pieces, at = [], 0
    while at < len(octets):
        size = chance.choice((1, 2, 3, 4, 5, 100, 1000))
        pieces.append(octets[at : at + size])
        at += size
    yield pieces


def streamed(pieces: list[bytes]) -> list[Message | Malformed | KeepAlive]:
    reader = StreamReader(LIMITS)
    found: list[Message | Malformed | KeepAlive] = []
    for piece in pieces:
        reader.feed(piece)
        while (each := reader.next()) is not None:
            found.append(each)
    return found


def check_stream(chance: random.Random) -> None:
    octets = stream(chance)
    whole, *others = [streamed(pieces) for pieces in cuts(chance, octets)]
    for other in others:
        assert other == whole, "the cutting shows"
    for place, each in enumerate(whole):
        match each:
            case Malformed(recoverable=recoverable):
                assert recoverable or place == len(whole) - 1, "the stream went on"
                check_refused(each)
            case Request() | Response():
                check_written_again(each)


def check_datagram(chance: random.Random) -> None:
    octets = bent(chance, chance.choice(SEEDS))
    match read_datagram(octets, LIMITS):
        case Malformed() as refused:
            assert refused.octets and refused.recoverable
            check_refused(refused)
        case Request() | Response() as message:
            check_written_again(message)
            if len(message.body) <= LIMITS.body:
                (again,) = streamed([encode(message)])
                assert again == message, "datagram and stream differ"
        case None:
            assert not octets.strip(b"\r\n \t\0")


def check_refused(refused: Malformed) -> None:
    assert refused.reason and 400 <= refused.status <= 599
    refused.reason.encode("utf-8", "surrogateescape")
    if refused.answer is not None:
        octets = encode(refused.answer)
        assert octets.startswith(b"SIP/2.0 %d " % refused.status)
        assert octets.count(b"\r\n\r\n") == 1 and octets.endswith(b"\r\n\r\n")
        assert refused.answer.vias


def check_written_again(message: Message) -> None:
    for names in Names:
        assert read_datagram(encode(message, names=names)) == message
    for name, read in _READERS:
        try:
            read(message.headers)
        except RemoteProtocolError as error:
            assert error.header == name


def check_uri(chance: random.Random) -> None:
    text = bent(chance, chance.choice(SEEDS).split(b"\r\n")[0].split(b" ")[1])
    try:
        uri = parse_uri(text.decode("utf-8", "surrogateescape"))
    except RemoteProtocolError:
        return
    again = parse_uri(format_uri(uri))
    assert again == uri
    assert equivalent(uri, again)


def check_header(chance: random.Random) -> None:
    name, read = chance.choice(_READERS)
    line = chance.choice(chance.choice(SEEDS).split(b"\r\n")[1:6])
    text = bent(chance, line.partition(b":")[2]).decode("utf-8", "surrogateescape")
    try:
        read(Headers([(name, text)]))
    except RemoteProtocolError as error:
        assert error.header == name


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    check_stream(chance)
    check_datagram(chance)
    check_uri(chance)
    check_header(chance)
