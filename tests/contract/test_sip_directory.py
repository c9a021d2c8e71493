"""The directory of SIP domains over either store; what processes see of others."""

from ipaddress import ip_address
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from gateway.access.keys import Keys
from gateway.accounts import Accounts
from gateway.directory import Directory
from gateway.phone_numbers import PhoneNumbers
from gateway.sids import new_sid
from gateway.sip.bindings import DELETE_ACCOUNT
from gateway.sip.declared import declared_domain
from gateway.sip.directory import Closed, Full, InUse, SipDirectory, Taken
from gateway.sip.model import (
    REALM,
    AccessList,
    Address,
    Credential,
    CredentialList,
    Domain,
    Entry,
    Mapping,
    Need,
    Purpose,
)
from gateway.sip.rules import hashes_of
from gateway.sip.tables import CREDENTIALS, MARK
from gateway.store.base import Store
from protocols.sip.digest import ha1

ACCOUNT, OTHER = f"AC{1:032x}", f"AC{2:032x}"
NOW = 1_795_000_000.0


def common(prefix: str, account_sid: str = ACCOUNT) -> dict[str, Any]:
    sid = new_sid(prefix, NOW)
    return {"sid": sid, "account_sid": account_sid, "date_created": NOW, "date_updated": NOW}


def domain(name: str = "a.example", **others: Any) -> Domain:
    values = {**common("SD"), **others}
    return Domain(domain_name=name, friendly_name="", settings={"secure": "true"}, **values)


def users(**others: Any) -> CredentialList:
    return CredentialList(friendly_name="users", **{**common("CL"), **others})


def networks() -> AccessList:
    return AccessList(friendly_name="networks", **common("AL"))


def user(list_: CredentialList, name: str = "alice", password: str = "secret") -> Credential:
    return Credential(
        credential_list_sid=list_.sid,
        username=name,
        hashes=hashes_of(name, password),
        **common("CR", list_.account_sid),
    )


def address(list_: AccessList, written: str, length: int) -> Address:
    return Address(
        ip_access_control_list_sid=list_.sid,
        friendly_name="",
        ip_address=written,
        cidr_prefix_length=length,
        **common("IP"),
    )


def mapping(of: Domain, list_: Entry, purpose: Purpose = Purpose.CALLS) -> Mapping:
    return Mapping(
        sid=list_.sid,
        account_sid=of.account_sid,
        domain_sid=of.sid,
        purpose=purpose,
        date_created=NOW,
        date_updated=NOW,
    )


async def added(room: SipDirectory, *entries: Entry) -> None:
    for entry in entries:
        await room.add(entry)


async def test_everything_is_as_it_was_after_a_start(store: Store) -> None:
    room = await SipDirectory.load(store)
    one, phones, offices = domain(), users(), networks()
    entries = (
        one,
        phones,
        offices,
        user(phones),
        address(offices, "192.0.2.0", 24),
        mapping(one, phones),
        mapping(one, phones, Purpose.REGISTRATIONS),
        mapping(one, offices),
    )
    await added(room, *entries)
    again = await SipDirectory.load(store)
    assert sorted(again.entries(), key=repr) == sorted(entries, key=repr)
    assert again.needs(one, Purpose.CALLS) == {Need.ADDRESS, Need.CREDENTIALS}
    assert again.needs(one, Purpose.REGISTRATIONS) == {Need.CREDENTIALS}


async def test_who_is_let_in(store: Store) -> None:
    room = await SipDirectory.load(store)
    one, two, phones, more, offices = domain(), domain("b.example"), users(), users(), networks()
    await added(room, one, two, phones, more, offices)
    await added(room, user(phones), user(more, password="another"), user(more, "bob"))
    assert room.needs(one, Purpose.CALLS) == frozenset()
    assert room.hashes(one, Purpose.CALLS, "alice") is None
    assert not room.allows(one, Purpose.CALLS, ip_address("192.0.2.1"))
    later = msgspec.structs.replace(mapping(one, more), date_created=NOW + 1)
    await added(room, later, mapping(one, phones), mapping(one, offices))
    await added(room, address(offices, "192.0.2.77", 24), address(offices, "2001:db8::", 32))
    found = room.hashes(one, Purpose.CALLS, "alice")
    assert found is not None and found["MD5"] == ha1("MD5", "alice", REALM, "secret")
    assert room.hashes(one, Purpose.CALLS, "bob")
    assert room.hashes(one, Purpose.CALLS, "Alice") is None
    for written, allowed in {
        "192.0.2.1": True,
        "192.0.3.1": False,
        "::ffff:192.0.2.1": True,
        "2001:db8:1::1": True,
        "2001:db9::1": False,
    }.items():
        assert room.allows(one, Purpose.CALLS, ip_address(written)) is allowed, written
        assert not room.allows(two, Purpose.CALLS, ip_address(written))
    await room.add(address(offices, "192.0.3.1", 32))
    assert room.allows(one, Purpose.CALLS, ip_address("192.0.3.1"))


