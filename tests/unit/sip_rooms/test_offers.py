"""By which digests a phone is asked for its password: the best that it can cope with."""

import pytest
from msgspec.structs import replace

from gateway.sip.offers import Offers
from protocols.sip.message import Headers, Request
from tests.unit.sip.builders import request

BOTH, PLAIN = ("SHA-256", "MD5"), ("MD5",)
HERE = "198.51.100.7"


def asked(
    call_id: str = "1", cseq: int = 1, software: str = "Phone 3.1", proof: str = ""
) -> Request:
    lines = (("User-Agent", software), ("Authorization", proof))
    headers = Headers((name, value) for name, value in lines if value)
    return replace(request("REGISTER"), call_id=call_id, cseq=cseq, headers=headers)


@pytest.mark.parametrize(
    ("software", "offered"),
    [
        ("Phone 3.1", BOTH),
        ("baresip v1.0.0 (x86_64/linux)", PLAIN),
        ("baresip v2.0.0 (x86_64/linux)", BOTH),
        ("", PLAIN),  # as sipp, which knows the first of several alone
    ],
)
def test_what_a_phone_says_it_is(software: str, offered: tuple[str, ...]) -> None:
    assert Offers(BOTH).of(asked(software=software), HERE, "alice", 0.0) == offered


@pytest.mark.parametrize("algorithms", [("MD5",), ("SHA-256",), ("SHA-256", "SHA-512-256")])
def test_what_is_not_configured_is_not_offered(algorithms: tuple[str, ...]) -> None:
    offers = Offers(algorithms)
    for each in (asked(), asked(software="baresip v1.0.0"), asked("2"), asked("3")):
        assert offers.of(each, HERE, "alice", 0.0) == algorithms


def test_who_gives_up_is_asked_by_md5_alone_when_it_comes_again() -> None:
    offers = Offers(BOTH)
    assert offers.of(asked("1"), HERE, "alice", 0.0) == BOTH
    assert offers.of(asked("1"), HERE, "alice", 0.5) == BOTH  # the same again, over UDP
    assert offers.of(asked("2"), HERE, "alice", 30.0) == PLAIN
    assert offers.of(asked("3"), HERE, "bob", 30.0) == BOTH  # another user
    assert offers.of(asked("4"), "198.51.100.8", "alice", 30.0) == BOTH  # another place
    assert offers.of(asked("2", 2, proof="Digest …"), HERE, "alice", 30.1) == PLAIN
    offers.proved(HERE, "alice")  # by MD5, as it was asked
    assert offers.of(asked("2", 3), HERE, "alice", 60.0) == PLAIN
    assert offers.of(asked("2", 4), HERE, "alice", 60.0 + 3601.0) == BOTH  # it may be a new one


def test_who_copes_goes_on_to_be_asked_by_the_best() -> None:
    offers = Offers(BOTH)
    for cseq in range(1, 20, 2):  # a phone that never keeps a nonce
        assert offers.of(asked("1", cseq), HERE, "alice", cseq) == BOTH
        assert offers.of(asked("1", cseq + 1, proof="Digest …"), HERE, "alice", cseq) == BOTH
        offers.proved(HERE, "alice")
    assert len(offers) == 0


def test_who_asks_twice_at_once_has_not_given_up() -> None:
    """As an exchange whose calls begin together; one that goes on so for seconds has."""
    offers = Offers(BOTH)
    for each in range(20):
        assert offers.of(asked(f"call {each}"), HERE, "", each / 10) == BOTH
    offers.proved(HERE, "")
    assert offers.of(asked("later"), HERE, "", 10.0) == BOTH
    for each in range(20):
        assert offers.of(asked(f"call {each}"), HERE, "", 10.0 + each / 10) == BOTH
    assert offers.of(asked("and on"), HERE, "", 12.0) == PLAIN


def test_what_is_remembered_is_bounded() -> None:
    offers = Offers(BOTH)
    for each in range(5000):
        offers.of(asked(), HERE, f"user{each}", 0.0)
    assert len(offers) == 4096
