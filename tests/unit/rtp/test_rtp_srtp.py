"""SRTP: what leaves is as the RFCs say, what comes in opens once, strangers cost nothing."""

import random

import pytest
from srtp_reference import (
    derive,
    gcm,
    keystream,
    protect_cm,
    protect_gcm,
    protect_rtcp_cm,
    protect_rtcp_gcm,
)

from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.srtp import (
    MOST_SOURCES,
    REPLAY_WINDOW,
    Refusal,
    SrtpReceiver,
    SrtpSender,
    Suite,
    key_length,
)

SUITES = list(Suite)
LENGTHS = {
    Suite.AES_CM_128_HMAC_SHA1_80: (30, 10, 14),
    Suite.AES_CM_128_HMAC_SHA1_32: (30, 4, 14),  # SRTCP keeps 80 bits (RFC 4568 §6.2.2)
    Suite.AEAD_AES_128_GCM: (28, 16, 20),
    Suite.AEAD_AES_256_GCM: (44, 16, 20),
}


def rtp(sequence: int, ssrc: int = 0xDEADBEEF, payload: bytes = b"\xd5" * 160) -> bytes:
    return (
        b"\x80\x00"
        + (sequence & 0xFFFF).to_bytes(2)
        + (160 * sequence & 0xFFFFFFFF).to_bytes(4)
        + ssrc.to_bytes(4)
        + payload
    )


def rtcp(ssrc: int = 0xDEADBEEF) -> bytes:
    return b"\x80\xc9\x00\x01" + ssrc.to_bytes(4)  # an empty receiver report


def report(ssrc: int = 0xDEADBEEF) -> bytes:
    return b"\x80\xc8\x00\x06" + ssrc.to_bytes(4) + bytes(range(20))  # a sender report


def key(suite: Suite, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(key_length(suite))


def pair(suite: Suite) -> tuple[SrtpSender, SrtpReceiver]:
    return SrtpSender(suite, key(suite)), SrtpReceiver(suite, key(suite))


# The reference, held to the RFCs' own examples


def test_counter_mode_of_rfc_3711_appendix_b_2() -> None:
    made = keystream(
        bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"),
        bytes.fromhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"),
        48,
    )
    assert made.hex().upper() == (
        "E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"
        "41E95B3BB0A2E8DD477901E4FCA894C0"
    )


def test_key_derivation_of_rfc_3711_appendix_b_3() -> None:
    master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE4139")
    salt = bytes.fromhex("0EC675AD498AFEEBB6960B3AABE6")
    assert derive(master, salt, 0, 16).hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert derive(master, salt, 2, 14).hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"
    assert derive(master, salt, 1, 20).hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"


def test_gcm_of_rfc_7714_section_16_1_1() -> None:
    packet = bytes.fromhex("8040f17b8041f8d35501a0b2") + b"Gallia est omnis divisa in partes tres"
    made = gcm(bytes(range(16)), b"Quid pro quo", packet, 0)
    assert made.hex() == (
        "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a"
        "51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
    )


# What leaves


def expected(suite: Suite, packet: bytes, roc: int) -> bytes:
    if "GCM" in suite:
        return protect_gcm(key(suite), packet, roc, 32 if "256" in suite else 16)
    return protect_cm(key(suite), packet, roc, LENGTHS[suite][1])


@pytest.mark.parametrize("suite", SUITES)
def test_rtp_leaves_as_the_rfcs_say_across_the_rollover(suite: Suite) -> None:
    sender, receiver = pair(suite)
    for sequence in range(65530, 65550):
        packet = rtp(sequence)
        protected = sender.protect(packet)
        assert protected == expected(suite, packet, sequence >> 16)
        assert len(protected) == len(packet) + LENGTHS[suite][1]
        assert receiver.unprotect(protected) == packet


@pytest.mark.parametrize("suite", SUITES)
def test_rtcp_leaves_as_the_rfcs_say(suite: Suite) -> None:
    sender, receiver = pair(suite)
    for index in range(1, 4):
        protected = sender.protect_rtcp(report())
        if "GCM" in suite:
            size = 32 if "256" in suite else 16
            assert protected == protect_rtcp_gcm(key(suite), report(), index, size)
        else:
            assert protected == protect_rtcp_cm(key(suite), report(), index)
        assert len(protected) == len(report()) + LENGTHS[suite][2]
        assert receiver.unprotect_rtcp(protected) == report()


@pytest.mark.parametrize("suite", SUITES)
def test_keys_have_one_length(suite: Suite) -> None:
    length = LENGTHS[suite][0]
    assert key_length(suite) == length
    for wrong in (0, length - 1, length + 1):
        for make in (SrtpSender, SrtpReceiver):
            with pytest.raises(LocalProtocolError):
                make(suite, bytes(wrong))


# What comes in


@pytest.mark.parametrize("suite", SUITES)
def test_a_packet_is_opened_once(suite: Suite) -> None:
    sender, receiver = pair(suite)
    protected, control = sender.protect(rtp(1)), sender.protect_rtcp(rtcp())
    assert receiver.unprotect(protected) == rtp(1)
    assert receiver.unprotect(protected) is Refusal.REPLAYED
    assert receiver.unprotect_rtcp(control) == rtcp()
    assert receiver.unprotect_rtcp(control) is Refusal.REPLAYED
    assert receiver.refused[Refusal.REPLAYED] == 2


def test_order_does_not_matter_within_the_window() -> None:
    sender, receiver = pair(Suite.AES_CM_128_HMAC_SHA1_80)
    sent = [sender.protect(rtp(sequence)) for sequence in range(65000, 66100)]
    assert receiver.unprotect(sent[0]) == rtp(65000)
    assert receiver.unprotect(sent[-1]) == rtp(66099)
    assert receiver.unprotect(sent[-REPLAY_WINDOW]) == rtp(66100 - REPLAY_WINDOW)
    assert receiver.unprotect(sent[-REPLAY_WINDOW - 1]) is Refusal.TOO_OLD
    assert receiver.refused[Refusal.TOO_OLD] == 1


@pytest.mark.parametrize("suite", SUITES)
def test_a_packet_that_was_changed_anywhere_is_refused_and_the_whole_one_taken(
    suite: Suite,
) -> None:
    sender, receiver = pair(suite)
    protected, control = sender.protect(rtp(1)), sender.protect_rtcp(report())
    for octets, unprotect in (
        (protected, receiver.unprotect),
        (control, receiver.unprotect_rtcp),
    ):
        for at in range(len(octets)):
            changed = bytearray(octets)
            changed[at] ^= 1
            assert isinstance(unprotect(bytes(changed)), Refusal), at
        for size in range(len(octets)):
            assert isinstance(unprotect(octets[:size]), Refusal), size
    assert receiver.refused[Refusal.AUTHENTICATION] > 150
    assert receiver.unprotect(protected) == rtp(1)
    assert receiver.unprotect_rtcp(control) == report()


@pytest.mark.parametrize("suite", SUITES)
def test_another_key_opens_nothing(suite: Suite) -> None:
    sender = SrtpSender(suite, key(suite, 1))
    receiver = SrtpReceiver(suite, key(suite, 2))
    assert receiver.unprotect(sender.protect(rtp(1))) is Refusal.AUTHENTICATION
    assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp())) is Refusal.AUTHENTICATION


