"""What the path promised survives a crash in each state, and nothing goes out twice for nothing."""

from pathlib import Path

import msgspec
import pytest

from carriers.model import OnUncertain
from gateway.messages import path
from gateway.model import MessageStatus
from protocols.smpp.constants import CommandStatus, MessageState
from protocols.smpp.text import Concatenation
from tests.unit.messages.path_world import (
    ACCOUNT,
    BOUNDS,
    HANDSET,
    NUMBER,
    THREE_PARTS,
    header_of,
    path_world,
    reference_of,
)

OK = CommandStatus.ESME_ROK
HOLD, RESEND = OnUncertain.HOLD, OnUncertain.RESEND


@pytest.mark.parametrize("hold", [HOLD, RESEND])
async def test_a_queued_text_goes_out_after_the_restart(tmp_path: Path, hold: OnUncertain) -> None:
    async with path_world(tmp_path, hold=hold, room=0) as world:
        sid = (await world.send()).sid
        world.room = 10
        await world.restart()
        (out,) = world.out
        assert (out.sid, out.attempt) == (sid, 1)


async def test_resend_sends_only_the_parts_that_were_not_answered(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(THREE_PARTS)).sid
        one, two, three = world.out
        await world.say(world.answer(two, "id2"))
        await world.restart()
        again = world.out
        assert [(each.part, each.attempt, each.pdu) for each in again] == [
            (1, 2, one.pdu),
            (3, 2, three.pdu),
        ]
        await world.say(*(world.answer(each, f"id{each.part}") for each in again))
        assert await world.status(sid) == ("sent", 0)
        await world.restart()
        assert world.out == []
        for number in (3, 1, 2):
            await world.say(world.receipt(f"id{number}"))
        assert await world.status(sid) == ("delivered", 0)
        assert world.told_states(sid) == ["sent", "delivered"]


