"""The timeline of a message: what stands in it, in which order, and what is said of each PDU."""

from pathlib import Path
from typing import Any

import msgspec

from carriers.events import Submission
from gateway.messages.timeline import timeline
from protocols.smpp.codec import encode
from tests.unit.messages.path_world import ACCOUNT, PathWorld, path_world


def octets_of(submission: Submission) -> bytes:
    """The submission as it was on the wire."""
    return encode(submission.pdu, sequence_number=7)


async def shown(world: PathWorld, sid: str) -> dict[str, Any]:
    """The timeline of a message that is there."""
    found = await timeline(world.store.real, ACCOUNT, sid)
    assert found is not None
    return found


async def test_a_lost_submit_sm_stands_where_it_left_and_before_what_followed(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        left_at = world.now
        world.now += 10.0
        lost = msgspec.structs.replace(
            world.silence(out), sent_at=left_at, octets=(octets_of(out),)
        )
        await world.say(lost)
        events = (await shown(world, sid))["events"]
        assert [(each["type"], each["at"]) for each in events[:3]] == [
            ("message.queued", left_at),
            ("pdu", left_at),
            ("message.deferred", world.now),
        ]
        assert events[1]["name"] == "submit_sm"
