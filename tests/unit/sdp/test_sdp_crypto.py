"""`a=crypto`: read as RFC 4568 writes it, judged, and kept out of logs."""

import pytest

from protocols.sdp.crypto import (
    SUITES,
    Crypto,
    Key,
    choose,
    is_usable,
    octets_of,
    read_crypto,
    redact,
    write_crypto,
)
from tests.unit.sdp.sdp_examples import RFC4568_KEY

AES_80 = "AES_CM_128_HMAC_SHA1_80"
AES_32 = "AES_CM_128_HMAC_SHA1_32"

# RFC 4568 §9.2 and §5.1.2.
RFC4568_80 = f"1 {AES_80} inline:{RFC4568_KEY}|2^20|1:4 FEC_ORDER=FEC_SRTP"
RFC4568_F8 = (
    "2 F8_128_HMAC_SHA1_80"
    " inline:MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm|2^20|1:4"
    ";inline:QUJjZGVmMTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5|2^20|2:4"
    " FEC_ORDER=FEC_SRTP"
)


def test_the_examples_of_the_rfc() -> None:
    first = read_crypto(RFC4568_80)
    assert first == Crypto(
        tag=1,
        suite=AES_80,
        keys=(
            Key(
                octets=b"YS___semctl () {\t220;}\n}\nunles",
                lifetime=1 << 20,
                mki=1,
                mki_octets=4,
            ),
        ),
        params=("FEC_ORDER=FEC_SRTP",),
    )
    second = read_crypto(RFC4568_F8)
    assert second is not None
    assert [(each.octets, each.mki) for each in second.keys] == [
        (b"123456789ABCDE0123456789ABcdef", 1),
        (b"ABcdef123456789ABCDE0123456789", 2),
    ]
    assert [write_crypto(first), write_crypto(second)] == [RFC4568_80, RFC4568_F8]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("inline:QUJDRA==", Key(octets=b"ABCD")),
        ("inline:QUJDRA", Key(octets=b"ABCD")),
        ("INLINE:QUJDRA==|1048575", Key(octets=b"ABCD", lifetime=1048575)),
        ("inline:QUJDRA==|2^31|7:1", Key(octets=b"ABCD", lifetime=1 << 31, mki=7, mki_octets=1)),
        ("inline:QUJDRA==|7:128", Key(octets=b"ABCD", mki=7, mki_octets=128)),
    ],
)
def test_keys(text: str, key: Key) -> None:
    read = read_crypto(f"1 {AES_80} {text}")
    assert read is not None and read.keys == (key,)
    assert read_crypto(write_crypto(read)) == read


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        f"1 {AES_80}",
        f"x {AES_80} inline:QUJD",
        f"1234567890 {AES_80} inline:QUJD",
        f"1 {AES_80} QUJD",
        f"1 {AES_80} inline:",
        f"1 {AES_80} inline:Q",
        f"1 {AES_80} inline:QU*D",
        f"1 {AES_80} uri:QUJD",
        f"1 {AES_80} inline:QUJD|",
        f"1 {AES_80} inline:QUJD|2^49",
        f"1 {AES_80} inline:QUJD|2^",
        f"1 {AES_80} inline:QUJD|0",
        f"1 {AES_80} inline:QUJD|1:4|2^20",
        f"1 {AES_80} inline:QUJD|2^20|1:0",
        f"1 {AES_80} inline:QUJD|2^20|1",
        f"1 {AES_80} inline:QUJD|2^20|x:4",
        f"1 {AES_80} inline:QUJD|2^20|1:4|2:4",
        f"1 {AES_80} inline:QUJD;",
        f"1 {AES_80} inline:QUJD" + ";inline:QUJD" * 16,
        f"1 {AES_80} inline:QUJD" + " x" * 17,
    ],
)
def test_what_cannot_be_read_is_none(text: str) -> None:
    assert read_crypto(text) is None


@pytest.mark.parametrize(
    ("keys", "params", "usable"),
    [
        ((Key(octets=b"k" * 30),), (), True),
        ((Key(octets=b"k" * 30, lifetime=1 << 31),), ("WSH=64", "-x=1"), True),
        ((Key(octets=b"k" * 29),), (), False),
        ((Key(octets=b"k" * 30, mki=1, mki_octets=4),), (), False),
        ((Key(octets=b"k" * 30), Key(octets=b"l" * 30)), (), False),
        ((Key(octets=b"k" * 30),), ("UNENCRYPTED_SRTP",), False),
        ((Key(octets=b"k" * 30),), ("UNAUTHENTICATED_SRTP",), False),
        ((Key(octets=b"k" * 30),), ("KDR=1",), False),
        ((Key(octets=b"k" * 30),), ("new=1",), False),
    ],
)
def test_what_we_can_do(keys: tuple[Key, ...], params: tuple[str, ...], usable: bool) -> None:
    crypto = Crypto(tag=1, suite=AES_80, keys=keys, params=params)
    assert is_usable(crypto, [AES_32, AES_80]) is usable
    assert not is_usable(crypto, [AES_32])


def test_of_several_the_peers_first_is_taken() -> None:
    offered = [
        Crypto(tag=tag, suite=suite, keys=(Key(octets=b"k" * octets_of(suite)),))
        for tag, suite in enumerate(SUITES, 1)
    ]
    for crypto in offered:
        assert choose([crypto, *offered], list(SUITES)) is crypto
    assert choose(offered, [AES_32]) is offered[1]
    assert choose(offered, []) is None


def test_keys_do_not_show() -> None:
    crypto = Crypto(tag=1, suite=AES_80, keys=(Key(octets=b"secret"),))
    assert "secret" not in repr(crypto) and "6 octets" in repr(crypto)


def test_keys_are_taken_out_of_what_a_person_is_shown() -> None:
    shown = redact(
        f"INVITE sip:inline@a SIP/2.0\r\n\r\nv=0\r\nk=clear:secret\r\na=mark=1\r\n"
        f"a=crypto:{RFC4568_80}\r\na=crypto:{RFC4568_F8}\r\na=sendrecv\r\n".encode()
    ).decode()
    assert shown == (
        "INVITE sip:inline@a SIP/2.0\r\n\r\nv=0\r\nk=…\r\na=mark=1\r\n"
        f"a=crypto:1 {AES_80} inline:…|2^20|1:4 FEC_ORDER=FEC_SRTP\r\n"
        "a=crypto:2 F8_128_HMAC_SHA1_80 inline:…|2^20|1:4;inline:…|2^20|2:4"
        " FEC_ORDER=FEC_SRTP\r\na=sendrecv\r\n"
    )
