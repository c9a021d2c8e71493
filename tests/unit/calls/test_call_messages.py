"""What apps and clients of the Voice SDK say to each other in a call."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.calls import call_messages
from gateway.calls.call_messages import CallMessages, Said, Subscription
from gateway.calls.ordered import Ordered
from gateway.core.runner import Job
from gateway.sids import SUBSCRIPTION, new_sid
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.callbacks import Patience, Payload

ACCOUNT, CALL, CHILD = "AC" + "1" * 32, "CA" + "1" * 32, "CA" + "2" * 32
SAID = Said(sid="KX" + "1" * 32, content='{"a": 1}')


class Browser:
    """A leg of a client."""

    def __init__(self) -> None:
        self.told: list[Said] = []

    def send_message(self, said: Said) -> None:
        self.told.append(said)


def subscription(call_sid: str, url: str, now: float = 1.0) -> Subscription:
    return Subscription(
        account_sid=ACCOUNT,
        call_sid=call_sid,
        sid=new_sid(SUBSCRIPTION, now),
        callback=url,
        method="GET",
        date_created=now,
    )


async def test_who_subscribed_to_a_call_is_told_what_its_client_says(tmp_path: Path) -> None:
    offered: list[Job] = []
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    messages = CallMessages(
        store,
        lease=lambda: None,
        offer=offered.append,
        patience=Patience(retry_for=60.0),
        clock=lambda: 9.0,
    )
    try:
        assert await messages.heard(ACCOUNT, CALL, SAID) == 0
        mine = subscription(CALL, "https://app.example/said")
        others = subscription(CHILD, "https://app.example/other")
        await store.commit([call_messages.inserted(each) for each in (mine, others)])
        assert await messages.heard(ACCOUNT, CALL, SAID) == 1
        (job,) = offered
        assert (job.kind, job.sid) == ("user_defined_message", mine.sid)
        payload = msgspec.json.decode(job.payload, type=Payload)
        assert (payload.url, payload.method) == ("https://app.example/said", "GET")
        assert dict(payload.parameters) == {
            "AccountSid": ACCOUNT,
            "CallSid": CALL,
            "Sid": SAID.sid,
            "Content": SAID.content,
            "ContentType": "application/json",
            "SequenceNumber": "1",
            "Timestamp": "Thu, 01 Jan 1970 00:00:09 +0000",
        }
        await store.commit([call_messages.deleted(ACCOUNT, CALL)])
        assert await messages.heard(ACCOUNT, CALL, SAID) == 0
        assert await call_messages.forget(store, 100.0) == 1
        assert await call_messages.of_call(store, ACCOUNT, CHILD) == []
    finally:
        await store.close()


@pytest.mark.parametrize("first", [Browser(), object(), None])
def test_a_message_goes_to_a_leg_that_is_a_clients(first: Any) -> None:
    over = SimpleNamespace(is_set=lambda: False)
    whole: Any = SimpleNamespace(first=first, _over=over)
    Ordered.order(whole, SAID)
    assert getattr(first, "told", [SAID]) == [SAID]


def test_a_message_to_who_was_dialled_goes_to_their_leg_alone() -> None:
    child, parent = Browser(), Browser()
    line = SimpleNamespace(call="the child")
    whole: Any = SimpleNamespace(
        first=parent,
        _line_of=lambda sid: line,
        _legs_of=lambda sid: [child] if sid == CHILD else [],
    )
    assert Ordered.order_child(whole, CHILD, SAID) == "the child"
    assert (child.told, parent.told) == ([SAID], [])


@pytest.mark.parametrize(
    ("content", "is_json"),
    [
        ('{"a": 1}', True),
        ("1", True),
        ("", False),
        ("{", False),
        ("[" * 9999, False),
        ("\ud800", False),
    ],
)
def test_content_is_json(content: str, is_json: bool) -> None:
    assert call_messages.is_content(content) is is_json
