"""SIGHUP to a real process with a call up: users and certificates are new, the call stays."""

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from protocols.sip import agent_events as events
from protocols.sip.transport import Hop, Transport
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.test_phones import CONFIG, DOMAIN, TO_BOB
from tests.integration.voice.world import PATIENCE, App
from tests.interop.sip.certificates import make_certificates
from tests.running import RunningGateway

LISTENS = {
    "TRUNKLINE_SIP__UDP": '["127.0.0.1:0"]',
    "TRUNKLINE_SIP__TLS": '["127.0.0.1:0"]',
    "TRUNKLINE_MEDIA__WORKERS": "1",
}
CAROL = '{ username = "carol", password = "secret-of-carol" },\n]'


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app, web_app = App(twiml=TO_BOB), web.Application()
    web_app.router.add_route("*", "/{path:.*}", app.answer)
    runner = web.AppRunner(web_app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    app.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield app
    await runner.cleanup()


def shown_by(port: int) -> bytes | None:
    """The certificate at a port, whoever signed it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True)


def octets_of(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


async def until_said(gateway: RunningGateway, text: str, times: int = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if gateway.log.read_text().count(text) >= times:
                return
            await asyncio.sleep(0.02)


async def test_a_call_outlives_the_reload_of_all_around_it(
    tmp_path: Path, app: App, open_phone: OpenPhone
) -> None:
    first, second = (make_certificates(tmp_path / name) for name in ("first", "second"))
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(first.certificate.read_bytes())
    key.write_bytes(first.key.read_bytes())
    config = CONFIG.replace("{app}", app.url)
    files = {"TRUNKLINE_SIP__TLS_CERT": str(certificate), "TRUNKLINE_SIP__TLS_KEY": str(key)}
    gateway = RunningGateway(tmp_path, config, {**LISTENS, **files})
    try:
        await asyncio.to_thread(gateway.start)
        hop = Hop(transport=Transport.UDP, host="127.0.0.1", port=gateway.ports["sip_udp"])
        alice = await open_phone("alice", DOMAIN, tone=440, password="secret-of-alice")
        bob = await open_phone("bob", DOMAIN, tone=880, password="secret-of-bob")
        carol = await open_phone("carol", DOMAIN, password="secret-of-carol")
        for phone, status in ((alice, 200), (bob, 200), (carol, 401)):
            assert (await phone.register(hop)).response.status == status
        alice.call("bob", hop)
        await alice.until(events.Answered)
        await alice.sound.hears(880)
        tls = gateway.ports["sip_tls"]
        assert await asyncio.to_thread(shown_by, tls) == octets_of(first.certificate)
        assert gateway.process is not None

        certificate.write_bytes(second.certificate.read_bytes())
        key.write_bytes(second.key.read_bytes())
        changed = config.replace("]\n[[carriers]]", CAROL + "\n[[carriers]]")
        assert changed != config
        (tmp_path / "trunkline.toml").write_text(changed.replace("127.0.0.1:9", "127.0.0.1:10"))
        gateway.process.send_signal(signal.SIGHUP)
        await until_said(gateway, "the config file was reloaded")
        assert await asyncio.to_thread(shown_by, tls) == octets_of(second.certificate)
        assert (await carol.register(hop)).response.status == 200
        alice.sound.heard.clear()
        await alice.sound.hears(880)

        key.write_text("no key")
        gateway.process.send_signal(signal.SIGHUP)
        await until_said(gateway, "the config stays as it was")
        assert await asyncio.to_thread(shown_by, tls) == octets_of(second.certificate)
        bob.hang_up()
        await alice.until(events.HungUp)
        assert (await app.until("/after"))["DialCallStatus"] == "completed"
        assert await asyncio.to_thread(gateway.terminate) == 0
    finally:
        await asyncio.to_thread(gateway.kill)
