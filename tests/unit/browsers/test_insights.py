"""What pages measure and post of their calls: figures are kept with the call, nothing else is."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from gateway.browsers import insights
from gateway.browsers.insights import EVENTS, LARGEST, METRICS, Insights
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.store.base import StoreUnavailable, Write
from protocols.voicesdk.errors import Code, Fault
from tests.unit.browsers.desks import NOW, OURS, SID, THEIRS, Allowed

CALL = Call(
    account_sid=OURS,
    sid=SID,
    direction=CallDirection.INBOUND,
    status=CallStatus.IN_PROGRESS,
    from_address="client:alice",
    to_address="+15550001000",
    date_created=NOW,
    date_updated=NOW,
)


class World:
    """The posts' door, and the facts that came of them."""

    def __init__(self) -> None:
        self.facts: list[dict[str, Any]] = []
        self.is_away = False
        self.session: ClientSession
        self.url = ""
        self.insights = Insights(
            judge=self._judge, find=self._find, keep=self._keep, clock=lambda: NOW
        )

    async def _judge(self, token: str) -> Allowed | Fault:
        known = {
            "alice": Allowed(),
            "bob": Allowed(identity="bob"),
            "theirs": Allowed(account_sid=THEIRS),
        }
        return known.get(token) or Fault(code=Code.BAD_TOKEN, message="")

    async def _find(self, account_sid: str, sid: str) -> Call | None:
        if self.is_away:
            raise StoreUnavailable("away")
        return CALL if (account_sid, sid) == (OURS, SID) else None

    async def _keep(self, writes: Sequence[Write]) -> None:
        self.facts += [json.loads(row[-1]) for _, row in writes]

    async def posts(self, path: str, body: Any, token: str = "alice") -> int:
        data = body if isinstance(body, bytes) else json.dumps(body)
        headers = {"X-Twilio-Token": token, "Content-Type": "application/json"}
        async with self.session.post(self.url + path, data=data, headers=headers) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            return response.status


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    app = web.Application()
    for path in (EVENTS, METRICS):
        app.router.add_route("*", path, world.insights.handle)
    async with TestServer(app) as server, ClientSession() as session:
        world.url, world.session = str(server.make_url("")).rstrip("/"), session
        yield world


def metrics(*samples: dict[str, Any]) -> dict[str, Any]:
    return {
        "group": "quality-metrics-samples",
        "name": "metrics-sample",
        "payload": [{"call_sid": SID, "audio_codec": "PCMU", **each} for each in samples],
    }


def warning(name: str, group: str = "network-quality-warning-raised") -> dict[str, Any]:
    return {"group": group, "name": name, "level": "WARNING", "payload": {"call_sid": SID}}


async def test_samples_are_kept_as_their_means(world: World) -> None:
    body = metrics(
        {"mos": 4.4, "jitter": 2, "rtt": 20, "packets_lost_fraction": 0},
        {"mos": 3.2, "jitter": 4, "rtt": None, "packets_lost_fraction": 3},
    )
    assert await world.posts(METRICS, body) == 200
    assert world.facts == [
        {
            "samples": 2,
            "mos": 3.8,
            "mos_min": 3.2,
            "jitter": 3,
            "rtt": 20,
            "packets_lost_fraction": 1.5,
        }
    ]


async def test_warnings_and_scores_are_kept_and_other_events_are_not(world: World) -> None:
    await world.posts(EVENTS, warning("high-jitter"))
    await world.posts(EVENTS, warning("low-mos", "network-quality-warning-cleared"))
    score = {"group": "feedback", "name": "received", "payload": {"call_sid": SID}}
    score["payload"] = {"call_sid": SID, "quality_score": 4}
    await world.posts(EVENTS, score)
    await world.posts(EVENTS, warning("words of a <page>"))
    await world.posts(EVENTS, {"group": "connection", "name": "accepted-by-local", "payload": {}})
    assert world.facts == [
        {"warning": "high-jitter", "is": "raised"},
        {"warning": "low-mos", "is": "cleared"},
        {"score": 4},
    ]


@pytest.mark.parametrize("token", ["bob", "theirs"])
async def test_nobody_says_anything_of_anothers_call(world: World, token: str) -> None:
    assert await world.posts(METRICS, metrics({"mos": 1}), token) == 200
    assert world.facts == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"payload": [{"mos": "high"}]}', 400),
        (b"[" * 50_000, 400),
        (b" " * (LARGEST + 1), 413),
        (b'{"payload": []}', 200),
    ],
)
async def test_what_is_no_post_of_the_sdk_is_refused(
    world: World, body: bytes, status: int
) -> None:
    assert await world.posts(METRICS, body) == status
    assert world.facts == []


async def test_a_wrong_token_is_refused_and_a_store_that_is_away_said(world: World) -> None:
    assert await world.posts(METRICS, metrics({"mos": 4}), "forged") == 401
    world.is_away = True
    assert await world.posts(METRICS, metrics({"mos": 4})) == 503


async def test_a_page_elsewhere_may_ask_whether_it_may_post(world: World) -> None:
    async with world.session.options(world.url + METRICS) as response:
        assert response.status == 204
        assert "X-Twilio-Token" in response.headers["Access-Control-Allow-Headers"]
    async with world.session.get(world.url + METRICS) as response:
        assert response.status == 405


async def test_of_one_call_so_much_is_kept_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insights, "MOST_OF_CALL", 2)
    for _ in range(4):
        await world.posts(METRICS, metrics({"mos": 4}))
    assert len(world.facts) == 2
