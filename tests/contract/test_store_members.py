"""What every backend of the store does with members and what they own."""

import asyncio

import pytest
from msgspec.structs import replace

from gateway.store.base import (
    RESTORED,
    Fenced,
    Insert,
    Store,
    StoreUnavailable,
    member_name,
)
from tests.contract.backends import Backend
from tests.contract.rows import META, meta, outcomes

LONG = 600.0  # seconds: nobody's time is over in a test
LEASE = Insert(table="leases", columns=("name", "holder", "epoch", "expires_at"))


async def owned(store: Store) -> dict[str, str]:
    """Who owns what, members aside."""
    leases = await store.leases()
    return {lease.name: lease.holder for lease in leases if not lease.name.startswith("member:")}


async def test_a_member_stays_one_by_renewing(store: Store) -> None:
    first = await store.renew("a", LONG)
    assert (first.name, first.holder) == (member_name("a"), "a")
    second = await store.renew("a", 2 * LONG)
    assert second.epoch == first.epoch
    assert second.expires_at > first.expires_at
    assert await store.leases() == [second]


async def test_a_name_has_one_owner(store: Store) -> None:
    a, b = await store.renew("a", LONG), await store.renew("b", LONG)
    mine = await store.claim(["carrier:acme", "carrier:beta", "carrier:acme"], a)
    assert {name: lease.holder for name, lease in mine.items()} == {
        "carrier:acme": "a",
        "carrier:beta": "a",
    }
    assert list(await store.claim(["carrier:acme", "forwarder"], b)) == ["forwarder"]
    assert await store.claim([], a) == {}
    again = await store.claim(["forwarder", "carrier:beta", "janitor"], a)
    assert set(again) == {"carrier:beta", "janitor"}
    assert again["carrier:beta"].epoch == mine["carrier:beta"].epoch
    assert await owned(store) == {
        "carrier:acme": "a",
        "carrier:beta": "a",
        "janitor": "a",
        "forwarder": "b",
    }


async def test_what_is_owned_ends_with_the_membership(store: Store) -> None:
    a = await store.renew("a", LONG)
    await store.claim(["x"], a)
    a = await store.renew("a", 2 * LONG)
    leases = {lease.name: lease for lease in await store.leases()}
    assert leases["x"].expires_at == leases[a.name].expires_at == a.expires_at


async def test_what_is_released_is_free_and_the_epoch_grows(store: Store) -> None:
    a, b = await store.renew("a", LONG), await store.renew("b", LONG)
    before = await store.claim(["x", "y"], a)
    await store.claim(["z"], b)
    await store.release(["x", "z", "never owned"], a)
    after = await store.claim(["x", "y", "z"], b)
    assert set(after) == {"x", "z"}
    assert after["x"].epoch > before["x"].epoch
    assert await owned(store) == {"x": "b", "y": "a", "z": "b"}


async def test_who_leaves_owns_nothing(store: Store) -> None:
    a, b = await store.renew("a", LONG), await store.renew("b", LONG)
    before = await store.claim(["x"], a)
    await store.renew("a", 0.0)
    assert await store.leases() == [b]
    with pytest.raises(Fenced):
        await store.commit([(META, ("late", ""))], a)
    with pytest.raises(Fenced):
        await store.claim(["y"], a)
    after = await store.claim(["x"], b)
    assert after["x"].epoch > before["x"].epoch


async def test_who_was_buried_has_to_come_back_under_another_name(store: Store) -> None:
    a, b = await store.renew("a", LONG), await store.renew("b", LONG)
    await store.claim(["x", "y"], a)
    assert await store.bury() == []
    assert await store.bury("nobody") == []
    assert await store.bury("a") == ["a"]
    assert await store.bury("a") == []
    assert await store.leases() == [b]
    for verb in (store.renew("a", LONG), store.claim(["x"], a)):
        with pytest.raises(Fenced, match="a"):
            await verb
    await store.release(["x"], a)
    assert set(await store.claim(["x", "y"], b)) == {"x", "y"}
    anew = await store.renew("a2", LONG)
    assert await store.claim(["x"], anew) == {}


