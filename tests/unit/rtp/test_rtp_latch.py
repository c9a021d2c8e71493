"""The latch: each way of one-way audio ends in two-way audio, and strangers are never heard."""

import random

import pytest

from protocols.rtp.events import Address
from protocols.rtp.latch import LINGER, SILENCE, Latch, LatchPolicy, Verdict, address_of, is_private
from tests.floods import each

PHONE = "198.51.100.7"  # public, where signalling comes from
NAT = (PHONE, 40_000)
CLAIM = ("192.168.1.20", 5004)  # what a phone behind a NAT writes into SDP
CARRIER = "203.0.113.1"
MEDIA = ("203.0.113.9", 20_000)  # a carrier's media host, beside the one that signals
STRANGER = ("192.0.2.66", 4444)
HOLD = ("0.0.0.0", 5004)

ACCEPTED, LATCHED, LOCKED = Verdict.ACCEPTED, Verdict.LATCHED, Verdict.LOCKED
UNPROVEN = Verdict.UNPROVEN


class Stream:
    """A latch and the packets of a peer, 20 ms apart."""

    def __init__(
        self,
        address: Address | None,
        signalling: str = PHONE,
        policy: LatchPolicy = LatchPolicy.SIGNALLED,
    ) -> None:
        self.now = 100.0
        self.sequence = 0xFFFD  # wraps soon
        self.latch = Latch(address=address, signalling=signalling, now=self.now, policy=policy)

    def packet(self, source: Address, ssrc: int = 7, ahead: int = 1) -> Verdict:
        self.now += 0.02
        self.sequence = (self.sequence + ahead) & 0xFFFF
        return self.latch.packet(source, ssrc, self.sequence, self.now)

    def strange(self, source: Address = STRANGER, sequence: int = 1, ssrc: int = 9) -> Verdict:
        return self.latch.packet(source, ssrc, sequence, self.now)

    def reoffer(self, address: Address, signalling: str = PHONE) -> None:
        self.latch.reoffered(address=address, signalling=signalling, now=self.now)

    def silence(self, seconds: float = SILENCE) -> None:
        self.now += seconds

    def goes_to(self) -> Address | None:
        return self.latch.destination()


# Where SDP is right


def test_what_sdp_says_is_sent_to_at_once_and_taken() -> None:
    stream = Stream(MEDIA, CARRIER)
    assert stream.goes_to() == MEDIA
    assert stream.packet(MEDIA) is LATCHED
    assert stream.packet(MEDIA) is ACCEPTED
    assert stream.goes_to() == MEDIA


def test_another_port_of_the_media_host_is_another_call() -> None:
    stream = Stream(MEDIA, CARRIER)
    assert stream.packet((MEDIA[0], 20_002)) is Verdict.STRANGER


def test_the_address_in_sdp_takes_over_from_a_guess() -> None:
    """The signalling host was heard first; what SDP says needs no silence."""
    stream = Stream(MEDIA, CARRIER)
    assert stream.packet((CARRIER, 9)) is LATCHED
    assert stream.packet(MEDIA) is LATCHED
    assert stream.packet((CARRIER, 9)) is LOCKED
    assert stream.goes_to() == MEDIA


# One-way audio


def test_a_private_address_in_sdp() -> None:
    stream = Stream(CLAIM)
    assert stream.goes_to() is None
    assert stream.packet(NAT) is LATCHED
    assert stream.goes_to() == NAT
    assert stream.packet(NAT) is ACCEPTED


def test_a_port_that_the_nat_chose_for_a_public_address() -> None:
    stream = Stream((PHONE, 5004))
    assert stream.goes_to() == (PHONE, 5004)
    assert stream.packet(NAT) is LATCHED
    assert stream.goes_to() == NAT


def test_a_public_address_that_is_not_the_signalling_source() -> None:
    """What a wrong STUN server told the phone."""
    stream = Stream(("203.0.113.200", 5004))
    assert stream.packet(NAT) is LATCHED
    assert stream.goes_to() == NAT


def test_late_latching() -> None:
    """The phone is silent until it is answered; nothing is lost by waiting."""
    stream = Stream(CLAIM)
    stream.silence(60)
    assert stream.packet(NAT) is LATCHED
    assert stream.goes_to() == NAT


@pytest.mark.parametrize("ssrc", [7, 8])
def test_a_port_that_changes_in_mid_call(ssrc: int) -> None:
    """The NAT forgot its mapping: the stream goes on elsewhere, or begins anew there."""
    stream = Stream(CLAIM)
    stream.packet(NAT)
    moved = (PHONE, 40_001)
    assert stream.packet(moved, ssrc) is LOCKED
    stream.silence()
    verdicts = [stream.packet(moved, ssrc) for _ in range(2)]
    assert verdicts == ([LATCHED, ACCEPTED] if ssrc == 7 else [UNPROVEN, LATCHED])
    assert stream.goes_to() == moved
    assert stream.packet(NAT) is LOCKED


