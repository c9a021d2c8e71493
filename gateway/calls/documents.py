"""A call's documents: fetched from its app, read as TwiML for calls, and what came of the asking.

Nothing here is stored: what was asked and answered is a value (`Exchange`) for who shows the call,
what went wrong another (`Note`), and `written` makes the writes of a note. Cookies that an app
sets come back to it for as long as the call lasts.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec
import structlog

from gateway.calls.document_cache import DocumentCache
from gateway.calls.model import Call, CallStatus
from gateway.calls.parameters import call_parameters
from gateway.messages.notifications import noted
from gateway.sids import REQUEST, new_sid
from gateway.store.base import Write
from gateway.voice_document import read_document
from gateway.webhooks.callbacks import Tokens
from gateway.webhooks.cookies import CookieBook
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.instructions import Failed, Fallback, Fetched, instructions
from gateway.webhooks.request import Answer, Failure, Request
from twiml.errors import Finding, Level, ParseFailure
from twiml.outcome import Goto
from twiml.parameters import once
from twiml.parser import Document, findings, parse
from twiml.verbs import Play, VoiceVerb
from twiml.voice_dialect import VOICE

_log = structlog.get_logger(__name__)

MAX_SHOWN: Final = 4096
"""Octets of an answer that an `Exchange` keeps."""

_SHORT: Final = 2048  # octets of a document that is remembered
# Twilio plays what has one of these types; any other is no answer to a call.
_AUDIO: Final = frozenset({
    "audio/aiff", "audio/basic", "audio/gsm", "audio/mp3", "audio/mpeg", "audio/ulaw",
    "audio/wav", "audio/wave", "audio/x-aifc", "audio/x-aiff", "audio/x-gsm", "audio/x-wav",
})  # fmt: skip
_PLAYED: Final = Document[VoiceVerb](verbs=(Play(),))
"""Stands for a sound that is to be played from where it came from."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One URL that was asked, with all its tries and redirects, and what it answered.

    `at` is seconds since the epoch when it began, `elapsed` seconds. `url` is fit to be shown;
    `status` is 0 if no answer came, `error_code` 0 if the answer was of use. `octets` counts the
    body, of which `body` is the first `MAX_SHOWN` octets, as text.
    """

    at: float
    url: str
    method: str
    status: int
    elapsed: float
    error_code: int = 0
    octets: int = 0
    body: str = ""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the app's developer should know; `line` is that of a document, 0 for none."""

    error_code: int
    level: Level
    message: str
    url: str = ""
    line: int = 0


class Obtained(msgspec.Struct, frozen=True, kw_only=True):
    """A document to run; `base` is what its URLs are relative to, and may hold a password."""

    document: Document[VoiceVerb]
    base: str
    notes: tuple[Note, ...] = ()
    exchanges: tuple[Exchange, ...] = ()


