"""SIP domains, users, addresses and mappings over REST, by the official SDK."""

from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from rest_world import World, rest_world
from twilio.base.exceptions import TwilioRestException

from gateway.sip import tables
from gateway.sip.declared import declared_domain
from gateway.sip.model import REALM, Purpose
from protocols.sip.digest import ALGORITHMS, ha1

NAME = "office.sip.twilio.com"
PASSWORD = "IWasAtSignal2018"
ABSENT_LIST = f"CL{9:032x}"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


@pytest.fixture
def sip(world: World) -> Any:
    return world.sdk(world.main).sip


async def refused(world: World, use: Callable[[], Any]) -> TwilioRestException:
    with pytest.raises(TwilioRestException) as raised:
        await world.call(use)
    return raised.value


async def test_a_domain_is_made_changed_and_let_go(world: World, sip: Any) -> None:
    domain = await world.call(
        lambda: sip.domains.create(
            domain_name="Office.sip.twilio.com",
            friendly_name="Office",
            voice_url="https://app.example/voice",
            voice_method="GET",
            sip_registration=True,
        )
    )
    assert domain.sid.startswith("SD")
    assert (domain.domain_name, domain.friendly_name) == (NAME, "Office")
    assert (domain.voice_url, domain.voice_method) == ("https://app.example/voice", "GET")
    assert (domain.voice_fallback_url, domain.voice_fallback_method) == ("", "POST")
    assert (domain.sip_registration, domain.secure) == (True, False)
    assert (domain.auth_type, domain.byoc_trunk_sid) == ("", None)
    place = f"/2010-04-01/Accounts/{world.main.sid}/SIP/Domains/{domain.sid}"
    assert domain.uri == f"{place}.json"
    assert domain.subresource_uris == {
        "credential_list_mappings": f"{place}/CredentialListMappings.json",
        "ip_access_control_list_mappings": f"{place}/IpAccessControlListMappings.json",
    }
    one = sip.domains(domain.sid)
    changed = await world.call(
        lambda: one.update(
            domain_name="new.example", secure=True, voice_status_callback_url="https://x.example"
        )
    )
    assert (changed.domain_name, changed.secure) == ("new.example", True)
    fetched = await world.call(one.fetch)
    assert (fetched.voice_url, fetched.voice_method) == ("https://app.example/voice", "GET")
    assert (fetched.voice_status_callback_url, fetched.sip_registration) == (
        "https://x.example",
        True,
    )
    assert world.services.sip.domain(NAME) is None
    known = world.services.sip.domain("NEW.example")
    assert known is not None and known.sid == domain.sid and known.takes_registrations
    assert await world.call(one.delete)
    error = await refused(world, one.fetch)
    assert (error.status, error.code) == (404, 20404)
    assert world.services.sip.domain("new.example") is None


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"domain_name": NAME}, 21231),
        ({"domain_name": NAME.upper()}, 21231),
        ({"domain_name": ""}, 21231),
        ({"domain_name": "under_score.example"}, 21231),
        ({"domain_name": "-a.example"}, 21231),
        ({"domain_name": "a..example"}, 21231),
        ({"domain_name": "a.example."}, 21231),
        ({"domain_name": "ä.example"}, 21231),
        ({"domain_name": "a@b.example"}, 21231),
        ({"domain_name": "a" * 64 + ".example"}, 21231),
        ({"domain_name": ".".join(["a" * 63] * 4)}, 21231),
        ({"domain_name": "a.example", "friendly_name": "x" * 65}, 21231),
        ({"domain_name": "a.example", "voice_url": "nonsense"}, 21402),
        ({"domain_name": "a.example", "voice_method": "PUT"}, 21403),
        ({"domain_name": "a.example", "sip_registration": "perhaps"}, 20001),
        ({"domain_name": "a.example", "byoc_trunk_sid": "B" * 4001}, 20001),
        ({"domain_name": "a.example", "voice_url": "https://a/" + "b" * 4000}, 20001),
    ],
)
async def test_domains_that_cannot_be_had(world: World, params: dict[str, Any], code: int) -> None:
    stranger = world.sdk(world.stranger).sip
    await world.call(lambda: stranger.domains.create(domain_name=NAME))
    sip = world.sdk(world.main).sip
    error = await refused(world, lambda: sip.domains.create(**params))
    assert (error.status, error.code) == (400, code)
    mine = await world.call(lambda: sip.domains.create(domain_name="mine.example"))
    if params["domain_name"]:
        error = await refused(world, lambda: sip.domains(mine.sid).update(**params))
        assert (error.status, error.code) == (400, code)
    [kept] = await world.call(sip.domains.list)
    assert kept.domain_name == "mine.example"


