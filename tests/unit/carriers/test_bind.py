"""Which binds a carrier asks for, and where their events wait."""

import asyncio

import pytest

from carriers.bind import Inbox, terms_of
from carriers.events import BindUp
from carriers.model import BindKind, Carrier, CarrierKind
from protocols.smpp import pdu as smpp


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
