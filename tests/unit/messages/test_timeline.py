"""The timeline of a message: what stands in it, in which order, and what is said of each PDU."""

from pathlib import Path
from typing import Any

import msgspec

from carriers.events import Submission
from gateway.messages.decoded import decoded
from gateway.messages.timeline import timeline
from protocols.smpp.codec import encode
from protocols.smpp.pdu import SubmitSm, SubmitSmResp
from protocols.smpp.tlv import Tag, encode_tlv
from tests.unit.messages.path_world import (
    ACCOUNT,
    PathWorld,
    header_of,
    path_world,
    reference_of,
)


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


async def test_a_part_says_which_it_is_and_what_its_octets_mean(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        message = await world.send("ж" * 100)
        out = world.out
        answers = [
            msgspec.structs.replace(
                world.answer(each, f"id{each.part}"),
                octets=(octets_of(each), encode(SubmitSmResp(), sequence_number=7)),
            )
            for each in out
        ]
        await world.say(*answers)
        found = await shown(world, message.sid)
        assert [(part["part"], part["carrier_id"]) for part in found["parts"]] == [
            (1, "id1"),
            (2, "id2"),
        ]
        sent = [each for each in found["events"] if each.get("name") == "submit_sm"]
        reference = header_of(out[0].pdu)[0]
        assert [each["part"] for each in sent] == [
            {"number": number, "total": 2, "reference": reference} for number in (1, 2)
        ]
        assert "".join(each["text"] for each in sent) == "ж" * 100
        named = {each["name"]: each["value"] for each in sent[0]["fields"]["tlvs"]}
        assert named["user_message_reference"] == reference_of(out[0])


def test_sar_parts_unknown_tlvs_and_refusals_are_told() -> None:
    tlvs = (
        encode_tlv(Tag.SAR_MSG_REF_NUM, 17),
        encode_tlv(Tag.SAR_TOTAL_SEGMENTS, 4),
        encode_tlv(Tag.SAR_SEGMENT_SEQNUM, 2),
        encode_tlv(Tag.MESSAGE_PAYLOAD, b"payload"),
        (0x1400, b"\x01"),
    )
    found = decoded(encode(SubmitSm(tlvs=tlvs), sequence_number=1))
    assert found["part"] == {"number": 2, "total": 4, "reference": 17}
    assert found["text"] == "payload"
    assert found["fields"]["tlvs"][-1] == {"tag": "0x1400", "name": "", "value": "01"}
    throttled = decoded(encode(SubmitSmResp(), sequence_number=1, command_status=0x58))
    assert throttled["meaning"].startswith("ESME_RTHROTTLED (0x58)")
    assert "text" not in throttled
    assert decoded(b"no PDU") == {}
