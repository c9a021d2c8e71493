"""The control face of a simulated carrier, over HTTP, with a carrier held in the hand."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from protocols.smpp.text import TextError
from sims.control import application
from sims.handset import Inboxes, InText, NoBind, Outcome, Refused, Taken, Text, Unanswered

Client = TestClient[Any, Any]


class HeldCarrier:
    """Answers every text with `outcome`."""

    def __init__(self) -> None:
        self.inboxes = Inboxes(limit=10)
        self.outcome: Outcome | TextError = Taken(parts=1)
        self.texts: list[InText] = []

    async def text_in(self, text: InText) -> Outcome:
        self.texts.append(text)
        if isinstance(self.outcome, TextError):
            raise self.outcome
        return self.outcome

    def forget(self) -> None:
        self.inboxes.forget()


@pytest.fixture
def carrier() -> HeldCarrier:
    return HeldCarrier()


@pytest.fixture
async def client(carrier: HeldCarrier) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(carrier))) as client:
        yield client


async def post(client: Client, body: object, number: str = "+447700900123") -> tuple[int, Any]:
    async with client.post(f"/sim/handsets/{number}/messages", json=body) as answer:
        return answer.status, await answer.json()


TEXT = {"to": "+15550001000", "body": "hello"}


@pytest.mark.parametrize("number", ["+447700900123", "%2B447700900123", "447700900123"])
async def test_messages_are_listed_oldest_first(
    carrier: HeldCarrier, client: Client, number: str
) -> None:
    for at, body in ((1_795_000_000.25, "first"), (1_795_000_001.0, "\u0436\U0001f600")):
        text = Text(from_address="Shop", to_address="+447700900123", body=body, received_at=at)
        carrier.inboxes.add(text)
    async with client.get(f"/sim/handsets/{number}/messages") as answer:
        assert answer.status == 200
        listed = await answer.json()
    assert listed == [
        {
            "from": "Shop",
            "to": "+447700900123",
            "body": "first",
            "received_at": "2026-11-18T11:06:40.250Z",
        },
        {
            "from": "Shop",
            "to": "+447700900123",
            "body": "\u0436\U0001f600",
            "received_at": "2026-11-18T11:06:41.000Z",
        },
    ]


async def test_an_empty_handset_is_a_list(client: Client) -> None:
    async with client.get("/sim/handsets/+447700900123/messages") as answer:
        assert (answer.status, await answer.json()) == (200, [])


@pytest.mark.parametrize("number", ["+447700900123", "%2B447700900123"])
async def test_a_text_that_the_gateway_took_is_201(
    carrier: HeldCarrier, client: Client, number: str
) -> None:
    carrier.outcome = Taken(parts=3)
    status, shown = await post(client, TEXT, number)
    assert (status, shown) == (201, {"from": "+447700900123", **TEXT, "parts": 3})
    (text,) = carrier.texts
    assert (text.from_address, text.to_address) == ("+447700900123", "+15550001000")


@pytest.mark.parametrize(
    ("outcome", "status", "says"),
    [
        (Refused(command_status=0x14), 502, "0x00000014"),
        (NoBind(), 503, "no bind"),
        (Unanswered(seconds=60.0), 504, "60 s"),
        (TextError("the text needs 300 parts; at most 255"), 400, "300 parts"),
    ],
)
async def test_another_outcome_has_its_status_and_says_why(
    carrier: HeldCarrier, client: Client, outcome: Outcome | TextError, status: int, says: str
) -> None:
    carrier.outcome = outcome
    answered, shown = await post(client, TEXT)
    assert answered == status
    assert says in shown["error"]


async def test_a_refusal_gives_the_status_as_a_number(carrier: HeldCarrier, client: Client) -> None:
    carrier.outcome = Refused(command_status=0x14)
    _, shown = await post(client, TEXT)
    assert shown["command_status"] == 0x14


@pytest.mark.parametrize(
    "body", [[], {}, {"to": 1, "body": "x"}, {**TEXT, "x": 1}, {**TEXT, "to": ""}, "hello"]
)
async def test_a_wrong_text_is_refused_with_a_right_one(
    carrier: HeldCarrier, client: Client, body: object
) -> None:
    status, shown = await post(client, body)
    assert status == 400
    assert '{"to": "+15550001000", "body": "hello"}' in shown["error"]
    assert carrier.texts == []


@pytest.mark.parametrize("number", ["12", "hello", "+0123456", "%2B1555000100012345"])
async def test_a_wrong_number_is_refused_with_a_right_one(client: Client, number: str) -> None:
    status, shown = await post(client, TEXT, number)
    assert status == 400
    assert "%2B15550001001" in shown["error"]


async def test_a_body_too_long_is_refused_as_json(client: Client) -> None:
    status, shown = await post(client, {**TEXT, "body": "x" * 300_000})
    assert status == 413
    assert "262144" in shown["error"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/x", 404), ("PUT", "/sim", 405)])
async def test_what_is_not_there_is_told_as_json(
    client: Client, method: str, path: str, status: int
) -> None:
    async with client.request(method, path) as answer:
        assert answer.status == status
        assert "/sim/handsets/{number}/messages" in (await answer.json())["error"]


async def test_forgetting_is_204(carrier: HeldCarrier, client: Client) -> None:
    carrier.inboxes.add(Text(from_address="", to_address="+1", body="", received_at=0.0))
    async with client.delete("/sim") as answer:
        assert (answer.status, await answer.read()) == (204, b"")
    assert len(carrier.inboxes) == 0
