"""Documents of calls, asked of a real server, and what is kept of the asking."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs
from twilio.request_validator import RequestValidator

from gateway.calls.documents import (
    MAX_SHOWN,
    Documents,
    Exchange,
    Note,
    NotObtained,
    Obtained,
    Reported,
    found,
    written,
)
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.parameters import call_parameters
from gateway.messages import notifications
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.instructions import Fallback
from tests.integration.webhook_servers import (
    TOKEN,
    Reply,
    Seen,
    Server,
    answer,
    by_path,
    fetching,
    in_turn,
    redirect,
    serving,
    twiml,
)
from twiml.errors import Finding, Level
from twiml.outcome import Goto
from twiml.parser import MAX_WARNINGS, findings, parse
from twiml.verbs import Dial, Hangup, Play, Redirect, Say
from twiml.voice_dialect import VOICE

CALL = Call(
    account_sid="AC1",
    sid="CA1",
    direction=CallDirection.INBOUND,
    status=CallStatus.RINGING,
    from_address="+15550002000",
    to_address="+15550001000",
    date_created=0.0,
    date_updated=0.0,
)
HANGUP = "<Response><Hangup/></Response>"


class Tokens:
    """The accounts, of which `closed` has no token any more."""

    def token_of(self, account_sid: str) -> str | None:
        return None if account_sid == "closed" else TOKEN


class Clock:
    """Stands still, so that times can be told."""

    def __call__(self) -> float:
        return 1000.0


@asynccontextmanager
async def app(
    reply: Reply, clock: Callable[[], float] = time.time
) -> AsyncIterator[tuple[Server, Documents]]:
    async with serving(reply) as server, fetching() as fetcher:
        yield server, Documents(fetcher, Tokens(), clock)


def valid(server: Server, seen: Seen) -> bool:
    form = dict(seen.form) if seen.method == "POST" else {}
    return RequestValidator(TOKEN).validate(
        server.origin + seen.path, form, seen.headers["X-Twilio-Signature"]
    )


async def test_a_document_is_asked_for_and_read() -> None:
    async with app(twiml(HANGUP), Clock()) as (server, documents):
        goto = Goto(url=f"{server.origin}/a?x=1#rc=2", method="POST", parameters=(("Digits", "1"),))
        got = await documents.fetch(CALL, goto, extra=[("SipCallId", "c1")])
        assert isinstance(got, Obtained)
        assert got.document.verbs == (Hangup(),)
        assert (got.base, got.notes) == (f"{server.origin}/a?x=1", ())
        (seen,) = server.seen
        assert seen.form == [
            *call_parameters(CALL),
            ("Digits", "1"),
            ("SipCallId", "c1"),
        ]
        assert valid(server, seen)
        (exchange,) = got.exchanges
        assert exchange.elapsed > 0
        assert msgspec.structs.replace(exchange, elapsed=0.0) == Exchange(
            at=1000.0,
            url=f"{server.origin}/a?x=1",
            method="POST",
            status=200,
            elapsed=0.0,
            octets=len(HANGUP),
            body=HANGUP,
        )


async def test_another_status_can_be_told_and_a_get_has_it_in_its_query() -> None:
    async with app(twiml(HANGUP)) as (server, documents):
        goto = Goto(url=server.origin, method="GET")
        await documents.fetch(CALL, goto, status=CallStatus.IN_PROGRESS)
        (seen,) = server.seen
        assert seen.method == "GET" and "CallStatus=in-progress" in seen.path
        assert valid(server, seen)


async def test_each_name_is_told_once_and_a_verb_goes_before_what_came_with_the_call() -> None:
    async with app(answer("500 Oops", b""), Clock()) as (server, documents):
        goto = Goto(
            url=server.origin,
            method="POST",
            parameters=(("Digits", "1"), ("ErrorCode", "30003"), ("CallSid", "another")),
        )
        extra = [("Digits", "9"), ("CallSid", "forged"), ("x", "1"), ("x\udc80", "2"), ("x?", "3")]
        fallback = Fallback(url=f"{server.origin}/fallback")
        await documents.fetch(CALL, goto, fallback, extra=extra)
        await documents.report(CALL, goto, extra=extra)
        first, again, told = (seen.form for seen in server.seen)
        said = [("Digits", "1"), ("ErrorCode", "30003"), ("x", "1"), ("x?", "2")]
        assert first == told == [*call_parameters(CALL), *said]
        del said[1]
        failed = [("ErrorCode", "11200"), ("ErrorUrl", f"{server.origin}/")]
        assert again == [*call_parameters(CALL), *said, *failed]


async def test_each_request_has_a_token_of_its_own() -> None:
    async with app(twiml(HANGUP)) as (server, documents):
        for _ in range(2):
            await documents.fetch(CALL, Goto(url=server.origin, method="POST"))
        tokens = {seen.headers["I-Twilio-Idempotency-Token"] for seen in server.seen}
        assert len(tokens) == 2


async def test_the_fallback_is_asked_when_the_app_fails() -> None:
    reply = by_path(
        voice=answer("500 Oops", b"a stack trace"), fallback=twiml("<Response><Nod/></Response>")
    )
    async with app(reply, Clock()) as (server, documents):
        goto = Goto(url=f"{server.origin}/voice", method="POST", parameters=(("Digits", "1"),))
        fallback = Fallback(url=f"{server.origin}/fallback", method="GET")
        got = await documents.fetch(CALL, goto, fallback)
        assert isinstance(got, Obtained)
        _, second = server.seen
        assert (second.method, "ErrorCode=11200" in second.path) == ("GET", True)
        assert "Digits=1" in second.path
        assert [(note.error_code, note.level, note.line) for note in got.notes] == [
            (11200, Level.ERROR, 0),
            (12200, Level.WARNING, 1),
        ]
        # The query of a GET is in the question, not in the URL that is shown.
        assert [note.url for note in got.notes] == [goto.url, fallback.url]
        failed, taken = got.exchanges
        assert (failed.method, failed.status, failed.error_code) == ("POST", 500, 11200)
        assert (failed.octets, failed.body) == (13, "a stack trace")
        assert (taken.method, taken.status, taken.error_code) == ("GET", 200, 0)
        assert taken.at == failed.at + failed.elapsed


NOTHING = [
    (answer("500 Oops"), 11200),
    (answer("404 Not Found"), 11200),
    (twiml(""), 12100),
    (twiml("<Response>"), 12100),
    (twiml("<Reply/>"), 12102),
    (answer(body=HANGUP.encode(), Content_Type="application/json"), 12300),
    (answer(body=HANGUP.encode()), 12300),
    (answer("204 No Content"), 12100),
    (answer(body=b"x" * 70_000, Content_Type="text/xml"), 11750),
]


@pytest.mark.parametrize(("reply", "code"), NOTHING)
async def test_what_is_no_document(reply: Reply, code: int) -> None:
    async with app(reply) as (server, documents):
        url = f"{server.origin}/voice"
        got = await documents.fetch(CALL, Goto(url=url, method="POST"))
        assert isinstance(got, NotObtained)
        assert got.error_code == code and got.reason.startswith(f"{url}: ")
        assert [(note.error_code, note.level) for note in got.notes] == [(code, Level.ERROR)]
        assert [each.error_code for each in got.exchanges] == [code]
        assert len(got.exchanges[0].body) <= MAX_SHOWN


async def test_nobody_gives_a_document() -> None:
    reply = by_path(voice=answer("503 Away"), fallback=twiml("<Reply/>"))
    async with app(reply) as (server, documents):
        got = await documents.fetch(
            CALL,
            Goto(url=f"{server.origin}/voice", method="POST"),
            Fallback(url=f"{server.origin}/fallback"),
        )
        assert isinstance(got, NotObtained)
        assert got.error_code == 12102 and got.reason.startswith(f"{server.origin}/fallback: ")
        assert [note.error_code for note in got.notes] == [11200, 12102]
        assert [each.status for each in got.exchanges] == [503, 200]


@pytest.mark.parametrize("url", ["", "ftp://a.example/", "http://"])
async def test_what_can_not_be_asked(url: str) -> None:
    async with app(twiml(HANGUP)) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=url, method="POST"))
        assert isinstance(got, NotObtained) and got.error_code == 11100
        assert got.exchanges[0].status == 0 and not server.seen


async def test_a_slow_app_has_as_long_as_its_url_says() -> None:
    async def never(server: Server, seen: Seen, writer: object) -> None:
        pass

    async with app(never) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=f"{server.origin}/#tt=200", method="POST"))
        assert isinstance(got, NotObtained) and got.error_code == 11203
        assert 0.2 <= got.exchanges[0].elapsed < 10


@pytest.mark.parametrize(
    "kind",
    [
        "Audio/X-WAV; rate=8000",
        *(
            f"audio/{each}"
            for each in (
                *("aiff", "basic", "gsm", "mp3", "mpeg", "ulaw"),
                *("wav", "wave", "x-aifc", "x-aiff", "x-gsm", "x-wav"),
            )
        ),
    ],
)
async def test_a_sound_is_played_from_where_it_came_from(kind: str) -> None:
    async with app(answer(body=b"Hello", Content_Type=kind)) as (server, documents):
        url = server.origin.replace("//", "//user:secret@")
        got = await documents.fetch(CALL, Goto(url=f"{url}/a.wav", method="POST"))
        assert isinstance(got, Obtained) and got.notes == ()
        assert got.document.verbs == (Play(url=f"{url}/a.wav"),)


async def test_a_sound_may_be_long() -> None:
    async with app(answer(body=b"x" * 100_000, Content_Type="audio/wav")) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=f"{server.origin}/a.wav", method="POST"))
        assert isinstance(got, Obtained)
        assert got.document.verbs == (Play(url=f"{server.origin}/a.wav"),)


class Hand:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("headers", "conditions"),
    [
        ({"ETag": '"1"'}, ("If-None-Match", '"1"')),
        ({"Last-Modified": "Thu, 01 Jan 1970 00:16:40 GMT"}, ("If-Modified-Since", "Thu,")),
        ({"ETag": '"1"', "Cache-Control": "max-age=60"}, ("If-None-Match", '"1"')),
    ],
    ids=["etag", "last-modified", "max-age"],
)
async def test_a_get_is_asked_again_whether_it_is_still_good(
    headers: dict[str, str], conditions: tuple[str, str]
) -> None:
    clock = Hand()
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    fresh = answer(body=HANGUP.encode(), Content_Type="text/xml", **named)
    same = answer("304 Not Modified", b"", **named)
    async with app(in_turn(fresh, same, same), clock) as (server, documents):
        goto = Goto(url=server.origin, method="GET")

        async def verbs() -> object:
            got = await documents.fetch(CALL, goto)
            assert isinstance(got, Obtained)
            return got.document.verbs

        assert await verbs() == (Hangup(),)
        lasts = "Cache-Control" in headers
        assert await verbs() == (Hangup(),)
        assert len(server.seen) == (1 if lasts else 2)
        clock.now += 61
        assert await verbs() == (Hangup(),)
        name, value = conditions
        assert server.seen[-1].headers[name].startswith(value)
        assert name not in server.seen[0].headers


async def test_what_is_posted_or_may_not_be_stored_is_asked_anew() -> None:
    for method, control in (("POST", "max-age=60"), ("GET", "no-store")):
        kept = answer(
            body=HANGUP.encode(), Content_Type="text/xml", ETag="1", Cache_Control=control
        )
        async with app(kept) as (server, documents):
            for _ in range(2):
                await documents.fetch(CALL, Goto(url=server.origin, method=method))
            assert len(server.seen) == 2
            assert "If-None-Match" not in server.seen[1].headers


async def test_what_another_account_was_given_is_nobody_elses() -> None:
    kept = answer(body=HANGUP.encode(), Content_Type="text/xml", Cache_Control="max-age=60")
    other = msgspec.structs.replace(CALL, account_sid="AC2")
    async with app(kept) as (server, documents):
        for call in (CALL, other, CALL):
            await documents.fetch(call, Goto(url=server.origin, method="GET"))
        assert len(server.seen) == 2


async def test_a_text_is_spoken() -> None:
    async with app(answer(body=b" Hello ", Content_Type="text/plain")) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=server.origin, method="POST"))
        assert isinstance(got, Obtained) and got.notes == ()
        assert got.document.verbs == (Say(text="Hello"),)


async def test_an_unknown_kind_of_audio_is_no_answer() -> None:
    async with app(answer(body=b"Hello", Content_Type="audio/flac")) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=server.origin, method="POST"))
        assert isinstance(got, NotObtained) and got.error_code == 12300


async def test_only_so_much_of_an_answer_is_kept() -> None:
    assert MAX_SHOWN == 4096
    long = f"<Response><!--{'é' * MAX_SHOWN}--></Response>"
    async with app(twiml(long)) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=server.origin, method="POST"))
        (exchange,) = got.exchanges
        assert exchange.octets == len(long.encode())
        assert exchange.body == long.encode()[:MAX_SHOWN].decode("utf-8", "replace")


async def test_what_is_no_text_is_shown_as_far_as_it_goes() -> None:
    body = b"a\x00b\xff" + HANGUP.encode()
    async with app(answer("500 Oops", body)) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=server.origin, method="POST"))
        assert got.exchanges[0].body == f"ab\ufffd{HANGUP}"


async def test_a_document_is_where_it_was_found() -> None:
    reply = by_path(
        voice=redirect(307, "/moved/doc?x=1"),
        moved=twiml("<Response><Redirect>next</Redirect></Response>"),
    )
    async with app(reply) as (server, documents):
        url = server.origin.replace("//", "//me:secret@") + "/voice"
        got = await documents.fetch(CALL, Goto(url=url, method="POST"))
        assert isinstance(got, Obtained) and got.document.verbs == (Redirect(url="next"),)
        assert got.exchanges[0].url == f"{server.origin}/moved/doc?x=1"


async def test_a_password_is_for_the_base_alone() -> None:
    async with app(twiml("<Response><Nod/></Response>")) as (server, documents):
        url = server.origin.replace("//", "//me:secret@") + "/voice"
        got = await documents.fetch(CALL, Goto(url=url, method="POST"))
        assert isinstance(got, Obtained) and got.base == url
        assert "secret" not in repr((got.notes, got.exchanges))


async def test_cookies_come_back_for_as_long_as_the_call_lasts() -> None:
    reply = in_turn(
        answer(body=HANGUP.encode(), Content_Type="text/xml", Set_Cookie="a=1"), twiml(HANGUP)
    )
    async with app(reply) as (server, documents):
        goto = Goto(url=server.origin, method="POST")
        other = msgspec.structs.replace(CALL, sid="CA2")
        await documents.fetch(CALL, goto)
        await documents.fetch(CALL, goto)
        await documents.fetch(other, goto)
        await documents.report(CALL, goto)
        documents.forget(CALL.sid)
        documents.forget(CALL.sid)
        await documents.fetch(CALL, goto)
        sent = [seen.headers.get("Cookie", "") for seen in server.seen]
        assert sent == ["", "a=1", "", "a=1", ""]


async def test_a_report_passes_its_answer_over() -> None:
    async with app(answer(body=b"{}", Content_Type="application/json"), Clock()) as (server, docs):
        goto = Goto(url=server.origin, method="POST", parameters=(("DialCallStatus", "busy"),))
        told = await docs.report(CALL, goto, status=CallStatus.COMPLETED, extra=[("X", "1")])
        (seen,) = server.seen
        assert seen.form == [
            *call_parameters(CALL, status=CallStatus.COMPLETED),
            ("DialCallStatus", "busy"),
            ("X", "1"),
        ]
        assert valid(server, seen) and told.notes == ()
        assert [(each.at, each.status, each.error_code) for each in told.exchanges] == [
            (1000.0, 200, 0)
        ]


async def test_what_a_report_was_given_comes_back() -> None:
    reply = in_turn(answer(Set_Cookie="a=1"), twiml(HANGUP))
    async with app(reply) as (server, documents):
        goto = Goto(url=server.origin, method="POST")
        await documents.report(CALL, goto)
        await documents.fetch(CALL, goto)
        assert server.seen[1].headers["Cookie"] == "a=1"


async def test_what_failed_is_logged_with_its_call() -> None:
    async with app(answer("500 Oops")) as (server, documents):
        goto = Goto(url=server.origin, method="POST")
        with capture_logs() as logged:
            got = await documents.fetch(CALL, goto)
            await documents.report(CALL, goto)
            documents.inline(CALL, "<Reply/>")
        assert isinstance(got, NotObtained)
        assert [(each["log_level"], each["code"], each["call"]) for each in logged] == [
            ("warning", 11200, "CA1"),
            ("warning", 11200, "CA1"),
            ("warning", 12102, "CA1"),
        ]
        (note,) = got.notes
        assert note.message == logged[0]["reason"] and "500" in note.message


REFUSED = """<Response>
<Nod/>
<Enqueue/>
<Say voice="nobody" loop="x">Hello</Say>
<Enqueue/>
</Response>"""


async def test_of_a_document_that_is_refused_all_is_noted_that_is_wrong() -> None:
    async with app(twiml(REFUSED)) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=server.origin, method="POST"))
        fallen = await documents.fetch(
            CALL, Goto(url="http://", method="POST"), Fallback(url=server.origin)
        )
        came = documents.inline(CALL, REFUSED)
    checked = findings(parse(REFUSED.encode(), "text/xml", VOICE))
    assert {each.code for each in checked} >= {12200, 14204} and len(checked) >= 4
    for refused in (got, fallen, came):
        assert isinstance(refused, NotObtained) and refused.error_code == 14204
        notes = refused.notes[-len(checked) :]
        assert [(note.error_code, note.level) for note in notes] == [
            (each.code, each.level) for each in checked
        ]
        assert [note.line for note in notes[1:]] == [each.line for each in checked[1:]]
    assert {note.url for note in got.notes} == {f"{server.origin}/"}
    assert [note.error_code for note in fallen.notes[: -len(checked)]] == [11100]


async def test_what_is_noted_of_a_refused_document_has_an_end() -> None:
    many = f"<Response>{'<Nod/>' * 500}{'<Enqueue/>' * 500}</Response>"
    async with app(twiml(many)) as (server, documents):
        got = await documents.fetch(CALL, Goto(url=server.origin, method="POST"))
    assert len(got.notes) == 1 + MAX_WARNINGS


async def test_a_report_that_nobody_takes_is_noted() -> None:
    async with app(answer("500 Oops")) as (server, documents):
        goto = Goto(url=f"{server.origin}/#rp=5xx&rc=2", method="POST")
        told = await documents.report(CALL, goto)
        assert len(server.seen) == 3  # as often as its URL says
        assert [note.error_code for note in told.notes] == [11200]
        assert [each.error_code for each in told.exchanges] == [11200]


async def test_nothing_is_asked_for_a_closed_account() -> None:
    async with app(twiml(HANGUP)) as (server, documents):
        call = msgspec.structs.replace(CALL, account_sid="closed")
        goto = Goto(url=server.origin, method="POST")
        got = await documents.fetch(call, goto, Fallback(url=server.origin))
        assert isinstance(got, NotObtained) and "closed" in got.reason
        assert got.error_code == 0 and not got.notes and not got.exchanges
        assert await documents.report(call, goto) == Reported()
        assert not server.seen


async def test_a_document_may_come_with_the_call() -> None:
    async with app(twiml("")) as (_, documents):
        good = documents.inline(CALL, '<?xml version="1.0"?><Response><Dial>100</Dial></Response>')
        assert isinstance(good, Obtained) and good.base == ""
        assert [type(verb) for verb in good.document.verbs] == [Dial]
        odd = documents.inline(CALL, "<Response><Nod/></Response>")
        assert isinstance(odd, Obtained)
        assert [(note.error_code, note.line, note.url) for note in odd.notes] == [(12200, 1, "")]
        bad = documents.inline(CALL, "<Response>\udcff")
        assert isinstance(bad, NotObtained) and bad.error_code == 12100
        assert [(note.level, note.message) for note in bad.notes] == [(Level.ERROR, bad.reason)]
        assert "well-formed" in bad.reason


async def test_notes_are_kept_as_notifications_of_the_call(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "t.db", max_queued=100, clock=time.time)
    finding = Finding(code=14106, level=Level.ERROR, line=3, message="too many")
    failed = Note(error_code=11200, level=Level.WARNING, message="500", url="http://a.example")
    await store.commit(written(CALL, [failed, *found([finding])], 1000.0))
    rows = await store.fetch(notifications.OF_RESOURCE, CALL.sid)
    await store.close()
    assert [(row[0], row[2], row[3], row[4]) for row in rows] == [
        ("AC1", "CA1", 11200, "warning"),
        ("AC1", "CA1", 14106, "error"),
    ]
    assert [msgspec.json.decode(row[5]) for row in rows] == [
        {"message": "500", "url": "http://a.example"},
        {"message": "too many", "url": "", "line": 3},
    ]
