"""User-defined messages of calls over REST, as the official SDK sends and subscribes to them."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rest_world import World, rest_world
from test_rest_calls import Held, made, stored
from twilio.base.exceptions import TwilioRestException

from gateway.calls import call_messages, orders
from gateway.calls.call_messages import LONGEST, Said
from gateway.calls.model import Call, CallStatus
from gateway.calls.orders_watch import OrderWatcher

UP = {"status": CallStatus.IN_PROGRESS, "to_address": "client:bob"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


async def a_call(world: World, **fields: Any) -> tuple[Call, Any]:
    """A call that is stored, and what the SDK has of it."""
    call = made(world, **fields)
    await stored(world, call)
    return call, world.sdk(world.main).calls(call.sid)


async def refused(world: World, use: Any) -> int:
    with pytest.raises(TwilioRestException) as caught:
        await world.call(use)
    return int(caught.value.code)


async def test_a_message_reaches_the_process_that_has_the_call(world: World) -> None:
    call, sdk = await a_call(world, **UP)
    elsewhere = Held(world, call)
    watcher = OrderWatcher(world.services.store, elsewhere)
    watcher.start()

    def say() -> Any:
        return sdk.user_defined_messages.create(content='{"a": 1}', idempotency_key="once")

    said = await world.call(say)
    again = await world.call(say)
    await watcher.close()
    assert (said.call_sid, said.sid[:2], again.sid) == (call.sid, "KX", said.sid)
    assert said.date_created is not None
    assert elsewhere.orders == [Said(sid=said.sid, content='{"a": 1}')]


async def test_a_message_that_nobody_takes_in_time_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.api.call_messages._PATIENCE", 0.05)
    call, sdk = await a_call(world, **UP)
    said = await world.call(lambda: sdk.user_defined_messages.create(content="[]"))
    (waiting,) = await orders.waiting(world.services.store)
    assert (waiting.sid, waiting.order) == (call.sid, Said(sid=said.sid, content="[]"))


@pytest.mark.parametrize(
    ("fields", "content", "code"),
    [
        (UP, "{", 32702),
        (UP, f'"{"x" * LONGEST}"', 32703),
        ({**UP, "status": CallStatus.COMPLETED}, "{}", 21220),
        ({**UP, "status": CallStatus.QUEUED}, "{}", 21220),
        ({**UP, "to_address": "+447700900123"}, "{}", 21220),
    ],
)
async def test_a_message_that_nobody_would_hear_is_refused(
    world: World, fields: dict[str, Any], content: str, code: int
) -> None:
    _, sdk = await a_call(world, **fields)
    use = partial(sdk.user_defined_messages.create, content=content)
    assert await refused(world, use) == code
    assert await orders.waiting(world.services.store) == []


async def test_subscriptions_are_made_once_and_deleted(world: World) -> None:
    call, sdk = await a_call(world, **UP)
    store, url = world.services.store, "https://app.example/said"

    def subscribe(**more: str) -> Any:
        return sdk.user_defined_message_subscriptions.create(callback=url, **more)

    made = await world.call(lambda: subscribe(method="GET", idempotency_key="once"))
    again = await world.call(lambda: subscribe(idempotency_key="once"))
    other = await world.call(subscribe)
    assert (made.sid[:2], again.sid, other.sid != made.sid) == ("ZY", made.sid, True)
    assert made.uri.endswith(f"/UserDefinedMessageSubscriptions/{made.sid}.json")
    kept = await call_messages.of_call(store, call.account_sid, call.sid)
    assert [(each.sid, each.callback, each.method) for each in kept] == [
        (made.sid, url, "GET"),
        (other.sid, url, "POST"),
    ]
    assert await world.call(sdk.user_defined_message_subscriptions(made.sid).delete)
    assert await refused(world, sdk.user_defined_message_subscriptions(made.sid).delete) == 20404
    url = "ftp://app.example"
    assert await refused(world, subscribe) == 21205
    for fields in ({**UP, "status": CallStatus.COMPLETED}, {"status": CallStatus.IN_PROGRESS}):
        _, other = await a_call(world, **fields)
        use = other.user_defined_message_subscriptions.create
        assert await refused(world, lambda use=use: use(callback="https://app.example")) == 21220