class NotObtained(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody gave a document. `error_code` and `reason` are those of the last who was asked."""

    error_code: int
    reason: str
    notes: tuple[Note, ...] = ()
    exchanges: tuple[Exchange, ...] = ()


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """A URL was told, or could not be."""

    notes: tuple[Note, ...] = ()
    exchanges: tuple[Exchange, ...] = ()


class Documents:
    """Asks apps for documents; `tokens` signs, `clock` gives epoch seconds."""

    def __init__(self, fetcher: Fetcher, tokens: Tokens, clock: Callable[[], float]) -> None:
        self._fetcher = fetcher
        self._cache = DocumentCache(fetcher, clock)
        self._tokens = tokens
        self._clock = clock
        self._cookies = CookieBook()

    async def fetch(
        self,
        call: Call,
        goto: Goto,
        fallback: Fallback | None = None,
        *,
        extra: Iterable[tuple[str, str]] = (),
        status: CallStatus | None = None,
    ) -> Obtained | NotObtained:
        """The document at `goto`, or at `fallback`; each is given 15 s unless its URL says less.

        The parameters of `goto` and `extra` stand behind those of the call, which is shown with
        `status` if that is given; a name that more than one has is told once, by who came before.
        """
        request = self._request(call, goto, extra, status)
        if request is None:
            return _closed(call)
        began = self._clock()
        fetched = await instructions(self._cache, request, fallback, _parse)
        methods = (goto.method, fallback.method if fallback else "")
        exchanges = _exchanges(fetched, methods, began)
        notes = tuple(note for each in fetched.failures for note in _failed(each))
        _warn(call, notes)
        if isinstance(fetched, Failed):
            last = fetched.failures[-1]
            return NotObtained(
                error_code=last.error_code,
                reason=f"{last.url}: {last.message}" if last.url else last.message,
                notes=notes,
                exchanges=exchanges,
            )
        answer = fetched.answer
        self._cookies.remember((call.sid,), answer.cookies)
        document = fetched.document
        if document is _PLAYED:
            document = Document(verbs=(Play(url=answer.base),))
        return Obtained(
            document=document,
            base=answer.base,
            notes=(*notes, *found(document.warnings, answer.url)),
            exchanges=exchanges,
        )

    def inline(self, call: Call, text: str) -> Obtained | NotObtained:
        """The document `text`, which came with the call instead of a URL; it has no base."""
        document = read_document(text)
        if isinstance(document, ParseFailure):
            notes = found(findings(document))
            _warn(call, notes)
            return NotObtained(error_code=document.code, reason=document.message, notes=notes)
        return Obtained(document=document, base="", notes=found(document.warnings))

    async def report(
        self,
        call: Call,
        goto: Goto,
        *,
        extra: Iterable[tuple[str, str]] = (),
        status: CallStatus | None = None,
    ) -> Reported:
        """Tell `goto` how a verb ended; what it answers is passed over.

        It is tried as often as its URL says and no other is asked.
        """
        request = self._request(call, goto, extra, status)
        if request is None:
            return Reported()
        began = self._clock()
        answer = await self._fetcher.notify(request)
        exchanges = (_exchange(answer, goto.method, began),)
        if isinstance(answer, Failure):
            notes = _failed(answer)
            _warn(call, notes)
            return Reported(notes=notes, exchanges=exchanges)
        self._cookies.remember((call.sid,), answer.cookies)
        return Reported(exchanges=exchanges)

    def forget(self, sid: str) -> None:
        """The call is over: its cookies go."""
        self._cookies.remember((sid,), ())

    def _request(
        self,
        call: Call,
        goto: Goto,
        extra: Iterable[tuple[str, str]],
        status: CallStatus | None,
    ) -> Request | None:
        """What is asked of a URL; None if the call's account is closed."""
        token = self._tokens.token_of(call.account_sid)
        if token is None:
            return None
        now = self._clock()
        return Request(
            url=goto.url,
            method=goto.method,
            parameters=once(call_parameters(call, status=status, extra=(*goto.parameters, *extra))),
            account_sid=call.account_sid,
            auth_token=token,
            idempotency_token=new_sid(REQUEST, now),
            cookies=self._cookies.recall((call.sid,), now),
        )


# Apps say the same to most calls, and a document is a value.
_parse_short: Final = lru_cache(maxsize=512)(lambda *given: _parse_any(*given))


def found(findings: Iterable[Finding], url: str = "") -> tuple[Note, ...]:
    """What was found in the document at `url`, before it ran or while it does."""
    return tuple(
        Note(error_code=each.code, level=each.level, message=each.message, url=url, line=each.line)
        for each in findings
    )


def written(call: Call, notes: Iterable[Note], now: float) -> list[Write]:
    """The writes that keep `notes` as notifications about `call` and tell of them."""
    writes: list[Write] = []
    for note in notes:
        line = {"line": note.line} if note.line else {}
        writes += noted(
            call.account_sid,
            call.sid,
            note.error_code,
            note.level.value,
            now,
            message=note.message,
            url=note.url,
            **line,
        )
    return writes


def _closed(call: Call) -> NotObtained:
    reason = f"account {call.account_sid} is closed, so nothing is asked for its calls"
    return NotObtained(error_code=0, reason=reason)


def _failed(failure: Failure) -> tuple[Note, ...]:
    """What made it fail, and what else is wrong with the document that was refused."""
    note = Note(
        error_code=failure.error_code,
        level=Level.ERROR,
        message=failure.message,
        url=failure.url,
    )
    return (note, *found(failure.others, failure.url))


def _warn(call: Call, notes: Sequence[Note]) -> None:
    for note in notes:
        if note.level is Level.ERROR:
            _log.warning(
                "an app gave no document for a call",
                code=note.error_code,
                reason=note.message,
                call=call.sid,
            )


def _exchanges(
    fetched: Fetched[Document[VoiceVerb]] | Failed, methods: Sequence[str], began: float
) -> tuple[Exchange, ...]:
    """Each URL that was asked, one after the other."""
    answers: list[Answer | Failure] = [*fetched.failures]
    if isinstance(fetched, Fetched):
        answers.append(fetched.answer)
    exchanges = []
    for answer, method in zip(answers, methods, strict=False):
        exchanges.append(_exchange(answer, method, began))
        began += answer.elapsed
    return tuple(exchanges)


def _exchange(answer: Answer | Failure, method: str, at: float) -> Exchange:
    return Exchange(
        at=at,
        url=answer.url,
        method=method,
        status=answer.status,
        elapsed=answer.elapsed,
        error_code=answer.error_code if isinstance(answer, Failure) else 0,
        octets=len(answer.body),
        # What is no UTF-8 is shown as far as it is text, and U+0000 can't be stored as such.
        body=answer.body[:MAX_SHOWN].decode("utf-8", "replace").replace("\x00", ""),
    )


def _parse(body: bytes, content_type: str) -> Document[VoiceVerb] | ParseFailure:
    if len(body) <= _SHORT:
        return _parse_short(body, content_type)
    return _parse_any(body, content_type)


def _parse_any(body: bytes, content_type: str) -> Document[VoiceVerb] | ParseFailure:
    if content_type.partition(";")[0].strip().lower() in _AUDIO:
        return _PLAYED
    return parse(body, content_type, VOICE)
