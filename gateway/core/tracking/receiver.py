"""A sink that is a URL: batches of facts as lines of JSON, posted and signed like other webhooks.

While the receiver does not answer, or answers that it can't now, nothing is passed over. A batch
that it refuses as such is halved until what it refuses stands alone; that is set aside, for it
would stop everything behind it, and named in the log. It stays where the bus keeps it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog

from gateway.core.tracking.sinks import line
from gateway.store.base import Fact
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.request import Failure, Request

_log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/x-ndjson"
_MOST: Final = 500_000  # octets of a batch, unless one fact has more
_TRIES: Final = 3  # of a batch that is refused, before it is halved
_PAUSE: Final = 1.0  # seconds before the second try; twice as long before each later one
_SHOWN: Final = 20  # ids of facts in a line of the log

# RFC 9110 15.5: refusals of who asks, where or when, which say nothing about what was sent. They
# last until somebody mends the receiver or the config, and then everything is wanted.
_NOT_ABOUT_FACTS: Final = frozenset({401, 403, 404, 407, 408, 421, 425, 429})


class ReceiverAway(OSError):
    """The receiver does not take facts now; the text says why."""


class Receiver:
    """`Sink` over HTTP. A receiver may get a fact again and knows it by its `id`."""

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        name: str,
        url: str,
        account_sid: str,
        token: Callable[[], str | None],
    ) -> None:
        """`token` gives the auth token of the account that signs; None while it has none."""
        self._fetcher = fetcher
        self._name = name
        self._url = url
        self._account_sid = account_sid
        self._token = token

    async def take(self, facts: Sequence[Fact]) -> int:
        """`Sink.take`."""
        refused: list[Fact] = []
        reason = ""
        for piece in _pieces(facts):
            failure = await self._try(piece)
            if failure is not None:
                reason = failure.message
                refused += await self._without_those_refused(piece)
        if refused:
            _log.error(
                "a sink refuses facts, and they are set aside",
                sink=self._name,
                count=len(refused),
                ids=[each.id for each in refused[:_SHOWN]],
                reason=reason,
                what_to_do="mend the receiver; /v1/events shows the facts while they are kept",
            )
        return len(refused)

    async def _try(self, facts: Sequence[Fact]) -> Failure | None:
        """Post a batch a few times; why it is refused, None when it was taken."""
        for tried in range(_TRIES):
            if tried:
                await asyncio.sleep(_PAUSE * 2 ** (tried - 1))
            failure = await self._post(facts)
            if failure is None:
                break
        return failure

    async def _without_those_refused(self, facts: Sequence[Fact]) -> list[Fact]:
        """Post a batch that was refused in ever smaller parts; the facts that alone are refused."""
        if len(facts) == 1:
            return list(facts)
        refused: list[Fact] = []
        waiting = _halves(facts)
        while waiting:
            part = waiting.pop()
            if await self._post(part) is None:
                continue
            if len(part) == 1:
                refused += part
            else:
                waiting += _halves(part)
        return refused

    async def _post(self, facts: Sequence[Fact]) -> Failure | None:
        """Post once; None when it was taken, or why it is refused. Raises `ReceiverAway`."""
        token = self._token()
        if token is None:
            raise ReceiverAway("the main account is closed, and nobody else's token may sign")
        answer = await self._fetcher.notify(
            Request(
                url=self._url,
                account_sid=self._account_sid,
                auth_token=token,
                idempotency_token=f"{self._name}-{facts[0].id}-{facts[-1].id}",
                content=b"".join(map(line, facts)),
                content_type=CONTENT_TYPE,
            )
        )
        if not isinstance(answer, Failure):
            return None
        if 400 <= answer.status < 500 and answer.status not in _NOT_ABOUT_FACTS:
            return answer
        raise ReceiverAway(f"{answer.error_code} {answer.message}")


def _halves(facts: Sequence[Fact]) -> list[Sequence[Fact]]:
    """Both halves; the first one last, for it is taken from there."""
    middle = len(facts) // 2
    return [facts[middle:], facts[:middle]]


def _pieces(facts: Sequence[Fact]) -> Iterator[Sequence[Fact]]:
    """The facts in parts that are requests each."""
    begin = size = 0
    for at, fact in enumerate(facts):
        octets = len(line(fact))
        if size + octets > _MOST and at > begin:
            yield facts[begin:at]
            begin, size = at, 0
        size += octets
    yield facts[begin:]
