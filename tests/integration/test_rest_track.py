"""Events of customers' sources, over HTTP: kept once, whole, and shown to their account alone."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rest_world import World, basic, rest_world

from gateway.api.services import ApiLimits
from gateway.messages.idempotency import KEPT_FOR, prune_idempotency
from gateway.model import AccountStatus
from gateway.sources import Source, Sources
from gateway.store.base import Query, StoreUnavailable

_FACTS = Query(
    "tracked", "SELECT account_sid, type, data FROM facts WHERE type LIKE 'track.%' ORDER BY id"
)
KEY = "wk-1"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path, ApiLimits(max_ingest_in_flight=100)) as world:
        declare(world.services.sources, world)
        yield world


def declare(sources: Sources, world: World) -> None:
    sources.declare(
        [
            Source(name="shop", write_key=KEY, account_sid=world.main.sid),
            Source(name="blog", write_key="wk-2", account_sid=world.stranger.sid),
            Source(name="none", write_key="", account_sid=world.main.sid),
        ]
    )


def event(**changed: Any) -> dict[str, Any]:
    value = {"userId": "u1", "event": "Order Completed", "properties": {"total": 7.5}, **changed}
    return {name: each for name, each in value.items() if each is not ...}


async def send(
    world: World, path: str, value: Any, user: str = KEY, password: str = "", **kwargs: Any
) -> tuple[int, Any]:
    body = value if isinstance(value, bytes) else msgspec.json.encode(value)
    headers = {"Authorization": basic(user, password), **kwargs.pop("headers", {})}
    status, answer, _ = await world.ask("POST", path, data=body, headers=headers)
    return status, answer


async def kept(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await world.services.store.fetch(_FACTS)
    return [(account_sid, kind, msgspec.json.decode(data)) for account_sid, kind, data in rows]


async def test_an_event_is_kept_as_it_came(world: World) -> None:
    given = event(
        messageId="m1",
        context={"library": {"name": "mine"}},
        timestamp="2026-11-20T10:00:00.000Z",
        sentAt="2026-11-20T10:00:01Z",
        more={"deep": [1, None, "é"]},
    )
    assert await send(world, "/v1/track", given) == (200, {"success": True})
    ((account_sid, kind, data),) = await kept(world)
    assert (account_sid, kind, data["source"]) == (world.main.sid, "track.track", "shop")
    received_at = data["payload"].pop("receivedAt")
    assert abs(datetime.fromisoformat(received_at).timestamp() - world.services.clock()) < 60
    assert data["payload"] == {**given, "type": "track"}


NEEDED = {"track": {"event": "x"}, "group": {"groupId": "g"}, "alias": {"previousId": "p"}}


@pytest.mark.parametrize("kind", ["track", "identify", "page", "screen", "group", "alias"])
async def test_every_type_has_its_path_and_stands_in_batches(world: World, kind: str) -> None:
    given = {"userId": "u1", "traits": {"name": "Ann"}, **NEEDED.get(kind, {})}
    assert (await send(world, f"/v1/{kind}", given))[0] == 200
    batch = {"batch": [{**given, "type": kind}], "context": {"ip": "::1"}}
    assert (await send(world, "/v1/batch", batch))[0] == 200
    assert (await send(world, "/v1/track", {**given, "type": kind}))[0] == 200
    tracked = await kept(world)
    assert [each for _, each, _ in tracked] == [f"track.{kind}"] * 3
    assert tracked[1][2]["payload"]["context"] == {"ip": "::1"}
    assert len({data["payload"]["messageId"] for _, _, data in tracked}) == 3


async def test_an_accounts_own_credentials_will_do(world: World) -> None:
    main = world.main
    assert (await send(world, "/v1/track", event(), main.sid, main.auth_token))[0] == 200
    ((account_sid, _, data),) = await kept(world)
    assert (account_sid, data["source"]) == (main.sid, "")


@pytest.mark.parametrize(
    ("user", "password"),
    [("wk-3", ""), ("", ""), (KEY, "x"), ("wk-", ""), ("wk-11", ""), ("AC" + "0" * 32, "")],
)
async def test_whoever_has_no_key_is_refused(world: World, user: str, password: str) -> None:
    status, body = await send(world, "/v1/track", event(), user, password)
    assert (status, body["code"]) == (401, 20003)
    assert await kept(world) == []


async def test_without_credentials_it_is_401(world: World) -> None:
    status, body, headers = await world.ask("POST", "/v1/batch", data=b"{}")
    assert (status, body["code"]) == (401, 20003)
    assert headers["WWW-Authenticate"].startswith("Basic")


async def test_keys_can_not_be_guessed_for_long(world: World) -> None:
    for n in range(10):
        assert (await send(world, "/v1/track", event(), f"guess-{n}"))[0] == 401
    assert (await send(world, "/v1/track", event(), "guess"))[0] == 429
    main = world.main  # is no other's guess
    assert (await send(world, "/v1/track", event(), main.sid, main.auth_token))[0] == 200


async def test_a_write_key_opens_nothing_else(world: World) -> None:
    for path in ("/v1/events", f"/2010-04-01/Accounts/{world.main.sid}.json"):
        headers = {"Authorization": basic(KEY, "")}
        assert (await world.ask("GET", path, headers=headers))[0] == 401


async def test_a_suspended_accounts_source_is_refused(world: World) -> None:
    await world.services.accounts.change(
        world.main.sid, world.services.clock(), status=AccountStatus.SUSPENDED
    )
    status, body = await send(world, "/v1/track", event())
    assert (status, body["code"]) == (403, 20005)


async def test_test_credentials_keep_nothing(world: World) -> None:
    test = world.test
    status, body = await send(world, "/v1/track", event(), test.sid, test.auth_token)
    assert (status, body["code"]) == (403, 20008)


async def test_an_event_comes_once_a_day(world: World) -> None:
    for _ in range(2):
        assert (await send(world, "/v1/track", event(messageId="m1")))[0] == 200
    batch = {
        "batch": [event(type="track", messageId=name) for name in ("m2", "m1", "m2", "m3")],
    }
    for _ in range(2):
        assert (await send(world, "/v1/batch", batch))[0] == 200
    assert (await send(world, "/v1/track", event(messageId="m1"), "wk-2"))[0] == 200
    names = [(owner, data["payload"]["messageId"]) for owner, _, data in await kept(world)]
    main, stranger = world.main.sid, world.stranger.sid
    assert names == [(main, "m1"), (main, "m2"), (main, "m3"), (stranger, "m1")]
    now = world.services.clock()
    assert await prune_idempotency(world.services.store, now + KEPT_FOR + 1) == 4
    assert (await send(world, "/v1/track", event(messageId="m1")))[0] == 200
    assert len(await kept(world)) == 5


async def test_many_at_the_same_moment_are_kept_once(world: World) -> None:
    batch = {"batch": [event(type="track", messageId=f"m{n}") for n in range(5)]}
    answers = await asyncio.gather(*(send(world, "/v1/batch", batch) for _ in range(10)))
    assert {status for status, _ in answers} == {200}
    assert len(await kept(world)) == 5


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"userId": ...}, "userId"),
        ({"userId": "", "anonymousId": None}, "anonymousId"),
        ({"userId": 7}, "$.userId"),
        ({"event": ...}, "'event'"),
        ({"event": ""}, "'event'"),
        ({"type": "trick"}, "$.type"),
        ({"type": "group"}, "'groupId'"),
        ({"type": "alias"}, "'previousId'"),
        ({"properties": []}, "$.properties"),
        ({"context": "x"}, "$.context"),
        ({"messageId": ""}, "$.messageId"),
        ({"messageId": "x" * 256}, "$.messageId"),
        ({"messageId": "a\0"}, "$.messageId"),
        ({"timestamp": "yesterday"}, "'timestamp'"),
        ({"sentAt": 7}, "$.sentAt"),
    ],
)
async def test_what_is_wrong_is_said(world: World, changed: dict[str, Any], named: str) -> None:
    bad = event(**changed)
    status, body = await send(world, "/v1/track", bad)
    assert (status, body["code"]) == (400, 20001)
    assert named in body["message"]
    good = event(type="track")
    bad.setdefault("type", "track")
    status, body = await send(world, "/v1/batch", {"batch": [good, bad]})
    assert status == 400
    assert "batch[1]" in body["message"] and named in body["message"]
    assert await kept(world) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"\xff", b'{"userId":"\\ud800"}', b'{"x":' + b"[" * 20_000]
)
async def test_garbage_is_refused(world: World, body: bytes) -> None:
    for path in ("/v1/track", "/v1/batch"):
        status, answer = await send(world, path, body)
        assert (status, answer["code"]) == (400, 20001)


async def test_a_batch_without_types_or_list_is_refused(world: World) -> None:
    for value in ({}, {"batch": {}}, {"batch": [event()]}, {"batch": [7]}, {"batch": None}):
        status, body = await send(world, "/v1/batch", value)
        assert (status, body["code"]) == (400, 20001)
    status, body = await send(world, "/v1/batch", {"batch": [], "sentAt": "then"})
    assert status == 400
    assert (await send(world, "/v1/batch", {"batch": []}))[0] == 200


def sized(octets: int, **changed: Any) -> dict[str, Any]:
    """An event of exactly so many octets of JSON."""
    value = event(**changed, pad="")
    value["pad"] = "x" * (octets - len(msgspec.json.encode(value)))
    return value


async def test_sizes_are_bounded(world: World) -> None:
    event_most, batch_most = 32 * 1024, 500 * 1024
    assert (await send(world, "/v1/track", sized(event_most)))[0] == 200
    status, body = await send(world, "/v1/track", sized(event_most + 1))
    assert (status, body["code"]) == (413, 20413)
    status, body = await send(world, "/v1/batch", {"batch": [sized(event_most + 1, type="track")]})
    assert (status, body["code"]) == (413, 20413)
    assert "batch[0]" in body["message"]
    frame = len(b'{"batch":[]}') + 16
    events = [sized(30_000, type="track") for _ in range(16)]
    events.append(sized(batch_most - frame - 16 * 30_000, type="track"))
    assert len(msgspec.json.encode({"batch": events})) == batch_most
    assert (await send(world, "/v1/batch", {"batch": events}))[0] == 200
    assert (await send(world, "/v1/batch", msgspec.json.encode({"batch": events}) + b" "))[0] == 413
    many = b'{"batch":[%s]}' % b",".join([b"{}"] * 2501)
    status, body = await send(world, "/v1/batch", many)
    assert (status, "2500" in body["message"]) == (413, True)
    shared = {"batch": [event(type="track")] * 90, "context": {"pad": "x" * 30_000}}
    assert (await send(world, "/v1/batch", shared))[0] == 413
    assert len(await kept(world)) == 18


async def test_a_compressed_batch_is_read_and_bounded_by_what_it_holds(world: World) -> None:
    headers = {"Content-Encoding": "gzip"}
    batch = msgspec.json.encode({"batch": [event(type="track")]})
    assert (await send(world, "/v1/batch", gzip.compress(batch), headers=headers))[0] == 200
    for size in (600 * 1024, 50_000_000):
        bomb = gzip.compress(b" " * size)
        assert (await send(world, "/v1/batch", bomb, headers=headers))[0] == 413


async def test_more_than_may_wait_is_429(world: World) -> None:
    batch = {"batch": [event(type="track") for _ in range(101)]}
    status, body = await send(world, "/v1/batch", batch)
    assert (status, body["code"]) == (429, 20429)
    assert (await send(world, "/v1/batch", {"batch": batch["batch"][:100]}))[0] == 200
    assert world.services.ingest.inside == 0


async def test_while_too_many_facts_wait_nothing_is_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(world.services), "overloaded", property(lambda _: lambda: True))
    status, body = await send(world, "/v1/track", event())
    assert (status, body["code"]) == (429, 20429)
    assert await kept(world) == []


async def test_while_the_store_is_away_it_is_503(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(StoreUnavailable("the disk is full"))
        return future

    with monkeypatch.context() as patch:
        patch.setattr(type(world.services.store), "commit", away)
        status, body = await send(world, "/v1/track", event(messageId="m1"))
    assert (status, body["code"]) == (503, 20503)
    assert world.services.ingest.inside == 0
    assert (await send(world, "/v1/track", event(messageId="m1")))[0] == 200
    assert len(await kept(world)) == 1


async def test_the_event_stream_shows_them_to_their_account_alone(world: World) -> None:
    async with world.session.get(
        world.url + "/v1/events?after=0",
        headers={"Authorization": basic(world.stranger.sid, world.stranger.auth_token)},
    ) as stream:
        await send(world, "/v1/track", event(event="Mine"))
        await send(world, "/v1/track", event(event="Theirs"), "wk-2")
        shown = b""
        async with asyncio.timeout(30):
            while b"Theirs" not in shown:
                shown += await stream.content.readany()
    assert b"event: track.track" in shown
    assert b"Mine" not in shown


async def test_openapi_names_them(world: World) -> None:
    _, document, _ = await world.ask("GET", "/openapi.json")
    for kind in ("track", "identify", "page", "screen", "group", "alias", "batch"):
        operation = document["paths"][f"/v1/{kind}"]["post"]
        assert operation["security"] == [{"account": []}]
        taken = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert taken.endswith("/TrackBatch" if kind == "batch" else "/TrackEvent")
    schemas = document["components"]["schemas"]
    assert not schemas["TrackEvent"].get("required")
    assert schemas["TrackBatch"]["required"] == ["batch"]