async def test_users_are_added_changed_and_removed(world: World, sip: Any) -> None:
    list_ = await world.call(lambda: sip.credential_lists.create(friendly_name="Phones"))
    assert list_.sid.startswith("CL")
    assert list_.subresource_uris == {
        "credentials": list_.uri.replace(".json", "/Credentials.json")
    }
    users = sip.credential_lists(list_.sid).credentials
    user = await world.call(lambda: users.create(username="alice", password=PASSWORD))
    assert user.sid.startswith("CR")
    assert (user.username, user.credential_list_sid) == ("alice", list_.sid)
    kept = world.services.sip.credentials.get(world.main.sid, user.sid)
    assert kept is not None
    assert kept.hashes == {name: ha1(name, "alice", REALM, PASSWORD) for name in ALGORITHMS}
    changed = await world.call(lambda: users(user.sid).update(password=PASSWORD + "x"))
    assert changed.username == "alice"
    kept = world.services.sip.credentials.get(world.main.sid, user.sid)
    assert kept is not None and kept.hashes["MD5"] == ha1("MD5", "alice", REALM, PASSWORD + "x")
    rows = await world.services.store.fetch(tables.CREDENTIALS.all)
    facts = await world.services.store.facts_after(0, 100)
    assert PASSWORD not in repr((rows, facts))
    assert kept.hashes["MD5"] not in repr(facts)
    renamed = await world.call(
        lambda: sip.credential_lists(list_.sid).update(friendly_name="Desk phones")
    )
    assert renamed.friendly_name == "Desk phones"
    assert await world.call(users(user.sid).delete)
    assert (await refused(world, users(user.sid).fetch)).code == 20404
    await world.call(lambda: users.create(username="bob", password=PASSWORD))
    assert await world.call(sip.credential_lists(list_.sid).delete)
    gone = await refused(world, lambda: users.create(username="eve", password=PASSWORD))
    assert (gone.status, gone.code) == (404, 20404)
    assert await world.services.store.fetch(tables.CREDENTIALS.all) == []


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("alice", PASSWORD),
        ("", PASSWORD),
        ("a" * 33, PASSWORD),
        ("a b", PASSWORD),
        ("a@b", PASSWORD),
        ('a"b', PASSWORD),
        ("bob", ""),
        ("bob", "Short1"),
        ("bob", "nocapitals2018"),
        ("bob", "NOSMALLS2018"),
        ("bob", "NoDigitsAtAll"),
        ("bob", "Long1" * 26),
    ],
)
async def test_users_that_cannot_be(world: World, sip: Any, username: str, password: str) -> None:
    list_ = await world.call(lambda: sip.credential_lists.create(friendly_name="Phones"))
    users = sip.credential_lists(list_.sid).credentials
    await world.call(lambda: users.create(username="alice", password=PASSWORD))
    error = await refused(world, lambda: users.create(username=username, password=password))
    assert (error.status, error.code) == (400, 21243)
    assert password not in error.msg or not password
    assert len(await world.call(users.list)) == 1


