"""sipp as phone and as carrier: the flows of RFC 3665, RFC 5359 and their kin.

Each flow is first played by sipp against sipp: what fails against the gateway then is no fault of
the flow.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from tests.interop.conftest import StartSipp, StartWorld
from tests.interop.sip.digest import count_credentials, wrong_credentials
from tests.interop.sip.flow import Names, Side, Steps
from tests.interop.sip.flows import (
    BUSY,
    CALLS,
    CANCEL_CROSSES_ANSWER,
    DECLINED,
    EARLY_MEDIA,
    ESTABLISHED,
    HELD_BY_CALLEE,
    HELD_BY_CALLER,
    HUNG_UP_BY_CALLEE,
    LATE_OFFER,
    NO_ANSWER,
    RELIABLE_IF_SUPPORTED,
    RELIABLE_REQUIRED,
    TOO_SHORT,
    UNAVAILABLE,
    UPDATED,
    UPDATED_EARLY,
    challenged,
    patient,
    too_short,
    waiting,
)
from tests.interop.sip.world import BEYOND

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", CALLS)
def test_a_flow_is_right_by_itself(name: str, transport: str, start_sipp: StartSipp) -> None:
    flow = CALLS[name]
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


_UNANSWERED = UNAVAILABLE.caller  # a call whose document is done without an answer gets a 480
_ACCOUNT = {"username": "anna", "password": "key"}
PLAYS = {
    "established": Play(ESTABLISHED.caller, ESTABLISHED.callee),
    "hung up by the callee": Play(HUNG_UP_BY_CALLEE.caller, HUNG_UP_BY_CALLEE.callee),
    "late offer": Play(LATE_OFFER.caller, ESTABLISHED.callee),
    "early media": Play(EARLY_MEDIA.caller, EARLY_MEDIA.callee),
    "busy": Play(_UNANSWERED, BUSY.callee, "failed", "busy"),
    "unavailable": Play(_UNANSWERED, UNAVAILABLE.callee, "failed", "no-answer"),
    "declined": Play(_UNANSWERED, DECLINED.callee, "failed", "busy"),
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