def test_a_hold_with_0_0_0_0_and_resume() -> None:
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.reoffer(HOLD)
    assert stream.goes_to() is None
    assert stream.packet(NAT).is_accepted
    assert stream.goes_to() is None
    stream.silence(30)
    stream.reoffer(CLAIM)
    assert stream.goes_to() == NAT  # at once, though the peer may wait for us to speak
    assert stream.packet(NAT) is ACCEPTED


def test_a_resume_from_another_port() -> None:
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.reoffer(HOLD)
    stream.silence(30)
    stream.reoffer((CLAIM[0], 5010))
    assert stream.goes_to() is None
    moved = (PHONE, 40_010)
    assert stream.packet(moved) is LATCHED
    assert stream.goes_to() == moved


def test_a_hold_with_port_0() -> None:
    stream = Stream(MEDIA, CARRIER)
    stream.reoffer((MEDIA[0], 0), CARRIER)
    assert stream.goes_to() is None
    stream.reoffer(MEDIA, CARRIER)
    assert stream.goes_to() == MEDIA


def test_a_phone_that_moves_to_another_network() -> None:
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.reoffer(CLAIM, signalling="198.51.100.200")
    assert stream.goes_to() is None
    moved = ("198.51.100.200", 1234)
    assert stream.packet(moved) is LATCHED
    assert stream.packet(NAT) is Verdict.STRANGER


# New offers


def test_a_new_offer_may_move_the_stream_without_silence() -> None:
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.reoffer((CLAIM[0], 5010))
    assert stream.packet((PHONE, 40_010)) is LATCHED
    assert stream.goes_to() == (PHONE, 40_010)


def test_packets_that_were_on_their_way_at_the_new_offer_latch_nothing() -> None:
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.reoffer((CLAIM[0], 5010))
    assert stream.packet(NAT) is ACCEPTED
    assert stream.packet((PHONE, 40_010)) is LATCHED
    assert stream.packet(NAT) is LOCKED


def test_a_peer_that_stays_where_it_was_in_spite_of_its_offer() -> None:
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.reoffer((CLAIM[0], 5010))
    stream.silence(LINGER)
    assert stream.packet(NAT) is LATCHED
    assert stream.goes_to() == NAT


def test_an_offer_that_changes_nothing_keeps_the_stream_where_it_is() -> None:
    """As a session refresh does (RFC 4028)."""
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.reoffer(CLAIM)
    assert stream.goes_to() == NAT
    assert stream.strange() is Verdict.STRANGER
    assert stream.packet(NAT) is ACCEPTED
    assert stream.packet((PHONE, 40_001)) is LOCKED


# Strangers


@pytest.mark.parametrize("address", [CLAIM, (PHONE, 5004), MEDIA, HOLD, None])
def test_a_stranger_is_never_heard(address: Address | None) -> None:
    stream = Stream(address)
    for sequence in range(100):
        assert stream.strange(sequence=sequence) is Verdict.STRANGER
    stream.packet(NAT)
    stream.silence(60)
    for sequence in range(100):
        assert stream.strange(sequence=sequence) is Verdict.STRANGER
        assert stream.strange(sequence=stream.sequence + 1, ssrc=7) is Verdict.STRANGER
    assert stream.goes_to() != STRANGER


def test_a_stranger_on_the_signalling_host_waits_for_silence() -> None:
    """Another phone behind the same NAT."""
    stream = Stream(CLAIM)
    for _ in range(200):
        stream.packet(NAT)
        assert stream.strange((PHONE, 41_000)) is LOCKED


def test_a_stranger_on_the_signalling_host_shows_no_stream() -> None:
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.silence()
    for sequence in random.Random(1).sample(range(0, 60_000, 2), 50):
        assert stream.strange((PHONE, 41_000), sequence) is UNPROVEN
    assert stream.packet(NAT) is ACCEPTED


@pytest.mark.parametrize("ahead", [-5, 0, 3000])
def test_a_number_that_does_not_go_on_is_another_stream(ahead: int) -> None:
    stream = Stream(CLAIM)
    stream.packet(NAT)
    stream.silence()
    assert stream.packet((PHONE, 41_000), ahead=ahead) is UNPROVEN


@pytest.mark.parametrize(
    "address",
    [CLAIM, ("10.1.2.3", 5004), ("127.0.0.1", 5004), ("224.0.1.1", 5004), ("255.255.255.255", 1),
     ("fd00::1", 5004), ("fe80::1", 5004), ("::", 5004), ("0.0.0.0", 5004), ("::ffff:10.0.0.1", 9),
     ("100.64.0.1", 5004), ("phone.example", 5004), (PHONE, 0), None],
)  # fmt: skip
def test_nothing_is_sent_where_nobody_was_heard(address: Address | None) -> None:
    assert Stream(address).goes_to() is None


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "fd00::1"])
def test_a_private_address_that_signals_was_heard(host: str) -> None:
    """Else two ends in one network would wait for each other."""
    stream = Stream((host, 5004), signalling=host)
    assert stream.goes_to() == (host, 5004)


