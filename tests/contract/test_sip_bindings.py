"""A registrar's bindings outlive it in the store."""

import msgspec

from gateway.sip.bindings import DELETE_ACCOUNT, load, of_account, writes_of
from gateway.store.base import Store
from protocols.sip.binding import Binding, Cause
from protocols.sip.registrar import Change, Limits, Registrar
from protocols.sip.transport import Flow, Transport
from protocols.sip.uri import SipUri

ACCOUNT, OTHER = f"AC{1:032x}", f"AC{2:032x}"
NOW = 1_800_000_000.0
UDP = Flow(id=1, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=("198.51.100.7", 5062))
TCP = Flow(id=2, transport=Transport.TCP, local=("192.0.2.1", 5060), remote=("198.51.100.8", 40000))


def binding(name: str, flow: Flow = UDP, aor: str = "alice@a.example") -> Binding:
    return Binding(
        aor=aor,
        id=name,
        uri=SipUri(user="alice", host="198.51.100.7", port=5062),
        call_id="c1",
        cseq=7,
        registered_at=NOW,
        expires_at=NOW + 60,
        flow=flow,
        params=(("+sip.instance", '"<urn:uuid:1>"'), ("ob", None)),
        path=(SipUri(host="edge.example"),) if name == "path" else (),
        user_agent="Phone é",
    )


def registered(*bindings: Binding, cause: Cause = Cause.REGISTERED) -> list[Change]:
    return [Change(binding=each, cause=cause) for each in bindings]


async def test_what_was_registered_is_given_back(store: Store) -> None:
    one, two, path = binding("one"), binding("two", TCP), binding("path", TCP)
    await store.commit(writes_of(ACCOUNT, registered(one, two, path)))
    refreshed = msgspec.structs.replace(one, cseq=8, expires_at=NOW + 120)
    await store.commit(writes_of(ACCOUNT, registered(refreshed, cause=Cause.REFRESHED)))
    await store.commit(writes_of(ACCOUNT, registered(two, cause=Cause.UNREGISTERED)))
    assert await load(store) == [(ACCOUNT, refreshed), (ACCOUNT, path)]
    registrar = Registrar(Limits())
    today = msgspec.structs.replace(UDP, id=9)
    assert registrar.restore(
        [each for _, each in await load(store)], NOW + 100, lambda flow: today
    ) == (Change(binding=path, cause=Cause.EXPIRED),)
    [restored] = registrar.bindings(one.aor, NOW + 100)
    assert (restored.id, restored.flow.id, restored.cseq) == ("one", 9, 8)


async def test_what_comes_and_goes_in_one_commit(store: Store) -> None:
    one = binding("one")
    again = msgspec.structs.replace(one, registered_at=NOW + 1)
    changes = [
        *registered(one),
        *registered(one, cause=Cause.EXPIRED),
        *registered(again),
        *registered(binding("two")),
        *registered(binding("two"), cause=Cause.CROWDED_OUT),
    ]
    await store.commit(writes_of(ACCOUNT, changes))
    assert await load(store) == [(ACCOUNT, again)]


async def test_an_account_sees_its_own_that_are_good(store: Store) -> None:
    mine, late = binding("one"), msgspec.structs.replace(binding("late"), expires_at=NOW)
    theirs = binding("one", aor="bob@b.example")
    await store.commit(writes_of(ACCOUNT, registered(mine, late)))
    await store.commit(writes_of(OTHER, registered(theirs)))
    assert await of_account(store, ACCOUNT, NOW, 10) == [mine]
    assert await of_account(store, OTHER, NOW, 10) == [theirs]
    await store.commit([(DELETE_ACCOUNT, (ACCOUNT,))])
    assert await load(store) == [(OTHER, theirs)]


async def test_an_account_reads_its_own_in_pages(store: Store) -> None:
    users = [binding(name, aor=aor) for aor in ("a@b", "b@b") for name in ("one", "two")]
    await store.commit(writes_of(ACCOUNT, registered(*users)))
    read, after = [], ("", "")
    while page := await of_account(store, ACCOUNT, NOW, 1, after):
        [last] = page
        read.append(last)
        after = last.aor, last.id
    assert read == users
