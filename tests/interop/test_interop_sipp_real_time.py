"""sipp in flows that last minutes: refreshes of sessions, and what never comes.

They are played at the same time, each through a gateway of its own, and end about together.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from tests.interop.conftest import StartSipp, StartWorld
from tests.interop.sip.flow import Hear, Rest, Steps
from tests.interop.sip.flows import HANGING_UP, HUNG_UP, calling, patient
from tests.interop.sip.slow_flows import (
    CROSSED,
    NEVER_ACKNOWLEDGED,
    RINGS_ON,
    SILENT,
    timed,
)
from tests.interop.sip.world import World
from tests.interop.sipp_peer import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.realtime, pytest.mark.timeout(330)]
_WITHIN = 200.0
_TALK = (*calling(), Rest(seconds=140), *HANGING_UP)  # three refreshes at half of 90 s
_CALL = (*calling(), Hear(what="BYE", patience=90), *HUNG_UP[1:])
_OURS = {"session_expires": "90s"}


class Play(NamedTuple):
    """A flow through the gateway: who calls, who is called, and how both calls end."""

    caller: Steps
    callee: Steps
    inbound: str = "completed"
    outbound: str = "completed"
    trunk: Mapping[str, object] = {}


PLAYS = {
    "refreshed by the caller": Play(timed("uac", times=3).caller, patient()),
    "the caller refreshed": Play(timed("uas", times=3).caller, patient()),
    "refreshed by the callee": Play(_TALK, timed("uas", times=3).callee, trunk=_OURS),
    "the callee refreshed": Play(_TALK, timed("uac", times=3).callee, trunk=_OURS),
    "a refresh crosses the caller's offer": Play(CROSSED.caller, patient()),
    "a refresh crosses the callee's offer": Play(_CALL, CROSSED.callee, trunk=_OURS),
    "nobody answers": Play(SILENT.caller, SILENT.callee, "no-answer", "no-answer"),
    "it rings on": Play(RINGS_ON.caller, RINGS_ON.callee, "no-answer", "no-answer"),
    "never acknowledged": Play(NEVER_ACKNOWLEDGED.caller, NEVER_ACKNOWLEDGED.callee),
}


def test_flows_that_take_minutes(start_world: StartWorld, start_sipp: StartSipp) -> None:
    playing: dict[str, tuple[World, Sipp, Sipp]] = {}
    for name, play in PLAYS.items():
        world = start_world(trunk=play.trunk)
        callee = start_sipp(steps=play.callee, **world.carrier_is_called(within=_WITHIN))
        caller = start_sipp(steps=play.caller, **world.carrier_calls(within=_WITHIN))
        playing[name] = (world, caller, callee)
    failed = {name: said for name, sides in playing.items() if (said := _fault(name, *sides))}
    assert not failed, "\n\n".join(f"== {name}\n{said}" for name, said in failed.items())


def _fault(name: str, world: World, caller: Sipp, callee: Sipp) -> str:
    """What went wrong with a play; "" if nothing did. One that fails leaves the others to go on."""
    play = PLAYS[name]
    try:
        caller.finish()
        callee.finish()
        calls = world.calls_over(2)
        ended = (calls["inbound"]["status"], calls["outbound-dial"]["status"])
        assert ended == (play.inbound, play.outbound)
    except AssertionError as error:
        return f"{error}\n{callee.log()}\n{world.log()}"
    return ""
