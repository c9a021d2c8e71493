"""Status callbacks of messages: which states have one, what it says, and how it is sent.

Twilio sends them for changes after creation only: `sent` or `failed`, then `delivered` or
`undelivered`, and `canceled`; never the initial state, never `sending`. A callback is a job,
inserted in the commit of the state; its id is the idempotency token of every try.
"""

from typing import Final, Protocol
from urllib.parse import urlsplit

import msgspec

from gateway.core.runner import Discard, Done, Job, JobOutcome, Retry, Sign
from gateway.messages.customers import jobs as customer_jobs
from gateway.messages.draft import CUSTOMER
from gateway.model import Message, MessageStates, MessageStatus
from gateway.sids import JOB, new_sid
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.request import Failure, Request

KIND: Final = "message_status"
_ONE_TRY_WITHIN: Final = 3600.0  # seconds, where nothing is retried
API_VERSION: Final = "2010-04-01"


_TOLD: Final = {
    MessageStates.ALL: frozenset(
        {
            MessageStatus.SENT,
            MessageStatus.DELIVERED,
            MessageStatus.UNDELIVERED,
            MessageStatus.FAILED,
            MessageStatus.CANCELED,
        }
    ),
    MessageStates.FINAL: frozenset(
        {
            MessageStatus.DELIVERED,
            MessageStatus.UNDELIVERED,
            MessageStatus.FAILED,
            MessageStatus.CANCELED,
        }
    ),
}


class CallbackPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`states` to tell; `retry_for` seconds until a callback that fails is given up."""

    states: MessageStates
    retry_for: float


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a job of this kind carries."""

    url: str
    method: str
    parameters: list[tuple[str, str]]


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Payload)


def for_status(message: Message, now: float, policy: CallbackPolicy) -> list[Job]:
    """The jobs that tell of the state `message` is in: one or none."""
    url = message.status_callback
    if message.origin.startswith(CUSTOMER):
        return customer_jobs.for_status(message, now)
    if not url or message.status not in _TOLD[policy.states]:
        return []
    payload = Payload(
        url=url, method=message.status_callback_method, parameters=parameters_of(message)
    )
    return [
        Job(
            id=new_sid(JOB, now),
            kind=KIND,
            account_sid=message.account_sid,
            endpoint=endpoint_of(url),
            sequence=message.sid,
            sid=message.sid,
            payload=_encode(payload).decode(),
            created_at=now,
            expire_at=now + (policy.retry_for or _ONE_TRY_WITHIN),
        )
    ]


def parameters_of(message: Message) -> list[tuple[str, str]]:
    """The form of a status callback (`webhooks` of Twilio's messaging API)."""
    parameters = [
        ("SmsSid", message.sid),
        ("SmsStatus", message.status.value),
        ("MessageStatus", message.status.value),
        ("To", message.to_address),
        ("MessageSid", message.sid),
        ("AccountSid", message.account_sid),
        ("From", message.from_address),
        ("ApiVersion", API_VERSION),
    ]
    if message.error_code:
        parameters.append(("ErrorCode", str(message.error_code)))
    return parameters


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
    """What the handlers ask of the account directory."""

    def token_of(self, account_sid: str) -> str | None:
        """The auth token that signs requests for this account; None if it is closed."""
        ...


class StatusCallbacks:
    """The handler of the jobs; `tokens` gives an account's token for the signature."""

    def __init__(self, fetcher: Fetcher, tokens: Tokens, policy: CallbackPolicy) -> None:
        self._fetcher = fetcher
        self._tokens = tokens
        self._policy = policy

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
            if not self._policy.retry_for:
                return Discard(note=note)
            return Retry(note=note, sign=_sign(answer))
        return Done()


def _sign(failure: Failure) -> Sign:
    """Whether the server is at fault: one that says 4xx is well, and was asked for the wrong."""
    return Sign.ANSWERED if 0 < failure.status < 500 else Sign.FAILED
