"""TLS of SIP: names of both sides, several certificates, reload, and who is turned away."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from protocols.sip.errors import LocalProtocolError
from protocols.sip.transport import Transport
from protocols.sip.wire import (
    Certificate,
    Clients,
    Closed,
    Failed,
    Opened,
    Patience,
    Received,
    Refused,
    Tls,
)
from tests.integration.sip.peers import LONG, Authority, Box, call_ids, options

Start = Callable[..., Awaitable[Box]]
TLS = Transport.TLS


async def shown_to(box: Box, context: ssl.SSLContext, name: str | None) -> list[str]:
    """The names that a peer sees when it asks for `name`."""
    host, port = box.at(TLS)
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name or "")
    certificate = writer.get_extra_info("peercert")
    await close(writer)
    return [value for _, value in certificate["subjectAltName"]]


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.fixture
def files(authority: Authority) -> Tls:
    """Those of example.com and of example.net; we trust whom the authority signed."""
    return Tls(
        certificates=(
            authority.sign("com", "example.com", "127.0.0.1"),
            authority.sign("net", "example.net"),
        ),
        trust=authority.trust,
    )


async def test_two_endpoints_speak_over_tls(start: Start, files: Tls) -> None:
    one, two = await start(files=files), await start(TLS, files=files)
    hop = two.hop(TLS, domain="example.com")
    for name in ("one", "two"):
        one.endpoint.send(options(name), hop)
    there = await two.wait(Received, 2)
    assert call_ids(there) == ["one", "two"]
    assert there[0].flow.transport is TLS
    two.endpoint.send(options("back"), there[0].flow)
    assert call_ids(await one.wait(Received)) == ["back"]
    (opened,) = one.of(Opened)
    assert opened.names == ("example.com", "127.0.0.1")
    other = two.hop(TLS, domain="127.0.0.1")
    one.endpoint.send(options("other"), other)
    await two.wait(Received, 3)
    assert len(one.of(Opened)) == 2, "another domain is another connection"


@pytest.mark.parametrize(
    ("names", "domain", "fits"),
    [
        (("example.com",), "example.com", True),
        (("sip:example.com", "other.example"), "example.com", True),
        (("sip:example.com", "other.example"), "other.example", False),
        (("*.example.com",), "sip.example.com", False),
        (("127.0.0.1",), "", True),
        (("example.com",), "", False),
    ],
)
async def test_the_certificate_must_be_for_the_domain(
    start: Start, authority: Authority, names: tuple[str, ...], domain: str, fits: bool
) -> None:
    tls = Tls(certificates=(authority.sign("peer", *names),), trust=authority.trust)
    one, two = await start(files=tls), await start(TLS, files=tls)
    hop = two.hop(TLS, domain=domain)
    one.endpoint.send(options(), hop)
    if fits:
        await two.wait(Received)
    else:
        (failed,) = await one.wait(Failed)
        assert failed.destination == hop
        assert domain in failed.reason and names[0].removeprefix("sip:") in failed.reason
        assert not two.of(Received)
    await one.calm(1 if fits else 0)


async def test_a_certificate_of_a_stranger_is_not_taken(
    start: Start, authority: Authority, files: Tls, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    two = await start(TLS, files=files)
    one = await start(files=Tls(trust=stranger.trust))
    one.endpoint.send(options(), two.hop(TLS, domain="example.com"))
    (failed,) = await one.wait(Failed)
    assert "certificate verify failed" in failed.reason
    (refused,) = await two.wait(Refused)
    assert refused.transport is TLS
    await two.calm()


async def test_each_name_is_shown_its_own_certificate(
    start: Start, authority: Authority, files: Tls
) -> None:
    box = await start(TLS, files=files)
    assert await shown_to(box, authority.client(), "example.com") == ["example.com", "127.0.0.1"]
    assert await shown_to(box, authority.client(), "example.net") == ["example.net"]
    anyone = authority.client()
    anyone.check_hostname = False
    assert await shown_to(box, anyone, "example.org") == ["example.com", "127.0.0.1"]


@pytest.mark.parametrize("wanted", Clients)
async def test_a_clients_certificate_is_asked_for_as_configured(
    start: Start, authority: Authority, files: Tls, wanted: Clients
) -> None:
    ours = Tls(certificates=files.certificates, trust=files.trust, clients=wanted)
    box = await start(TLS, files=ours)
    phone = authority.sign("phone", "phone.example")
    known = await start(files=Tls(certificates=(phone,), trust=authority.trust))
    known.endpoint.send(options("known"), box.hop(TLS, domain="example.com"))
    assert call_ids(await box.wait(Received)) == ["known"]
    assert box.of(Opened)[0].names == (() if wanted is Clients.UNASKED else ("phone.example",))
    unknown = await start(files=Tls(trust=authority.trust))
    unknown.endpoint.send(options("unknown"), box.hop(TLS, domain="example.com"))
    if wanted is Clients.REQUIRED:
        (refused,) = await box.wait(Refused)
        assert "certificate" in refused.reason.lower()
        assert call_ids(box.of(Received)) == ["known"]
    else:
        assert call_ids(await box.wait(Received, 2)) == ["known", "unknown"]


async def test_certificates_are_taken_anew_without_dropping_anybody(
    start: Start, authority: Authority, files: Tls
) -> None:
    box = await start(TLS, files=files)
    peer = await start(files=files)
    peer.endpoint.send(options("before"), box.hop(TLS, domain="example.com"))
    (before,) = await box.wait(Received)
    renewed = authority.sign("renewed", "example.com", "new.example")
    box.endpoint.reload(Tls(certificates=(renewed,), trust=files.trust))
    assert await shown_to(box, authority.client(), "new.example") == ["example.com", "new.example"]
    box.endpoint.send(options("still"), before.flow)
    assert call_ids(await peer.wait(Received)) == ["still"]
    assert not peer.of(Closed)


@pytest.mark.parametrize("fault", ["absent", "of another key", "no certificate"])
async def test_files_that_cannot_be_used_change_nothing(
    start: Start, authority: Authority, files: Tls, tmp_path: Path, fault: str
) -> None:
    box = await start(TLS, files=files)
    com, net = files.certificates
    broken = {
        "absent": (Certificate(chain=str(tmp_path / "none"), key=com.key),),
        "of another key": (Certificate(chain=com.chain, key=net.key),),
        "no certificate": (),
    }[fault]
    with pytest.raises(LocalProtocolError, match="certificate"):
        box.endpoint.reload(Tls(certificates=broken, trust=files.trust))
    assert await shown_to(box, authority.client(), "example.com") == ["example.com", "127.0.0.1"]


async def test_a_key_with_a_password_is_refused_and_nobody_is_asked(
    start: Start, authority: Authority, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    (file := tmp_path / "locked.key").write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    chain = authority.sign("locked", "example.com").chain
    with pytest.raises(LocalProtocolError, match="password"):
        await start(TLS, files=Tls(certificates=(Certificate(chain=chain, key=str(file)),)))


async def test_a_trust_file_that_is_none_is_named(start: Start, tmp_path: Path) -> None:
    with pytest.raises(LocalProtocolError, match=r"none\.pem"):
        await start(files=Tls(trust=str(tmp_path / "none.pem")))


async def test_what_is_older_than_tls_1_2_is_turned_away(
    start: Start, authority: Authority, files: Tls
) -> None:
    box = await start(TLS, files=files)
    old = authority.client()
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.raises(OSError):
        await shown_to(box, old, "example.com")
    (refused,) = await box.wait(Refused)
    assert "version" in refused.reason.lower() or "protocol" in refused.reason.lower()


@pytest.mark.waiting
async def test_who_never_secures_a_connection_is_sent_away(start: Start, files: Tls) -> None:
    """One is silent, one speaks SIP in clear; a third is served meanwhile."""
    box = await start(TLS, files=files, patience=Patience(handshake=2.0))
    silent = await asyncio.open_connection(*box.at(TLS))
    clear = await asyncio.open_connection(*box.at(TLS))
    clear[1].write(options())
    peer = await start(files=files)
    peer.endpoint.send(options("served"), box.hop(TLS, domain="example.com"))
    assert call_ids(await box.wait(Received)) == ["served"]
    await box.wait(Refused, 2)
    for reader, writer in (silent, clear):
        with contextlib.suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), LONG)
        await close(writer)
    await box.calm(1)


async def test_a_server_that_never_secures_our_connection_is_given_up(
    start: Start, files: Tls
) -> None:
    clear = await start(Transport.TCP)
    box = await start(files=files, patience=Patience(connect=0.3))
    tcp = clear.hop(Transport.TCP)
    hop = type(tcp)(transport=TLS, host=tcp.host, port=tcp.port, domain="example.com")
    box.endpoint.send(options(), hop)
    (failed,) = await box.wait(Failed)
    assert failed.destination == hop
    await box.calm()


async def test_closing_ends_what_is_being_secured(start: Start, files: Tls) -> None:
    before = asyncio.all_tasks()
    box = await start(TLS, files=files)
    silent = await asyncio.open_connection(*box.at(TLS))
    async with asyncio.timeout(LONG):
        while not box.endpoint.connections():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    await box.endpoint.close()
    assert await asyncio.wait_for(silent[0].read(), LONG) == b""
    await close(silent[1])
    assert box.endpoint.connections() == 0
    async with asyncio.timeout(LONG):
        while asyncio.all_tasks() != before:  # noqa: ASYNC110 - nor of this
            await asyncio.sleep(0.01)


async def test_a_tls_listener_without_certificate_is_our_mistake(start: Start) -> None:
    with pytest.raises(LocalProtocolError, match="certificate"):
        await start(TLS)
