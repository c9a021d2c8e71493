"""Whose call it is, by where it came from."""

from typing import Any

import pytest

from carriers.inbound import Belongs, Doorkeeper, Unknown
from carriers.trunks import Inbound, Trunk


def trunk(*addresses: str, **fields: Any) -> Trunk:
    return Trunk(**{"uri": "sip:gw.example", "addresses": addresses, **fields})


TRUNKS = {
    "wide": trunk("192.0.2.0/24"),
    "exact": trunk("192.0.2.7"),
    "six": trunk("2001:db8::/32"),
    "both": trunk("198.51.100.0/24", inbound=Inbound.BOTH, username="b", password="p"),
    "digest": trunk("203.0.113.0/24", inbound=Inbound.DIGEST, username="d", password="p"),
    "late": trunk("192.0.2.7"),
}


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.0.2.1", Belongs(trunk="wide")),
        ("192.0.2.7", Belongs(trunk="exact")),
        ("::ffff:192.0.2.7", Belongs(trunk="exact")),
        ("2001:db8::1", Belongs(trunk="six")),
        ("2001:db8::1%eth0", Belongs(trunk="six")),
        ("198.51.100.1", Belongs(trunk="both", username="b")),
        ("203.0.113.1", Unknown(usernames={"d": "digest"})),
        ("10.0.0.1", Unknown(usernames={"d": "digest"})),
        ("not an address", Unknown(usernames={"d": "digest"})),
        ("10.9.9.9", Belongs(trunk="wide")),
    ],
)
def test_whose_it_is(address: str, whose: Belongs | Unknown) -> None:
    given = Doorkeeper(TRUNKS, {"wide": ["10.9.9.9"], "digest": ["10.0.0.1"]})
    assert given.whose(address) == whose


def test_without_trunks_nobody_is_known() -> None:
    assert Doorkeeper({}).whose("192.0.2.1") == Unknown(usernames={})
