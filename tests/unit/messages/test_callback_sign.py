"""What a status callback that failed tells about the server it was for."""

import msgspec
import pytest

from gateway.core.runner import Discard, Done, Job, Retry, Sign
from gateway.messages.callbacks import CallbackPolicy, Payload, StatusCallbacks
from gateway.model import MessageStates
from gateway.webhooks.request import Answer, Failure, Request

JOB = Job(
    id="JB1",
    kind="message_status",
    account_sid="AC1",
    endpoint="https://app.example",
    sequence="SM1",
    sid="SM1",
    payload=msgspec.json.encode(
        Payload(url="https://app.example/status", method="POST", parameters=[("a", "b")])
    ).decode(),
    created_at=0.0,
    expire_at=1.0,
)


class Held:
    """A fetcher that has its answer, and an account with a token."""

    def __init__(self, answer: Answer | Failure) -> None:
        self.answer = answer

    async def notify(self, request: Request) -> Answer | Failure:
        assert request.idempotency_token == "JB1"
        return self.answer

    def token_of(self, account_sid: str) -> str:
        return "token"


def callbacks(answer: Answer | Failure, retry_for: float = 14400.0) -> StatusCallbacks:
    held = Held(answer)
    return StatusCallbacks(
        held, held, CallbackPolicy(states=MessageStates.ALL, retry_for=retry_for)
    )


@pytest.mark.parametrize(
    ("status", "code", "sign"),
    [
        (0, 11203, Sign.FAILED),
        (0, 11202, Sign.FAILED),
        (500, 11200, Sign.FAILED),
        (503, 11200, Sign.FAILED),
        (404, 11200, Sign.ANSWERED),
        (302, 11215, Sign.ANSWERED),
    ],
)
async def test_no_answer_and_5xx_are_the_servers_fault(status: int, code: int, sign: Sign) -> None:
    failure = Failure(error_code=code, message="so", url="https://app.example", status=status)
    assert await callbacks(failure)(JOB, 1) == Retry(note=f"{code} so", sign=sign)
    assert await callbacks(failure, retry_for=0.0)(JOB, 1) == Discard(note=f"{code} so")


async def test_what_was_taken_is_done() -> None:
    answer = Answer(status=204, content_type="", body=b"", url="", base="", cookies=(), elapsed=0.0)
    assert await callbacks(answer)(JOB, 1) == Done()