def test_ipv6_and_ipv4_within_it() -> None:
    stream = Stream(("2001:db8:0:0::1", 5004), signalling="2001:db8::1")
    assert stream.packet(("2001:db8::1", 40_000)) is LATCHED
    stream = Stream(CLAIM, signalling=PHONE)
    assert stream.packet((f"::ffff:{PHONE}", 40_000)) is LATCHED
    stream = Stream(("2001:db8:0::9", 5004), signalling="2001:db8::1")
    assert stream.packet(("2001:db8::9", 5004)) is LATCHED


# latch = "any"


def test_any_takes_a_stranger_that_shows_a_stream() -> None:
    stream = Stream(CLAIM, policy=LatchPolicy.ANY)
    assert stream.packet(STRANGER) is UNPROVEN
    assert stream.goes_to() is None
    assert stream.packet(STRANGER) is LATCHED
    assert stream.goes_to() == STRANGER


def test_any_takes_no_second_stranger_but_the_same_stream() -> None:
    stream = Stream(CLAIM, policy=LatchPolicy.ANY)
    stream.packet(MEDIA)
    stream.packet(MEDIA)
    assert stream.strange() is LOCKED
    stream.silence()
    assert [stream.strange(sequence=number) for number in range(3)] == [Verdict.STRANGER] * 3
    assert stream.packet(STRANGER) is LATCHED  # it goes on with SSRC and sequence number


def test_any_prefers_what_was_signalled() -> None:
    stream = Stream(CLAIM, policy=LatchPolicy.ANY)
    stream.packet(STRANGER)
    assert stream.packet(NAT) is LATCHED


# RTCP


def test_rtcp_with_rtp_comes_from_where_rtp_does() -> None:
    stream = Stream(CLAIM)
    assert stream.latch.admits(NAT)
    assert not stream.latch.admits(STRANGER)
    stream.packet(NAT)
    assert stream.latch.admits(NAT)
    assert not stream.latch.admits((PHONE, 40_001))


def test_rtcp_on_its_own_port_has_no_numbers() -> None:
    latch = Latch(address=(CLAIM[0], 5005), signalling=PHONE, now=0.0, silence=15.0)
    assert latch.destination() is None
    assert latch.packet((PHONE, 40_001), 7, -1, 1.0) is LATCHED
    assert latch.packet((PHONE, 40_003), 7, -1, 15.0) is LOCKED
    assert latch.packet((PHONE, 40_003), 7, -1, 16.0) is LATCHED
    assert latch.packet((PHONE, 40_005), 8, -1, 40.0) is UNPROVEN
    assert latch.packet((PHONE, 40_005), 8, -1, 45.0) is LATCHED
    assert latch.destination() == (PHONE, 40_005)


def test_a_peer_that_is_named_is_heard_from_there_alone() -> None:
    stream = Stream(CLAIM, policy=LatchPolicy.NAMED)
    assert stream.goes_to() == CLAIM
    assert not stream.latch.admits(NAT)
    for source in (NAT, (CLAIM[0], 5006), STRANGER):
        assert stream.packet(source) is Verdict.STRANGER
    assert stream.packet(CLAIM) is LATCHED
    stream.silence(SILENCE + 1)
    assert stream.packet(NAT) is Verdict.STRANGER
    stream.reoffer(MEDIA)
    assert stream.packet(NAT) is Verdict.STRANGER
    assert stream.packet(MEDIA) is LATCHED
    assert Stream(("239.1.1.1", 5004), policy=LatchPolicy.NAMED).goes_to() is None


# Invariants


@each("seed", range(30))
def test_whatever_comes_media_goes_only_where_it_may(seed: int) -> None:
    chance = random.Random(seed)
    places = [CLAIM, HOLD, MEDIA, (PHONE, 5004), NAT, STRANGER, (PHONE, 40_001), ("x", 1)]
    address = chance.choice(places[:4])
    stream = Stream(address)
    for _ in range(300):
        match chance.randrange(8):
            case 0:
                address = chance.choice(places[:4])
                stream.reoffer(address)
            case 1:
                stream.silence(chance.choice((0.1, 1.9, 2.0)))
            case _:
                source = chance.choice(places)
                verdict = stream.packet(source, chance.choice((7, 8)), chance.randrange(-2, 3))
                if verdict.is_accepted and verdict is LATCHED:
                    assert source[0] == PHONE or source == address
        goal = stream.goes_to()
        assert goal is None or goal[0] == PHONE or goal in (MEDIA, CLAIM)
        assert goal != CLAIM or stream.latch.source == CLAIM


@pytest.mark.parametrize(
    ("text", "private"),
    [("10.0.0.1", True), ("172.31.0.1", True), ("172.32.0.1", False), ("192.168.0.1", True),
     ("100.64.0.1", True), ("169.254.1.1", True), ("127.9.9.9", True), ("8.8.8.8", False),
     ("::1", True), ("fd12::1", True), ("fe80::1%eth0", True), ("2001:db8::1", False),
     ("::ffff:192.168.0.1", True), ("::ffff:8.8.8.8", False)],
)  # fmt: skip
def test_private_addresses(text: str, private: bool) -> None:
    address = address_of(text)
    assert address is not None
    assert is_private(address) is private


def test_a_name_is_no_address() -> None:
    assert address_of("phone.example") is None
    assert address_of("") is None