async def test_hold_holds_what_was_out_and_a_receipt_settles_it(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.restart()
        assert world.out == []
        assert await world.status(sid) == ("sending", 0)
        assert await world.parts(sid) == [(1, 1, "", "held")]
        await world.restart()  # a second one tells nothing new
        assert await world.facts(sid) == ["queued", "held"]
        await world.say(world.receipt("A1", reference=reference_of(out)))
        assert await world.status(sid) == ("delivered", 0)


async def test_hold_finds_the_receipt_that_was_parked_before_the_crash(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send()).sid
        await world.say(world.receipt("A1"))  # without a reference, before the response
        assert await world.count("parked_receipts") == 1
        await world.restart()
        await world.pass_(2.0)
        assert await world.status(sid) == ("delivered", 0)
        assert await world.count("parked_receipts") == 0


async def test_a_receipt_parked_by_id_waits_over_the_restart(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        await world.say(world.receipt("A1"))
        await world.restart()
        (again,) = world.out
        await world.say(world.answer(again, "A1"))  # a carrier that knows a copy by our reference
        assert await world.status(sid) == ("delivered", 0)
        assert await world.count("parked_receipts") == 0


async def test_hold_then_resend_in_the_config_sends_what_was_held(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.say(world.silence(out))
        world.carriers = (msgspec.structs.replace(world.carriers[0], on_uncertain=RESEND),)
        world.room = 0
        await world.restart()
        assert await world.status(sid) == ("queued", 0)
        world.carriers = (msgspec.structs.replace(world.carriers[0], on_uncertain=HOLD),)
        world.room = 10
        await world.restart()  # and back: what was released is not held again
        (again,) = world.out
        assert again.attempt == 2


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_held_part_stays_held_while_the_others_go_again(
    tmp_path: Path, restarted: bool
) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send(THREE_PARTS)).sid
        one, two, three = world.out
        await world.say(
            world.silence(one),
            world.answer(two, status=CommandStatus.ESME_RSYSERR),
            world.answer(three, "id3"),
        )
        assert await world.status(sid) == ("queued", 0)
        if restarted:
            await world.restart()
        else:
            await world.pass_(1.0)
        (again,) = world.out
        assert (again.part, again.attempt) == (2, 2)
        await world.say(world.answer(again, "id2"))
        assert await world.status(sid) == ("sending", 0)
        await world.say(world.receipt("id1", reference=reference_of(one)))
        assert await world.status(sid) == ("sent", 0)
        assert (1, 1, "id1", "delivered") in await world.parts(sid)


async def test_a_refusal_before_the_crash_fails_it_after(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(THREE_PARTS)).sid
        _, two, _ = world.out
        await world.say(world.answer(two, status=CommandStatus.ESME_RINVDSTADR))
        await world.restart()
        assert world.out == []
        assert await world.status(sid) == ("failed", 30005)


async def test_undelivered_before_the_restart_delivered_after(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        await world.say(world.answer(world.out[0], "A1"))
        await world.say(world.receipt("A1", MessageState.UNDELIVERABLE))
        await world.restart()
        await world.say(world.receipt("a1"))
        assert await world.status(sid) == ("delivered", 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Concatenation.UDH8, Concatenation.UDH16),
        (Concatenation.UDH8, Concatenation.PAYLOAD),
        (Concatenation.PAYLOAD, Concatenation.UDH8),
    ],
)
async def test_a_text_is_cut_as_it_was_accepted_whatever_the_config_says_now(
    tmp_path: Path, before: Concatenation, after: Concatenation
) -> None:
    body = "x" * 153 * 3  # three parts with 153 to a part, four with 152
    async with path_world(tmp_path, long_message=before, room=0) as world:
        sid = (await world.send(body)).sid
        parts = 1 if before is Concatenation.PAYLOAD else 3
        assert (await world.message(sid)).parts == parts
        world.carriers = (msgspec.structs.replace(world.carriers[0], long_message=after),)
        world.room = 10
        await world.restart()
        out = world.out
        assert len(out) == parts
        if parts == 3:
            assert [header_of(each.pdu)[1:] for each in out] == [(3, 1), (3, 2), (3, 3)]
        await world.say(*(world.answer(each, f"id{each.part}") for each in out))
        assert await world.status(sid) == ("sent", 0)


async def test_references_of_what_is_out_are_not_given_again_after_a_restart(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        await world.send(THREE_PARTS)
        first = world.out
        await world.restart()
        await world.send(THREE_PARTS)
        second = world.out
        assert not {reference_of(each) for each in first} & {reference_of(each) for each in second}
        assert header_of(first[0].pdu)[0] != header_of(second[0].pdu)[0]


async def test_a_queue_larger_than_memory_goes_out_whole_and_in_order(tmp_path: Path) -> None:
    bounds = msgspec.structs.replace(BOUNDS, max_in_memory=4)
    async with path_world(tmp_path, room=0, bounds=bounds) as world:
        sids = [(await world.send(f"text {number}")).sid for number in range(12)]
        assert world.messages.gauges().spilling == ("acme",)
        assert world.messages.gauges().in_memory["acme"] <= 8
        world.network.room = 2
        sent: list[str] = []
        for _ in range(30):
            await world.pass_(2.0)
            out = world.out
            sent += [each.sid for each in out]
            await world.say(*(world.answer(each, f"id{each.sid}") for each in out))
        assert sent == sids


@pytest.mark.parametrize("asked", ["redact", "delete"])
async def test_looking_at_a_text_that_waits_in_the_store_does_not_lose_it(
    tmp_path: Path, asked: str
) -> None:
    bounds = msgspec.structs.replace(BOUNDS, max_in_memory=1)
    async with path_world(tmp_path, room=0, bounds=bounds) as world:
        sids = [(await world.send()).sid for _ in range(3)]
        await getattr(world.messages, asked)(ACCOUNT, sids[2])
        sent: list[str] = []
        world.network.room = 1
        for _ in range(8):
            await world.pass_(2.0)
            out = world.out
            sent += [each.sid for each in out]
            await world.say(*(world.answer(each, f"id{each.sid}") for each in out))
        assert sent == sids


@pytest.mark.parametrize("queued", [False, True])
async def test_a_receipt_for_a_text_that_is_still_in_the_store_alone_takes_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queued: bool
) -> None:
    monkeypatch.setattr("gateway.messages.backlog._PAGE", 1)
    async with path_world(tmp_path, room=10) as world:
        sids = [(await world.send(THREE_PARTS)).sid for _ in range(3)]
        last = [each for each in world.out if each.sid == sids[2]]
        assert len(last) == 3
        await world.say(world.answer(last[0], "id1"))
        world.room = 0
        if queued:
            await world.restart()  # what was being sent is queued again
        assert (await world.status(sids[2]))[0] == ("queued" if queued else "sending")
        world.bounds = msgspec.structs.replace(BOUNDS, max_in_memory=1)
        await world.restart()
        assert world.messages.gauges().in_memory["acme"] == 1
        await world.say(world.receipt("id1"))
        assert (1, 1, "id1", "delivered") in await world.parts(sids[2])
        world.network.room = 10
        sent = []
        for _ in range(6):
            await world.pass_(2.0)
            out = world.out
            sent += [(each.sid, each.part) for each in out]
            await world.say(*(world.answer(each, f"{each.sid}{each.part}") for each in out))
        assert [part for sid, part in sent if sid == sids[2]] == [2, 3]
        assert await world.status(sids[2]) == ("sent", 0)


async def test_an_orderly_end_gives_back_what_never_left(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD, room=1) as world:
        sid = (await world.send(THREE_PARTS)).sid
        (one,) = world.out
        await world.say(world.answer(one, "id1"))
        (two,) = world.out
        world.network.put(world.answer(two, "id2"))
        world.network.room = 0
        await world.stop()
        await world.start()
        (three,) = world.out
        assert (three.part, three.attempt) == (3, 2)
        await world.say(world.answer(three, "id3"))
        assert await world.status(sid) == ("sent", 0)


async def test_the_end_of_the_network_ends_the_path(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        world.network.put(world.silence(out))
        await world.stop()
        await world.start()
        assert await world.status(sid) == ("sending", 0)
        assert [(each.sid, each.attempt) for each in world.out] == [(sid, 2)]


async def test_a_carrier_that_is_gone_from_the_config_keeps_its_texts(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        sid = (await world.send()).sid
        acme = world.carriers
        world.carriers = (msgspec.structs.replace(acme[0], name="beta"),)
        world.room = 10
        await world.restart()
        assert world.out == []
        world.carriers = acme
        await world.restart()
        assert [each.sid for each in world.out] == [sid]


# -- ids ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_response", "in_receipt"),
    [
        ("A1", "A1"),
        ("00A1", "a1"),
        ("a1", "161"),
        ("161", "a1"),
        ("0000000161", "161"),
        ("550e8400-e29b-41d4-a716-446655440000", "550E8400E29B41D4A716446655440000"),
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
async def test_ids_are_found_in_whatever_form_they_come_back(
    tmp_path: Path, in_response: str, in_receipt: str, restarted: bool
) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        await world.say(world.answer(world.out[0], in_response))
        if restarted:
            await world.restart()
        await world.say(world.receipt(in_receipt))
        assert await world.status(sid) == ("delivered", 0)


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_id_that_is_another_texts_in_hex_is_not_taken_for_it(
    tmp_path: Path, restarted: bool
) -> None:
    """10 read as hex is 16: a second receipt for text 10 says nothing of text 16."""
    async with path_world(tmp_path) as world:
        ten = (await world.send("ten")).sid
        await world.say(world.answer(world.out[0], "10"))
        other = await world.send("sixteen")
        await world.say(world.answer(world.out[0], "16"))
        await world.say(world.receipt("10"))
        if restarted:
            await world.restart()
        await world.say(world.receipt("10"))
        assert await world.status(ten) == ("delivered", 0)
        assert await world.status(other.sid) == ("sent", 0)


async def test_a_converted_id_needs_the_number_of_the_handset(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        other = await world.send(to_address="+15551239999")
        await world.say(world.answer(world.out[0], "16"))
        await world.say(world.receipt("10"))  # a text that is not ours
        assert await world.status(other.sid) == ("sent", 0)
        await world.say(world.receipt("10", handset="5551239999"))  # national, as some write it
        assert await world.status(other.sid) == ("delivered", 0)


async def test_parked_receipts_are_bounded_and_the_next_is_refused(tmp_path: Path) -> None:
    bounds: path.Bounds = msgspec.structs.replace(BOUNDS, max_parked_receipts=2)
    async with path_world(tmp_path, bounds=bounds) as world:
        await world.say(*(world.receipt(f"strange{number}") for number in range(3)))
        assert world.network.answers == [(1, OK), (2, OK), (3, CommandStatus.ESME_RX_T_APPN)]
        assert world.messages.gauges().parked_receipts == 2
        await world.restart()
        assert world.messages.gauges().parked_receipts == 2
        await world.pass_(86_401.0)
        assert world.messages.gauges().parked_receipts == 0
        assert await world.count("parked_receipts") == 0
        await world.say(world.receipt("strange4"))
        assert world.network.answers == [(4, OK)]


async def test_addresses_come_with_and_without_their_plus(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send()).sid
        await world.say(world.silence(world.out[0]))
        await world.say(world.receipt("?", handset=HANDSET[1:], number=NUMBER[1:]))
        assert await world.status(sid) == (MessageStatus.DELIVERED, 0)