async def test_names_are_had_once(store: Store) -> None:
    room, elsewhere = await SipDirectory.load(store), await SipDirectory.load(store)
    phones, offices = users(), networks()
    await added(room, domain(), phones, offices, user(phones), address(offices, "10.0.0.1", 32))
    await elsewhere.refresh()
    for twice in (domain(), user(phones), address(offices, "10.0.0.1", 32)):
        for known in (room, elsewhere):
            with pytest.raises(Taken):
                await known.add(twice)
    other = domain("b.example")
    await room.add(other)
    with pytest.raises(Taken):
        await room.change(other, NOW, domain_name="a.example")
    assert room.domain("b.example") == other
    with pytest.raises(Taken):  # which it does not know yet
        await elsewhere.add(domain("b.example"))


async def test_a_change_lays_settings_over_what_there_is(store: Store) -> None:
    room, elsewhere = await SipDirectory.load(store), await SipDirectory.load(store)
    one = domain()
    await room.add(one)
    await elsewhere.refresh()
    await room.change(one, NOW + 1, settings={"voice_url": "https://a.example"})
    new = await elsewhere.change(one, NOW + 2, friendly_name="new", settings={"secure": "false"})
    assert new.settings == {"voice_url": "https://a.example", "secure": "false"}
    assert (new.friendly_name, new.version, new.date_created) == ("new", 3, NOW)
    renamed = await elsewhere.change(one, NOW + 3, domain_name="b.example")
    assert elsewhere.domain("a.example") is None
    assert elsewhere.domain("b.example") == renamed
    await room.refresh()
    assert room.domain("b.example") == renamed
    await elsewhere.remove(one, NOW)
    with pytest.raises(KeyError):
        await elsewhere.change(one, NOW, friendly_name="late")


async def test_what_another_account_has_is_not_there(store: Store) -> None:
    room = await SipDirectory.load(store)
    one, phones = domain(), users()
    await added(room, one, phones)
    assert room.domains.get(OTHER, one.sid) is None
    assert room.domains.under(OTHER, ACCOUNT) == []
    theirs = msgspec.structs.replace(user(phones), account_sid=OTHER)
    with pytest.raises(KeyError):
        await room.add(theirs)
    with pytest.raises(KeyError):
        await room.add(msgspec.structs.replace(mapping(one, phones), account_sid=OTHER))
    foreign = users(account_sid=OTHER)
    await room.add(foreign)
    with pytest.raises(KeyError):
        await room.add(mapping(one, foreign))
    eve = user(foreign, "eve")
    await room.add(eve)
    table = room.mappings.table  # what a row that should not be there would do
    await store.commit(table.inserted(mapping(one, foreign)))
    await room.refresh()
    assert room.hashes(one, Purpose.CALLS, "eve") is None
    await room.remove(msgspec.structs.replace(one, account_sid=OTHER), NOW)
    assert room.domain("a.example") == one


async def test_what_goes_takes_along_what_belongs_to_it(store: Store) -> None:
    room = await SipDirectory.load(store)
    one, phones = domain(), users()
    await added(room, one, phones, user(phones), mapping(one, phones))
    with pytest.raises(InUse, match=r"a\.example"):
        await room.remove(phones, NOW)
    await room.remove(one, NOW)
    assert len(room.mappings) == 0
    await room.remove(phones, NOW)
    assert room.entries() == (await SipDirectory.load(store)).entries() == []
    assert await store.fetch(CREDENTIALS.all) == []
    facts = [(f.type, f.sid, f.version) for f in await store.facts_after(0, 100)]
    assert facts[-2:] == [
        ("sip_domain.deleted", one.sid, 2),
        ("credential_list.deleted", phones.sid, 2),
    ]


