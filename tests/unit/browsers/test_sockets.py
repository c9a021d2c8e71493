"""Whose pages may open a WebSocket, and how many one place may have."""

from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from gateway.browsers.places import Refused, Visit
from gateway.browsers.sockets import Door, Origins
from gateway.daemon.browsers import origins_of
from gateway.proxies import Proxies
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
    behind = origins_of(Http(proxies=(ip_network("127.0.0.1"),)))
    assert not behind.allow("http://localhost:5173", "gw.example")


def asks(**headers: str) -> web.Request:
    return make_mocked_request("GET", "/signal", headers={"Host": "gw.example.com", **headers})


def comes_from(address: str, **headers: str) -> web.Request:
    return asks(**headers).clone(remote=address)


class Connection:
    """Whence requests come; `cuts` is how many of them were cut off."""

    def __init__(self) -> None:
        self.cuts = 0

    def asks(self, address: str) -> web.Request:
        headers = {"Host": "gw.example.com"}
        request = make_mocked_request("GET", "/signal", headers=headers, transport=self)
        return request.clone(remote=address)

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def abort(self) -> None:
        self.cuts += 1


def let_in(door: Door, request: web.Request) -> Visit:
    visit = stays(door, request)
    visit.prove()
    return visit


def stays(door: Door, request: web.Request) -> Visit:
    """A stranger."""
    visit = door.enter(request)
    assert isinstance(visit, Visit)
    return visit


def status_of(entered: Visit | Refused) -> int:
    assert isinstance(entered, Refused)
    return entered.status


def test_a_page_of_a_stranger_is_refused_by_name_and_takes_no_place() -> None:
    door = Door(Origins())
    refused = door.enter(asks(Origin="https://evil.example"))
    assert isinstance(refused, Refused)
    assert refused.status == 403
    assert "evil.example" in refused.reason
    assert len(door) == 0


def test_places_are_counted_by_address_and_given_back() -> None:
    door = Door(Origins(), most=3, per_address=2)
    one = let_in(door, asks())
    let_in(door, asks())
    assert status_of(door.enter(asks())) == 429
    one.leave()
    one.leave()  # which changes nothing
    let_in(door, asks())
    assert len(door) == 2
    assert status_of(door.enter(asks())) == 429


def test_a_network_of_ipv6_is_one_place() -> None:
    door = Door(Origins(), per_address=2)
    inside, _ = (let_in(door, comes_from(f"2001:db8::{each}")) for each in (1, 2))
    refused = door.enter(comes_from("2001:db8::ffff:3"))
    assert isinstance(refused, Refused)
    assert refused.status == 429
    assert "2001:db8::/64" in refused.reason
    let_in(door, comes_from("2001:db8:0:1::1"))
    for address in ("::ffff:192.0.2.1", "::ffff:192.0.2.2", "192.0.2.3"):
        let_in(door, comes_from(address))
    inside.leave()
    let_in(door, comes_from("2001:db8::4"))


def test_a_flood_of_refusals_is_two_lines_of_the_log() -> None:
    now = 100.0
    door = Door(Origins(), per_address=1, clock=lambda: now)
    let_in(door, comes_from("192.0.2.1"))
    with capture_logs() as logs:
        for _ in range(500):
            assert status_of(door.enter(comes_from("192.0.2.1"))) == 429
        now += 60.0
        let_in(door, comes_from("192.0.2.2"))
    assert [(each["event"], each["source"], each["count"]) for each in logs] == [
        ("a socket was refused", "192.0.2.1", 1),
        ("a socket was refused", "192.0.2.1", 499),
    ]


def test_all_places_together_are_bounded() -> None:
    door = Door(Origins(), most=1, per_address=5)
    let_in(door, asks())
    assert status_of(door.enter(asks())) == 503


def test_strangers_take_no_place_of_those_who_have_proved_a_user() -> None:
    door = Door(Origins(), most=3, per_address=3, strangers=2, strangers_per_address=2)
    phone = stays(door, comes_from("192.0.2.1"))
    phone.prove()
    phone.prove()  # which changes nothing
    assert (len(door), door.strangers) == (1, 0)
    for _ in range(2):
        idle = stays(door, comes_from("192.0.2.9"))
    assert status_of(door.enter(comes_from("192.0.2.9"))) == 503
    assert (len(door), door.strangers) == (3, 2)
    idle.leave()
    for _ in range(2):
        let_in(door, comes_from("192.0.2.1"))
    assert status_of(door.enter(comes_from("192.0.2.2"))) == 503
    phone.leave()
    let_in(door, comes_from("192.0.2.2"))


