"""The directories of accounts and numbers over a real store."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.accounts import Accounts, new_token
from gateway.model import Account, AccountKind, AccountStatus
from gateway.phone_numbers import Closed, PhoneNumbers, Taken, declared_number
from gateway.sids import ACCOUNT, new_sid
from gateway.store.base import Conflict, Stale
from gateway.store.sqlite import SqliteStore

NUMBER = "+15550001000"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "t.db", max_queued=100, clock=time.time)
    yield store
    await store.close()


def account(made: float, kind: AccountKind = AccountKind.FULL) -> Account:
    sid = new_sid(ACCOUNT, made)
    return Account(
        sid=sid,
        parent_sid=sid,
        kind=kind,
        friendly_name="",
        auth_token=new_token(),
        status=AccountStatus.ACTIVE,
        date_created=made,
        date_updated=made,
        version=1,
    )


async def test_the_oldest_main_account_is_the_first(store: SqliteStore) -> None:
    accounts = Accounts(store)
    assert accounts.first(AccountKind.FULL) is None
    test, old, new = account(1.0, AccountKind.TEST), account(2.0), account(3.0)
    for one in (new, test, old):
        await accounts.add(one)
    await accounts.add_subaccount(old.sid, "sub", 0.5)
    assert accounts.first(AccountKind.FULL) is old
    assert accounts.first(AccountKind.TEST) is test


async def test_an_account_is_added_once(store: SqliteStore) -> None:
    accounts = Accounts(store)
    main = await accounts.add(account(1.0))
    with pytest.raises(Conflict):
        await accounts.add(main)


async def test_changes_at_once_are_all_kept(store: SqliteStore) -> None:
    accounts = Accounts(store)
    main = await accounts.add(account(1.0))
    await asyncio.gather(
        accounts.change(main.sid, 2.0, friendly_name="new"),
        accounts.change(main.sid, 3.0, auth_token="t" * 32),
        accounts.change(main.sid, 4.0, status=AccountStatus.SUSPENDED),
    )
    changed = accounts.get(main.sid)
    assert changed is not None
    assert changed == (await Accounts.load(store)).get(main.sid)
    assert (changed.friendly_name, changed.auth_token, changed.status, changed.version) == (
        "new",
        "t" * 32,
        AccountStatus.SUSPENDED,
        4,
    )


async def test_a_number_has_one_holder_even_in_a_race(store: SqliteStore) -> None:
    numbers = PhoneNumbers(store)
    outcomes = await asyncio.gather(
        *(numbers.add(f"AC{n}", NUMBER, "", {}, 1.0) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Taken) for outcome in outcomes) == 4


async def test_a_number_that_another_process_took_is_taken(store: SqliteStore) -> None:
    here, there = PhoneNumbers(store), PhoneNumbers(store)
    await there.add("AC1", NUMBER, "", {}, 1.0)
    with pytest.raises(Taken):
        await here.add("AC2", NUMBER, "", {}, 1.0)


async def test_the_file_hides_what_the_store_has_until_it_names_it_no_more(
    store: SqliteStore,
) -> None:
    stored = await PhoneNumbers(store).add("AC1", NUMBER, "", {}, 1.0)
    declared = declared_number("AC2", NUMBER, {"sms_url": "https://app.example"}, 2.0)
    numbers = await PhoneNumbers.load(store, [declared])
    assert numbers.holder(NUMBER) is declared
    assert numbers.get("AC1", stored.sid) is None
    with pytest.raises(Taken):
        await numbers.add("AC3", NUMBER, "", {}, 3.0)
    numbers.declare([])
    assert numbers.holder(NUMBER) == stored
    assert numbers.get("AC1", stored.sid) == stored
    assert numbers.get("AC2", stored.sid) is None
    assert numbers.get("AC2", declared.sid) is None


async def test_a_declared_number_keeps_its_sid() -> None:
    first, again = (declared_number("AC1", NUMBER, {}, at) for at in (1.0, 2.0))
    assert first.sid == again.sid


async def test_what_is_let_go_can_be_had_again(store: SqliteStore) -> None:
    numbers = PhoneNumbers(store)
    old = await numbers.add("AC1", NUMBER, "", {}, 1.0)
    await numbers.remove([old.sid, "PNunknown"], 2.0)
    assert (numbers.holder(NUMBER), len(numbers)) == (None, 0)
    assert (await numbers.add("AC2", NUMBER, "", {}, 3.0)).account_sid == "AC2"


async def test_an_account_that_closes_lets_its_stored_numbers_go_or_keeps_all(
    store: SqliteStore,
) -> None:
    numbers = PhoneNumbers(store)
    await numbers.add("AC1", NUMBER, "", {}, 1.0)
    hidden = await numbers.add("AC1", "+15550001001", "", {}, 1.0)
    other = await numbers.add("AC2", "+15550001002", "", {}, 1.0)
    numbers.declare([declared_number("AC3", hidden.phone_number, {}, 2.0)])
    with pytest.raises(Stale):
        async with numbers.closing("AC1", 2.0):
            raise Stale("somebody else was quicker")
    assert numbers.holder(NUMBER) is not None
    async with numbers.closing("AC1", 3.0) as writes:
        adding = asyncio.ensure_future(numbers.add("AC1", "+15550001003", "", {}, 3.0))
        await asyncio.sleep(0)
        await store.commit(writes)
    with pytest.raises(Closed):
        await adding
    with pytest.raises(Closed):
        await numbers.change(other.sid, 4.0, account_sid="AC1")
    loaded = await PhoneNumbers.load(store)
    assert [loaded.of_account(sid) for sid in ("AC1", "AC2")] == [[], [other]]
    numbers.declare([])
    assert numbers.of_account("AC1") == []
