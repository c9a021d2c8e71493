"""What an app's server sees of a webhook when all is well, or well enough."""

import asyncio
import hashlib
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator
from webhook_servers import (
    TOKEN,
    Seen,
    Server,
    answer,
    asked,
    by_path,
    fetching,
    in_turn,
    last_words,
    octets,
    redirect,
    serving,
)

from gateway.webhooks import exchange
from gateway.webhooks.cookies import CookieBook
from gateway.webhooks.request import Answer, Failure, Request

PARAMETERS = (("MessageSid", "SM1"), ("From", "+15550002000"), ("Body", "a b&c=\u20ac\U0001f600"))


def valid(server: Server, seen: Seen) -> bool:
    """Whether the SDK's validator accepts what came in."""
    form = dict(seen.form) if seen.method == "POST" else {}
    return RequestValidator(TOKEN).validate(
        server.origin + seen.path, form, seen.headers["X-Twilio-Signature"]
    )


async def test_a_post_is_a_signed_form() -> None:
    async with serving(answer(body=b"<Response/>", Content_Type="text/xml")) as server:
        async with fetching() as fetcher:
            found = await fetcher.fetch(asked(f"{server.origin}/a?x=1#rc=2", "POST", *PARAMETERS))
        (seen,) = server.seen
        assert isinstance(found, Answer)
        assert (found.status, found.content_type, found.body) == (200, "text/xml", b"<Response/>")
        assert found.url == f"{server.origin}/a?x=1"
    assert (seen.method, seen.path, seen.form) == ("POST", "/a?x=1", list(PARAMETERS))
    assert seen.headers["User-Agent"].startswith("TwilioProxy/1.1")
    assert seen.headers["I-Twilio-Idempotency-Token"] == "token-1"
    assert seen.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert valid(server, seen)


def lines(url: str) -> Request:
    return Request(
        url=url,
        account_sid="AC1",
        auth_token=TOKEN,
        content='{"a":"é"}\n'.encode(),
        content_type="application/x-ndjson",
    )


@pytest.mark.parametrize("query", ["", "?x=1"])
async def test_content_that_is_no_form_is_signed_by_its_hash(query: str) -> None:
    replies = by_path(old=redirect(307, "/new?y=1"), new=answer())
    async with serving(replies) as server, fetching() as fetcher:
        found = await fetcher.notify(lines(f"{server.origin}/old{query}"))
        assert isinstance(found, Answer)
        for seen in server.seen:
            assert (seen.method, seen.body) == ("POST", '{"a":"é"}\n')
            assert seen.headers["Content-Type"] == "application/x-ndjson"
            url, signature = server.origin + seen.path, seen.headers["X-Twilio-Signature"]
            assert RequestValidator(TOKEN).validate(url, seen.body, signature)
            assert not RequestValidator(TOKEN).validate(url, seen.body + " ", signature)
        assert len(server.seen) == 2


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_content_does_not_get_lost_in_a_redirect(status: int) -> None:
    replies = by_path(old=redirect(status, "/new"), new=answer())
    async with serving(replies) as server, fetching() as fetcher:
        found = await fetcher.notify(lines(f"{server.origin}/old"))
        assert isinstance(found, Failure) and found.status == status
        assert [seen.path.partition("?")[0] for seen in server.seen] == ["/old"]


async def test_a_get_adds_to_the_users_own_query() -> None:
    async with serving(answer()) as server, fetching() as fetcher:
        await fetcher.fetch(asked(f"{server.origin}/a?x=%7E1", "GET", *PARAMETERS))
        await fetcher.fetch(asked(server.origin, "GET", *PARAMETERS))
        first, second = server.seen
    assert first.path.startswith("/a?x=%7E1&MessageSid=SM1&")
    assert parse_qsl(urlsplit(first.path).query) == [("x", "~1"), *PARAMETERS]
    assert second.path.startswith("/?MessageSid=SM1&")
    assert "Content-Length" not in first.headers
    assert valid(server, first)
    assert valid(server, second)


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_these_redirects_become_a_get_without_parameters(status: int) -> None:
    replies = by_path(old=redirect(status, "/new?y=1"), new=answer())
    async with serving(replies) as server, fetching() as fetcher:
        found = await fetcher.fetch(asked(f"{server.origin}/old", "POST", *PARAMETERS))
        old, new = server.seen
        assert isinstance(found, Answer)
        assert found.url == f"{server.origin}/new?y=1"
    assert (new.method, new.path, new.body) == ("GET", "/new?y=1", "")
    assert valid(server, old)
    assert valid(server, new)


