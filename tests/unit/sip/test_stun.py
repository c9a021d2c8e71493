"""Signs of life over UDP, by the test vectors of RFC 5769 and by what must not be answered."""

import pytest

from protocols.sip.stun import answer

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
ASKED = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + TRANSACTION


@pytest.mark.parametrize(
    ("remote", "mapped"),
    [
        # RFC 5769 §2.2 and §2.3
        (("192.0.2.1", 32853), "0020 0008 0001 a147 e112a643"),
        (
            ("2001:db8:1234:5678:11:2233:4455:6677", 32853),
            "0020 0014 0002 a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9",
        ),
    ],
)
def test_it_says_where_the_request_came_from(remote: tuple[str, int], mapped: str) -> None:
    attribute = bytes.fromhex(mapped)
    length = len(attribute).to_bytes(2, "big")
    head = b"\x01\x01" + length + b"\x21\x12\xa4\x42" + TRANSACTION
    assert answer(ASKED, remote) == head + attribute


def test_what_else_a_request_has_is_passed_over() -> None:
    software = b"\x80\x22\x00\x04test"
    asked = ASKED[:2] + len(software).to_bytes(2, "big") + ASKED[4:] + software
    assert answer(asked, ("fe80::1%eth0", 5060)) is not None


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\0\0\0\0",
        ASKED[:-1],
        ASKED + b"x",
        ASKED + b"none",
        b"\x01\x01" + ASKED[2:],  # an answer is not answered
        b"\x00\x11" + ASKED[2:],  # nor an indication
        ASKED[:4] + b"\0\0\0\0" + ASKED[8:],
        ASKED[:2] + b"\x00\x01" + ASKED[4:] + b"x",
    ],
)
def test_what_is_not_answered(octets: bytes) -> None:
    assert answer(octets, ("192.0.2.1", 5060)) is None
