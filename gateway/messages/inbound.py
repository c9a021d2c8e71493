"""The handler of inbound texts: ask the number's app what to do, and do what its TwiML says.

Each inbound text is a job. The replies are accepted in the commit that ends the job, so a crash
in the middle runs the job again and never answers twice.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from carriers.numbers import Invalid, check_from, check_to
from gateway.core.runner import Discard, Done, Job, JobOutcome
from gateway.messages import notifications, records
from gateway.messages.accept import Accepted
from gateway.messages.callbacks import API_VERSION
from gateway.messages.draft import TWIML, Draft, Refusal
from gateway.model import Message, PhoneNumber
from gateway.sids import JOB, new_sid
from gateway.store.base import Store, Write
from gateway.webhooks.callbacks import Tokens, endpoint_of
from gateway.webhooks.cookies import CookieBook
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.instructions import Fallback, Fetched, instructions
from gateway.webhooks.request import Failure, Request
from gateway.webhooks.target import BadTarget, parse_target
from protocols.smpp.constants import Ton
from twiml.errors import Finding, Level, ParseFailure
from twiml.messaging import Reply, interpret
from twiml.messaging_dialect import MESSAGING
from twiml.outcome import Goto
from twiml.parser import Document, parse
from twiml.verbs import MAX_DOCUMENTS, MessagingVerb

_log = structlog.get_logger(__name__)

KIND: Final = "message_inbound"
_TOO_MANY_DOCUMENTS: Final = 14106
_NOT_CAPABLE: Final = 21606
_BAD_CALLBACK: Final = 21609
_EXPIRES_AFTER: Final = 3600.0  # seconds: an app that was away so long is not asked any more
_REPLY_VALIDITY: Final = 14400.0
_UNASKED: Final = "the app could not be asked"
_UNUSABLE: Final = "the app's answer can't be used"


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask about the text: the number's settings when it came."""

    url: str
    method: str
    fallback_url: str
    fallback_method: str


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Payload)


def for_message(message: Message, number: PhoneNumber, now: float) -> list[Job]:
    """The job that asks the number's app: none if it has no URL."""
    settings = number.settings
    url = settings.get("sms_url", "")
    if not url:
        return []
    payload = Payload(
        url=url,
        method=settings.get("sms_method", "POST"),
        fallback_url=settings.get("sms_fallback_url", ""),
        fallback_method=settings.get("sms_fallback_method", "POST"),
    )
    return [
        Job(
            id=new_sid(JOB, now),
            kind=KIND,
            account_sid=message.account_sid,
            endpoint=endpoint_of(url),
            sequence=f"{message.from_address}>{message.to_address}",
            sid=message.sid,
            payload=_encode(payload).decode(),
            created_at=now,
            expire_at=now + _EXPIRES_AFTER,
        )
    ]


def parameters_of(message: Message) -> tuple[tuple[str, str], ...]:
    """The form that an app is asked with (Twilio's request parameters of an inbound text)."""
    return (
        ("ToCountry", ""),
        ("SmsMessageSid", message.sid),
        ("NumMedia", str(len(message.media))),
        ("SmsSid", message.sid),
        ("SmsStatus", message.status.value),
        ("Body", message.body),
        ("To", message.to_address),
        ("NumSegments", str(message.num_segments)),
        ("MessageSid", message.sid),
        ("AccountSid", message.account_sid),
        ("From", message.from_address),
        ("ApiVersion", API_VERSION),
    )


class _Session(msgspec.Struct, kw_only=True):
    """What one run of the documents has come to so far; `failure` says why it ended early."""

    replies: list[Reply]
    writes: list[Write]
    failure: str = ""