def test_sources_are_bounded_and_only_the_keys_owner_makes_them() -> None:
    suite = Suite.AES_CM_128_HMAC_SHA1_80
    sender, receiver = pair(suite)
    stranger = SrtpSender(suite, key(suite, 2))
    for ssrc in range(100, 300):
        assert receiver.unprotect(stranger.protect(rtp(1, ssrc))) is Refusal.AUTHENTICATION
    for ssrc in range(MOST_SOURCES):
        assert receiver.unprotect(sender.protect(rtp(1, ssrc))) == rtp(1, ssrc)
    assert receiver.unprotect(sender.protect(rtp(1, 99))) is Refusal.TOO_MANY_SOURCES
    assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp(99))) is Refusal.TOO_MANY_SOURCES
    assert receiver.unprotect(sender.protect(rtp(2, 3))) == rtp(2, 3)
    assert receiver.unprotect_rtcp(sender.protect_rtcp(rtcp(3))) == rtcp(3)


def test_any_octets_are_refused() -> None:
    chance = random.Random(5)
    _, receiver = pair(Suite.AEAD_AES_128_GCM)
    for _ in range(2000):
        octets = chance.randbytes(chance.randrange(120))
        if chance.random() < 0.8:  # the version, CSRCs, an extension longer than the packet
            octets = bytes([0x80 | chance.randrange(64)]) + octets
        assert isinstance(receiver.unprotect(octets), Refusal)
        assert isinstance(receiver.unprotect_rtcp(octets), Refusal)
    assert receiver.unprotect(bytes(1501)) is Refusal.TOO_LONG
    assert receiver.unprotect_rtcp(bytes(65507)) is Refusal.TOO_LONG
    assert receiver.unprotect(b"") is Refusal.TOO_SHORT
    assert sum(receiver.refused.values()) == 4003


def test_what_cant_leave_is_refused_and_the_next_one_leaves() -> None:
    """A relayed packet is the far peer's: what is wrong with it must not raise here."""
    sender, receiver = pair(Suite.AES_CM_128_HMAC_SHA1_80)
    assert sender.protect(b"\x80") is Refusal.TOO_SHORT
    assert sender.protect_rtcp(b"\x80\xc9") is Refusal.TOO_SHORT
    assert sender.protect(rtp(1, payload=bytes(1400))) is Refusal.TOO_LONG
    assert sender.protect_rtcp(rtcp() + bytes(1400)) is Refusal.TOO_LONG
    assert receiver.unprotect(sender.protect(rtp(2))) == rtp(2)
    assert sender.protect(rtp(2)) is Refusal.REPLAYED
    assert sender.refused[Refusal.REPLAYED] == 1
    assert receiver.unprotect(sender.protect(rtp(3))) == rtp(3)