async def test_what_another_process_changed_is_seen_at_a_look(store: Store) -> None:
    accounts, numbers = await Accounts.load(store), await PhoneNumbers.load(store)
    here, elsewhere = await SipDirectory.load(store), await SipDirectory.load(store)
    directory = Directory(store, accounts, Keys(store), numbers, here)
    one, phones = domain(), users()
    alice = user(phones)
    await added(elsewhere, one, phones, alice, mapping(one, phones))
    await directory.look()
    assert here.hashes(one, Purpose.CALLS, "alice") == alice.hashes
    await elsewhere.change(alice, NOW, hashes=hashes_of("alice", "changed"))
    await directory.look()
    assert here.hashes(one, Purpose.CALLS, "alice") == hashes_of("alice", "changed")
    await elsewhere.remove(alice, NOW)
    await directory.look()
    assert here.hashes(one, Purpose.CALLS, "alice") is None


async def test_a_list_that_is_gone_elsewhere_lets_nobody_in(store: Store) -> None:
    room, elsewhere = await SipDirectory.load(store), await SipDirectory.load(store)
    one, phones = domain(), users()
    await added(room, one, phones, user(phones))
    await elsewhere.refresh()
    await room.add(mapping(one, phones))
    await elsewhere.remove(phones, NOW)  # which does not know of the mapping
    await room.refresh()
    assert room.needs(one, Purpose.CALLS) == {Need.CREDENTIALS}
    assert room.hashes(one, Purpose.CALLS, "alice") is None


async def test_a_parent_holds_so_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    room = await SipDirectory.load(store)
    phones, more = users(), users()
    await added(room, phones, more)
    monkeypatch.setattr(CREDENTIALS, "bound", 2)
    await added(room, user(phones), user(phones, "bob"), user(more))
    with pytest.raises(Full, match="2"):
        await room.add(user(phones, "eve"))


async def test_the_config_file_hides_a_stored_domain_of_its_name(store: Store) -> None:
    room = await SipDirectory.load(store)
    stored, phones = domain(), users()
    await added(room, stored, phones, user(phones), mapping(stored, phones))
    room.declare(declared_domain(OTHER, "a.example", {"voice_url": "x"}, [("bob", "pw")], NOW))
    named = room.domain("A.example")
    assert named is not None and (named.account_sid, named.declared) == (OTHER, True)
    assert room.domains.get(ACCOUNT, stored.sid) is None
    found = room.hashes(named, Purpose.REGISTRATIONS, "bob")
    assert found is not None and found["MD5"] == ha1("MD5", "bob", REALM, "pw")
    assert room.hashes(named, Purpose.CALLS, "bob") == found
    assert room.hashes(named, Purpose.CALLS, "alice") is None
    with pytest.raises(Taken):
        await room.add(domain())
    await room.refresh()
    assert room.domain("a.example") == named
    room.declare(declared_domain(OTHER, "b.example", {}, [], NOW))
    assert room.domain("a.example") == stored
    assert room.hashes(stored, Purpose.CALLS, "alice")
    empty = room.domain("b.example")
    assert empty is not None and room.needs(empty, Purpose.CALLS) == frozenset()


async def test_nothing_comes_to_an_account_that_was_closed(store: Store) -> None:
    room = await SipDirectory.load(store)
    one, phones, theirs = domain(), users(), domain("b.example", account_sid=OTHER)
    await added(room, one, phones, user(phones), mapping(one, phones), theirs)
    async with room.closing(ACCOUNT, NOW) as writes:
        await store.commit(writes)
    assert room.entries() == (await SipDirectory.load(store)).entries() == [theirs]
    with pytest.raises(Closed):
        await room.add(domain())
    nobody = f"AC{3:032x}"
    async with room.closing(nobody, NOW) as writes:
        # Its phones may have registered with a domain of the config file.
        assert writes == [(DELETE_ACCOUNT, (nobody,))]


async def test_the_mark_moves_with_every_change(store: Store) -> None:
    room = await SipDirectory.load(store)
    seen = [await store.fetch(MARK)]
    one, phones = domain(), users()
    for entry in (one, phones, user(phones), mapping(one, phones)):
        await room.add(entry)
        seen.append(await store.fetch(MARK))
    await room.change(phones, NOW, friendly_name="new")
    seen.append(await store.fetch(MARK))
    await room.remove(mapping(one, phones), NOW)
    seen.append(await store.fetch(MARK))
    assert all(after != before for before, after in pairwise(seen))


def test_hashes_stay_out_of_what_is_shown() -> None:
    shown = repr(user(users()))
    assert "alice" in shown and ha1("MD5", "alice", REALM, "secret") not in shown
