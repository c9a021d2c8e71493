"""What an app's TwiML makes of an inbound text: replies accepted with the end of the job."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec
import pytest

from gateway.core.runner import Discard, Done, Job
from gateway.messages import inbound, notifications, records
from gateway.messages.draft import Refusal
from gateway.model import Message
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.cookies import Cookie, CookieBook, parse_set_cookie
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.request import Answer, Failure, Request
from tests.unit.messages.path_world import ACCOUNT, HANDSET, NUMBER, PathWorld, path_world

APP = "http://app.example/sms"
FAILED = Failure(error_code=11200, message="app.example answered 500", url=APP)


class App:
    """Answers by URL: TwiML, or a failure."""

    def __init__(self, answers: dict[str, str | Failure]) -> None:
        self.answers = answers
        self.asked: list[Request] = []
        self.cookies: tuple[Cookie, ...] = ()

    async def fetch(self, request: Request) -> Answer | Failure:
        self.asked.append(request)
        answer = self.answers[request.url]
        if isinstance(answer, Failure):
            return answer
        return Answer(
            status=200,
            content_type="text/xml",
            body=answer.encode(),
            url=request.url,
            base=request.url,
            cookies=self.cookies or request.cookies,
            elapsed=0.0,
        )


class Tokens:
    """One account, which can be closed."""

    closed = False

    def token_of(self, account_sid: str) -> str | None:
        return None if self.closed else "token"


class Conversation(PathWorld):
    """The path with one app behind its number."""

    app: App
    handler: inbound.InboundTexts
    tokens: Tokens

    def inbound_jobs(self, message: Message) -> Sequence[Job]:
        settings = {"sms_url": APP, "sms_fallback_url": "http://app.example/fallback"}
        number = msgspec.structs.replace(self.numbers[NUMBER], settings=settings)
        return inbound.for_message(message, number, self.now)

    async def texted(self, body: str = "Hello") -> tuple[str, Done | Discard]:
        """A handset texts and the app is asked: the SID of the text, and the end of the job."""
        await self.say(self.received(body.encode()))
        job = self.runner.jobs[-1]
        outcome = await self.handler(job, 1)
        assert isinstance(outcome, Done | Discard), outcome
        return job.sid, outcome

    async def answered(self, body: str = "Hello") -> str:
        """The same, and its end is stored."""
        sid, outcome = await self.texted(body)
        await self.store.real.commit(outcome.writes)
        if isinstance(outcome, Done) and outcome.after is not None:
            outcome.after()
        await self.quiet()
        return sid

    async def notified(self, sid: str) -> list[tuple[int, str]]:
        rows = await self.store.real.fetch(notifications.OF_RESOURCE, sid)
        return [(row[3], row[4]) for row in rows]

    @property
    def bodies(self) -> list[str]:
        return [each.pdu.short_message.decode() for each in self.out]


@asynccontextmanager
async def conversation(folder: Path, **answers: str | Failure) -> AsyncIterator[Conversation]:
    """An app that answers at `/<name>`; `sms` is what the number asks."""
    async with path_world(folder) as world:
        talk = cast(Conversation, world)
        talk.__class__ = Conversation
        talk.app = App({f"http://app.example/{name}": each for name, each in answers.items()})
        talk.tokens = Tokens()
        talk.handler = inbound.InboundTexts(
            store=cast(SqliteStore, world.store),
            fetcher=cast(Fetcher, talk.app),
            tokens=talk.tokens,
            conversations=CookieBook(),
            plan=world.messages.plan,
            accepted=world.messages.accepted,
            holder=world.numbers.get,
            clock=lambda: world.now,
        )
        yield talk


def response(inside: str) -> str:
    return f"<Response>{inside}</Response>"


async def test_the_app_is_asked_and_its_answer_goes_out_as_a_reply(tmp_path: Path) -> None:
    async with conversation(tmp_path, sms=response("<Message>Hi there</Message>")) as world:
        sid = await world.answered()
        (asked,) = world.app.asked
        form = dict(asked.parameters)
        assert (form["Body"], form["From"], form["To"]) == ("Hello", HANDSET, NUMBER)
        assert form["MessageSid"] == form["SmsSid"] == form["SmsMessageSid"] == sid
        assert (form["SmsStatus"], form["NumSegments"], form["NumMedia"]) == ("received", "1", "0")
        assert (asked.method, asked.auth_token) == ("POST", "token")
        assert asked.idempotency_token == world.runner.jobs[0].id
        (out,) = world.out
        reply = await world.message(out.sid)
        assert (reply.direction, reply.origin, reply.in_reply_to) == (
            "outbound-reply",
            "twiml",
            sid,
        )
        assert (reply.from_address, reply.to_address, reply.body) == (NUMBER, HANDSET, "Hi there")


async def test_nothing_is_sent_unless_the_end_of_the_job_is_stored(tmp_path: Path) -> None:
    async with conversation(tmp_path, sms=response("<Message>Hi</Message>")) as world:
        _, outcome = await world.texted()
        await world.quiet()
        assert world.out == [] and await world.count("messages") == 1
        assert any(statement is records.INSERT for statement, _ in outcome.writes)


async def test_replies_in_their_order_over_documents(tmp_path: Path) -> None:
    async with conversation(
        tmp_path,
        sms=response("<Message>one</Message><Redirect method='GET'>next</Redirect>"),
        next=response("<Message><Body>two</Body><Media>pic.png</Media></Message>"),
    ) as world:
        await world.answered()
        assert [(each.url, each.method) for each in world.app.asked] == [
            (APP, "POST"),
            ("http://app.example/next", "GET"),
        ]
        assert world.bodies == ["one", "two\nhttp://app.example/pic.png"]


async def test_documents_are_limited(tmp_path: Path) -> None:
    async with conversation(tmp_path, sms=response("<Redirect>sms</Redirect>")) as world:
        sid = await world.answered()
        assert len(world.app.asked) == 50
        assert await world.notified(sid) == [(14106, "error")]


async def test_the_fallback_is_asked_with_what_failed(tmp_path: Path) -> None:
    async with conversation(
        tmp_path, sms=FAILED, fallback=response("<Message>Sorry</Message>")
    ) as world:
        sid = await world.answered()
        form = dict(world.app.asked[1].parameters)
        assert (form["ErrorCode"], form["ErrorUrl"]) == ("11200", APP)
        assert world.bodies == ["Sorry"]
        assert await world.notified(sid) == [(11200, "error")]


@pytest.mark.parametrize(
    ("document", "codes"),
    [
        ("<Response><Message>", [(12100, "error")]),
        (response("<Shout>Hi</Shout><Message>Hi</Message>"), [(12200, "warning")]),
        (response("<Message to='nobody'>Hi</Message>"), [(14101, "warning")]),
        (response("<Message from='+15559999999'>Hi</Message>"), [(21606, "error")]),
        (response("<Message action='smpp:shop?id=a~~1'>Hi</Message>"), [(12200, "warning")]),
        (response("<Message action='http://[bad'>Hi</Message>"), [(21609, "error")]),
    ],
)
async def test_what_is_wrong_with_a_document_is_noted(
    tmp_path: Path, document: str, codes: list[tuple[int, str]]
) -> None:
    failed: Failure = msgspec.structs.replace(FAILED, error_code=11205)
    async with conversation(tmp_path, sms=document, fallback=failed) as world:
        sid = await world.answered()
        assert (await world.notified(sid))[: len(codes)] == codes
        for each in world.out:
            assert (await world.message(each.sid)).status_callback == ""


async def test_a_reply_reports_to_a_url_beside_the_document(tmp_path: Path) -> None:
    document = response("<Message action='status'>Hi</Message>")
    async with conversation(tmp_path, sms=document) as world:
        await world.answered()
        (out,) = world.out
        assert (await world.message(out.sid)).status_callback == "http://app.example/status"


async def test_cookies_are_kept_for_the_conversation(tmp_path: Path) -> None:
    async with conversation(tmp_path, sms=response("")) as world:
        cookie = parse_set_cookie("step=1", "app.example", "/", world.now)
        assert cookie is not None
        world.app.cookies = (cookie,)
        await world.answered()
        await world.answered()
        assert [each.cookies for each in world.app.asked] == [(), (cookie,)]


def close(world: Conversation) -> None:
    world.tokens.closed = True


def nothing(world: Conversation) -> None:
    pass


@pytest.mark.parametrize(("happened", "deleted"), [(close, False), (nothing, True)])
async def test_a_closed_account_or_a_deleted_text_asks_nobody(
    tmp_path: Path, happened: Callable[[Conversation], None], deleted: bool
) -> None:
    async with conversation(tmp_path, sms=response("")) as world:
        await world.say(world.received(b"Hello"))
        (job,) = world.runner.jobs
        happened(world)
        if deleted:
            assert await world.messages.delete(ACCOUNT, job.sid) is None
        assert isinstance(await world.handler(job, 1), Discard)
        assert world.app.asked == []


async def test_an_account_that_may_not_send_gets_a_notification(tmp_path: Path) -> None:
    async with conversation(tmp_path, sms=response("<Message>Hi</Message>")) as world:
        world.active.clear()
        sid = await world.answered()
        assert await world.notified(sid) == [(20005, "error")]
        assert isinstance(world.messages.plan(world.draft()), Refusal)


async def test_deleting_a_text_forgets_what_was_noted_of_it(tmp_path: Path) -> None:
    async with conversation(tmp_path, sms=FAILED, fallback=FAILED) as world:
        sid = await world.answered()
        assert len(await world.notified(sid)) == 2
        assert await world.messages.delete(ACCOUNT, sid) is None
        assert await world.notified(sid) == []
