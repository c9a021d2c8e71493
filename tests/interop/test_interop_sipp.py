"""sipp as phone and as carrier: the flows of RFC 3665, RFC 5359 and their kin.

Each flow is first played by sipp against sipp: what fails against the gateway then is no fault of
the flow.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from tests.interop.conftest import StartSipp, StartWorld
from tests.interop.sip.digest import count_credentials, wrong_credentials
from tests.interop.sip.flow import Names, Side, Steps
from tests.interop.sip.flows import (
    BUSY,
    CALLS,
    CANCEL_CROSSES_ANSWER,
    CONTACTS_ASKED,
    DECLINED,
    EARLY_MEDIA,
    ESTABLISHED,
    HELD_BY_CALLEE,
    HELD_BY_CALLER,
    HUNG_UP_BY_CALLEE,
    LATE_ACK,
    LATE_OFFER,
    MORE_CONTACTS,
    NEW_REGISTRATION,
    NO_ANSWER,
    REDIRECTED,
    RELIABLE_IF_SUPPORTED,
    RELIABLE_REQUIRED,
    UNAVAILABLE,
    UPDATED,
    UPDATED_EARLY,
    WITHDRAWN,
    WRONG_PASSWORD,
    challenged,
    patient,
    waiting,
)
from tests.interop.sip.lossy import LossyPath
from tests.interop.sip.slow_flows import TOO_SHORT, too_short
from tests.interop.sip.world import BEYOND, CARRIER_HOST
from tests.ports import free_port

pytestmark = pytest.mark.interop
StartPath = Callable[..., LossyPath]
FLOWS = {**CALLS, "too short a session": TOO_SHORT}
REGISTRATIONS = {
    "3665 2.1 new": NEW_REGISTRATION,
    "3665 2.2 more contacts": MORE_CONTACTS,
    "3665 2.3 contacts asked": CONTACTS_ASKED,
    "3665 2.4 withdrawn": WITHDRAWN,
    "3665 2.5 wrong password": WRONG_PASSWORD,
}


@pytest.fixture
def start_path() -> Iterator[StartPath]:
    """Starts paths that lose messages."""
    started: list[LossyPath] = []

    def start(*given: Any) -> LossyPath:
        started.append(LossyPath(*given))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_right_by_itself(name: str, transport: str, start_sipp: StartSipp) -> None:
    flow = FLOWS[name]
    names = Names(also={"elsewhere": "sip:third@127.0.0.9:5090", "user": "anna", "password": "key"})
    common = {"names": names, "user": "anna", "password": "key", "transport": transport}
    callee = start_sipp(Side.CALLEE, flow.callee, **common)
    caller = start_sipp(Side.CALLER, flow.caller, to=(callee.host, callee.port), **common)
    caller.finish()
    came = callee.finish()
    assert wrong_credentials(came, "anna", "key") == []
    assert bool(count_credentials(came)) == name.startswith("challenged")


class Play(NamedTuple):
    """A flow through the gateway: who calls, who is called, and how both calls end."""

    caller: Steps
    callee: Steps
    inbound: str = "completed"
    outbound: str = "completed"
    trunk: Mapping[str, object] = {}


_ACCOUNT = {"username": "anna", "password": "key"}
PLAYS = {
    "established": Play(ESTABLISHED.caller, ESTABLISHED.callee),
    "hung up by the callee": Play(HUNG_UP_BY_CALLEE.caller, HUNG_UP_BY_CALLEE.callee),
    "late ACK": Play(LATE_ACK.caller, LATE_ACK.callee),
    "late offer": Play(LATE_OFFER.caller, ESTABLISHED.callee),
    "early media": Play(EARLY_MEDIA.caller, EARLY_MEDIA.callee),
    "busy": Play(BUSY.caller, BUSY.callee, "busy", "busy"),
    "unavailable": Play(UNAVAILABLE.caller, UNAVAILABLE.callee, "no-answer", "no-answer"),
    "declined": Play(DECLINED.caller, DECLINED.callee, "busy", "busy"),
    "no answer": Play(NO_ANSWER.caller, NO_ANSWER.callee, "no-answer", "canceled"),
    "CANCEL crosses the answer": Play(
        NO_ANSWER.caller, CANCEL_CROSSES_ANSWER.callee, "no-answer", "canceled"
    ),
    "challenged, 407": Play(ESTABLISHED.caller, challenged().callee, trunk=_ACCOUNT),
    "challenged, 401": Play(
        ESTABLISHED.caller, challenged(401, "Unauthorized").callee, trunk=_ACCOUNT
    ),
    "reliable if supported": Play(RELIABLE_IF_SUPPORTED.caller, RELIABLE_IF_SUPPORTED.callee),
    "reliable required": Play(RELIABLE_REQUIRED.caller, RELIABLE_REQUIRED.callee),
    "reliable on one side": Play(RELIABLE_IF_SUPPORTED.caller, EARLY_MEDIA.callee),
    "reliable on the other side": Play(EARLY_MEDIA.caller, RELIABLE_IF_SUPPORTED.callee),
    "updated early": Play(UPDATED_EARLY.caller, RELIABLE_IF_SUPPORTED.callee),
    "held by the caller": Play(HELD_BY_CALLER.caller, patient()),
    "held by the callee": Play(waiting(), HELD_BY_CALLEE.callee),
    "updated": Play(UPDATED.caller, patient()),
    "too short a session": Play(TOO_SHORT.caller, patient()),
    "too short a session of ours": Play(
        ESTABLISHED.caller, too_short(120).callee, trunk={"session_expires": "90s"}
    ),
}


@pytest.mark.parametrize("name", PLAYS)
def test_a_flow_through_the_gateway(
    start_world: StartWorld, start_sipp: StartSipp, name: str
) -> None:
    play = PLAYS[name]
    world = start_world(trunk=play.trunk)
    callee = start_sipp(steps=play.callee, **world.carrier_is_called())
    caller = start_sipp(steps=play.caller, **world.carrier_calls())
    caller.finish()
    came = callee.finish()
    assert wrong_credentials(came, "anna", "key") == []
    assert bool(count_credentials(came)) == name.startswith("challenged")
    calls = world.calls_over(2)
    assert calls["inbound"]["status"] == play.inbound
    assert calls["outbound-dial"]["status"] == play.outbound


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_through_the_gateway(
    start_world: StartWorld, start_sipp: StartSipp, transport: str
) -> None:
    world = start_world()
    callee = start_sipp(steps=ESTABLISHED.callee, **world.carrier_is_called())
    caller = start_sipp(steps=ESTABLISHED.caller, **world.carrier_calls(transport))
    caller.finish()
    callee.finish()
    calls = world.calls_over(2)
    assert [call["status"] for call in calls.values()] == ["completed", "completed"]
    assert calls["outbound-dial"]["to"] == BEYOND


@pytest.mark.parametrize(
    "lost",
    [
        *("INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"),
        "INVITE,180 INVITE,200 INVITE,200 BYE",
    ],
)
def test_a_caller_behind_a_lossy_path(
    start_world: StartWorld, start_sipp: StartSipp, start_path: StartPath, lost: str
) -> None:
    world = start_world()
    path = start_path("127.0.0.2", world.at(), lost.split(","))
    callee = start_sipp(steps=ESTABLISHED.callee, **world.carrier_is_called())
    caller = start_sipp(steps=ESTABLISHED.caller, **{**world.carrier_calls(), "to": path.address})
    caller.finish()
    callee.finish()
    assert path.left == []
    calls = world.calls_over(2)
    assert [call["status"] for call in calls.values()] == ["completed", "completed"]


@pytest.mark.parametrize(
    "lost",
    [
        *("INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"),
        "INVITE,180 INVITE,200 INVITE,200 BYE",
    ],
)
def test_a_callee_behind_a_lossy_path(
    start_world: StartWorld, start_sipp: StartSipp, start_path: StartPath, lost: str
) -> None:
    port = free_port(CARRIER_HOST)
    path = start_path(CARRIER_HOST, (CARRIER_HOST, port), lost.split(","))
    world = start_world(door=path.address)
    called = world.carrier_is_called(port=port)
    # In the dialog as well it is to be reached by the path.
    called["names"] = replace(called["names"], contact=f"{path.address[0]}:{path.address[1]}")
    callee = start_sipp(steps=ESTABLISHED.callee, **called)
    caller = start_sipp(steps=ESTABLISHED.caller, **world.carrier_calls())
    caller.finish()
    callee.finish()
    assert path.left == []
    calls = world.calls_over(2)
    assert [call["status"] for call in calls.values()] == ["completed", "completed"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", REGISTRATIONS)
def test_a_registration(
    start_world: StartWorld, start_sipp: StartSipp, name: str, transport: str
) -> None:
    world = start_world()
    wrong = {"password": "wrong"} if "wrong" in name else {}
    phone = start_sipp(
        steps=REGISTRATIONS[name],
        **{**world.phone("alice", transport=transport), **wrong},
    )
    phone.finish()


def test_a_redirect_is_followed_or_refused(start_world: StartWorld, start_sipp: StartSipp) -> None:
    """RFC 3665 §3.6: a carrier's 302 sends the call to another of its doors."""
    other = start_sipp(Side.CALLEE, ESTABLISHED.callee, host=CARRIER_HOST)
    world = start_world()
    called = world.carrier_is_called()
    elsewhere = f"{other.host}:{other.port}"
    called["names"] = replace(called["names"], also={"elsewhere": elsewhere})
    first = start_sipp(steps=REDIRECTED.callee, **called)
    caller = start_sipp(steps=ESTABLISHED.caller, **world.carrier_calls())
    first.finish()
    caller.finish()
    other.finish()
