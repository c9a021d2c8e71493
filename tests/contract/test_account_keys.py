"""Keys of accounts in every store, and what processes see of each other's."""

import pytest

from gateway.access import keys as room
from gateway.access.keys import Closed, Full, Keys
from gateway.accounts import Accounts
from gateway.directory import Directory
from gateway.phone_numbers import PhoneNumbers
from gateway.sip.directory import SipDirectory
from gateway.store.base import Store
from tests.contract.rows import facts_of

ACCOUNT, OTHER = f"AC{1:032x}", f"AC{2:032x}"
NOW = 1_800_000_000.0


async def test_one_is_made_renamed_and_taken_away(store: Store) -> None:
    keys = await Keys.load(store)
    made = await keys.add(ACCOUNT, "web \u2603", NOW)
    assert made.sid.startswith("SK") and len(made.secret) == 32
    assert keys.find(made.sid) == keys.get(ACCOUNT, made.sid) == made
    assert keys.get(OTHER, made.sid) is None
    new = await keys.rename(made.sid, "phones", NOW + 1)
    again = await Keys.load(store)
    assert again.of_account(ACCOUNT) == [new] == keys.of_account(ACCOUNT)
    assert (new.secret, new.version) == (made.secret, 2)
    await keys.remove(made.sid, NOW + 2)
    await keys.remove(made.sid, NOW + 3)
    assert keys.find(made.sid) is None
    assert (await Keys.load(store)).of_account(ACCOUNT) == []
    with pytest.raises(KeyError):
        await keys.rename(made.sid, "gone", NOW)
    facts = await facts_of(store, 3)
    told = [(fact.type, fact.version) for fact in facts]
    assert told == [("key.created", 1), ("key.updated", 2), ("key.deleted", 3)]
    assert made.secret not in repr(facts)


async def test_the_newest_comes_first_and_there_is_a_bound(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST", 2)
    keys = await Keys.load(store)
    old, new = await keys.add(ACCOUNT, "old", NOW), await keys.add(ACCOUNT, "new", NOW)
    await keys.add(OTHER, "theirs", NOW)
    with pytest.raises(Full):
        await keys.add(ACCOUNT, "more", NOW)
    assert keys.of_account(ACCOUNT) == [new, old]


async def test_an_account_that_closes_takes_its_keys_along(store: Store) -> None:
    keys = await Keys.load(store)
    mine, theirs = await keys.add(ACCOUNT, "", NOW), await keys.add(OTHER, "", NOW)
    with pytest.raises(RuntimeError):
        async with keys.closing(ACCOUNT, NOW):
            raise RuntimeError
    assert keys.find(mine.sid) == mine
    async with keys.closing(ACCOUNT, NOW) as writes:
        await store.commit(writes)
    assert (keys.find(mine.sid), keys.find(theirs.sid)) == (None, theirs)
    assert (await Keys.load(store)).find(mine.sid) is None
    with pytest.raises(Closed):
        await keys.add(ACCOUNT, "late", NOW)


async def test_a_key_that_goes_elsewhere_is_gone_at_a_look(store: Store) -> None:
    here, elsewhere = await Keys.load(store), await Keys.load(store)
    directory = Directory(
        store,
        await Accounts.load(store),
        here,
        await PhoneNumbers.load(store),
        await SipDirectory.load(store),
    )
    made = await elsewhere.add(ACCOUNT, "", NOW)
    await directory.look()
    assert here.find(made.sid) == made
    await elsewhere.rename(made.sid, "web", NOW)
    both = await here.rename(made.sid, "phones", NOW)
    assert both.version == 3
    await elsewhere.remove(made.sid, NOW)
    await directory.look()
    assert here.find(made.sid) is None