async def test_a_name_is_another_user_in_another_list(world: World, sip: Any) -> None:
    first, second = [
        await world.call(lambda: sip.credential_lists.create(friendly_name="Phones"))
        for _ in range(2)
    ]
    users = [sip.credential_lists(each.sid).credentials for each in (first, second)]
    made = [
        await world.call(lambda u=each: u.create(username="alice", password=PASSWORD))
        for each in users
    ]
    assert made[0].sid != made[1].sid
    assert (await refused(world, users[1](made[0].sid).fetch)).code == 20404


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"ip_address": "192.0.2.7"}, ("192.0.2.7", 32)),
        ({"ip_address": "192.0.2.7", "cidr_prefix_length": 24}, ("192.0.2.7", 24)),
        ({"ip_address": "192.0.2.0/24"}, ("192.0.2.0", 24)),
        ({"ip_address": "192.0.2.0/24", "cidr_prefix_length": 24}, ("192.0.2.0", 24)),
        ({"ip_address": "2001:DB8:0::7"}, ("2001:db8::7", 128)),
        ({"ip_address": "2001:db8::", "cidr_prefix_length": 32}, ("2001:db8::", 32)),
    ],
)
async def test_addresses_are_kept_in_their_shortest_form(
    world: World, sip: Any, given: dict[str, Any], kept: tuple[str, int]
) -> None:
    list_ = await world.call(lambda: sip.ip_access_control_lists.create(friendly_name="Offices"))
    assert list_.sid.startswith("AL")
    assert list_.subresource_uris["ip_addresses"].endswith(f"/{list_.sid}/IpAddresses.json")
    addresses = sip.ip_access_control_lists(list_.sid).ip_addresses
    made = await world.call(lambda: addresses.create(friendly_name="a", **given))
    assert made.sid.startswith("IP")
    assert (made.ip_address, made.cidr_prefix_length) == kept
    assert made.ip_access_control_list_sid == list_.sid
    twice = await refused(world, lambda: addresses.create(friendly_name="b", **given))
    assert (twice.status, twice.code) == (400, 21238)


@pytest.mark.parametrize(
    "given",
    [
        {"ip_address": ""},
        {"ip_address": "192.0.2"},
        {"ip_address": "192.0.2.256"},
        {"ip_address": "host.example"},
        {"ip_address": "fe80::1%eth0"},
        {"ip_address": "192.0.2.0/"},
        {"ip_address": "192.0.2.0/33"},
        {"ip_address": "192.0.2.0/24", "cidr_prefix_length": 25},
        {"ip_address": "192.0.2.7", "cidr_prefix_length": 0},
        {"ip_address": "192.0.2.7", "cidr_prefix_length": 33},
        {"ip_address": "192.0.2.7", "cidr_prefix_length": -1},
        {"ip_address": "192.0.2.7", "cidr_prefix_length": "many"},
        {"ip_address": "192.0.2.7", "friendly_name": ""},
    ],
)
async def test_addresses_that_are_none(world: World, sip: Any, given: dict[str, Any]) -> None:
    list_ = await world.call(lambda: sip.ip_access_control_lists.create(friendly_name="Offices"))
    addresses = sip.ip_access_control_lists(list_.sid).ip_addresses
    params = {"friendly_name": "a", **given}
    error = await refused(world, lambda: addresses.create(**params))
    assert (error.status, error.code) == (400, 21238)
    assert await world.call(addresses.list) == []


async def test_an_address_changes_and_goes(world: World, sip: Any) -> None:
    list_ = await world.call(lambda: sip.ip_access_control_lists.create(friendly_name="Offices"))
    addresses = sip.ip_access_control_lists(list_.sid).ip_addresses
    made = await world.call(
        lambda: addresses.create(friendly_name="a", ip_address="192.0.2.7", cidr_prefix_length=24)
    )
    one = addresses(made.sid)
    for params, kept in (
        ({"friendly_name": "b"}, ("b", "192.0.2.7", 24)),
        ({"ip_address": "198.51.100.7"}, ("b", "198.51.100.7", 24)),
        ({"cidr_prefix_length": 30}, ("b", "198.51.100.7", 30)),
        ({"ip_address": "2001:db8::7"}, ("b", "2001:db8::7", 128)),
    ):
        new = await world.call(lambda p=params: one.update(**p))
        assert (new.friendly_name, new.ip_address, new.cidr_prefix_length) == kept
    assert await world.call(one.delete)
    assert (await refused(world, one.fetch)).code == 20404
    list_again = sip.ip_access_control_lists(list_.sid)
    renamed = await world.call(lambda: list_again.update(friendly_name="Branches"))
    assert renamed.friendly_name == "Branches"
    assert await world.call(list_again.delete)
    assert (await refused(world, list_again.fetch)).code == 20404


