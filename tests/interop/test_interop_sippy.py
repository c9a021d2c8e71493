"""sippy as a carrier's switch: it calls us, and takes our calls."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import StartSipp, StartWorld
from tests.interop.sip.flow import Side
from tests.interop.sip.flows import (
    BUSY,
    ESTABLISHED,
    HUNG_UP_BY_CALLEE,
    NO_ANSWER,
    Flow,
)
from tests.interop.sip.world import CALLER, CARRIER_HOST, NUMBER, Names
from tests.interop.sippy_peer import Sippy

pytestmark = pytest.mark.interop
StartSippy = Callable[..., Sippy]
FLOWS = {
    "established": ESTABLISHED,
    "hung up by the callee": HUNG_UP_BY_CALLEE,
    "busy": BUSY,
    "no answer": NO_ANSWER,
}
flows = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)


@pytest.fixture
def start_sippy(tmp_path: Path) -> Iterator[StartSippy]:
    """Starts agents that call on."""
    started: list[Sippy] = []

    def start(next_hop: tuple[str, int], **more: str) -> Sippy:
        started.append(Sippy(tmp_path / f"sippy{len(started)}", next_hop, **more))
        return started[-1]

    yield start
    for each in started:
        each.end()


@flows
def test_a_flow_is_right_by_itself(
    start_sippy: StartSippy, start_sipp: StartSipp, flow: Flow
) -> None:
    callee = start_sipp(Side.CALLEE, flow.callee)
    sippy = start_sippy((callee.host, callee.port))
    caller = start_sipp(Side.CALLER, flow.caller, to=(sippy.host, sippy.port))
    caller.finish()
    callee.finish()


@flows
def test_sippy_calls_and_is_called(
    start_sippy: StartSippy, start_sipp: StartSipp, start_world: StartWorld, flow: Flow
) -> None:
    callee = start_sipp(Side.CALLEE, flow.callee, host=CARRIER_HOST)
    beyond = start_sippy((callee.host, callee.port), host=CARRIER_HOST)
    world = start_world(door=(beyond.host, beyond.port))
    before = start_sippy(world.at(), host=CARRIER_HOST)
    to = f"sip:{NUMBER}@{before.host}:{before.port}"
    caller = start_sipp(
        Side.CALLER,
        flow.caller,
        host=CARRIER_HOST,
        to=(before.host, before.port),
        names=Names(target=to, to=to, from_=f"sip:{CALLER}@{CARRIER_HOST}", user=CALLER),
    )
    caller.finish()
    callee.finish()
    world.calls_over(2)
