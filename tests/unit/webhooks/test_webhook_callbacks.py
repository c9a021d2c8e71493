"""Status callbacks as jobs, and what one that failed tells about the server it was for."""

import msgspec
import pytest

from gateway.core.runner import Discard, Done, Job, Retry, Sign
from gateway.webhooks.callbacks import Patience, Payload, StatusCallbacks, callback, endpoint_of
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
    """A fetcher that has its answer, and an account with a token or, closed, without one."""

    def __init__(self, answer: Answer | Failure, token: str | None = "token") -> None:
        self.answer = answer
        self.token = token

    async def notify(self, request: Request) -> Answer | Failure:
        assert request.idempotency_token == "JB1"
        return self.answer

    def token_of(self, account_sid: str) -> str | None:
        return self.token


def callbacks(answer: Answer | Failure, retry_for: float = 14400.0) -> StatusCallbacks:
    held = Held(answer)
    return StatusCallbacks(held, held, Patience(retry_for=retry_for))


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


async def test_a_closed_account_is_told_nothing() -> None:
    held = Held(Failure(error_code=11200, message="so", url=""), token=None)
    handler = StatusCallbacks(held, held, Patience(retry_for=14400.0))
    assert await handler(JOB, 1) == Discard(note="the account is closed")


@pytest.mark.parametrize(("retry_for", "expires_after"), [(14400.0, 14400.0), (0.0, 3600.0)])
def test_a_callback_stands_in_its_servers_queue(retry_for: float, expires_after: float) -> None:
    payload = Payload(
        url="https://me:secret@app.example:8443/status?a=1#rc=2",
        method="GET",
        parameters=[("CallSid", "CA1")],
    )
    job = callback("call_status", "AC1", "CA1", payload, 1000.0, Patience(retry_for=retry_for))
    assert (job.kind, job.account_sid, job.sid) == ("call_status", "AC1", "CA1")
    assert job.endpoint == "https://app.example:8443"
    assert job.sequence == "CA1"  # first tries of a resource start in order
    assert (job.created_at, job.expire_at) == (1000.0, 1000.0 + expires_after)
    assert msgspec.json.decode(job.payload, type=Payload) == payload


def test_what_is_no_url_has_a_queue_too() -> None:
    assert endpoint_of("http://[::1") == "invalid"
