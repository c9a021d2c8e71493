"""Instructions from a URL or, when it can't give any, from its fallback.

Twilio's rule: on anything fatal, in fetching or in parsing, the fallback URL is asked once, with
the same parameters and `ErrorCode` and `ErrorUrl` added; if that fails too, it is over.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from gateway.webhooks.request import Answer, Failure, Request
from twiml.errors import ParseFailure

D = TypeVar("D")


class Asks(Protocol):
    """Whoever asks a URL: `Fetcher`, or what keeps answers before it."""

    async def fetch(self, request: Request) -> Answer | Failure:
        """The answer to `request` if it is a 2xx."""
        ...


class Fetched(msgspec.Struct, Generic[D], frozen=True, kw_only=True):
    """A document, the answer it came in, and what had failed before."""

    document: D
    answer: Answer
    failures: tuple[Failure, ...] = ()


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody gave a document: one failure for each URL that was asked."""

    failures: tuple[Failure, ...]


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask when the first URL fails."""

    url: str
    method: str = "POST"


async def instructions(
    fetcher: Asks,
    request: Request,
    fallback: Fallback | None,
    parse: Callable[[bytes, str], D | ParseFailure],
) -> Fetched[D] | Failed:
    """The document at `request`'s URL, or at `fallback`'s.

    `parse` takes a body and its Content-Type; a `ParseFailure` counts like a failed fetch.
    """
    first = await _document(fetcher, request, parse)
    if not isinstance(first, Failure):
        return first
    if fallback is None or not fallback.url:
        return Failed(failures=(first,))
    failed = (("ErrorCode", str(first.error_code)), ("ErrorUrl", first.url))
    told = dict(failed)  # what a verb came to may have these names too
    again = msgspec.structs.replace(
        request,
        url=fallback.url,
        method=fallback.method,
        parameters=(*(each for each in request.parameters if each[0] not in told), *failed),
    )
    second = await _document(fetcher, again, parse)
    if isinstance(second, Failure):
        return Failed(failures=(first, second))
    return Fetched(document=second.document, answer=second.answer, failures=(first,))


async def _document(
    fetcher: Asks, request: Request, parse: Callable[[bytes, str], D | ParseFailure]
) -> Fetched[D] | Failure:
    answer = await fetcher.fetch(request)
    if isinstance(answer, Failure):
        return answer
    document = parse(answer.body, answer.content_type)
    if isinstance(document, ParseFailure):
        where = f"line {document.line}: " if document.line else ""
        return Failure(
            error_code=document.code,
            message=f"{where}{document.message}",
            url=answer.url,
            status=answer.status,
            elapsed=answer.elapsed,
            content_type=answer.content_type,
            body=answer.body,
            others=document.others,
        )
    return Fetched(document=document, answer=answer)