@pytest.mark.parametrize("status", [307, 308])
async def test_these_redirects_keep_method_and_parameters(status: int) -> None:
    replies = by_path(old=redirect(status, "new"), new=answer())
    async with serving(replies) as server, fetching() as fetcher:
        await fetcher.fetch(asked(f"{server.origin}/old", "POST", *PARAMETERS))
        _, new = server.seen
    assert (new.method, new.form) == ("POST", list(PARAMETERS))
    assert valid(server, new)


async def test_ten_redirects_are_followed() -> None:
    hops = [redirect(307, f"/{number}") for number in range(10)]
    async with serving(in_turn(*hops, answer())) as server, fetching() as fetcher:
        assert isinstance(await fetcher.fetch(asked(f"{server.origin}/sms")), Answer)
        assert len(server.seen) == 11


@pytest.mark.parametrize(
    ("status", "fragment", "tries"),
    [
        ("500 Oops", "", 1),
        ("500 Oops", "rp=5xx", 2),
        ("500 Oops", "rp=5xx&rc=3", 4),
        ("500 Oops", "rp=all&rc=0", 1),
        ("500 Oops", "rp=4xx&rc=3", 1),
        ("429 Slow Down", "rp=4xx&rc=2", 3),
        ("429 Slow Down", "rp=all&rc=5", 6),
    ],
)
async def test_tries_follow_the_policy(status: str, fragment: str, tries: int) -> None:
    async with serving(answer(status)) as server, fetching() as fetcher:
        failure = await fetcher.notify(asked(f"{server.origin}/status#{fragment}"))
        assert isinstance(failure, Failure)
        assert failure.error_code == 11200
        assert len(server.seen) == tries
    assert {seen.headers["I-Twilio-Idempotency-Token"] for seen in server.seen} == {"token-1"}


async def test_a_try_that_succeeds_is_the_answer() -> None:
    async with serving(in_turn(answer("502 Bad"), answer())) as server, fetching() as fetcher:
        found = await fetcher.notify(asked(f"{server.origin}/status#rp=5xx"))
        assert isinstance(found, Answer)


async def test_a_bad_policy_is_not_asked_at_all() -> None:
    async with serving(answer()) as server, fetching() as fetcher:
        failure = await fetcher.fetch(asked(f"{server.origin}/sms#rp=never"))
        assert isinstance(failure, Failure)
        assert (failure.error_code, failure.url) == (11243, f"{server.origin}/sms")
        assert server.connections == 0


async def test_connections_are_kept_and_used_again() -> None:
    async with serving(answer(body=b"ok")) as server, fetching() as fetcher:
        for _ in range(5):
            assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
        assert (len(server.seen), server.connections) == (5, 1)


