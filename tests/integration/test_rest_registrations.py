"""Which phones are registered, over REST."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rest_world import World, rest_world

from gateway.sip import bindings
from protocols.sip.binding import Binding, Cause
from protocols.sip.registrar import Change
from protocols.sip.transport import Flow, Transport
from protocols.sip.uri import SipUri

PATH = "/v1/registrations"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


def binding(user: str = "alice", host: str = "198.51.100.7", expires: float = 600.0) -> Binding:
    return Binding(
        aor=f"{user}@office.example",
        id=f"sip:{user}@{host}",
        uri=SipUri(user=user, host=host, port=5062),
        call_id="c1",
        cseq=1,
        registered_at=1_700_000_000.0,
        expires_at=time.time() + expires,
        flow=Flow(
            id=1, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=("2001:db8::7", 5062)
        ),
        path=(SipUri(host="edge.example", params=(("lr", None),)),),
        user_agent="Phone 1.0",
    )


async def keep(world: World, account_sid: str, *kept: Binding) -> None:
    changes = [Change(binding=each, cause=Cause.REGISTERED) for each in kept]
    await world.services.store.commit(bindings.writes_of(account_sid, changes))


async def test_a_phone_is_shown(world: World) -> None:
    await keep(world, world.main.sid, binding(), binding("bob", expires=-1.0))
    status, body, _ = await world.ask("GET", PATH, world.main)
    [shown] = body["registrations"]
    assert shown.pop("expires_at") > shown["registered_at"]
    assert shown == {
        "aor": "alice@office.example",
        "contact": "sip:alice@198.51.100.7:5062",
        "user_agent": "Phone 1.0",
        "transport": "UDP",
        "source": "[2001:db8::7]:5062",
        "path": ["sip:edge.example;lr"],
        "registered_at": "2023-11-14T22:13:20.000Z",
    }
    assert (status, body["next"]) == (200, None)


async def test_nobody_else_sees_it(world: World) -> None:
    await keep(world, world.main.sid, binding())
    _, body, _ = await world.ask("GET", PATH, world.stranger)
    assert body == {"registrations": [], "next": None}


async def test_phones_come_in_pages(world: World) -> None:
    kept = [binding(user, f"192.0.2.{n}") for user in ("alice", "bob") for n in (1, 2)]
    await keep(world, world.main.sid, *kept)
    seen, after = [], ""
    while after is not None:
        query = f"{PATH}?limit=1" + (f"&after={after}" if after else "")
        _, body, _ = await world.ask("GET", query, world.main)
        [shown] = body["registrations"]
        seen.append(shown["contact"])
        after = body["next"]
    assert seen == [f"sip:{each.uri.user}@{each.uri.host}:5062" for each in kept]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "after=soon", "after=!", "after=WyJhIl0", "after=WyJcdTAwMDAiLCIiXQ"],
)
async def test_what_cannot_be_asked(world: World, query: str) -> None:
    status, body, _ = await world.ask("GET", f"{PATH}?{query}", world.main)
    assert (status, body["code"]) == (400, 20001)


async def test_closing_an_account_ends_its_bindings(world: World) -> None:
    sub = await world.services.accounts.add_subaccount(world.main.sid, "Sub", time.time())
    await keep(world, sub.sid, binding())
    await keep(world, world.main.sid, binding("bob"))
    path = f"/2010-04-01/Accounts/{sub.sid}.json"
    status, _, _ = await world.ask("POST", path, world.main, data={"Status": "closed"})
    assert status == 200
    [(account_sid, left)] = await bindings.load(world.services.store)
    assert (account_sid, left.aor) == (world.main.sid, "bob@office.example")
