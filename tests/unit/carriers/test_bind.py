"""Which binds a carrier asks for, where their events wait, and that no failure is the last."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from scripted_smsc import PATIENCE, Smsc
from structlog.testing import capture_logs

from carriers import bind
from carriers.bind import Inbox, terms_of
from carriers.events import BindUp, CarrierEvent
from carriers.model import BindKind, Carrier, CarrierKind
from carriers.network import Network
from protocols.smpp import pdu as smpp

CERTIFICATES = Path(__file__).parents[2] / "vectors" / "tls"


@pytest.mark.parametrize(
    ("bind", "kinds"),
    [
        (BindKind.TRX, [smpp.BindTransceiver] * 2),
        (
            BindKind.TX_RX,
            [smpp.BindTransmitter, smpp.BindReceiver, smpp.BindTransmitter, smpp.BindReceiver],
        ),
        (BindKind.TX, [smpp.BindTransmitter] * 2),
        (BindKind.RX, [smpp.BindReceiver] * 2),
    ],
)
def test_terms_ask_for_the_binds_that_the_carrier_names(
    bind: BindKind, kinds: list[type[smpp.Bind]]
) -> None:
    carrier = Carrier(
        name="acme",
        kind=CarrierKind.SMPP,
        system_id="me",
        password="secret",
        system_type="t",
        bind=bind,
        binds=2,
    )
    requests = [terms.request for terms in terms_of(carrier)]
    assert [type(request) for request in requests] == kinds
    assert {(r.system_id, r.password, r.system_type) for r in requests} == {("me", "secret", "t")}
    assert "secret" not in repr(terms_of(carrier))


async def test_the_inbox_gives_all_at_once_and_ends_when_it_is_closed() -> None:
    inbox = Inbox()
    reading = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    assert not reading.done()
    one, two = (BindUp(carrier="acme", bind=bind, at=0.0) for bind in (1, 2))
    inbox.put([one])
    inbox.put([two])
    assert await reading == [one, two]
    inbox.put([one])
    inbox.close()
    assert await inbox.take() == [one]
    assert await inbox.take() == []


@asynccontextmanager
async def network_to(smsc: Smsc, **options: Any) -> AsyncIterator[Network]:
    carrier = Carrier(
        name="acme",
        kind=CarrierKind.SMPP,
        host="localhost",
        port=smsc.port,
        system_id="me",
        password="secret",
        tls="tls" in options,
    )
    network = Network([carrier], clock=time.time, random=lambda: 0.0, **options)
    await network.start()
    try:
        yield network
    finally:
        await network.close(0.0)
        await smsc.close()


async def bound(network: Network) -> None:
    seen: list[CarrierEvent] = []
    async with asyncio.timeout(PATIENCE):
        while not any(isinstance(event, BindUp) for event in seen):
            seen += await network.events()


async def test_what_nobody_foresaw_is_logged_and_the_carrier_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = bind.connect
    faults: list[Exception] = [ValueError("out of the blue"), KeyError("unforeseen")]

    async def failing(*arguments: Any, **options: Any) -> Any:
        if faults:
            raise faults.pop(0)
        return await connect(*arguments, **options)

    monkeypatch.setattr(bind, "connect", failing)
    with capture_logs() as logs:
        async with network_to(await Smsc().start()) as network:
            await bound(network)
            assert network.counters("acme").bind_attempts == 3
    failed = [each for each in logs if each["event"] == "bind failed"]
    assert [each["carrier"] for each in failed] == ["acme", "acme"]
    assert all(each["exc_info"] for each in failed)
    reasons = [each["reason"] for each in logs if each["event"] == "no bind"]
    assert "out of the blue" in reasons[0]


async def test_authorities_are_read_once_and_not_in_the_loop() -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(CERTIFICATES / "localhost.pem", CERTIFICATES / "localhost.key")
    smsc = await Smsc().start(tls=server)
    made_in_loop: list[bool] = []

    def trust() -> ssl.SSLContext:
        try:
            made_in_loop.append(asyncio.get_running_loop() is not None)
        except RuntimeError:
            made_in_loop.append(False)
        return ssl.create_default_context(cafile=str(CERTIFICATES / "localhost.pem"))

    async with network_to(smsc, tls=trust) as network:
        for _ in range(3):
            await bound(network)
            smsc.links[-1].kill()
    assert made_in_loop == [False]