def test_who_has_the_most_idle_sockets_makes_way_at_once() -> None:
    door = Door(Origins(), strangers=10, strangers_per_address=5)
    crowds = [Connection(), Connection()]
    for number, connection in enumerate(crowds):
        for _ in range(5):
            stays(door, connection.asks(f"192.0.2.{number}"))
    newcomers = [Connection() for _ in range(6)]
    for number, each in enumerate(newcomers):
        stays(door, each.asks(f"198.51.100.{number}"))
        assert door.strangers == 10
    assert [each.cuts for each in crowds] == [3, 3]
    assert sum(each.cuts for each in newcomers) == 0
    # Nobody has many more than others now: those who came first have their time.
    assert status_of(door.enter(comes_from("203.0.113.1"))) == 503


def test_who_came_first_makes_way_after_its_time() -> None:
    now = 100.0
    door = Door(Origins(), strangers=3, strangers_per_address=2, clock=lambda: now)
    old, other, own = (Connection() for _ in range(3))
    stays(door, old.asks("192.0.2.1"))
    now += 1.0
    for each in (other, own):
        stays(door, each.asks(f"192.0.2.{2 if each is other else 3}"))
    now += 3.9
    assert status_of(door.enter(comes_from("192.0.2.4"))) == 503
    now += 0.1
    stays(door, own.asks("192.0.2.3"))
    assert (old.cuts, other.cuts, own.cuts, door.strangers) == (1, 0, 0, 3)
    assert status_of(door.enter(own.asks("192.0.2.3"))) == 503
    now += 1.0
    stays(door, own.asks("192.0.2.3"))  # in the place of its own first
    assert (old.cuts, other.cuts, own.cuts, door.strangers) == (1, 0, 1, 3)


@pytest.mark.parametrize("many", [2, 3])
def test_who_has_been_idle_for_long_goes_before_a_crowd_that_just_came(many: int) -> None:
    """Whoever renews one of many in time keeps no place for the others it has elsewhere."""
    now = 100.0
    door = Door(Origins(), strangers=6, strangers_per_address=9, clock=lambda: now)
    idle, crowd = Connection(), Connection()
    for number in range(6 - many):
        stays(door, idle.asks(f"192.0.2.{number}"))
    now += 5.0
    for _ in range(many):
        stays(door, crowd.asks("198.51.100.1"))
    for number in range(6 - many):
        stays(door, comes_from(f"203.0.113.{number}"))
    assert (idle.cuts, crowd.cuts) == (6 - many, 0)


def test_of_a_full_address_the_first_makes_way_after_its_time() -> None:
    now = 100.0
    door = Door(Origins(), strangers=9, strangers_per_address=2, clock=lambda: now)
    idle = Connection()
    for _ in range(2):
        stays(door, idle.asks("192.0.2.1"))
    assert status_of(door.enter(comes_from("192.0.2.1"))) == 429
    now += 5.0
    stays(door, comes_from("192.0.2.1")).prove()
    assert (idle.cuts, door.strangers, len(door)) == (1, 1, 2)


def test_who_is_cut_off_holds_no_place_and_takes_none_by_proving_late() -> None:
    now = 100.0
    door, connection = Door(Origins(), strangers=1, clock=lambda: now), Connection()
    idle = stays(door, connection.asks("192.0.2.9"))
    now += 5.0
    with capture_logs() as logs:
        newcomer = stays(door, comes_from("192.0.2.8"))
    assert connection.cuts == 1
    assert [(each["event"], each["source"]) for each in logs] == [
        ("a socket was refused", "192.0.2.9")
    ]
    idle.prove()
    idle.leave()
    assert (len(door), door.strangers) == (1, 1)
    newcomer.prove()
    assert (len(door), door.strangers) == (1, 0)


def test_strangers_of_one_address_are_bounded_and_may_come_again() -> None:
    door = Door(Origins(), strangers=10, strangers_per_address=1)
    idle = stays(door, comes_from("192.0.2.9"))
    assert status_of(door.enter(comes_from("192.0.2.9"))) == 429
    stays(door, comes_from("192.0.2.8")).prove()
    idle.leave()
    stays(door, comes_from("192.0.2.9"))
    assert door.strangers == 1


def test_a_stranger_that_could_have_no_place_later_is_not_let_in() -> None:
    door = Door(Origins(), most=1, per_address=1)
    stays(door, comes_from("192.0.2.1")).prove()
    assert status_of(door.enter(comes_from("192.0.2.2"))) == 503


def test_who_comes_through_a_proxy_is_counted_by_its_own_address() -> None:
    proxies = Proxies(trusted=(ip_network("10.0.0.0/8"),))
    door = Door(Origins(), per_address=1, proxies=proxies)
    inside = {"X-Forwarded-For": "203.0.113.1"}
    visit = let_in(door, comes_from("10.0.0.7", **inside))
    assert visit.peer.host == "203.0.113.1"
    let_in(door, comes_from("10.0.0.7", **{"X-Forwarded-For": "203.0.113.2"}))
    assert status_of(door.enter(comes_from("10.0.0.8", **inside))) == 429
    let_in(door, comes_from("192.0.2.1", **inside))  # no proxy of ours: it is counted itself
    assert status_of(door.enter(comes_from("192.0.2.1"))) == 429
