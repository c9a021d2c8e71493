"""A trunk over TLS: it trusts who shows the gateway's name, and nobody else."""

from collections.abc import AsyncIterator

import pytest

from carriers.trunk_events import Registered, RegistrationFailed
from carriers.trunks import TransportChoice, Trunk
from protocols.sip.locating import Found, Kind, Question, Srv
from protocols.sip.transport import Transport
from protocols.sip.uri import SipUri, parameter
from protocols.sip.wire import Tls
from tests.integration.sip.peers import Authority
from tests.unit.trunk.trunk_world import Far, World

ACME = Trunk(
    uri="sip:carrier.example",
    transport=TransportChoice.TLS,
    register=True,
    username="alice",
    password="secret",
    options_interval=0.0,
)


@pytest.fixture
async def world(authority: Authority) -> AsyncIterator[World]:
    """Us, trusting the authority."""
    world = await World().open(Tls(trust=authority.trust))
    yield world
    await world.close()


async def far(world: World, authority: Authority, *names: str) -> Far:
    """A carrier at carrier.example that shows `names`."""
    files = Tls(certificates=(authority.sign("carrier", *names),))
    found = await world.far(transport=Transport.TLS, files=files, algorithms=("SHA-256",))
    srv = Question(kind=Kind.SRV, name="_sips._tcp.carrier.example")
    world.names[srv] = Found(
        records=(Srv(priority=0, weight=0, port=found.port, target="edge.example"),), ttl=60
    )
    world.names[Question(kind=Kind.A, name="edge.example")] = Found(records=("127.0.0.1",), ttl=60)
    return found


async def test_it_registers_with_who_shows_the_name_of_the_domain(
    world: World, authority: Authority
) -> None:
    carrier = await far(world, authority, "carrier.example")
    world.serve(acme=ACME)
    await world.trunks.start()
    await world.until(Registered)
    contact = carrier.asked[-1].contacts[0].uri
    assert isinstance(contact, SipUri)
    assert parameter(contact.params, "transport") == "tls"
    await world.trunks.close(10.0)
    assert carrier.bindings() == []


async def test_another_name_is_refused(world: World, authority: Authority) -> None:
    carrier = await far(world, authority, "edge.example")
    world.serve(acme=ACME)
    await world.trunks.start()
    told = await world.until(RegistrationFailed)
    assert told.status == 0
    assert "carrier.example" in told.reason
    assert carrier.asked == []