async def test_a_connection_that_the_server_closed_meanwhile_costs_no_try() -> None:
    once = answer(body=b"ok")

    async def hang_up(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        # The second request on a connection meets a server that is just closing it.
        if sum(other.connection == seen.connection for other in server.seen) == 2:
            writer.close()
        else:
            await once(server, seen, writer)

    async with serving(hang_up) as server, fetching() as fetcher:
        for _ in range(4):
            found = await fetcher.notify(asked(f"{server.origin}/status#rc=0"))
            assert isinstance(found, Answer)
        assert server.connections == 4


async def test_a_response_that_breaks_off_is_not_asked_for_again() -> None:
    cut = last_words(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut")
    async with serving(in_turn(answer(), cut)) as server, fetching() as fetcher:
        assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
        assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Failure)
        assert len(server.seen) == 2


async def test_what_a_server_says_unasked_is_nobodys_answer() -> None:
    spoken = asyncio.Event()

    async def chatter(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await answer(body=b"first" if seen.connection == 1 else b"second")(server, seen, writer)
        if seen.connection == 1:
            await writer.drain()
            await asked_again.wait()
            await answer(body=b"unasked")(server, seen, writer)
            await writer.drain()
            spoken.set()

    asked_again = asyncio.Event()
    async with serving(chatter) as server, serving(answer()) as other, fetching() as fetcher:
        first = await fetcher.fetch(asked(f"{server.origin}/sms"))
        asked_again.set()
        await asyncio.wait_for(spoken.wait(), 30)
        # It lies in the socket: once another exchange is through, it has been read.
        await fetcher.fetch(asked(f"{other.origin}/sms"))
        second = await fetcher.fetch(asked(f"{server.origin}/sms"))
        assert isinstance(first, Answer) and isinstance(second, Answer)
        assert (first.body, second.body) == (b"first", b"second")
        assert server.connections == 2


async def none_open(server: Server) -> None:
    while server.open:
        server.left.clear()
        await asyncio.wait_for(server.left.wait(), 30)


async def test_an_idle_connection_is_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_KEPT_FOR", 0.1)
    async with serving(answer()) as server, fetching() as fetcher:
        for _ in range(2):
            assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
            await none_open(server)
        assert server.connections == 2


async def test_one_that_is_too_old_is_not_used_even_if_nobody_closed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(answer()) as server, fetching() as fetcher:
        assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
        monkeypatch.setattr(exchange, "_KEPT_FOR", 0.0)
        assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
        assert server.connections == 2


async def test_the_connections_of_a_host_that_is_forgotten_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "_ORIGINS", 2)
    async with (
        serving(answer()) as often,
        serving(answer()) as once,
        serving(answer()) as new,
        fetching() as fetcher,
    ):
        for server in (often, once, often, new, often):
            assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
        await none_open(once)
        assert (often.connections, often.open, new.open) == (1, 1, 1)


async def test_what_is_under_way_to_a_host_that_is_forgotten_ends_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "_ORIGINS", 1)
    answered = asyncio.Event()

    async def late(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await answered.wait()
        await answer()(server, seen, writer)

    async with serving(late) as slow, serving(answer()) as quick, fetching() as fetcher:
        task = asyncio.create_task(fetcher.notify(asked(f"{slow.origin}/status")))
        await asyncio.wait_for(slow.arrived.wait(), 30)
        assert isinstance(await fetcher.notify(asked(f"{quick.origin}/status")), Answer)
        answered.set()
        assert isinstance(await task, Answer)
        await none_open(slow)


async def test_closing_leaves_no_connection_open() -> None:
    async with serving(answer()) as server:
        async with fetching() as fetcher:
            assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
        await none_open(server)


async def test_one_host_gets_no_more_connections_than_allowed() -> None:
    async def slowly(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)  # ten times: who waits for a connection is not read from yet
        await answer()(server, seen, writer)

    async with serving(slowly) as server, fetching(per_host=4) as fetcher:
        found = await asyncio.gather(
            *(fetcher.notify(asked(f"{server.origin}/status#rt=1000&rc=0")) for _ in range(40))
        )
        assert all(isinstance(each, Answer) for each in found)
        assert server.most_open == 4


async def test_interim_responses_and_old_servers_are_understood() -> None:
    interim = octets(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )
    old = last_words(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
    async with serving(in_turn(interim, old)) as server, fetching() as fetcher:
        first = await fetcher.fetch(asked(f"{server.origin}/sms"))
        second = await fetcher.fetch(asked(f"{server.origin}/sms"))
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert (first.body, second.body) == (b"ok", b"until the end")


async def test_basic_is_answered_once_and_remembered() -> None:
    async def guarded(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.headers.get("Authorization") == "Basic bWU6cEBzcw==":
            await answer()(server, seen, writer)
        else:
            await answer("401 Who", WWW_Authenticate='Basic realm="x"')(server, seen, writer)

    async with serving(guarded) as server, fetching() as fetcher:
        url = server.origin.replace("//", "//me:p%40ss@")
        found = await fetcher.fetch(asked(f"{url}/sms"))
        assert isinstance(found, Answer)
        assert found.url == f"{server.origin}/sms"
        assert found.base == f"{url}/sms"
        assert isinstance(await fetcher.fetch(asked(f"{url}/sms")), Answer)
        assert ["Authorization" in seen.headers for seen in server.seen] == [False, True, True]
        assert all(valid(server, seen) for seen in server.seen)
        wrong = await fetcher.fetch(asked(f"{url.replace('p%40ss', 'x')}/sms"))
        assert isinstance(wrong, Failure)
        assert (wrong.error_code, wrong.status) == (11200, 401)
        assert len(server.seen) == 5
        bare = await fetcher.fetch(asked(f"{server.origin}/sms"))
        assert isinstance(bare, Failure)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_digest_is_answered_and_its_nonce_used_again(algorithm: str) -> None:
    nonce = "first"
    counts: list[str] = []

    def h(text: str) -> str:
        return hashlib.new(algorithm.replace("-", "").lower(), text.encode()).hexdigest()

    async def handle(request: web.Request) -> web.Response:
        header = request.headers.get("Authorization", "").removeprefix("Digest ")
        given = {
            name: value.strip('"')
            for name, _, value in (part.partition("=") for part in header.split(", "))
        }
        if given.get("nonce") != nonce:
            challenge = f'Digest realm="r", nonce="{nonce}", qop="auth", algorithm={algorithm}'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        counts.append(given["nc"])
        what = h(f"{request.method}:{request.path_qs}")
        parts = (h("me:r:secret"), nonce, given["nc"], given["cnonce"], "auth", what)
        return web.Response(status=200 if given["response"] == h(":".join(parts)) else 403)

    app = web.Application()
    app.router.add_post("/sms", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with fetching() as fetcher:
            url = f"http://me:secret@127.0.0.1:{runner.addresses[0][1]}/sms?x=1"
            for current in ("first", "first", "second"):
                nonce = current
                assert isinstance(await fetcher.fetch(asked(url)), Answer)
    finally:
        await runner.cleanup()
    assert counts == ["00000001", "00000002", "00000001"]


async def test_a_realm_that_is_not_utf_8_is_answered_as_it_was_written() -> None:
    """Its octets are hashed and sent back: `Zürich`, from a server that writes Latin-1."""
    realm = b"Z\xfcrich"
    secret = hashlib.md5(b"me:" + realm + b":secret").hexdigest()
    what = hashlib.md5(b"POST:/sms").hexdigest()
    expected = hashlib.md5(f"{secret}:n:{what}".encode()).hexdigest()
    challenge = b'WWW-Authenticate: Digest realm="' + realm + b'", nonce="n"\r\n'
    asking = octets(b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n" + challenge + b"\r\n")
    async with serving(in_turn(asking, answer())) as server, fetching() as fetcher:
        url = server.origin.replace("//", "//me:secret@")
        found = await fetcher.fetch(asked(f"{url}/sms"))
        assert isinstance(found, Answer), found
        given = server.seen[1].headers["Authorization"].encode("utf-8", "surrogateescape")
    assert b'realm="' + realm + b'"' in given
    assert f'response="{expected}"'.encode() in given


async def test_cookies_go_along_with_a_conversation() -> None:
    setting = answer("302 Go", Location="/sms", Set_Cookie="step=1; Path=/")
    counting = answer(Set_Cookie="step=2; Path=/")
    book = CookieBook()
    now = 1_800_000_000.0
    async with (
        serving(by_path(start=setting, sms=counting)) as server,
        fetching(clock=lambda: now) as fetcher,
    ):
        for path in ("start", "sms"):
            request = asked(f"{server.origin}/{path}")
            found = await fetcher.fetch(
                Request(
                    url=request.url,
                    account_sid=request.account_sid,
                    auth_token=TOKEN,
                    cookies=book.recall(("AC", "+1", "+2"), now),
                )
            )
            assert isinstance(found, Answer)
            book.remember(("AC", "+1", "+2"), found.cookies)
        assert [seen.headers.get("Cookie") for seen in server.seen] == [None, "step=1", "step=2"]


def test_secrets_are_not_in_what_is_printed() -> None:
    request = asked("http://me:hunter2@127.0.0.1/")
    assert TOKEN not in repr(request)
    assert "hunter2" not in repr(request)
    found = Answer(
        status=200,
        content_type="",
        body=b"",
        url="http://a/",
        base="http://me:hunter2@a/",
        cookies=(),
        elapsed=0.0,
    )
    assert "hunter2" not in repr(found)


class Kept:
    """A sink."""

    def __init__(self) -> None:
        self.begun = 0
        self.octets = b""

    def begin(self) -> None:
        self.begun += 1
        self.octets = b""

    def write(self, octets: bytes) -> None:
        self.octets += octets


async def test_a_download_goes_where_it_is_wanted_and_a_refusal_does_not() -> None:
    replies = by_path(
        old=redirect(302, "/new"),
        new=answer(body=b"x" * 100_000, Content_Type="audio/wav", ETag='"1"', Vary="Accept"),
        bad=answer("404 Not Found", body=b"no such thing"),
    )
    async with serving(replies) as server, fetching() as fetcher:
        sink = Kept()
        found = await fetcher.download(asked(f"{server.origin}/old", "GET"), sink, 100_000)
        assert isinstance(found, Answer)
        assert (found.body, found.content_type) == (b"", "audio/wav")
        assert found.freshness == (("etag", '"1"'), ("vary", "Accept"))
        assert (sink.begun, sink.octets) == (1, b"x" * 100_000)
        refused = await fetcher.download(asked(f"{server.origin}/bad", "GET"), sink, 100)
        assert isinstance(refused, Failure)
        assert (refused.status, sink.begun) == (404, 1)
        longer = await fetcher.download(asked(f"{server.origin}/new", "GET"), sink, 99_999)
        assert isinstance(longer, Failure)
        assert longer.error_code == exchange.BODY_TOO_LARGE
        assert len(sink.octets) <= 99_999


async def test_a_304_is_an_answer_to_who_asked_for_it() -> None:
    async with serving(answer("304 Not Modified", ETag='"1"')) as server, fetching() as fetcher:
        plain = asked(f"{server.origin}/a", "GET")
        found = await fetcher.fetch(
            msgspec.structs.replace(plain, conditions=(("If-None-Match", '"1"'),))
        )
        assert isinstance(found, Answer)
        assert (found.status, found.freshness) == (304, (("etag", '"1"'),))
        assert server.seen[-1].headers["If-None-Match"] == '"1"'
        assert isinstance(await fetcher.fetch(plain), Failure)
