"""Invariant: no datagram raises, media goes only where it may, and nothing grows without bound.

More exactly, for any octets from anywhere at any time:

- a packet that was read is written as it was; RTCP that was read reads the same when written;
- a `Session` never raises, counts each datagram as accepted or dropped, accepts none from a
  stranger, sends to no private address that nobody was heard from, writes only RTCP that is read,
  and its timer, once handled, lies ahead;
- digits begin and end in turns, each with a duration.
"""

import random
from typing import Final

from protocols.rtp import packet, rtcp
from protocols.rtp.dtmf import DigitReceiver, DigitSender
from protocols.rtp.events import DigitEnded, DigitStarted
from protocols.rtp.latch import LatchPolicy, address_of, is_private
from protocols.rtp.packet import Extension, Packet
from protocols.rtp.reporting import ReporterConfig
from protocols.rtp.rtcp import (
    Goodbye,
    ReceiverReport,
    Report,
    ReportBlock,
    SenderReport,
    SourceDescription,
)
from protocols.rtp.session import Remote, Session, SessionConfig

_HOST: Final = "198.51.100.7"
_CLAIM: Final = ("192.168.1.20", 5004)
_CLAIMS: Final = (_CLAIM, (_HOST, 5004), ("203.0.113.9", 5004), ("0.0.0.0", 5004), (_HOST, 0), None)
_SOURCES: Final = (
    (_HOST, 40_000), (_HOST, 40_001), (_HOST, 5004), ("203.0.113.9", 5004), ("192.0.2.66", 1),
    ("2001:db8::1", 5004), (f"::ffff:{_HOST}", 40_000),
)  # fmt: skip
_STRANGERS: Final = ("192.0.2.66", "2001:db8::1")
_SSRCS: Final = (0xA, 0xB, 0xC, 0xFFFF_FFFF)


def word(chance: random.Random) -> int:
    return chance.choice((0, 1, 0x7FFF_FFFF, 0xFFFF_FFFF, chance.getrandbits(32)))


def any_packet(chance: random.Random) -> Packet:
    extension = None
    if chance.random() < 0.3:
        content = chance.randbytes(4 * chance.randrange(4))
        extension = Extension(profile=chance.getrandbits(16), content=content)
    return Packet(
        payload_type=chance.choice((0, 8, 101, 127)),
        marker=chance.random() < 0.2,
        sequence=chance.choice((0, 1, 2, 3, 0x7FFF, 0xFFFF, chance.getrandbits(16))),
        timestamp=word(chance),
        ssrc=chance.choice((*_SSRCS, word(chance))),
        csrcs=tuple(word(chance) for _ in range(chance.choice((0, 0, 0, 1, 15)))),
        extension=extension,
        payload=chance.randbytes(chance.choice((0, 1, 4, 160))),
    )


def block(chance: random.Random) -> ReportBlock:
    return ReportBlock(
        ssrc=chance.choice(_SSRCS),
        fraction_lost=chance.getrandbits(8),
        packets_lost=chance.randrange(-0x80_0000, 0x80_0000),
        highest_sequence=word(chance),
        jitter=word(chance),
        last_report=word(chance),
        delay=word(chance),
    )


def report(chance: random.Random) -> Report:
    blocks = tuple(block(chance) for _ in range(chance.choice((0, 1, 2, 31))))
    match chance.randrange(4):
        case 0:
            return SenderReport(
                ssrc=chance.choice(_SSRCS),
                ntp=chance.getrandbits(64),
                rtp_timestamp=word(chance),
                packets=word(chance),
                octets=word(chance),
                blocks=blocks,
            )
        case 1:
            name = "".join(chance.choice("aé\0\U0001f44b") for _ in range(chance.randrange(20)))
            return SourceDescription(names=((chance.choice(_SSRCS), name),))
        case 2:
            return Goodbye(ssrcs=_SSRCS[: chance.randrange(5)], reason="x" * chance.randrange(9))
        case _:
            return ReceiverReport(ssrc=chance.choice(_SSRCS), blocks=blocks)


def bent(chance: random.Random, octets: bytes) -> bytes:
    """The same datagram with one fault in it."""
    at = chance.randrange(len(octets))
    match chance.randrange(4):
        case 0:
            return octets[:at]
        case 1:
            return octets[:at] + bytes([octets[at] ^ 1 << chance.randrange(8)]) + octets[at + 1 :]
        case 2:
            return octets[:at] + chance.randbytes(chance.randrange(9)) + octets[at:]
        case _:
            return chance.randbytes(chance.randrange(40))


def datagram(chance: random.Random) -> bytes:
    if chance.random() < 0.6:
        made = any_packet(chance)
        if made.marker and 64 <= made.payload_type <= 95:
            return b""
        octets = packet.write(made, padding=chance.choice((0, 0, 1, 255)))
    else:
        head = ReceiverReport(ssrc=chance.choice(_SSRCS), blocks=(block(chance),))
        octets = rtcp.write(head, *(report(chance) for _ in range(chance.randrange(3))))
    return bent(chance, octets) if chance.random() < 0.3 else octets