async def test_who_is_late_is_buried_and_nobody_else(store: Store) -> None:
    await store.renew("late", 0.2)
    await store.renew("alive", LONG)
    buried: list[str] = []
    async with asyncio.timeout(60):
        while not buried:
            await asyncio.sleep(0.01)
            buried = await store.bury()
    assert buried == ["late"]
    assert [lease.holder for lease in await store.leases()] == ["alive"]
    with pytest.raises(Fenced):
        await store.renew("late", LONG)


async def test_who_buries_lives_however_late_it_is(store: Store) -> None:
    """A disk, or a whole machine, that stood still is no reason to end oneself."""
    late = await store.renew("a", 0.01)
    await store.renew("b", 0.01)
    await asyncio.sleep(0.05)
    assert await store.bury(by="a") == ["b"]
    assert (await store.renew("a", LONG)).epoch == late.epoch


async def test_who_is_late_but_was_not_buried_may_go_on(store: Store) -> None:
    late = await store.renew("a", 0.01)
    await store.claim(["x"], late)
    await asyncio.sleep(0.05)
    await store.commit([(META, ("late", ""))], late)
    assert (await store.renew("a", LONG)).epoch == late.epoch
    assert await store.bury() == []
    assert await owned(store) == {"x": "a"}


async def test_a_commit_needs_the_lease_that_it_names(store: Store) -> None:
    a, b = await store.renew("a", LONG), await store.renew("b", LONG)
    await store.commit([(META, ("before", ""))], a)
    await store.bury("a")
    futures = [
        store.commit([(META, ("no member", ""))], a),
        store.commit([(META, ("no lease", ""))]),
        store.commit([(META, ("member", ""))], b),
        store.commit([(META, ("other epoch", ""))], replace(b, epoch=b.epoch + 1)),
        store.commit([(META, ("other holder", ""))], replace(b, holder="a")),
        store.commit([(META, ("other name", ""))], replace(b, name=member_name("c"))),
    ]
    assert await outcomes(futures) == [Fenced, None, None, Fenced, Fenced, Fenced]
    assert set(await meta(store)) == {"before", "no lease", "member"}


async def test_what_is_owned_may_be_the_fence_too(store: Store) -> None:
    a = await store.renew("a", LONG)
    mine = await store.claim(["x"], a)
    await store.commit([(META, ("first", ""))], mine["x"])
    await store.release(["x"], a)
    with pytest.raises(Fenced, match="x"):
        await store.commit([(META, ("second", ""))], mine["x"])
    newer = await store.claim(["x"], a)
    with pytest.raises(Fenced):
        await store.commit([(META, ("third", ""))], mine["x"])
    await store.commit([(META, ("fourth", ""))], newer["x"])
    assert set(await meta(store)) == {"first", "fourth"}


async def test_leases_outlive_no_burial_and_epochs_grow_over_a_restart(backend: Backend) -> None:
    store = await backend.open()
    old = await store.renew("a", LONG)
    before = await store.claim(["x"], old)
    await store.close()
    store = await backend.open()
    await store.bury("a")
    with pytest.raises(Fenced):
        await store.commit([(META, ("late", ""))], old)
    new = await store.renew("b", LONG)
    after = await store.claim(["x"], new)
    assert after["x"].epoch > before["x"].epoch
    await store.commit([(META, ("new", ""))], new)
    assert set(await meta(store)) == {"new"}


async def test_a_closed_store_has_no_members(backend: Backend) -> None:
    store = await backend.open()
    a = await store.renew("a", LONG)
    await store.close()
    for verb in (
        store.renew("a", LONG),
        store.bury(),
        store.claim(["x"], a),
        store.release(["x"], a),
        store.leases(),
    ):
        with pytest.raises(StoreUnavailable, match="closed"):
            await verb


async def test_what_was_never_owned_begins_above_the_epoch_of_a_restore(backend: Backend) -> None:
    store = await backend.open()
    await store.commit([(LEASE, (RESTORED, "", 1_000_000, 0.0))])
    await store.close()
    store = await backend.open()
    mine = await store.claim(["x"], await store.renew("a", LONG))
    assert mine["x"].epoch == 1_000_001
    assert RESTORED not in {lease.name for lease in await store.leases()}
