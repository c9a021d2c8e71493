"""Members share what there is: the arithmetic, and one membership over a real store."""

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.owners import (
    Group,
    Owners,
    Role,
    Sharing,
    balanced,
    described,
    new_holder,
    roles_of,
)
from gateway.store.base import Lease, StoreUnavailable
from gateway.store.sqlite import SqliteStore

NAMES = [f"n{at}" for at in range(9)]


def settle(names: list[str], owned: dict[str, str], members: list[str]) -> int:
    """Let the members move in turns until nobody does; how many rounds it took."""
    for rounds in itertools.count():
        moved = False
        for member in members:
            move = balanced(names, owned, member, members)
            for name in move.release:
                assert owned.pop(name) == member
                moved = True
            for name in move.claim:
                assert name not in owned
                owned[name] = member
                moved = True
        if not moved:
            return rounds


@given(st.integers(0, 20), st.integers(1, 6), st.data())
def test_all_come_to_equal_shares_from_wherever_they_begin(
    count: int, people: int, data: st.DataObject
) -> None:
    names = [f"n{at:02d}" for at in range(count)]
    members = [f"m{at}" for at in range(people)]
    owned = {
        name: owner for name in names if (owner := data.draw(st.sampled_from([*members, ""]))) != ""
    }
    assert settle(names, owned, members) <= 3
    shares = [list(owned.values()).count(member) for member in members]
    assert sum(shares) == count
    assert max(shares) <= -(-count // people)


def test_who_has_its_share_keeps_it() -> None:
    owned = {"n0": "a", "n1": "a", "n2": "b"}
    assert balanced(NAMES[:3], owned, "a", ["a", "b"]).release == ()
    assert balanced(NAMES[:3], owned, "b", ["a", "b"]).claim == ()


def test_a_new_member_gets_its_share_when_the_others_let_go_of_it() -> None:
    owned = dict.fromkeys(NAMES[:4], "a")
    move = balanced(NAMES[:4], owned, "a", ["a", "b"])
    assert (len(move.release), move.claim) == (2, ())
    assert balanced(NAMES[:4], owned, "b", ["a", "b"]).claim == ()  # nothing is free yet


def test_what_is_no_more_is_released_and_nobody_claims_it() -> None:
    move = balanced(["n1"], {"n0": "a", "n1": "a"}, "a", ["a"])
    assert move.release == ("n0",)


def test_members_reach_for_different_names() -> None:
    claims = [balanced(NAMES, {}, member, ["a", "b", "c"]).claim for member in "abc"]
    assert sorted(name for claim in claims for name in claim) == NAMES


def test_a_holder_tells_its_roles() -> None:
    holder = new_holder([Role.SMPP, Role.API])
    assert described(holder) == f"process {os.getpid()} on {socket.gethostname()}"
    assert roles_of(holder) == {"api", "smpp"}
    assert holder != new_holder([Role.SMPP, Role.API])


class Estate:
    """Remembers what it was told; while `open` is not set, nothing is given up."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.refuses = ""
        self.open = asyncio.Event()
        self.open.set()

    async def take_over(self, name: str, lease: Lease) -> None:
        self.told.append(("take", name))
        if name == self.refuses:
            raise StoreUnavailable("it can't be")

    async def give_up(self, name: str) -> None:
        self.told.append(("give", name))
        await self.open.wait()


class World:
    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.names = ["acme", "beta"]
        self.wanted: list[str] = []
        self.estate = Estate()
        self.monotonic = 100.0
        self.owners = self.member("smpp@here:1:aa")

    def member(self, holder: str) -> Owners:
        return Owners(self.store, holder=holder, ttl=0.4, monotonic=lambda: self.monotonic)

    def groups(self) -> list[Group]:
        return [
            Group(kind="carrier", role=Role.SMPP, names=lambda: self.names, estate=self.estate),
            Group(
                kind="customer",
                role=Role.SMPP,
                names=lambda: self.wanted,
                estate=self.estate,
                sharing=Sharing.WANTED,
            ),
        ]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await SqliteStore.open(tmp_path / "db", max_queued=100, clock=lambda: 1000.0)
    yield World(store)
    await store.close()


async def test_the_only_member_owns_everything_before_it_begins(world: World) -> None:
    await world.owners.join()
    await world.owners.start(world.groups())
    assert world.estate.told == [("take", "acme"), ("take", "beta")]
    names = {lease.name for lease in await world.store.leases()}
    assert {"carrier:acme", "carrier:beta"} <= names
    await world.owners.close()
    await world.owners.leave()
    assert await world.store.leases() == []


async def test_names_that_come_and_go_are_taken_over_and_given_up(world: World) -> None:
    await world.owners.join()
    await world.owners.start(world.groups())
    world.estate.told.clear()
    world.names, world.wanted = ["beta", "gamma"], ["cust"]
    await world.owners.balance()
    assert sorted(world.estate.told) == [("give", "acme"), ("take", "cust"), ("take", "gamma")]
    assert sorted(world.owners.owned("carrier")) == ["beta", "gamma"]
    await world.owners.close()
    await world.owners.leave()


async def released(world: World, name: str) -> None:
    """Wait until nobody owns `name`."""
    async with asyncio.timeout(30):
        while name in {lease.name for lease in await world.store.leases()}:
            await world.store.commit(())


async def test_what_can_not_be_taken_over_is_free_for_others_and_tried_again(
    world: World,
) -> None:
    world.estate.refuses = "acme"
    await world.owners.join()
    await world.owners.start(world.groups())
    assert world.owners.owned("carrier") == ["beta"]
    await released(world, "carrier:acme")
    world.estate.refuses = ""
    await world.owners.balance()
    assert world.owners.owned("carrier") == ["acme", "beta"]
    await world.owners.close()
    await world.owners.leave()


async def test_what_could_not_be_released_either_is_taken_over_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(names: object, member: object) -> None:
        raise StoreUnavailable("the store is away")

    world.estate.refuses = "acme"
    monkeypatch.setattr(world.store, "release", away)
    await world.owners.join()
    await world.owners.start(world.groups())
    await world.owners.close()
    world.estate.refuses = ""
    async with asyncio.timeout(30):
        while world.owners.owned("carrier") != ["acme", "beta"]:
            await world.owners.balance()
    await world.owners.leave()


async def test_what_takes_long_to_be_given_up_holds_nothing_else_up(world: World) -> None:
    await world.owners.join()
    await world.owners.start(world.groups())
    world.estate.open.clear()
    world.names = ["beta", "gamma"]
    await world.owners.balance()
    assert world.owners.owned("carrier") == ["beta", "gamma"]
    await world.owners.balance()
    assert "carrier:acme" in {lease.name for lease in await world.store.leases()}
    world.estate.open.set()
    await released(world, "carrier:acme")
    await world.owners.close()
    await world.owners.leave()


async def test_a_lease_is_renewed_while_a_takeover_lasts(world: World) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(name: str, lease: Lease) -> None:
        begun.set()
        await go_on.wait()

    world.estate.take_over = slow  # type: ignore[method-assign]
    renewed = asyncio.Event()
    renew = world.store.renew

    async def noted(holder: str, ttl: float) -> Lease:
        if begun.is_set():
            renewed.set()
        return await renew(holder, ttl)

    world.store.renew = noted  # type: ignore[method-assign]
    await world.owners.join()
    starting = asyncio.create_task(world.owners.start(world.groups()))
    async with asyncio.timeout(30):
        await renewed.wait()
    go_on.set()
    await starting
    await world.owners.close()
    await world.owners.leave()


async def test_it_is_alive_as_long_as_nobody_can_have_buried_it(world: World) -> None:
    assert not world.owners.alive
    await world.owners.join()
    assert world.owners.alive
    world.monotonic += 0.39
    assert world.owners.alive
    world.monotonic += 0.02
    assert not world.owners.alive


async def test_who_was_buried_says_so(world: World) -> None:
    await world.owners.join()
    await world.owners.start(world.groups())
    await world.store.bury("smpp@here:1:aa")
    async with asyncio.timeout(30):
        await world.owners.lost.wait()
    assert not world.owners.alive
    await world.owners.close()
