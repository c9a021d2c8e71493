"""Whose pages may open a WebSocket, and how many one place may have."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from gateway.browsers.sockets import Door, Origins
from gateway.daemon.browsers import origins_of
from gateway.sections import Http

HERE = Origins(loopback=True)
KNOWN = Origins(public_url="https://gw.example.com:8443/twilio")
NAMED = Origins(named=("https://app.example.com", "http://dev.example.com:3000"))


@pytest.mark.parametrize(
    ("origins", "origin", "host"),
    [
        (NAMED, None, "gw.example.com"),
        (NAMED, "https://app.example.com", "gw.example.com"),
        (NAMED, "https://APP.example.com:443", "gw.example.com"),
        (NAMED, "http://dev.example.com:3000", "gw.example.com"),
        (KNOWN, "https://gw.example.com:8443", "gw.example.com:8443"),
        (KNOWN, "https://GW.example.com:8443", "10.0.0.7:8080"),  # a proxy is between
        (KNOWN, "http://gw.example.com:8080", "gw.example.com:8080"),
        (Origins(), "http://203.0.113.7:8080", "203.0.113.7:8080"),
        (Origins(), "http://[::1]:8080", "[::1]:8080"),
        (Origins(), "http://localhost:8080", "localhost:8080"),
        (Origins(named=("*",)), "https://anybody.example", "gw.example.com"),
        (HERE, "http://127.0.0.1:3000", "gw.example.com"),
        (HERE, "http://localhost:5173", "127.0.0.1:8080"),
        (HERE, "http://[::1]:5173", "127.0.0.1:8080"),
    ],
)
def test_pages_that_may(origins: Origins, origin: str | None, host: str) -> None:
    assert origins.allow(origin, host)


@pytest.mark.parametrize(
    ("origins", "origin", "host"),
    [
        (NAMED, "http://app.example.com", "gw.example.com"),
        (NAMED, "https://app.example.com:8443", "gw.example.com"),
        (NAMED, "https://app.example.com.evil.example", "gw.example.com"),
        (NAMED, "https://evil.example/https://app.example.com", "gw.example.com"),
        (KNOWN, "https://gw.example.com:1", "gw.example.com"),
        (KNOWN, "http://gw.example.com:8443", "10.0.0.7:8080"),
        # A name that leads here for a moment: the browser says the same in both.
        (Origins(), "http://evil.example:8080", "evil.example:8080"),
        (HERE, "http://evil.example:8080", "evil.example:8080"),
        (KNOWN, "https://evil.example", "evil.example"),
        (KNOWN, "http://127.0.0.1.evil.example", "127.0.0.1.evil.example"),
        (Origins(), "http://127.0.0.1:3000", "127.0.0.1:8080"),
        (HERE, "http://127.0.0.1.evil.example", "127.0.0.1:8080"),
        (HERE, "null", "127.0.0.1:8080"),
        (HERE, "", "127.0.0.1:8080"),
        (HERE, "file://", "127.0.0.1:8080"),
        (HERE, "http://[::1", "127.0.0.1:8080"),
        (HERE, "http://gw:99999999", "127.0.0.1:8080"),
    ],
)
def test_pages_that_may_not(origins: Origins, origin: str, host: str) -> None:
    assert not origins.allow(origin, host)


def test_the_config_says_whose_pages_are_ours() -> None:
    ours = origins_of(Http(origins=("https://app.example.com",), public_url="https://gw.example"))
    assert ours.allow("https://gw.example", "10.0.0.7:8080")
    assert ours.allow("https://app.example.com", "gw.example")
    assert ours.allow("http://localhost:5173", "127.0.0.1:8080")  # the default's listener
    assert not ours.allow("https://evil.example", "evil.example")


def asks(**headers: str) -> web.Request:
    return make_mocked_request("GET", "/signal", headers={"Host": "gw.example.com", **headers})


def test_a_page_of_a_stranger_is_refused_by_name_and_takes_no_place() -> None:
    door = Door(Origins())
    refused = door.enter(asks(Origin="https://evil.example"))
    assert refused is not None
    assert refused.status == 403
    assert "evil.example" in refused.reason
    assert len(door) == 0


def test_places_are_counted_by_address_and_given_back() -> None:
    door = Door(Origins(), most=3, per_address=2)
    one, other = asks(), asks()
    assert door.enter(one) is None
    assert door.enter(other) is None
    refused = door.enter(asks())
    assert refused is not None
    assert refused.status == 429
    door.leave(one)
    assert door.enter(asks()) is None
    assert len(door) == 2


def comes_from(address: str) -> web.Request:
    return make_mocked_request("GET", "/sip", headers={"Host": "gw.example.com"}).clone(
        remote=address
    )


def test_a_network_of_ipv6_is_one_place() -> None:
    door = Door(Origins(), per_address=2)
    inside = [comes_from(f"2001:db8::{each}") for each in (1, 2)]
    assert [door.enter(each) for each in inside] == [None, None]
    refused = door.enter(comes_from("2001:db8::ffff:3"))
    assert refused is not None
    assert refused.status == 429
    assert "2001:db8::/64" in refused.reason
    assert door.enter(comes_from("2001:db8:0:1::1")) is None
    for address in ("::ffff:192.0.2.1", "::ffff:192.0.2.2", "192.0.2.3"):
        assert door.enter(comes_from(address)) is None
    door.leave(inside[0])
    assert door.enter(comes_from("2001:db8::4")) is None


def test_a_flood_of_refusals_is_two_lines_of_the_log() -> None:
    now = 100.0
    door = Door(Origins(), per_address=1, clock=lambda: now)
    assert door.enter(comes_from("192.0.2.1")) is None
    with capture_logs() as logs:
        for _ in range(500):
            assert door.enter(comes_from("192.0.2.1")) is not None
        now += 60.0
        assert door.enter(comes_from("192.0.2.2")) is None
    assert [(each["event"], each["source"], each["count"]) for each in logs] == [
        ("a socket was refused", "192.0.2.1", 1),
        ("a socket was refused", "192.0.2.1", 499),
    ]


def test_all_places_together_are_bounded() -> None:
    door = Door(Origins(), most=1, per_address=5)
    assert door.enter(asks()) is None
    refused = door.enter(asks())
    assert refused is not None
    assert refused.status == 503