def check_codec(chance: random.Random) -> None:
    octets = datagram(chance)
    packet.kind(octets)
    read = packet.read(octets)
    if isinstance(read, Packet):
        again = packet.write(read)
        assert packet.read(again) == read
        assert octets[0] & 0x20 or again == octets
    reports = rtcp.read(octets)
    if isinstance(reports, tuple) and reports:
        head = ReceiverReport(ssrc=1)
        try:
            again = rtcp.write(head, *reports)
        except rtcp.LocalProtocolError:
            return  # a text that is longer when its faults are replaced
        assert rtcp.read(again) == (head, *reports)


def session(chance: random.Random) -> Session:
    return Session(
        SessionConfig(
            reports=ReporterConfig(cname="a@b", bandwidth=chance.choice((0, 400)), unix=1.8e9),
            policy=chance.choice((LatchPolicy.SIGNALLED, LatchPolicy.SIGNALLED, LatchPolicy.ANY)),
            timeout=chance.choice((0, 3)),
        ),
        remote(chance),
        ssrc=0xA,
        new_ssrc=lambda: 0xCAFE,
        chance=chance.random,
        now=0.0,
    )


def remote(chance: random.Random) -> Remote:
    control = chance.choice((None, None, (_HOST, 5005), ("192.168.1.20", 5005)))
    return Remote(
        address=chance.choice(_CLAIMS),
        signalling=_HOST,
        control=control,
        clock_rate=chance.choice((8000, 48_000)),
    )


def check_session(chance: random.Random) -> None:
    made = session(chance)
    now, received = 0.0, 0
    accepted = set()
    for _ in range(chance.randrange(150)):
        now += chance.choice((0.0, 0.02, 0.02, 0.6, 2.0, 7.0))
        match chance.randrange(9):
            case 0:
                made.reoffered(remote(chance), now)
            case 1:
                made.packet_sent(packet.write(any_packet(chance)), now)
            case 2:
                chance.choice((made.expect_silence, lambda at=now: made.expect_media(at)))()
            case _:
                octets, source = datagram(chance), chance.choice(_SOURCES)
                control = packet.kind(octets) is packet.Kind.RTCP
                take = made.receive_control if control else made.receive_packet
                verdict = take(octets, source, now)
                received += 1
                if verdict.is_accepted:
                    accepted.add(source)
                    received -= 1
                    if made.config.policy is LatchPolicy.SIGNALLED:
                        assert source[0] not in _STRANGERS
        check_goals(made, accepted)
        made.handle_timer(now)
        due = made.timer()
        assert due is None or due > now
        for compound in made.control_to_send():
            assert isinstance(rtcp.read(compound), tuple)
        while made.next_event() is not None:
            pass
    found = made.statistics()
    assert sum(found.dropped.values()) == received
    for direction in (found.received, found.sent):
        assert direction.mos is None or 1 <= direction.mos <= 4.5
        assert 0 <= direction.fraction_lost <= 1
        assert direction.lost >= 0


def check_goals(made: Session, accepted: set[tuple[str, int]]) -> None:
    for goal in (made.destination(), made.control_destination()):
        if goal is not None and goal not in accepted:
            ip = address_of(goal[0])
            assert ip is not None and goal[1]
            assert not is_private(ip) and not ip.is_unspecified


def check_digits(chance: random.Random) -> None:
    receiver = DigitReceiver(clock_rate=8000)
    sender = DigitSender(clock_rate=8000, gap=chance.choice((0.0, 0.08)))
    sender.press("".join(chance.choice("0159*#Aw") for _ in range(5)), timestamp=7, now=0.0)
    now, sequence, going = 0.0, chance.getrandbits(16), ""
    for _ in range(80):
        now += chance.choice((0.0, 0.02, 0.02, 0.1, 3.0))
        sent = sender.next_packet(now) if chance.random() < 0.7 else None
        sequence = (sequence + chance.randrange(-2, 4)) & 0xFFFF
        receiver.receive(
            sent.payload if sent else chance.randbytes(chance.randrange(7)),
            ssrc=chance.choice((1, 1, 1, 2)),
            sequence=sequence,
            timestamp=sent.timestamp if sent else word(chance),
            now=now,
        )
        if chance.random() < 0.5:
            receiver.handle_timer(now)
        while (event := receiver.next_event()) is not None:
            match event:
                case DigitStarted(digit=digit):
                    assert not going
                    going = digit
                case DigitEnded(digit=digit, duration=duration):
                    assert digit == going and duration >= 0
                    going = ""
    receiver.handle_timer(now + 100)
    ended = receiver.next_event()
    assert isinstance(ended, DigitEnded) if going else ended is None
    assert receiver.timer() is None


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(20):
        check_codec(chance)
    check_session(chance)
    check_digits(chance)
