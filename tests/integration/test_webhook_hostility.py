"""Servers that do their worst: each way of failing has its code and costs nothing else."""

import asyncio
import gc
import ipaddress
import socket
import ssl
from typing import Any

import msgspec
import pytest
from webhook_servers import (
    TLS,
    Reply,
    Seen,
    Server,
    answer,
    asked,
    by_path,
    dribble,
    fetching,
    last_words,
    octets,
    redirect,
    serving,
    twiml,
)

from gateway.webhooks.exchange import RECEIPT, Connections, Fault
from gateway.webhooks.guard import Guard
from gateway.webhooks.instructions import Failed, Fallback, Fetched, instructions
from gateway.webhooks.request import Answer, Failure
from gateway.webhooks.target import Target, parse_target
from tests.ports import TCP, refusing_port
from twiml.messaging_dialect import MESSAGING
from twiml.parser import Document, ParseFailure, parse
from twiml.verbs import Message, MessagingVerb

XML = "text/xml"


def read(body: bytes, content_type: str) -> Document[MessagingVerb] | ParseFailure:
    return parse(body, content_type, MESSAGING)


async def failure_of(reply: Reply, fragment: str = "tt=5000&rc=0") -> Failure:
    async with serving(reply) as server, fetching() as fetcher:
        failure = await fetcher.fetch(asked(f"{server.origin}/sms#{fragment}"))
    assert isinstance(failure, Failure), failure
    assert "#" not in failure.url
    f"{failure.url}{failure.message}{failure.content_type}".encode()
    return failure