class InboundTexts:
    """The handler of the jobs. `plan` accepts a reply, `accepted` takes it once it is durable."""

    def __init__(
        self,
        *,
        store: Store,
        fetcher: Fetcher,
        tokens: Tokens,
        conversations: CookieBook,
        plan: Callable[[Draft], Accepted | Refusal],
        accepted: Callable[[Accepted], None],
        holder: Callable[[str], PhoneNumber | None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._tokens = tokens
        self._conversations = conversations
        self._plan = plan
        self._accepted = accepted
        self._holder = holder
        self._clock = clock

    async def __call__(self, job: Job, attempt: int) -> JobOutcome:
        rows = await self._store.fetch(records.GET, job.account_sid, job.sid)
        token = self._tokens.token_of(job.account_sid)
        if not rows or token is None:
            return Discard(note="the message was deleted or its account closed")
        message = records.message_of(rows[0])
        session = await self._run(job, message, _decoder.decode(job.payload), token)
        accepted = self._accept(message, session)
        if session.failure and not accepted:
            return Discard(note=session.failure, writes=tuple(session.writes))
        writes = [*session.writes, *(write for each in accepted for write in each.writes)]
        return Done(writes=tuple(writes), after=lambda: self._take(accepted))

    def _take(self, accepted: Sequence[Accepted]) -> None:
        for each in accepted:
            self._accepted(each)

    async def _run(self, job: Job, message: Message, payload: Payload, token: str) -> _Session:
        """Fetch and run documents until one of them ends it."""
        session = _Session(replies=[], writes=[])
        key = (message.from_address, message.to_address)
        url, method = payload.url, payload.method
        fallback = Fallback(url=payload.fallback_url, method=payload.fallback_method)
        for _ in range(MAX_DOCUMENTS):
            request = Request(
                url=url,
                method=method,
                parameters=parameters_of(message),
                account_sid=message.account_sid,
                auth_token=token,
                idempotency_token=job.id,
                cookies=self._conversations.recall(key, self._clock()),
            )
            fetched = await instructions(self._fetcher, request, fallback, _parse)
            self._note(message, fetched.failures, session)
            if not isinstance(fetched, Fetched):
                last = fetched.failures[-1]
                session.failure = f"{_said(last)}: {last.message} (error {last.error_code})"
                return session
            self._conversations.remember(key, fetched.answer.cookies)
            self._warn(message, fetched.answer.url, fetched.document.warnings, session)
            run = interpret(
                fetched.document,
                base=fetched.answer.base,
                texter=message.from_address,
                number=message.to_address,
            )
            session.replies.extend(run.replies)
            if not isinstance(run.outcome, Goto):
                return session
            url, method = run.outcome.url, run.outcome.method
        self._note_error(
            message,
            _TOO_MANY_DOCUMENTS,
            f"more than {MAX_DOCUMENTS} documents were fetched for one text",
            url,
            session,
        )
        return session

    def _note(self, message: Message, failures: Sequence[Failure], session: _Session) -> None:
        for failure in failures:
            self._note_error(
                message,
                failure.error_code,
                failure.message,
                failure.url,
                session,
                said=_said(failure),
            )

    def _note_error(
        self,
        message: Message,
        code: int,
        reason: str,
        url: str,
        session: _Session,
        *,
        said: str = _UNUSABLE,
    ) -> None:
        _log.warning(said, code=code, reason=reason, message=message.sid)
        session.writes += notifications.noted(
            message.account_sid,
            message.sid,
            code,
            "error",
            self._clock(),
            message=reason,
            url=url,
        )

    def _warn(
        self, message: Message, url: str, findings: Sequence[Finding], session: _Session
    ) -> None:
        for finding in findings:
            session.writes += notifications.noted(
                message.account_sid,
                message.sid,
                finding.code,
                "error" if finding.level is Level.ERROR else "warning",
                self._clock(),
                message=finding.message,
                url=url,
                line=finding.line,
            )

    def _accept(self, message: Message, session: _Session) -> list[Accepted]:
        accepted: list[Accepted] = []
        for reply in session.replies:
            draft = self._draft(message, reply, session)
            result = draft if isinstance(draft, Refusal) else self._plan(draft)
            if isinstance(result, Refusal):
                self._note_error(message, result.error_code, result.message, "", session)
            else:
                accepted.append(result)
        return accepted

    def _draft(self, message: Message, reply: Reply, session: _Session) -> Draft | Refusal:
        to, from_ = check_to(reply.to), check_from(reply.from_)
        if isinstance(to, Invalid):
            return Refusal(error_code=to.error_code, message=to.reason)
        if isinstance(from_, Invalid):
            return Refusal(error_code=from_.error_code, message=from_.reason)
        holder = self._holder(from_.text)
        if from_.ton != Ton.ALPHANUMERIC and (
            holder is None or holder.account_sid != message.account_sid
        ):
            return Refusal(
                error_code=_NOT_CAPABLE,
                message=f"{from_.text} is not a number of this account; leave `from` out.",
            )
        callback = reply.status_callback
        target = parse_target(callback) if callback else None
        if isinstance(target, BadTarget):
            reason = f"nothing is reported to {callback[:100]}: {target.message}"
            self._note_error(message, _BAD_CALLBACK, reason, "", session)
            callback = ""
        return Draft(
            account_sid=message.account_sid,
            to_address=to.text,
            from_address=from_.text,
            body=reply.body,
            media=reply.media,
            status_callback=callback,
            status_callback_method=reply.method,
            validity_period=_REPLY_VALIDITY,
            origin=TWIML,
            in_reply_to=message.sid,
        )


def _said(failure: Failure) -> str:
    return _UNUSABLE if failure.status else _UNASKED


def _parse(body: bytes, content_type: str) -> Document[MessagingVerb] | ParseFailure:
    return parse(body, content_type, MESSAGING)
