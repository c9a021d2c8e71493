"""Keys and deliveries that were seen, on every store."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from carriers.events import BindDown, Delivery, Received
from gateway.messages.changes import Changes
from gateway.messages.copies import WITHIN, Copies, prune_inbound
from gateway.messages.idempotency import KEPT_FOR, find, kept, prune_idempotency
from gateway.store.base import Conflict, Store
from tests.contract.backends import STORES

NOW = 1_795_000_000.0


@pytest.fixture(params=STORES)
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    backend = STORES[request.param](tmp_path)
    yield await backend.open()
    await backend.close_all()


async def test_keys_are_found_by_account_however_many(store: Store) -> None:
    keys = [f"track:{n}" for n in range(150)]
    await store.commit([kept("AC1", key, "f", f"SM{key}", NOW) for key in keys])
    await store.commit([kept("AC2", keys[0], "f", "SM2", NOW)])
    known = await find(store, "AC1", [*keys, "track:new"], NOW)
    assert known.entries.keys() == set(keys)
    assert known.entries["track:7"].sid == "SMtrack:7"
    assert known.outlived == []
    assert (await find(store, "AC2", keys, NOW)).entries.keys() == {keys[0]}
    assert (await find(store, "AC1", [], NOW)).entries == {}


async def test_a_key_is_taken_once_and_again_when_it_is_outlived(store: Store) -> None:
    await store.commit([kept("AC1", "k", "f", "SM1", NOW)])
    with pytest.raises(Conflict):
        await store.commit([kept("AC1", "k", "f", "SM2", NOW + 1)])
    later = NOW + KEPT_FOR + 1
    known = await find(store, "AC1", ["k"], later)
    assert known.entries == {} and len(known.outlived) == 1
    await store.commit([*known.outlived, kept("AC1", "k", "f", "SM3", later)])
    with pytest.raises(Conflict):  # who read the old row as well comes too late
        await store.commit([*known.outlived, kept("AC1", "k", "f", "SM4", later)])
    assert (await find(store, "AC1", ["k"], later)).entries["k"].sid == "SM3"
    assert await prune_idempotency(store, later) == 0
    assert await prune_idempotency(store, later + KEPT_FOR + 1) == 1


def received(number: int, digest: str, bind: int = 1, at: float = NOW) -> Received:
    return Received(
        carrier="acme",
        delivery=Delivery(bind=bind, sequence_number=number),
        from_address="+1",
        to_address="+2",
        esm_class=0,
        data_coding=0,
        payload=b"",
        tlvs=(),
        at=at,
        octets=(b"",),
        digest=digest,
    )


async def test_what_was_seen_is_known_to_the_next_owner_for_a_minute(store: Store) -> None:
    copies, changes = Copies(), Changes()
    for number, digest in enumerate(["a", "b", "b"]):
        copies.taken(received(number, digest), changes)
    await store.commit(changes.writes)
    late, next_owner = Copies(), Copies()
    await late.recover(store, "acme", NOW + WITHIN + 1)
    assert not late.is_copy(received(9, "a", bind=7, at=NOW + WITHIN + 1), Changes())
    other = Copies()
    await other.recover(store, "beta", NOW)
    assert not other.is_copy(received(9, "a", bind=7), Changes())
    await next_owner.recover(store, "acme", NOW + 5)
    taken = Changes()
    answers = [next_owner.is_copy(received(n, d, bind=7), taken) for n, d in enumerate("abbb")]
    assert answers == [True, True, True, False]
    await store.commit(taken.writes)
    lost, end = BindDown(carrier="acme", bind=7, reason="", at=NOW, unread=(0,)), Changes()
    next_owner.bind_lost(lost, end)
    await store.commit(end.writes)  # only what is in doubt stays
    last = Copies()
    await last.recover(store, "acme", NOW)
    assert [last.is_copy(received(0, d, bind=8), Changes()) for d in "aab"] == [True, False, False]
    assert await prune_inbound(store, NOW) == 0
    assert await prune_inbound(store, NOW + WITHIN + 1) == 1


def test_what_a_carrier_does_not_own_any_more_is_forgotten() -> None:
    copies = Copies()
    event = received(1, "a")
    copies.taken(event, Changes())
    down = BindDown(carrier="acme", bind=1, reason="", at=NOW, unread=(1,))
    copies.bind_lost(down, Changes())
    copies.drop("beta")
    assert copies.is_copy(msgspec.structs.replace(event), Changes())
    copies.taken(event, Changes())
    copies.bind_lost(down, Changes())
    copies.drop("acme")
    assert not copies.is_copy(event, Changes())