async def test_an_address_is_of_one_list(world: World, sip: Any) -> None:
    lists = [
        await world.call(lambda: sip.ip_access_control_lists.create(friendly_name="Offices"))
        for _ in range(2)
    ]
    first, second = [sip.ip_access_control_lists(each.sid).ip_addresses for each in lists]
    made = await world.call(lambda: first.create(friendly_name="a", ip_address="192.0.2.7"))
    for use in (second(made.sid).fetch, second(made.sid).delete):
        assert (await refused(world, use)).code == 20404
    assert (await world.call(first(made.sid).fetch)).ip_address == "192.0.2.7"


@pytest.mark.parametrize(("room", "code"), [("credential_lists", 21240), (None, 21235)])
@pytest.mark.parametrize("name", ["", " ", "x" * 65])
async def test_lists_need_a_name(
    world: World, sip: Any, room: str | None, code: int, name: str
) -> None:
    lists = getattr(sip, room or "ip_access_control_lists")
    error = await refused(world, lambda: lists.create(friendly_name=name))
    assert (error.status, error.code) == (400, code)


async def mapped(world: World, sip: Any) -> tuple[Any, Any, Any]:
    """A domain, a list of users with alice, a list of addresses with 192.0.2.0/24."""
    domain = await world.call(lambda: sip.domains.create(domain_name=NAME, sip_registration=True))
    users = await world.call(lambda: sip.credential_lists.create(friendly_name="Phones"))
    credentials = sip.credential_lists(users.sid).credentials
    await world.call(lambda: credentials.create(username="alice", password=PASSWORD))
    networks = await world.call(lambda: sip.ip_access_control_lists.create(friendly_name="Office"))
    addresses = sip.ip_access_control_lists(networks.sid).ip_addresses
    await world.call(
        lambda: addresses.create(friendly_name="a", ip_address="192.0.2.0", cidr_prefix_length=24)
    )
    return domain, users, networks


async def test_a_domain_asks_its_lists_for_calls(world: World, sip: Any) -> None:
    domain, users, networks = await mapped(world, sip)
    one, calls = sip.domains(domain.sid), sip.domains(domain.sid).auth.calls
    mapping = await world.call(
        lambda: calls.credential_list_mappings.create(credential_list_sid=users.sid)
    )
    assert (mapping.sid, mapping.friendly_name) == (users.sid, "Phones")
    assert (await world.call(one.fetch)).auth_type == "CREDENTIAL_LIST"
    older = await world.call(
        lambda: one.ip_access_control_list_mappings.create(ip_access_control_list_sid=networks.sid)
    )
    assert (older.sid, older.domain_sid) == (networks.sid, domain.sid)
    assert older.uri == domain.uri.replace(
        ".json", f"/IpAccessControlListMappings/{networks.sid}.json"
    )
    assert (await world.call(one.fetch)).auth_type == "IP_ACL,CREDENTIAL_LIST"
    for way in (one, calls):  # both paths show both
        for listed, sid in (
            (way.credential_list_mappings, users.sid),
            (way.ip_access_control_list_mappings, networks.sid),
        ):
            assert [each.sid for each in await world.call(listed.list)] == [sid]
            assert (await world.call(listed(sid).fetch)).sid == sid
    room = world.services.sip
    known = room.domain(NAME)
    assert known is not None
    found = room.hashes(known, Purpose.CALLS, "alice")
    assert found is not None and found["MD5"] == ha1("MD5", "alice", REALM, PASSWORD)
    assert room.hashes(known, Purpose.REGISTRATIONS, "alice") is None
    assert room.allows(known, Purpose.CALLS, ip_address("192.0.2.200"))
    assert not room.allows(known, Purpose.CALLS, ip_address("192.0.3.1"))
    await world.call(lambda: one.update(friendly_name="Other"))
    await world.call(lambda: sip.credential_lists(users.sid).update(friendly_name="Others"))
    await world.call(lambda: sip.ip_access_control_lists(networks.sid).update(friendly_name="O"))
    known = room.domain(NAME)
    assert known is not None and room.hashes(known, Purpose.CALLS, "alice") == found
    assert room.allows(known, Purpose.CALLS, ip_address("192.0.2.200"))
    assert await world.call(one.credential_list_mappings(users.sid).delete)
    assert (await refused(world, calls.credential_list_mappings(users.sid).fetch)).code == 20404
    assert room.hashes(known, Purpose.CALLS, "alice") is None


