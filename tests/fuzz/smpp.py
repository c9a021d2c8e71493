"""Invariant: no octets from a peer raise, and how they are cut changes neither events nor answers.

More exactly, for any stream of octets:

- `Decoder` gives frames and `Malformed`, never an exception, the same ones whole, octet by octet
  and cut at random; only a `Malformed` that is not recoverable ends the stream;
- a PDU that was read is written again or refused with `LocalProtocolError`, and what was written
  reads as the same PDU;
- a `Session` of either role in any state never raises, gives the same events and writes the same
  octets however the stream is cut, writes only PDUs that are understood, closes at most once, and
  obeys no command after that but with `LocalProtocolError`.
"""

import random
import struct
from collections.abc import Callable, Iterator

from protocols.smpp.codec import Decoder, Frame, Malformed, encode, fields_of
from protocols.smpp.constants import RESPONSE, CommandId
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.events import BindRequested, Closed, Event, RequestReceived
from protocols.smpp.fields import COctetString, Integer, Time
from protocols.smpp.pdu import (
    PDUS,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DeliverSm,
    DeliverSmResp,
    Outbind,
    Pdu,
    SubmitSm,
    SubmitSmResp,
)
from protocols.smpp.session import Role, Session, SessionConfig
from protocols.smpp.tlv import TLVS

MAX_PDU = 2048
NOW = 1000.0
CONFIG = SessionConfig(window=3, late_memory=2, max_pdu=MAX_PDU, inactivity_timeout=90)


def pdu(chance: random.Random) -> Pdu:
    """Any PDU; most of them good."""
    declared = chance.choice(list(PDUS.values()))
    values: dict[str, object] = {}
    for name, field in fields_of(declared).items():
        match field:
            case Integer():
                values[name] = chance.randrange(256)
            case Time():
                values[name] = chance.choice(("", "261120193800041+"))
            case COctetString():
                size = chance.randrange(field.maximum)
                values[name] = "".join(chr(chance.randrange(1, 256)) for _ in range(size))
            case _:
                values[name] = chance.randbytes(chance.randrange(255))
    tlvs = tuple(tlv(chance) for _ in range(chance.choice((0, 0, 1, 3))))
    return declared(tlvs=tlvs, **values)


def tlv(chance: random.Random) -> tuple[int, bytes]:
    tag = chance.choice((*TLVS, chance.randrange(65536)))
    return tag, chance.randbytes(chance.randrange(12))


def loose(value: Pdu, number: int, status: int) -> bytes:
    """The octets of a PDU whose TLVs need not be right."""
    if getattr(value, "short_message", b""):
        kept = tuple(pair for pair in value.tlvs if pair[0] != 0x0424)
    else:
        kept = value.tlvs
    fields = {name: getattr(value, name) for name in fields_of(type(value))}
    octets = encode(type(value)(**fields), sequence_number=number, command_status=status)
    for tag, content in kept:
        octets += struct.pack(">HH", tag, len(content)) + content
    return struct.pack(">I", len(octets)) + octets[4:]


def bent(chance: random.Random, octets: bytes) -> bytes:
    """The same PDU with one fault in it; its length is put right more often than not."""
    at = chance.randrange(len(octets))
    match chance.randrange(7):
        case 0:
            octets = octets[:at]
        case 1:
            octets = octets[:at] + chance.randbytes(chance.randrange(1, 9)) + octets[at:]
        case 2:
            octets = octets[:at] + bytes([octets[at] ^ 1 << chance.randrange(8)]) + octets[at + 1 :]
        case 3:
            octets = octets.replace(b"\0", b"\x01", chance.randrange(1, 4))
        case 4:
            octets = octets[:at] + octets[at + chance.randrange(1, 9) :]
        case 5:
            octets = octets[:4] + chance.randbytes(4) + octets[8:]
        case _:
            octets = chance.randbytes(chance.randrange(1, 40))
    if len(octets) >= 16 and chance.random() < 0.9:
        octets = struct.pack(">I", len(octets)) + octets[4:]
    return octets


def stream(chance: random.Random) -> bytes:
    """Some PDUs, good and bad."""
    pieces = []
    for _ in range(chance.randrange(1, 8)):
        status = chance.choice((0, 0, 8, 0x58, 0x400))
        octets = loose(pdu(chance), chance.choice((1, 2, 3, 4, 0x7FFF_FFFF)), status)
        pieces.append(bent(chance, octets) if chance.random() < 0.5 else octets)
    return b"".join(pieces)


def cuts(chance: random.Random, octets: bytes) -> Iterator[list[bytes]]:
    """The same stream whole, octet by octet, and in pieces of any size."""
    yield [octets] if octets else []  # feeding nothing says that the peer closed
    yield [octets[at : at + 1] for at in range(len(octets))]
    pieces, at = [], 0
    while at < len(octets):
        size = chance.choice((1, 3, 4, 15, 16, 17, 100))
        pieces.append(octets[at : at + size])
        at += size
    yield pieces


def decoded(pieces: list[bytes]) -> list[Frame | Malformed]:
    decoder = Decoder(MAX_PDU)
    frames: list[Frame | Malformed] = []
    for piece in pieces:
        decoder.feed(piece)
        while (frame := decoder.next_frame()) is not None:
            frames.append(frame)
    return frames


