"""A sink that is a URL: what a receiver sees of it, and what becomes of what it refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator
from webhook_servers import ACCOUNT, TOKEN, Reply, Seen, Server, answer, fetching, redirect, serving

from gateway.core.tracking import receiver
from gateway.core.tracking.receiver import Receiver, ReceiverAway
from gateway.store.base import Fact


def facts(count: int, first: int = 1, data: str = "{}") -> list[Fact]:
    return [
        Fact(
            id=number,
            account_sid="AC1",
            sid=f"SM{number}",
            version=1,
            type="message.sent",
            at=1.5,
            data=data,
        )
        for number in range(first, first + count)
    ]


def ids(seen: Seen) -> list[int]:
    return [json.loads(line)["id"] for line in seen.body.splitlines()]


def judged(judge: Callable[[list[int]], str]) -> Reply:
    """Answers by the ids that came."""

    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await answer(judge(ids(seen)))(server, seen, writer)

    return write


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "_PAUSE", 0.0)


@asynccontextmanager
async def receiving(
    reply: Reply, token: str | None = TOKEN
) -> AsyncIterator[tuple[Server, Receiver]]:
    async with serving(reply) as server, fetching() as fetcher:
        yield (
            server,
            Receiver(
                fetcher,
                name="billing",
                url=f"{server.origin}/facts?key=1",
                account_sid=ACCOUNT,
                token=lambda: token,
            ),
        )


def taken(server: Server, refused: Callable[[list[int]], bool]) -> list[int]:
    """The ids that the receiver answered with 200, in the order in which they came."""
    return [one for seen in server.seen if not refused(ids(seen)) for one in ids(seen)]


async def test_a_batch_is_one_signed_post_of_lines() -> None:
    async with receiving(answer()) as (server, sink):
        assert await sink.take(facts(3, data='{"carrier":"acmé"}')) == 0
        (seen,) = server.seen
        url = server.origin + seen.path
    assert (seen.method, seen.headers["Content-Type"]) == ("POST", "application/x-ndjson")
    assert json.loads(seen.body.splitlines()[0]) == {
        "id": 1,
        "account_sid": "AC1",
        "sid": "SM1",
        "version": 1,
        "type": "message.sent",
        "at": 1.5,
        "data": {"carrier": "acmé"},
    }
    assert ids(seen) == [1, 2, 3]
    assert seen.headers["I-Twilio-Idempotency-Token"] == "billing-1-3"
    signature = seen.headers["X-Twilio-Signature"]
    assert RequestValidator(TOKEN).validate(url, seen.body, signature)


async def test_large_facts_come_in_several_posts() -> None:
    large = msgspec.json.encode({"p": "x" * 200_000}).decode()
    async with receiving(answer()) as (server, sink):
        assert await sink.take(facts(5, data=large)) == 0
        assert [ids(seen) for seen in server.seen] == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize(
    "status", ["500 No", "503 No", "429 No", "401 No", "404 No", "408 No", "302 Moved"]
)
async def test_what_is_not_about_the_facts_passes_nothing_over(status: str) -> None:
    reply = redirect(302, "/elsewhere") if status.startswith("302") else answer(status)
    async with receiving(reply) as (server, sink):
        with pytest.raises(ReceiverAway, match=status[:3]):
            await sink.take(facts(3))
        assert len(server.seen) == 1


async def test_a_receiver_that_is_not_there_is_away() -> None:
    async with serving(answer()) as server:
        gone = server.origin
    async with fetching() as fetcher:
        sink = Receiver(fetcher, name="billing", url=gone, account_sid=ACCOUNT, token=lambda: TOKEN)
        with pytest.raises(ReceiverAway, match="11202 nobody listens"):
            await sink.take(facts(3))


async def test_without_a_token_nothing_is_sent() -> None:
    async with receiving(answer(), token=None) as (server, sink):
        with pytest.raises(ReceiverAway, match="closed"):
            await sink.take(facts(3))
        assert not server.seen


@pytest.mark.parametrize("poison", [{1}, {500}, {77, 78, 400}, set(range(1, 9))])
async def test_what_a_receiver_will_never_take_is_set_aside_alone(poison: set[int]) -> None:
    def refuses(given: list[int]) -> bool:
        return bool(poison & set(given))

    reply = judged(lambda given: "422 Unprocessable" if refuses(given) else "200 OK")
    async with receiving(reply) as (server, sink):
        with capture_logs() as logs:
            assert await sink.take(facts(500)) == len(poison)
        assert taken(server, refuses) == [n for n in range(1, 501) if n not in poison]
    (said,) = logs
    assert said["log_level"] == "error" and said["sink"] == "billing"
    assert said["ids"] == sorted(poison) and said["count"] == len(poison)
    assert "422" in said["reason"] and "mend the receiver" in said["what_to_do"]


async def test_a_refusal_that_passes_sets_nothing_aside() -> None:
    seen_before = 0

    def judge(given: list[int]) -> str:
        nonlocal seen_before
        seen_before += 1
        return "400 Not yet" if seen_before < 3 else "200 OK"

    async with receiving(judged(judge)) as (server, sink):
        assert await sink.take(facts(4)) == 0
        assert [ids(seen) for seen in server.seen] == [[1, 2, 3, 4]] * 3


async def test_a_receiver_that_goes_away_while_a_refusal_is_looked_for_gets_all_again() -> None:
    def judge(given: list[int]) -> str:
        if 3 not in given:
            return "200 OK"
        return "400 No" if len(given) > 1 else "503 Away"

    async with receiving(judged(judge)) as (_, sink):
        with pytest.raises(ReceiverAway):
            await sink.take(facts(4))