async def test_a_domain_asks_its_lists_for_registrations(world: World, sip: Any) -> None:
    domain, users, _ = await mapped(world, sip)
    listed = sip.domains(domain.sid).auth.registrations.credential_list_mappings
    mapping = await world.call(lambda: listed.create(credential_list_sid=users.sid))
    assert (mapping.sid, mapping.friendly_name) == (users.sid, "Phones")
    assert (await world.call(sip.domains(domain.sid).fetch)).auth_type == ""
    assert await world.call(sip.domains(domain.sid).credential_list_mappings.list) == []
    assert [each.sid for each in await world.call(listed.list)] == [users.sid]
    room = world.services.sip
    known = room.domain(NAME)
    assert known is not None and room.hashes(known, Purpose.REGISTRATIONS, "alice")
    assert await world.call(listed(users.sid).delete)
    assert await world.call(listed.list) == []


async def test_what_cannot_be_mapped(world: World, sip: Any) -> None:
    domain, users, networks = await mapped(world, sip)
    listed = sip.domains(domain.sid).auth.calls.credential_list_mappings
    foreign = world.sdk(world.stranger).sip
    theirs = await world.call(lambda: foreign.credential_lists.create(friendly_name="Theirs"))
    for sid in (networks.sid, theirs.sid, ABSENT_LIST, ""):
        error = await refused(world, lambda s=sid: listed.create(credential_list_sid=s))
        assert (error.status, error.code) == (404, 20404)
    await world.call(lambda: listed.create(credential_list_sid=users.sid))
    others = sip.domains(domain.sid).auth.calls.ip_access_control_list_mappings
    assert (await refused(world, others(users.sid).fetch)).code == 20404
    twice = await refused(world, lambda: listed.create(credential_list_sid=users.sid))
    assert (twice.status, twice.code) == (400, 21231)


async def test_a_list_that_a_domain_asks_stays(world: World, sip: Any) -> None:
    domain, users, networks = await mapped(world, sip)
    one = sip.domains(domain.sid)
    await world.call(lambda: one.credential_list_mappings.create(credential_list_sid=users.sid))
    await world.call(
        lambda: one.ip_access_control_list_mappings.create(ip_access_control_list_sid=networks.sid)
    )
    for list_, code in (
        (sip.credential_lists(users.sid), 21241),
        (sip.ip_access_control_lists(networks.sid), 21236),
    ):
        error = await refused(world, list_.delete)
        assert (error.status, error.code) == (400, code)
        assert NAME in error.msg
    assert await world.call(one.delete)
    assert await world.call(sip.credential_lists(users.sid).delete)
    assert await world.call(sip.ip_access_control_lists(networks.sid).delete)
    assert world.services.sip.entries() == []


async def test_lists_come_in_pages(world: World, sip: Any) -> None:
    list_ = await world.call(lambda: sip.credential_lists.create(friendly_name="Phones"))
    users = sip.credential_lists(list_.sid).credentials
    for number in range(5):
        await world.call(lambda n=number: users.create(username=f"user{n}", password=PASSWORD))
    found = await world.call(lambda: users.list(page_size=2))
    assert [each.username for each in found] == [f"user{n}" for n in (4, 3, 2, 1, 0)]
    first = await world.call(lambda: users.page(page_size=2))
    second = await world.call(first.next_page)
    assert [each.username for each in second] == ["user2", "user1"]
    domain = await world.call(lambda: sip.domains.create(domain_name=NAME))
    mappings = sip.domains(domain.sid).auth.calls.credential_list_mappings
    for _ in range(3):
        other = await world.call(lambda: sip.credential_lists.create(friendly_name="Others"))
        await world.call(lambda s=other.sid: mappings.create(credential_list_sid=s))
    assert len(await world.call(lambda: mappings.list(page_size=1))) == 3


async def test_what_is_removed_while_it_is_listed_hides_nothing(world: World, sip: Any) -> None:
    domain = await world.call(lambda: sip.domains.create(domain_name=NAME))
    mappings = sip.domains(domain.sid).auth.calls.credential_list_mappings
    lists = [
        await world.call(lambda: sip.credential_lists.create(friendly_name="Phones"))
        for _ in range(5)
    ]
    for list_ in reversed(lists):
        await world.call(lambda s=list_.sid: mappings.create(credential_list_sid=s))

    def remove(each: Any) -> int:
        return sum(one.delete() for one in each.stream(page_size=2))

    assert await world.call(lambda: remove(mappings)) == 5
    assert await world.call(lambda: remove(sip.credential_lists)) == 5
    assert await world.call(sip.credential_lists.list) == []