def check_codec(chance: random.Random) -> None:
    octets = stream(chance)
    whole, *others = [decoded(pieces) for pieces in cuts(chance, octets)]
    for other in others:
        assert other == whole, "the cutting shows"
    for place, frame in enumerate(whole):
        if isinstance(frame, Malformed):
            assert frame.reason
            assert frame.recoverable or place == len(whole) - 1, "the stream went on"
        else:
            check_written_again(frame)


def check_written_again(frame: Frame) -> None:
    try:
        octets = encode(
            frame.pdu, sequence_number=frame.sequence_number, command_status=frame.command_status
        )
    except LocalProtocolError:
        return  # what is forgiven on reading is not written
    (again,) = decoded([octets])
    assert isinstance(again, Frame)
    assert again.pdu == frame.pdu
    assert again.sequence_number == frame.sequence_number


def session(chance: random.Random) -> Callable[[], Session]:
    """Makes sessions in one state, the same at each call."""
    role = chance.choice(list(Role))
    declared = chance.choice((BindReceiver, BindTransmitter, BindTransceiver))
    steps = chance.randrange(6)

    def make() -> Session:
        made = Session(role, CONFIG, NOW)
        if role is Role.ESME:
            advance_esme(made, declared, steps)
        else:
            advance_smsc(made, declared, steps)
        while made.next_event() is not None:
            pass
        made.data_to_send()
        return made

    return make


def advance_esme(
    made: Session, declared: type[BindReceiver | BindTransmitter | BindTransceiver], steps: int
) -> None:
    if steps == 1:
        made.receive_data(encode(Outbind(), sequence_number=1), NOW)
    if steps >= 2:
        made.bind(declared(), NOW)
    if steps >= 3:
        response = PDUS[declared.command_id | RESPONSE]()
        made.receive_data(encode(response, sequence_number=1), NOW)
    if steps >= 4 and declared is not BindReceiver:
        made.request(SubmitSm(), NOW)
        made.request(SubmitSm(), NOW + 1)
        made.handle_timer(NOW + 10)  # one of them is late
    if steps == 5:
        made.unbind(NOW)


def advance_smsc(
    made: Session, declared: type[BindReceiver | BindTransmitter | BindTransceiver], steps: int
) -> None:
    if steps == 1:
        made.outbind(Outbind(), NOW)
    if steps >= 2:
        made.receive_data(encode(declared(), sequence_number=1), NOW)
    if steps >= 3:
        made.accept_bind(1, "smsc", NOW)
    if steps >= 4 and declared is not BindTransmitter:
        made.request(DeliverSm(), NOW)
        made.request(DeliverSm(), NOW + 1)
        made.handle_timer(NOW + 10)
    if steps == 5:
        made.unbind(NOW)


def driven(made: Session, pieces: list[bytes]) -> tuple[list[Event], bytes]:
    """What a session does with a stream, its application answering all it may."""
    events: list[Event] = []
    written = b""
    for piece in pieces:
        made.receive_data(piece, NOW + 1)
        while (event := made.next_event()) is not None:
            events.append(event)
        written += made.data_to_send()
    return events, written


def check_session(chance: random.Random) -> None:
    octets = stream(chance)
    make = session(chance)
    results = []
    for pieces in cuts(chance, octets):
        made = make()
        results.append((driven(made, pieces), made.state, made.timer(), made.window_free))
    whole, *others = results
    for other in others:
        assert other == whole, "the cutting shows"
    (events, written), _, _, free = whole
    assert 0 <= free <= CONFIG.window
    assert sum(isinstance(event, Closed) for event in events) <= 1
    assert not any(isinstance(event, Closed) for event in events[:-1])
    assert all(isinstance(frame, Frame) for frame in decoded([written]))
    finish(chance, make(), octets)


def finish(chance: random.Random, made: Session, octets: bytes) -> None:
    """Answer what came, let time pass, and end: nothing but `LocalProtocolError` is raised."""
    made.receive_data(octets, NOW)
    while (event := made.next_event()) is not None:
        answer = {
            CommandId.SUBMIT_SM: SubmitSmResp(message_id="1"),
            CommandId.DELIVER_SM: DeliverSmResp(),
        }
        try:
            if isinstance(event, BindRequested):
                made.accept_bind(event.sequence_number, "smsc", NOW)
            elif isinstance(event, RequestReceived) and event.pdu.command_id in answer:
                made.answer(event.sequence_number, answer[event.pdu.command_id], NOW)
            elif isinstance(event, RequestReceived):
                made.nack(event.sequence_number, 8, NOW)
        except LocalProtocolError:
            assert made.state not in ("bound_tx", "bound_rx", "bound_trx", "binding")
    for _ in range(50):
        due = made.timer()
        if due is None:
            break
        made.handle_timer(due + chance.random())
    else:
        raise AssertionError("a session without a peer never came to rest")
    assert all(isinstance(frame, Frame) for frame in decoded([made.data_to_send()]))
    made.close()
    made.receive_data(octets, NOW)
    try:
        made.request(SubmitSm(), NOW)
    except LocalProtocolError:
        pass
    else:
        raise AssertionError("a closed session took a request")
    assert made.data_to_send() == b""


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    check_codec(chance)
    check_session(chance)
