"""tshark reads what we say over SIP, in SDP and by RTP: nothing malformed."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.conftest import StartSipp, StartSpeaker, StartWorld
from tests.interop.sip.flow import Rest, Sdp, Steps
from tests.interop.sip.flows import (
    BUSY,
    EARLY_MEDIA,
    ESTABLISHED,
    HANGING_UP,
    HELD_BY_CALLER,
    LATE_OFFER,
    NEW_REGISTRATION,
    NO_ANSWER,
    RELIABLE_IF_SUPPORTED,
    WITHDRAWN,
    calling,
    patient,
)
from tests.interop.sip.slow_flows import TOO_SHORT
from tests.interop.sip.world import CARRIER_HOST, World
from tests.interop.sip_wire import SipCapture

pytestmark = pytest.mark.interop
StartCapture = Callable[[World], SipCapture]
PLAYS = {
    "established": (ESTABLISHED.caller, ESTABLISHED.callee),
    "late offer": (LATE_OFFER.caller, ESTABLISHED.callee),
    "early media": (EARLY_MEDIA.caller, EARLY_MEDIA.callee),
    "reliable": (RELIABLE_IF_SUPPORTED.caller, RELIABLE_IF_SUPPORTED.callee),
    "busy": (BUSY.caller, BUSY.callee),
    "no answer": (NO_ANSWER.caller, NO_ANSWER.callee),
    "held": (HELD_BY_CALLER.caller, patient()),
    "too short a session": (TOO_SHORT.caller, patient()),
}


@pytest.fixture
def start_capture(tmp_path: Path) -> Iterator[StartCapture]:
    """Begins captures of a world's gateway."""
    started: list[SipCapture] = []

    def start(world: World) -> SipCapture:
        ports = {port for name, port in world.gateway.ports.items() if name.startswith("sip_")}
        started.append(SipCapture(tmp_path, ports, world.media))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("caller", "callee"), PLAYS.values(), ids=PLAYS)
def test_a_call_is_well_formed(
    start_world: StartWorld,
    start_sipp: StartSipp,
    start_capture: StartCapture,
    caller: Steps,
    callee: Steps,
    transport: str,
) -> None:
    world = start_world()
    capture = start_capture(world)
    called = start_sipp(steps=callee, **world.carrier_is_called())
    calling = start_sipp(steps=caller, **world.carrier_calls(transport))
    calling.finish()
    called.finish()
    world.calls_over(2)
    capture.stop()
    assert capture.faults() == []
    assert capture.messages()["INVITE"] >= 2


def test_media_is_well_formed(
    start_world: StartWorld,
    start_sipp: StartSipp,
    start_speaker: StartSpeaker,
    start_capture: StartCapture,
) -> None:
    """There and back: two streams to each side, which lack nothing, and reports of them."""
    world = start_world()
    capture = start_capture(world)
    speaker = start_speaker(CARRIER_HOST)
    ours = Sdp(address=CARRIER_HOST, port=speaker.port)
    talk = (*calling(sdp=ours), Rest(seconds=12), *HANGING_UP)
    callee = start_sipp(steps=patient(), **world.carrier_is_called())
    caller = start_sipp(steps=talk, **world.carrier_calls())
    said = caller.wait_for(r"SIP/2\.0 200 OK.*?m=audio (\d+).*ACK sip:")
    assert speaker.speak(("127.0.0.1", int(said[1])), 9) > 400
    caller.finish()
    callee.finish()
    world.calls_over(2)
    capture.stop()
    assert capture.faults() == []
    assert capture.reports() >= 2
    # An echo says that its source is ours, so we take another one, once (RFC 3550 §8.2).
    streams = capture.streams()
    assert all(payload == "g711U" and lacking == 0 for payload, _, lacking in streams)
    assert sum(packets > 400 for _, packets, _ in streams) == 4


@pytest.mark.parametrize("steps", [NEW_REGISTRATION, WITHDRAWN], ids=["new", "withdrawn"])
def test_a_registration_is_well_formed(
    start_world: StartWorld, start_sipp: StartSipp, start_capture: StartCapture, steps: Steps
) -> None:
    world = start_world()
    capture = start_capture(world)
    start_sipp(steps=steps, **world.phone("alice")).finish()
    capture.stop()
    assert capture.faults() == []
    assert capture.messages()["401"] == capture.messages()["200"] >= 1


def test_a_fault_would_be_seen(start_world: StartWorld, start_capture: StartCapture) -> None:
    """What the other tests rest on: a line without a colon is reported."""
    world = start_world()
    capture = start_capture(world)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.sendto(
            b"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1\r\n"
            b"a line that is no header\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            world.at(),
        )
    capture.stop()
    assert len(capture.faults()) >= 1