async def test_bounds(world: World, sip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, users, networks = await mapped(world, sip)
    for table in tables.TABLES:
        monkeypatch.setattr(table, "bound", 1)
    for use, code in (
        (lambda: sip.domains.create(domain_name="two.example"), 21230),
        (lambda: sip.credential_lists.create(friendly_name="a"), 21239),
        (lambda: sip.ip_access_control_lists.create(friendly_name="a"), 21255),
        (
            lambda: sip.credential_lists(users.sid).credentials.create("bob", PASSWORD),
            21242,
        ),
        (
            lambda: sip.ip_access_control_lists(networks.sid).ip_addresses.create("b", "10.0.0.1"),
            21237,
        ),
    ):
        error = await refused(world, use)
        assert (error.status, error.code) == (400, code)
        assert "1 already" in error.msg


async def test_the_config_file_owns_what_it_names(world: World, sip: Any) -> None:
    settings = {"voice_url": "https://app.example/voice", "voice_method": "GET"}
    users = [("alice", "any"), ("bob", "one")]
    world.services.sip.declare(
        declared_domain(world.main.sid, "file.example", settings, users, 1_795_000_000.0)
    )
    [domain] = await world.call(sip.domains.list)
    assert (domain.domain_name, domain.voice_url) == ("file.example", settings["voice_url"])
    assert (domain.auth_type, domain.sip_registration) == ("CREDENTIAL_LIST", True)
    [list_] = await world.call(sip.credential_lists.list)
    one, listed = sip.domains(domain.sid), sip.credential_lists(list_.sid)
    shown = await world.call(listed.credentials.list)
    assert sorted(each.username for each in shown) == ["alice", "bob"]
    own = await world.call(lambda: sip.credential_lists.create(friendly_name="own"))
    for use in (
        lambda: one.update(friendly_name="mine"),
        one.delete,
        lambda: listed.update(friendly_name="mine"),
        listed.delete,
        lambda: listed.credentials.create(username="eve", password=PASSWORD),
        lambda: listed.credentials(shown[0].sid).update(password=PASSWORD),
        listed.credentials(shown[0].sid).delete,
        lambda: one.credential_list_mappings.create(credential_list_sid=own.sid),
        one.auth.registrations.credential_list_mappings(list_.sid).delete,
    ):
        error = await refused(world, use)
        assert (error.status, error.code) == (403, 20006)
        assert "config file" in error.msg
    taken = await refused(world, lambda: sip.domains.create(domain_name="file.example"))
    assert taken.code == 21231
    hers = world.sdk(world.stranger).sip
    assert await world.call(hers.domains.list) == []


async def test_a_closed_account_has_no_domains(world: World) -> None:
    main = world.sdk(world.main)
    sub = await world.call(main.api.accounts.create)
    sip = main.api.accounts(sub.sid).sip
    await mapped_in(world, sip)
    kept = await world.call(lambda: main.sip.domains.create(domain_name="kept.example"))
    await world.call(lambda: main.api.accounts(sub.sid).update(status="closed"))
    room = world.services.sip
    assert [each.sid for each in room.entries()] == [kept.sid]
    await room.refresh()
    assert [each.sid for each in room.entries()] == [kept.sid]
    facts = await world.services.store.facts_after(0, 100)
    assert {"sip_domain.deleted", "credential.deleted"} <= {fact.type for fact in facts}
    again = await world.call(lambda: main.sip.domains.create(domain_name=NAME))
    assert again.domain_name == NAME


async def mapped_in(world: World, sip: Any) -> None:
    domain = await world.call(lambda: sip.domains.create(domain_name=NAME))
    users = await world.call(lambda: sip.credential_lists.create(friendly_name="Phones"))
    credentials = sip.credential_lists(users.sid).credentials
    await world.call(lambda: credentials.create(username="alice", password=PASSWORD))
    mappings = sip.domains(domain.sid).credential_list_mappings
    await world.call(lambda: mappings.create(credential_list_sid=users.sid))
