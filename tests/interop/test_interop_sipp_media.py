"""sipp as a caller whose media moves to another address and port in mid-call."""

import pytest

from tests.interop.conftest import StartSipp, StartSpeaker, StartWorld
from tests.interop.sip.flow import Rest, Sdp, Side
from tests.interop.sip.flows import (
    HANGING_UP,
    Flow,
    answering,
    calling,
    patient,
    reoffering,
    waiting,
)
from tests.interop.sip.world import CARRIER_HOST

pytestmark = pytest.mark.interop
ELSEWHERE = "127.0.0.4"


@pytest.mark.parametrize("mover", Side)
def test_media_moves(
    start_world: StartWorld, start_sipp: StartSipp, start_speaker: StartSpeaker, mover: Side
) -> None:
    """The other party sends back what it hears, and it comes to where the offer says."""
    world = start_world()
    before, after = start_speaker(CARRIER_HOST), start_speaker(ELSEWHERE)
    here = Sdp(address=CARRIER_HOST, port=before.port)
    there = Sdp(address=ELSEWHERE, port=after.port)
    moving = (Rest(seconds=5), *reoffering(there), Rest(seconds=5), *HANGING_UP)
    flow = Flow(caller=(*calling(sdp=here), *moving), callee=patient())
    begun = rf"m=audio {before.port} .*SIP/2\.0 200 OK.*?m=audio (\d+).*ACK sip:"
    if mover is Side.CALLEE:
        flow = Flow(caller=waiting(), callee=(*answering(sdp=here), *moving))
        begun = r"INVITE sip:.*?m=audio (\d+).*ACK sip:"
    callee = start_sipp(steps=flow.callee, **world.carrier_is_called())
    caller = start_sipp(steps=flow.caller, **world.carrier_calls())
    moved = caller if mover is Side.CALLER else callee
    said = moved.wait_for(begun)
    gateway = ("127.0.0.1", int(said[1]))
    assert before.speak(gateway, 1.5) > 50
    assert after.hear(0.2) == 0
    moved.wait_for(rf"m=audio {after.port} .*SIP/2\.0 200 OK")
    before.hear(0.3)
    assert after.speak(gateway, 1.5) > 50
    assert before.hear(0.2) == 0
    caller.finish()
    callee.finish()
    world.calls_over(2)
