"""Keys and SigningKeys with the official SDK, and what a key may do instead of a token."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from rest_world import NUMBER, GatewayHttpClient, World, basic, rest_world
from structlog.testing import capture_logs
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

from gateway.store.base import Query

ALL = Query("keys_left", "SELECT sid FROM keys WHERE account_sid = $1")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


async def refused(world: World, use: Callable[[], object]) -> tuple[int, int]:
    with pytest.raises(TwilioException) as error:
        await world.call(use)
    if isinstance(error.value, TwilioRestException):
        return error.value.status, error.value.code
    answer = error.value.args[1]  # of a list
    return answer.status_code, json.loads(answer.text)["code"]


def with_key(world: World, made: Any, account_sid: str) -> Client:
    return Client(made.sid, made.secret, account_sid, http_client=GatewayHttpClient(world.url))


async def test_a_key_is_made_shown_renamed_and_deleted(world: World) -> None:
    client = world.sdk(world.main)
    with capture_logs() as logs:
        made = await world.call(lambda: client.new_keys.create(friendly_name="web \u2603"))
        other = await world.call(lambda: client.new_signing_keys.create())
        assert (made.friendly_name, len(made.secret)) == ("web \u2603", 32)
        assert made.date_created is not None and made.sid.startswith("SK")
        for listed in (client.keys.list, client.signing_keys.list):
            assert [each.sid for each in await world.call(listed)] == [other.sid, made.sid]
        renamed = await world.call(lambda: client.keys(made.sid).update(friendly_name="phones"))
        found = await world.call(lambda: client.signing_keys(made.sid).fetch())
        assert renamed.friendly_name == found.friendly_name == "phones"
        kept = await world.call(lambda: client.keys(made.sid).update())
        assert kept.friendly_name == "phones"
        path = f"/2010-04-01/Accounts/{world.main.sid}"
        for end in ("Keys.json", "SigningKeys.json", f"Keys/{made.sid}.json"):
            _, body, _ = await world.ask("GET", f"{path}/{end}", world.main)
            assert "secret" not in str(body) and made.secret not in str(body)
        assert await world.call(lambda: client.keys(made.sid).delete())
        assert await refused(world, lambda: client.keys(made.sid).fetch()) == (404, 20404)
    facts = await world.services.store.facts_after(0, 100)
    assert made.secret not in repr((logs, facts))


async def test_names_and_numbers_of_keys_have_bounds(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = world.sdk(world.main)
    long = "x" * 65
    assert await refused(world, lambda: client.new_keys.create(friendly_name=long)) == (400, 20002)
    made = await world.call(client.new_keys.create)
    key = client.keys(made.sid)
    assert await refused(world, lambda: key.update(friendly_name=long)) == (400, 20002)
    monkeypatch.setattr("gateway.access.keys.MOST", 1)
    assert await refused(world, client.new_keys.create) == (403, 20010)


async def test_a_key_does_what_its_account_may(world: World) -> None:
    owner = world.sdk(world.main)
    made = await world.call(owner.new_keys.create)
    client = with_key(world, made, world.main.sid)
    sent = await world.call(
        lambda: client.messages.create(to="+447700900123", from_=NUMBER, body="hello")
    )
    assert sent.account_sid == world.main.sid
    sub = await world.call(owner.api.accounts.create)
    below = with_key(world, made, sub.sid)
    assert await world.call(below.messages.list) == []
    foreign = with_key(world, made, world.stranger.sid)
    assert await refused(world, foreign.messages.list) == (404, 20404)
    status, _, _ = await world.ask(
        "GET", "/v1/carriers", headers={"Authorization": basic(made.sid, made.secret)}
    )
    assert status == 200


async def test_a_key_lets_nobody_else_in(world: World) -> None:
    made = await world.call(world.sdk(world.main).new_keys.create)
    client = with_key(world, made, world.main.sid)
    forbidden: tuple[Callable[[], object], ...] = (
        client.keys.list,
        client.new_keys.create,
        client.new_signing_keys.create,
        client.keys(made.sid).delete,
        client.api.accounts(world.main.sid).fetch,
        client.api.accounts.list,
        client.api.accounts.create,
    )
    for use in forbidden:
        assert await refused(world, use) == (403, 20006)
    status, body, _ = await world.ask(
        "POST", "/v1/backup", headers={"Authorization": basic(made.sid, made.secret)}
    )
    assert (status, body["code"]) == (403, 20006)
    assert world.main.auth_token not in str(body)


async def test_a_key_that_is_deleted_opens_nothing(world: World) -> None:
    owner = world.sdk(world.main)
    made = await world.call(owner.new_keys.create)
    client = with_key(world, made, world.main.sid)
    await world.call(client.messages.list)
    await world.call(owner.keys(made.sid).delete)
    assert await refused(world, client.messages.list) == (401, 20003)


async def test_guessing_a_secret_is_stopped(world: World) -> None:
    made = await world.call(world.sdk(world.main).new_keys.create)
    path = f"/2010-04-01/Accounts/{world.main.sid}/Messages.json"
    for _ in range(10):
        status, _, _ = await world.ask(
            "GET", path, headers={"Authorization": basic(made.sid, "guess")}
        )
        assert status == 401
    headers = {"Authorization": basic(made.sid, made.secret)}
    status, body, _ = await world.ask("GET", path, headers=headers)
    assert (status, body["code"]) == (429, 20429)
    assert made.secret not in str(body)


async def test_a_closed_account_has_no_keys(world: World) -> None:
    owner = world.sdk(world.main)
    sub = await world.call(owner.api.accounts.create)
    own = Client(sub.sid, sub.auth_token, http_client=GatewayHttpClient(world.url))
    made = await world.call(own.new_keys.create)
    await world.call(lambda: owner.api.accounts(sub.sid).update(status="closed"))
    assert await world.services.store.fetch(ALL, sub.sid) == []
    client = with_key(world, made, sub.sid)
    assert await refused(world, client.messages.list) == (401, 20003)


async def test_test_credentials_make_no_keys(world: World) -> None:
    client = world.sdk(world.test)
    assert await refused(world, client.new_keys.create) == (403, 20008)
