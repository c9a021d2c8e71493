"""Who asks where a proxy stands between, and that nobody else can say so."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.proxies import MOST_HOPS, HopHeader, Peer, Proxies

TRUSTED = tuple(map(ip_network, ("127.0.0.1", "10.0.0.0/8", "2001:db8:ffff::/48")))
PLAIN = Proxies(trusted=TRUSTED)
STANDARD = Proxies(trusted=TRUSTED, header=HopHeader.FORWARDED)
US = "10.0.0.7"


def asks(*headers: tuple[str, str], remote: str = US, scheme: str = "http") -> web.Request:
    given: CIMultiDict[str] = CIMultiDict(headers)
    request: Any = make_mocked_request("GET", "/signal", headers=given)
    clone: web.Request = request.clone(remote=remote, scheme=scheme)
    return clone


def through(*values: str, proto: Sequence[str] = (), remote: str = US) -> web.Request:
    told = [("X-Forwarded-For", value) for value in values]
    return asks(*told, *(("X-Forwarded-Proto", each) for each in proto), remote=remote)


def test_without_a_trusted_proxy_nobody_is_believed() -> None:
    request = through("203.0.113.1", proto=["https"], remote="192.0.2.1")
    assert PLAIN.peer(request) == Peer(host="192.0.2.1", port=0, is_secure=False)
    assert Proxies().peer(through("203.0.113.1")).host == US


@pytest.mark.parametrize(
    ("values", "host"),
    [
        (["203.0.113.1"], "203.0.113.1"),
        (["203.0.113.1, 10.1.1.1, 10.2.2.2"], "203.0.113.1"),
        (["203.0.113.1", "10.1.1.1"], "203.0.113.1"),  # two headers are one list
        (["198.51.100.9, 203.0.113.1"], "203.0.113.1"),  # the left one is the client's own word
        (["127.0.0.1, 203.0.113.1, 10.1.1.1"], "203.0.113.1"),
        (["10.3.3.3, 10.1.1.1"], "10.3.3.3"),  # a client that is in a trusted network
        (["2001:db8::1"], "2001:db8::1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["2001:DB8:0::1, 2001:db8:ffff::2"], "2001:db8::1"),
        (["::ffff:203.0.113.1"], "203.0.113.1"),
        (["203.0.113.1:55"], "203.0.113.1"),
        # Nothing that can be read: the last that could be.
        ([], US),
        ([""], US),
        (["unknown"], US),
        (["203.0.113.1, "], US),
        (["203.0.113.1, gw.example.com, 10.1.1.1"], "10.1.1.1"),
        (["203.0.113.256"], US),
        (["203.0.113.1:65536"], US),
        (["[2001:db8::1"], US),
        (["fe80::1%eth0"], US),
        (["1" * 4000], US),
        (["\x80\xff"], US),
    ],
)
def test_the_right_most_hop_that_is_no_proxy_of_ours_asks(values: list[str], host: str) -> None:
    assert PLAIN.peer(through(*values)).host == host


def test_a_proxy_that_comes_as_ipv4_within_ipv6_is_trusted() -> None:
    request = through("203.0.113.1", remote="::ffff:10.0.0.7")
    assert PLAIN.peer(request).host == "203.0.113.1"


def test_a_port_that_is_told_counts() -> None:
    assert PLAIN.peer(through("203.0.113.1:4711")).port == 4711
    assert PLAIN.peer(through("[2001:db8::1]:4711")).port == 4711


@pytest.mark.parametrize("hop", ["10.1.1.1", "198.51.100.1", "x", "[", ",", "10.1.1.1:1"])
def test_long_lists_are_read_from_their_end_alone(hop: str) -> None:
    padding = ", ".join([hop] * 1000)
    assert PLAIN.peer(through(f"{padding}, 203.0.113.1, 10.1.1.1")).host == "203.0.113.1"
    assert PLAIN.peer(through(*[hop] * 1000, "203.0.113.1")).host == "203.0.113.1"


def test_so_many_proxies_in_a_row_are_followed_and_no_more() -> None:
    row = ["10.1.1.1"] * (MOST_HOPS - 1)
    assert PLAIN.peer(through(", ".join(["203.0.113.1", *row]))).host == "203.0.113.1"
    assert PLAIN.peer(through(", ".join(["203.0.113.1", *row, "10.1.1.1"]))).host == "10.1.1.1"


@pytest.mark.parametrize(
    ("hops", "proto", "is_secure"),
    [
        ("203.0.113.1", ["https"], True),
        ("203.0.113.1", ["HTTPS"], True),
        ("203.0.113.1", ["wss"], True),
        ("203.0.113.1", ["http"], False),
        ("203.0.113.1", [], False),
        ("203.0.113.1", ["gopher"], False),
        ("203.0.113.1, 10.1.1.1", ["https"], True),  # set anew by the nearest
        ("203.0.113.1, 10.1.1.1", ["https, http"], True),  # what the farthest saw
        ("203.0.113.1, 10.1.1.1", ["https", "http"], True),
        ("203.0.113.1, 10.1.1.1", ["https, http, http"], False),  # the left one is the client's
        ("203.0.113.1", ["https, http"], False),
        ("", ["https"], True),  # a proxy that tells of the scheme alone
    ],
)
def test_the_scheme_is_what_the_hop_next_to_the_client_saw(
    hops: str, proto: list[str], is_secure: bool
) -> None:
    assert PLAIN.peer(through(hops, proto=proto)).is_secure is is_secure


def test_a_proxy_that_speaks_tls_to_us_is_believed_of_plain_http_outside() -> None:
    told = asks(("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-Proto", "http"), scheme="https")
    assert PLAIN.peer(told).is_secure is False
    silent = asks(("X-Forwarded-For", "203.0.113.1"), scheme="https")
    assert PLAIN.peer(silent).is_secure is True


@pytest.mark.parametrize(
    ("values", "peer"),
    [
        (['for="[2001:db8::1]:4711";proto=https'], ("2001:db8::1", 4711)),
        (["For=203.0.113.1 ; by=10.0.0.7"], ("203.0.113.1", 0)),
        (
            ["for=198.51.100.9", 'for="203.0.113.1:80", for=10.1.1.1'],
            ("203.0.113.1", 80),
        ),
        (["for=203.0.113.1, for=_hidden"], (US, 0)),
        (["proto=https"], (US, 0)),
        (["for=unknown"], (US, 0)),
        # A client's quote that never ends does not swallow what a proxy adds.
        (['for="198.51.100.9;a="', "for=203.0.113.1"], ("203.0.113.1", 0)),
        (['for="198.51.100.9, for=203.0.113.1'], ("203.0.113.1", 0)),
        (["for=x;" * 1000 + "for=203.0.113.1"], ("203.0.113.1", 0)),
    ],
)
def test_the_standard_header_is_read_where_the_config_says_so(
    values: list[str], peer: tuple[str, int]
) -> None:
    told = STANDARD.peer(asks(*(("Forwarded", value) for value in values)))
    assert (told.host, told.port) == peer


def test_the_standard_header_has_the_scheme_of_each_hop() -> None:
    secure = asks(("Forwarded", "for=203.0.113.1;proto=https, for=10.1.1.1;proto=http"))
    assert STANDARD.peer(secure).is_secure is True
    plain = asks(("Forwarded", "for=198.51.100.9;proto=https, for=203.0.113.1;proto=http"))
    assert STANDARD.peer(plain).is_secure is False


def test_the_other_header_is_the_clients_own_word() -> None:
    both = asks(("Forwarded", "for=198.51.100.9"), ("X-Forwarded-For", "203.0.113.1"))
    assert PLAIN.peer(both).host == "203.0.113.1"
    assert STANDARD.peer(both).host == "198.51.100.9"
    assert STANDARD.peer(through("203.0.113.1")).host == US


PIECES = [
    "203.0.113.1",
    "10.0.0.7",
    "2001:db8::1",
    "[",
    "]",
    ":",
    ";",
    ",",
    '"',
    "=",
    "for",
    "%",
    " ",
]


@pytest.mark.parametrize("proxies", [PLAIN, STANDARD], ids=lambda each: each.header)
def test_whatever_is_written_an_address_and_a_port_come_of_it(proxies: Proxies) -> None:
    dice = Random(7239)
    for _ in range(800):
        written = "".join(dice.choices([*PIECES, "proto", "https", "0", "\x80", "\u0661"], k=12))
        octets = written.encode().decode("utf-8", "surrogateescape")
        peer = proxies.peer(asks((proxies.header, octets), ("X-Forwarded-Proto", octets)))
        assert ip_address(peer.host), written
        assert 0 <= peer.port < 65_536, written