async def never(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def test_a_server_that_hangs_ends_at_the_read_timeout() -> None:
    failure = await failure_of(never, "rt=200&rc=0")
    assert failure.error_code == 11203
    assert "silent for 0.2 s" in failure.message
    assert 0.15 < failure.elapsed < 10


async def test_slow_headers_end_at_the_total_timeout() -> None:
    failure = await failure_of(dribble(b"HTTP/1.1 200 OK\r\nX-Slow: x", 0.01), "tt=300&rc=0")
    assert failure.error_code == 11203
    assert "within 0.3 s" in failure.message
    assert 0.25 < failure.elapsed < 10


async def test_a_slow_body_ends_at_the_total_timeout() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 60000\r\n\r\n"

    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await dribble(b"<Response>", 0.01)(server, seen, writer)

    failure = await failure_of(write, "tt=300&rc=0")
    assert failure.error_code == 11203
    assert 0.25 < failure.elapsed < 10


async def test_a_body_that_only_its_end_delimits_is_not_taken_for_whole() -> None:
    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n<Response/>")
        await never(server, seen, writer)

    assert (await failure_of(write, "tt=300&rc=0")).error_code == 11203


async def test_the_total_timeout_holds_over_all_tries_and_redirects() -> None:
    async def pause(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await redirect(302, f"/{len(server.seen)}")(server, seen, writer)

    failure = await failure_of(pause, "tt=200&rc=5&rp=all")
    assert failure.error_code == 11203
    assert failure.elapsed < 10


async def test_redirects_without_end_are_11215() -> None:
    async with serving(redirect(302, "/again")) as server, fetching() as fetcher:
        failure = await fetcher.fetch(asked(f"{server.origin}/sms"))
        assert isinstance(failure, Failure)
        assert failure.error_code == 11215
        assert len(server.seen) == 11


@pytest.mark.parametrize("framing", ["length", "chunked", "until the end"])
async def test_five_megabytes_are_not_read(framing: str) -> None:
    written = 0
    ended = asyncio.Event()

    async def write(server: Server, seen: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        head = {
            "length": "Content-Length: 5242880",
            "chunked": "Transfer-Encoding: chunked",
            "until the end": "Connection: close",
        }[framing]
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n{head}\r\n\r\n".encode())
        piece = b" " * 16384
        try:
            for _ in range(320):
                writer.write(b"4000\r\n" + piece + b"\r\n" if framing == "chunked" else piece)
                await writer.drain()
                written += len(piece)
        finally:
            ended.set()

    async with serving(write) as server, fetching() as fetcher:
        failure = await fetcher.fetch(asked(f"{server.origin}/sms"))
        assert isinstance(failure, Failure)
        assert failure.error_code == 11750
        await asyncio.wait_for(ended.wait(), 60)
        assert written < 5_000_000


async def test_the_bound_of_the_body_is_64_kib() -> None:
    async with fetching() as fetcher:
        async with serving(answer(body=b"x" * 65536, Content_Type=XML)) as server:
            whole = await fetcher.fetch(asked(f"{server.origin}/sms"))
            assert isinstance(whole, Answer)
            assert len(whole.body) == 65536
        async with serving(answer(body=b"x" * 65537, Content_Type=XML)) as server:
            failure = await fetcher.fetch(asked(f"{server.origin}/sms"))
            assert isinstance(failure, Failure)
            assert failure.error_code == 11750


async def test_a_compressed_bomb_is_bounded_too() -> None:
    import gzip

    bomb = gzip.compress(b" " * 50_000_000)
    failure = await failure_of(answer(body=bomb, Content_Type=XML, Content_Encoding="gzip"))
    assert failure.error_code == 11750


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (octets(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), 11206),
        (octets(b"HTTP/9.9 200 OK\r\n\r\n"), 11206),
        (octets(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), 11206),
        (octets(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 11206),
        (octets(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 20000 + b"\r\n\r\n"), 11206),
        (octets(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), 11206),
        (last_words(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), 11206),
        (last_words(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), 11206),
        (answer(body=b"not gzip", Content_Encoding="gzip", Content_Type=XML), 11206),
        (last_words(b""), 11205),
        (last_words(b"HTTP/1.1 200 O"), 11205),
        (answer("404 Not Found", b"gone", Content_Type="text/plain"), 11200),
        (answer("500 Oops"), 11200),
        (answer("999 Odd"), 11200),
        (answer("304 Not Modified"), 11200),
        (redirect(302, ""), 11200),
        (redirect(302, "ftp://example.com/"), 11100),
        (redirect(302, "http://[/"), 11100),
        (redirect(302, f"http://{'a' * 64}.example/"), 11100),
        (redirect(302, f"//{'a.' * 126}ab/"), 11100),
        (octets(b"HTTP/1.1 302 Go\r\nLocation: //\xff\xfe/\r\nContent-Length: 0\r\n\r\n"), 11100),
        (octets(b"HTTP/1.1 500 \xff\r\nContent-Type: \xff\r\nContent-Length: 0\r\n\r\n"), 11200),
        (octets(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 11770),
    ],
)
async def test_each_failure_has_its_code(reply: Reply, code: int) -> None:
    assert (await failure_of(reply)).error_code == code


async def test_a_refusal_keeps_what_the_server_said() -> None:
    failure = await failure_of(
        answer("503 Busy", b"<h1>later</h1>" * 1000, Content_Type="text/html")
    )
    assert (failure.status, failure.content_type) == (503, "text/html")
    assert failure.body.startswith(b"<h1>later")
    assert len(failure.body) == 4096


async def test_a_closed_port_is_11202() -> None:
    with refusing_port(TCP) as port:
        async with fetching() as fetcher:
            failure = await fetcher.fetch(asked(f"http://127.0.0.1:{port}/sms"))
    assert isinstance(failure, Failure)
    assert failure.error_code == 11202


async def test_a_host_that_takes_no_connection_is_tried_twice_and_is_11201() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        address = deaf.getsockname()
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            async with fetching() as fetcher:
                failure = await fetcher.fetch(asked(f"http://127.0.0.1:{address[1]}/#ct=200"))
        finally:
            for filler in fillers:
                filler.close()
    assert isinstance(failure, Failure)
    assert failure.error_code == 11201
    assert 0.35 < failure.elapsed < 10


async def test_an_internal_address_is_never_connected_to() -> None:
    async with serving(answer(), host="127.0.0.2") as inside, fetching() as fetcher:
        failure = await fetcher.fetch(asked(f"{inside.origin}/sms"))
        assert isinstance(failure, Failure)
        assert failure.error_code == 11205
        assert "127.0.0.2" in failure.message
        assert inside.connections == 0


async def test_a_redirect_does_not_lead_to_an_internal_address() -> None:
    async with (
        serving(answer(), host="127.0.0.2") as inside,
        serving(redirect(307, f"{inside.origin}/secret")) as outside,
        fetching() as fetcher,
    ):
        failure = await fetcher.fetch(asked(f"{outside.origin}/sms"))
        assert isinstance(failure, Failure)
        assert failure.error_code == 11205
        assert failure.url == f"{inside.origin}/secret"
        assert inside.connections == 0


@pytest.mark.parametrize(
    "host", ["2130706434", "127.2", "0x7f.0.0.2", "0177.0.0.2", "[::ffff:7f00:2]"]
)
async def test_an_odd_way_of_writing_an_address_does_not_help(host: str) -> None:
    async with serving(answer(), host="127.0.0.2") as inside, fetching() as fetcher:
        port = inside.origin.rpartition(":")[2]
        failure = await fetcher.fetch(asked(f"http://{host}:{port}/#ct=1000&tt=1000&rc=0"))
        assert isinstance(failure, Failure)
        assert failure.error_code in (11100, 11205, 11210)
        assert inside.connections == 0


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name have `addresses`; what is an address already stays it."""
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: Any) -> list[Any]:
        if host.replace(".", "").isdigit():
            return await real(host, port, **options)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


async def test_a_name_for_an_internal_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answer(), host="127.0.0.2") as inside, fetching() as fetcher:
        resolving(monkeypatch, "127.0.0.2", "10.0.0.1")
        port = inside.origin.rpartition(":")[2]
        failure = await fetcher.fetch(asked(f"http://innocent.example:{port}/"))
        assert isinstance(failure, Failure)
        assert failure.error_code == 11205
        assert failure.message.startswith("innocent.example is 1")
        assert "not public" in failure.message
        assert inside.connections == 0
        for written in ("10.0.0.1", "[fd00::1]"):
            failure = await fetcher.fetch(asked(f"http://{written}/"))
            assert isinstance(failure, Failure)
            assert failure.message.startswith(f"{written.strip('[]')}: the address is not public")


async def test_of_two_addresses_the_permitted_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answer()) as server, fetching() as fetcher:
        resolving(monkeypatch, "127.0.0.2", "127.0.0.1")
        port = server.origin.rpartition(":")[2]
        assert isinstance(await fetcher.fetch(asked(f"http://app.example:{port}/")), Answer)


async def test_an_unknown_name_is_11210(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fetching() as fetcher:
        resolving(monkeypatch)
        failure = await fetcher.fetch(asked("http://nowhere.example/"))
    assert isinstance(failure, Failure)
    assert failure.error_code == 11210


@pytest.mark.parametrize(
    ("certificate", "trusted", "code"),
    [("other-name", True, 11235), ("expired", True, 11236), ("good", False, 11237)],
)
async def test_certificates_that_are_not_accepted(
    certificate: str, trusted: bool, code: int
) -> None:
    tls = ssl.create_default_context(cafile=str(TLS / "ca.pem") if trusted else None)
    async with serving(answer(), certificate=certificate) as server, fetching(tls=tls) as fetcher:
        failure = await fetcher.fetch(asked(f"{server.origin}/sms"))
    assert isinstance(failure, Failure)
    assert failure.error_code == code


@pytest.mark.parametrize("host", ["a" * 64, f"x.{'a' * 64}.example", "a..b"])
async def test_a_name_that_no_resolver_can_write_is_11210(host: str) -> None:
    """What the parser of URLs should not let through is a refusal all the same."""
    target = parse_target("http://placeholder.example/")
    assert isinstance(target, Target)
    target = msgspec.structs.replace(target, host=host, authority=host)
    async with Connections(Guard([])) as connections:
        fault = await connections.exchange(target, b"GET / HTTP/1.1\r\n\r\n", RECEIPT, 5.0)
    assert isinstance(fault, Fault), fault
    assert fault.error_code == 11210


async def test_a_good_certificate_is_accepted() -> None:
    tls = ssl.create_default_context(cafile=str(TLS / "ca.pem"))
    async with serving(answer(), certificate="good") as server, fetching(tls=tls) as fetcher:
        for _ in range(3):
            assert isinstance(await fetcher.fetch(asked(f"{server.origin}/sms")), Answer)
        assert server.connections == 1


async def test_a_server_without_tls_is_11220() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read(1)
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with listener, fetching() as fetcher:
        port = listener.sockets[0].getsockname()[1]
        failure = await fetcher.fetch(asked(f"https://127.0.0.1:{port}/"))
    assert isinstance(failure, Failure)
    assert failure.error_code == 11220


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"<Response><Message>a</Response>", XML, 12100),
        (
            b"<!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><Response>&x;</Response>",
            XML,
            12100,
        ),
        (b"<!DOCTYPE r SYSTEM 'http://127.0.0.1:1/x.dtd'><Response/>", XML, 12100),
        (b"<html><body>Hello</body></html>", "text/html", 12102),
        (b'{"message": "hello"}', "application/json", 12300),
        (b"<Response/>", "", 12300),
    ],
)
async def test_documents_that_cannot_run_lead_to_the_fallback(
    body: bytes, content_type: str, code: int
) -> None:
    headers = {"Content_Type": content_type} if content_type else {}
    replies = by_path(
        sms=answer(body=body, **headers),
        help=twiml("<Response><Message>sorry</Message></Response>"),
    )
    async with serving(replies) as server, fetching() as fetcher:
        fetched = await instructions(
            fetcher, asked(f"{server.origin}/sms"), Fallback(url=f"{server.origin}/help"), read
        )
        assert isinstance(fetched, Fetched)
        assert fetched.document.verbs == (Message(body="sorry"),)
        (failure,) = fetched.failures
        assert (failure.error_code, failure.body) == (code, body)
        assert server.seen[1].form[-2:] == [
            ("ErrorCode", str(code)),
            ("ErrorUrl", f"{server.origin}/sms"),
        ]


async def test_when_the_fallback_fails_too_it_is_over() -> None:
    replies = by_path(sms=answer("500 Oops"), help=answer("404 Gone"))
    async with serving(replies) as server, fetching() as fetcher:
        failed = await instructions(
            fetcher, asked(f"{server.origin}/sms"), Fallback(url=f"{server.origin}/help"), read
        )
        assert isinstance(failed, Failed)
        assert [failure.status for failure in failed.failures] == [500, 404]
        assert len(server.seen) == 2


async def test_a_callback_does_not_read_a_long_answer() -> None:
    async with serving(answer(body=b"x" * 5_000_000)) as server, fetching() as fetcher:
        assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
        assert isinstance(await fetcher.notify(asked(f"{server.origin}/status")), Answer)
        assert server.connections == 2


async def test_each_of_many_ends_at_its_own_time() -> None:
    async with serving(by_path(slow=never, quick=answer())) as server, fetching() as fetcher:
        limits = (8000, 3000, 6000, 5000, 4000)
        ended: list[int] = []
        asks = [asked(f"{server.origin}/slow#tt={each}&rc=0") for each in limits]
        tasks = [asyncio.create_task(fetcher.notify(asks[0]))]
        await asyncio.wait_for(server.arrived.wait(), 30)  # the last end is known first
        tasks += [asyncio.create_task(fetcher.notify(each)) for each in asks[1:]]
        for number, task in enumerate(tasks):
            task.add_done_callback(lambda _, number=number: ended.append(number))
        # One that ends well leaves the others their time, though its own end came first.
        assert isinstance(await fetcher.notify(asked(f"{server.origin}/quick#tt=2500")), Answer)
        failures = await asyncio.gather(*tasks)
        for limit, failure in zip(limits, failures, strict=True):
            assert isinstance(failure, Failure)
            assert failure.error_code == 11203
            assert limit / 1000 - 0.01 < failure.elapsed
        assert ended == [1, 4, 3, 2, 0]
        # What was over in time keeps its connection, whenever its end would have come.
        assert isinstance(await fetcher.notify(asked(f"{server.origin}/quick")), Answer)
        assert server.connections == 6


async def test_nothing_is_written_when_the_time_is_up() -> None:
    async with (
        serving(answer()) as server,
        Connections(Guard([ipaddress.ip_network("127.0.0.1/32")])) as connections,
    ):
        target = parse_target(f"{server.origin}/status")
        assert isinstance(target, Target)
        octets = b"GET / HTTP/1.1\r\n\r\n"
        assert not isinstance(await connections.exchange(target, octets, RECEIPT, 5.0), Fault)
        fault = await connections.exchange(target, octets, RECEIPT, 0.0)
        assert isinstance(fault, Fault)
        assert fault.error_code == 11203
        assert not isinstance(await connections.exchange(target, octets, RECEIPT, 5.0), Fault)
        assert (len(server.seen), server.connections) == (2, 1)


async def test_one_that_hangs_does_not_hold_up_the_others() -> None:
    async with (
        serving(by_path(slow=never, quick=answer())) as server,
        fetching() as fetcher,
    ):
        slow = asyncio.create_task(fetcher.notify(asked(f"{server.origin}/slow#rt=14000&rc=0")))
        for _ in range(20):
            assert isinstance(await fetcher.notify(asked(f"{server.origin}/quick")), Answer)
        assert not slow.done()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow


async def test_an_app_that_is_away_leaves_nothing_for_the_collector() -> None:
    with refusing_port(TCP) as port:
        async with fetching() as fetcher:
            url = f"http://127.0.0.1:{port}/sms#rc=0"
            await fetcher.fetch(asked(url))
            gc.collect()
            gc.disable()
            try:
                for _ in range(20):
                    assert isinstance(await fetcher.fetch(asked(url)), Failure)
                await asyncio.sleep(0)
                assert gc.collect() < 20  # one that failed had left a hundred
            finally:
                gc.enable()


async def test_what_fails_leaves_no_connection_open() -> None:
    async with serving(never) as server, fetching() as fetcher:
        for _ in range(3):
            await fetcher.fetch(asked(f"{server.origin}/sms#rt=100&rc=0"))
        task = asyncio.create_task(fetcher.fetch(asked(f"{server.origin}/sms")))
        server.arrived.clear()
        await asyncio.wait_for(server.arrived.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gc.collect()  # an unreleased connection would warn here, and warnings are errors
    assert server.connections == 4
