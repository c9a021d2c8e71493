"""Status callbacks, whatever they tell of: what their jobs carry, and how one is tried.

A callback is a job, inserted in the commit of the state that it tells; its id is the idempotency
token of every try. Which states have one and what it says is for the room whose state it is.
"""

from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from gateway.core.runner import Discard, Done, Job, JobOutcome, Retry, Sign
from gateway.sids import JOB, new_sid
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.request import Failure, Request

_ONE_TRY_WITHIN: Final = 3600.0  # seconds, where nothing is retried


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """`retry_for` seconds until a callback that fails is given up; 0: after one try."""

    retry_for: float


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a job that is a callback carries."""

    url: str
    method: str
    parameters: list[tuple[str, str]]


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Payload)


def callback(
    kind: str, account_sid: str, sid: str, payload: Payload, now: float, patience: Patience
) -> Job:
    """The job that tells of the resource `sid`; first tries of one resource start in order."""
    return Job(
        id=new_sid(JOB, now),
        kind=kind,
        account_sid=account_sid,
        endpoint=endpoint_of(payload.url),
        sequence=sid,
        sid=sid,
        payload=_encode(payload).decode(),
        created_at=now,
        expire_at=now + (patience.retry_for or _ONE_TRY_WITHIN),
    )


def endpoint_of(url: str) -> str:
    """The queue that a URL's requests stand in: its scheme, host and port.

    What is no URL has a queue too: that its tries fail is its owner's to see.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "invalid"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class Tokens(Protocol):
    """What is asked of the account directory."""

    def token_of(self, account_sid: str) -> str | None:
        """The auth token that signs requests for this account; None if it is closed."""
        ...


class StatusCallbacks:
    """The handler of the jobs; `tokens` gives an account's token for the signature."""

    def __init__(self, fetcher: Fetcher, tokens: Tokens, patience: Patience) -> None:
        self._fetcher = fetcher
        self._tokens = tokens
        self._patience = patience

    async def __call__(self, job: Job, attempt: int) -> JobOutcome:
        payload = _decoder.decode(job.payload)
        token = self._tokens.token_of(job.account_sid)
        if token is None:
            return Discard(note="the account is closed")
        answer = await self._fetcher.notify(
            Request(
                url=payload.url,
                method=payload.method,
                parameters=tuple(payload.parameters),
                auth_token=token,
                idempotency_token=job.id,
                account_sid=job.account_sid,
            )
        )
        if isinstance(answer, Failure):
            note = f"{answer.error_code} {answer.message}"
            if not self._patience.retry_for:
                return Discard(note=note)
            return Retry(note=note, sign=_sign(answer))
        return Done()


def _sign(failure: Failure) -> Sign:
    """Whether the server is at fault: one that says 4xx is well, and was asked for the wrong."""
    return Sign.ANSWERED if 0 < failure.status < 500 else Sign.FAILED
