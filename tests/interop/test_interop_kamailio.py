"""Kamailio as the carrier that a gateway registers to, and that sends it calls."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.gateway_process import get, wait_for
from tests.interop.conftest import StartSipp, StartWorld
from tests.interop.kamailio_peer import NUMBER, TRUNK, Kamailio
from tests.interop.sip.digest import wrong_credentials
from tests.interop.sip.flow import Names, Side, Steps
from tests.interop.sip.flows import (
    CONTACTS_ASKED,
    ESTABLISHED,
    MORE_CONTACTS,
    NEW_REGISTRATION,
    NO_ANSWER,
    WITHDRAWN,
    WRONG_PASSWORD,
    Flow,
)
from tests.interop.sip.world import CALLER, World

pytestmark = pytest.mark.interop
StartKamailio = Callable[[str], Kamailio]
DOMAIN, PASSWORD = "carrier.test", "s3cret"


@pytest.fixture
def start_kamailio(tmp_path: Path) -> Iterator[StartKamailio]:
    """Starts a carrier whose calls to others go to the address given."""
    started: list[Kamailio] = []

    def start(beyond: str) -> Kamailio:
        folder = tmp_path / f"kamailio{len(started)}"
        started.append(Kamailio(folder, domain=DOMAIN, password=PASSWORD, beyond=beyond))
        return started[-1]

    yield start
    for each in started:
        each.end()


def _names(user: str, target: str) -> Names:
    own = f"sip:{user}@{DOMAIN}"
    to = own if target == f"sip:{DOMAIN}" else target
    return Names(target=target, to=to, from_=own, user=user)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("steps", "password"),
    [
        pytest.param(NEW_REGISTRATION, PASSWORD, id="3665 2.1 new"),
        pytest.param(MORE_CONTACTS, PASSWORD, id="3665 2.2 more contacts"),
        pytest.param(CONTACTS_ASKED, PASSWORD, id="3665 2.3 contacts asked"),
        pytest.param(WITHDRAWN, PASSWORD, id="3665 2.4 withdrawn"),
        pytest.param(WRONG_PASSWORD, "wrong", id="3665 2.5 wrong password"),
    ],
)
def test_a_registration_flow_is_right_by_itself(
    start_kamailio: StartKamailio,
    start_sipp: StartSipp,
    steps: Steps,
    password: str,
    transport: str,
) -> None:
    kamailio = start_kamailio("127.0.0.1:9")
    phone = start_sipp(
        Side.CALLER,
        steps,
        names=_names("anna", f"sip:{DOMAIN}"),
        to=(kamailio.host, kamailio.port),
        user="anna",
        password=password,
        transport=transport,
    )
    phone.finish()


@pytest.mark.parametrize("flow", [ESTABLISHED, NO_ANSWER], ids=["established", "no answer"])
def test_a_flow_holds_through_a_proxy(
    start_kamailio: StartKamailio, start_sipp: StartSipp, flow: Flow
) -> None:
    callee = start_sipp(Side.CALLEE, flow.callee)
    kamailio = start_kamailio(f"{callee.host}:{callee.port}")
    to = f"sip:+15550001@{kamailio.host}:{kamailio.port}"
    caller = start_sipp(
        Side.CALLER,
        flow.caller,
        names=Names(target=to, to=to, from_="sip:anna@elsewhere.test"),
        to=(kamailio.host, kamailio.port),
    )
    caller.finish()
    callee.finish()


_TRUNK = {
    "domain": DOMAIN,
    "register": True,
    "username": TRUNK,
    "password": PASSWORD,
    "expires": "120s",
}


def _wait_until_registered(world: World) -> None:
    def is_registered() -> bool:
        trunk = get(world.gateway, "/v1/carriers/acme")["trunk"]
        return trunk is not None and trunk["registration"]["state"] == "registered"

    wait_for(is_registered, "the trunk is registered")


@pytest.mark.parametrize("flow", [ESTABLISHED, NO_ANSWER], ids=["established", "no answer"])
def test_we_register_and_take_its_calls(
    start_kamailio: StartKamailio, start_sipp: StartSipp, start_world: StartWorld, flow: Flow
) -> None:
    """In by the registration, with the number in To alone, and out again with a password."""
    callee = start_sipp(Side.CALLEE, flow.callee)
    kamailio = start_kamailio(f"{callee.host}:{callee.port}")
    world = start_world(door=(kamailio.host, kamailio.port), trunk=_TRUNK)
    _wait_until_registered(world)
    to = f"sip:{NUMBER}@{kamailio.host}:{kamailio.port}"
    caller = start_sipp(
        Side.CALLER,
        flow.caller,
        names=Names(target=to, to=to, from_=f"sip:{CALLER}@elsewhere.test", user=CALLER),
        to=(kamailio.host, kamailio.port),
    )
    caller.finish()
    came = callee.finish()
    assert wrong_credentials(came, TRUNK, PASSWORD) == []
    world.calls_over(2)
