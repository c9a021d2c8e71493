"""Notifications over REST: of the account, of a call, and what the app had answered then."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rest_world import World, rest_world
from test_rest_calls import NOW, made, stored

from gateway.calls import tables
from gateway.calls.documents import Exchange
from gateway.messages import notifications

URL = "https://app.example/voice"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


async def test_what_was_wrong_is_shown_with_what_the_app_answered(world: World) -> None:
    call, other = made(world), made(world)
    await stored(world, call, other)
    asked = [
        Exchange(at=NOW - each, url=URL, method="GET", status=200, elapsed=0.1, body=body)
        for each, body in ((-1.0, "later"), (2.0, "then"), (5.0, "before"))
    ]
    account = world.main.sid
    writes = notifications.noted(
        *(account, call.sid, 12100, "error", NOW), message="no XML", url=URL, line=3
    )
    writes += notifications.noted(account, other.sid, 13223, "warning", NOW + 1, message="a number")
    writes += notifications.noted(account, "SM" + "0" * 32, 11200, "error", NOW + 2, url=URL)
    await world.services.store.commit([*writes, tables.exchanges_kept(call.sid, asked)])
    client = world.sdk(world.main)
    found = await world.call(lambda: client.calls(call.sid).notifications.list())
    assert [(each.error_code, each.log, each.call_sid) for each in found] == [
        ("12100", "0", call.sid)
    ]
    sid = found[0].sid
    (one, whole) = (
        await world.call(lambda: client.calls(call.sid).notifications(sid).fetch()),
        await world.call(lambda: client.api.account.notifications(sid).fetch()),
    )
    assert one.message_text == whole.message_text == "no XML (line 3)"
    assert (one.request_method, one.request_url, one.response_body) == ("GET", URL, "then")
    assert one.more_info.endswith("/12100")
    every = await world.call(lambda: client.api.account.notifications.list())
    assert [each.error_code for each in every] == ["11200", "13223", "12100"]
    assert (every[0].call_sid, every[0].message_text) == (None, "HTTP retrieval failure")
    warned = await world.call(lambda: client.api.account.notifications.list(log=1))
    assert [each.message_text for each in warned] == ["a number"]


async def test_what_an_app_was_asked_is_shown_page_by_page(world: World) -> None:
    call, other = made(world), made(world)
    await stored(world, call, other)
    asked = [
        Exchange(at=NOW + each, url=f"{URL}/{each}", method="POST", status=200, elapsed=0.25)
        for each in (2, 0, 1)
    ]
    lost = Exchange(at=NOW + 3, url=URL, method="GET", status=0, elapsed=5.0, error_code=11200)
    kept = [tables.exchanges_kept(call.sid, asked), tables.exchanges_kept(call.sid, [lost])]
    await world.services.store.commit(kept)
    client = world.sdk(world.main)
    found = await world.call(lambda: client.calls(call.sid).events.list(page_size=2))
    assert [each.request["url"] for each in found] == [*(f"{URL}/{n}" for n in range(3)), URL]
    assert found[0].response["request_duration"] == 250
    assert found[3].response | {"date_created": ""} == {
        "date_created": "",
        "error_code": 11200,
        "request_duration": 5000,
        "response_body": "",
        "response_code": None,
    }
    assert await world.call(lambda: client.calls(other.sid).events.list()) == []
    path = f"/2010-04-01/Accounts/{world.main.sid}/Calls/CA{'f' * 32}/Events.json"
    status, body, _ = await world.ask("GET", path, world.main)
    assert (status, body["code"]) == (404, 20404)


async def test_a_notification_stands_below_its_own_call_alone(world: World) -> None:
    call, other = made(world), made(world)
    await stored(world, call, other)
    writes = notifications.noted(world.main.sid, call.sid, 12100, "error", NOW)
    await world.services.store.commit(writes)
    ((_, sid, *_),) = await world.services.store.fetch(notifications.OF_RESOURCE, call.sid)
    base = f"/2010-04-01/Accounts/{world.main.sid}/Calls"
    for path, status in (
        (f"{base}/{call.sid}/Notifications/{sid}.json", 200),
        (f"{base}/{other.sid}/Notifications/{sid}.json", 404),
        (f"{base}/{other.sid}/Notifications.json", 200),
        (f"{base}/CA{'f' * 32}/Notifications.json", 404),
    ):
        found, body, _ = await world.ask("GET", path, world.main)
        assert found == status, body
        assert body.get("notifications", []) == []
