"""The life of a text: from its acceptance to its last state, by what the carrier says of it."""

from pathlib import Path

import pytest

from carriers.events import BindUp
from carriers.model import OnUncertain
from gateway.model import MessageStates
from protocols.smpp.constants import CommandStatus, MessageState
from tests.unit.messages.path_world import (
    ACCOUNT,
    APP,
    HANDSET,
    NUMBER,
    THREE_PARTS,
    PathWorld,
    header_of,
    path_world,
    reference_of,
)

OK, THROTTLED, FULL, SYSERR, INVALID = (
    CommandStatus.ESME_ROK,
    CommandStatus.ESME_RTHROTTLED,
    CommandStatus.ESME_RMSGQFUL,
    CommandStatus.ESME_RSYSERR,
    CommandStatus.ESME_RINVDSTADR,
)
UNDELIVERABLE = MessageState.UNDELIVERABLE
HOLD = OnUncertain.HOLD


async def accepted(world: PathWorld, body: str = "Hello") -> str:
    """A text that the carrier took, part n as `id<n>`."""
    sid = (await world.send(body)).sid
    await world.say(*(world.answer(each, f"id{each.part}") for each in world.out))
    return sid


async def test_a_text_is_sent_then_delivered_with_two_callbacks(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        message = await world.send()
        assert message.status == "queued"
        assert await world.status(message.sid) == ("sending", 0)
        (out,) = world.out
        assert (out.part, out.attempt, out.pdu.short_message) == (1, 1, b"Hello")
        await world.say(world.answer(out, "A1"))
        assert await world.status(message.sid) == ("sent", 0)
        assert (await world.message(message.sid)).date_sent == world.now
        await world.say(world.receipt("A1"))
        assert await world.status(message.sid) == ("delivered", 0)
        assert await world.facts(message.sid) == ["queued", "sent", "delivered"]
        assert world.callbacks(message.sid) == [
            {
                "SmsSid": message.sid,
                "SmsStatus": state,
                "MessageStatus": state,
                "To": HANDSET,
                "MessageSid": message.sid,
                "AccountSid": message.account_sid,
                "From": NUMBER,
                "ApiVersion": "2010-04-01",
            }
            for state in ("sent", "delivered")
        ]
        assert {job.endpoint for job in world.runner.jobs} == {"http://app.example"}
        assert world.network.answers == [(1, OK)]
        assert world.network.in_use == 0


async def test_each_part_of_a_long_text_is_sent_once_and_all_must_arrive(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        message = await world.send(THREE_PARTS)
        assert (message.num_segments, message.parts) == (3, 3)
        out = world.out
        headers = [header_of(each.pdu) for each in out]
        assert [header[1:] for header in headers] == [(3, 1), (3, 2), (3, 3)]
        assert len({header[0] for header in headers}) == 1
        assert len({reference_of(each) for each in out}) == 3
        for each in reversed(out):
            assert await world.status(message.sid) == ("sending", 0)
            await world.say(world.answer(each, f"id{each.part}"))
        assert await world.status(message.sid) == ("sent", 0)
        for number in (2, 3, 1):
            assert await world.status(message.sid) == ("sent", 0)
            await world.say(world.receipt(f"id{number}"))
        assert await world.status(message.sid) == ("delivered", 0)
        assert world.told_states(message.sid) == ["sent", "delivered"]
        assert await world.parts(message.sid) == [
            (number, 1, f"id{number}", "delivered") for number in (1, 2, 3)
        ]


@pytest.mark.parametrize(
    ("status", "pause"), [(THROTTLED, 0.0), (FULL, 0.5), (SYSERR, 0.5)], ids=str
)
@pytest.mark.parametrize("body", ["Hello", THREE_PARTS], ids=["one", "three"])
async def test_what_is_refused_for_now_goes_again_alone_with_its_references(
    tmp_path: Path, status: CommandStatus, pause: float, body: str
) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(body)).sid
        first = world.out
        refused, others = first[0], first[1:]
        await world.say(
            world.answer(refused, status=status),
            *(world.answer(each, f"id{each.part}") for each in others),
        )
        if pause:
            assert world.out == []
            await world.pass_(pause + 0.01)
        (again,) = world.out
        assert (again.part, again.attempt, again.pdu) == (1, 2, refused.pdu)
        await world.say(world.answer(again, "id1"))
        assert await world.status(sid) == ("sent", 0)
        assert await world.facts(sid) == ["queued", "deferred", "sent"]
        assert world.told_states(sid) == ["sent"]


async def test_the_pause_grows_with_the_attempts_and_a_later_answer_does_not_cut_it(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path) as world:
        await world.send()
        for pause in (0.5, 1.0, 2.0):
            (out,) = world.out
            await world.say(world.answer(out, status=SYSERR))
            await world.pass_(pause - 0.1)
            assert world.out == []
            await world.pass_(0.11)
        assert len(world.out) == 1


async def test_a_refused_text_fails_with_its_code(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        await world.say(world.answer(world.out[0], status=INVALID))
        assert await world.status(sid) == ("failed", 30005)
        (form,) = world.callbacks(sid)
        assert (form["MessageStatus"], form["ErrorCode"]) == ("failed", "30005")


async def test_one_refused_part_fails_the_text_once_the_others_are_answered(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(THREE_PARTS)).sid
        one, two, three = world.out
        await world.say(world.answer(one, "id1"), world.answer(two, status=INVALID))
        assert await world.status(sid) == ("sending", 0)
        await world.say(world.answer(three, "id3"))
        assert await world.status(sid) == ("failed", 30005)
        assert await world.parts(sid) == [
            (1, 1, "id1", "sent"),
            (2, 1, "", "refused"),
            (3, 1, "id3", "sent"),
        ]
        await world.say(world.receipt("id1"))  # says something of the part, nothing of the text
        assert await world.status(sid) == ("failed", 30005)
        assert world.network.answers == [(1, OK)]
        assert world.told_states(sid) == ["failed"]


async def test_parts_that_wait_for_room_are_not_sent_once_another_is_refused(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path, room=2) as world:
        sid = (await world.send(THREE_PARTS)).sid
        one, two = world.out
        await world.say(world.answer(one, "id1"), world.answer(two, status=INVALID))
        await world.pass_(2.0)
        assert world.out == []
        assert await world.status(sid) == ("failed", 30005)


async def test_parts_that_wait_for_room_are_given_up_with_the_validity(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=2) as world:
        sid = (await world.send(THREE_PARTS, validity_period=60.0)).sid
        one, two = world.out
        world.network.room = 0  # the carrier is gone
        await world.say(world.answer(one, "id1"), world.answer(two, "id2"))
        assert await world.status(sid) == ("sending", 0)
        await world.pass_(61.0)
        await world.pass_(2.0)
        assert await world.status(sid) == ("failed", 30036)
        world.network.room = 100
        await world.pass_(2.0)
        assert world.out == []


async def test_a_long_text_goes_through_a_window_that_is_smaller(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=1) as world:
        sid = (await world.send(THREE_PARTS)).sid
        for number in (1, 2, 3):
            (out,) = world.out
            assert out.part == number
            await world.say(world.answer(out, f"id{number}"))
        assert await world.status(sid) == ("sent", 0)
        assert world.network.in_use == 0


@pytest.mark.parametrize("states", list(MessageStates))
async def test_a_receipt_may_be_bad(tmp_path: Path, states: MessageStates) -> None:
    async with path_world(tmp_path, states=states) as world:
        sid = await accepted(world)
        await world.say(world.receipt("id1", UNDELIVERABLE))
        assert await world.status(sid) == ("undelivered", 30003)
        assert world.callbacks(sid)[-1]["ErrorCode"] == "30003"
        first = ["sent"] if states is MessageStates.ALL else []
        assert world.told_states(sid) == [*first, "undelivered"]


async def test_undelivered_may_become_delivered_and_leaves_no_error(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = await accepted(world)
        await world.say(world.receipt("id1", UNDELIVERABLE))
        await world.say(world.receipt("id1"))
        assert await world.status(sid) == ("delivered", 0)
        assert "ErrorCode" not in world.callbacks(sid)[-1]
        await world.say(world.receipt("id1", UNDELIVERABLE))  # and not back
        assert await world.status(sid) == ("delivered", 0)
        assert world.told_states(sid) == ["sent", "undelivered", "delivered"]


async def test_duplicate_receipts_are_answered_and_tell_nobody_again(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = await accepted(world)
        await world.say(world.receipt("id1"), world.receipt("id1"))
        await world.say(world.receipt("id1"))
        assert world.network.answers == [(1, OK), (2, OK), (3, OK)]
        assert world.told_states(sid) == ["sent", "delivered"]
        assert await world.facts(sid) == ["queued", "sent", "delivered"]


async def test_a_receipt_that_says_on_its_way_is_a_line_in_the_timeline(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = await accepted(world)
        await world.say(world.receipt("id1", MessageState.ENROUTE))
        assert await world.status(sid) == ("sent", 0)
        assert await world.facts(sid) == ["queued", "sent", "receipt"]


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
async def test_a_receipt_before_the_response_waits_for_it(tmp_path: Path, together: bool) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        early, answer = world.receipt("0x00AB"), world.answer(out, "171")
        if together:
            await world.say(early, answer)
        else:
            await world.say(early)
            assert await world.count("parked_receipts") == 1
            assert world.network.answers == [(1, OK)]
            await world.say(answer)
        assert await world.status(sid) == ("delivered", 0)
        assert world.told_states(sid) == ["sent", "delivered"]
        assert await world.count("parked_receipts") == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "crossed"])
async def test_several_receipts_before_the_response_all_count(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        early = [world.receipt("A1", MessageState.ENROUTE), world.receipt("A1")]
        await world.say(*(early[position] for position in order))
        await world.say(world.answer(out, "A1"))
        assert await world.status(sid) == ("delivered", 0)
        assert await world.count("parked_receipts") == 0


async def test_a_receipt_that_repeats_our_reference_needs_no_response(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.say(world.receipt("A1", reference=reference_of(out)))
        assert await world.status(sid) == ("delivered", 0)
        await world.say(world.answer(out, "A1"))
        assert await world.status(sid) == ("delivered", 0)
        assert world.told_states(sid) == ["sent", "delivered"]
        assert await world.parts(sid) == [(1, 1, "A1", "delivered")]
        assert world.network.in_use == 0


async def test_a_reference_is_believed_only_with_its_number(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.say(world.receipt("Z", reference=reference_of(out), handset="+15559999999"))
        assert await world.status(sid) == ("sending", 0)


# -- uncertain ---------------------------------------------------------------------------


async def test_resend_sends_the_missing_part_again_with_its_reference(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(THREE_PARTS)).sid
        one, two, three = world.out
        await world.say(world.answer(one, "id1"), world.silence(two), world.answer(three, "id3"))
        (again,) = world.out
        assert (again.part, again.attempt, again.pdu) == (2, 2, two.pdu)
        await world.say(world.answer(again, "id2"))
        assert await world.status(sid) == ("sent", 0)
        for number in (1, 2, 3):
            await world.say(world.receipt(f"id{number}"))
        assert await world.status(sid) == ("delivered", 0)


async def test_a_late_answer_stops_the_copy_that_waits(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=1) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        world.network.room = 0
        await world.say(world.silence(out))
        assert await world.status(sid) == ("queued", 0)
        world.network.room = 1
        await world.say(world.answer(out, "A1", late=True))
        assert await world.status(sid) == ("sent", 0)
        await world.pass_(2.0)
        assert world.out == []
        await world.say(world.receipt("A1"))
        assert world.told_states(sid) == ["sent", "delivered"]


async def test_a_receipt_by_reference_stops_the_copy_that_waits(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=1) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        world.network.room = 0
        await world.say(world.silence(out))
        await world.say(world.receipt("A1", reference=reference_of(out)))
        assert await world.status(sid) == ("delivered", 0)
        world.network.room = 1
        await world.pass_(2.0)
        assert world.out == []


async def test_a_late_answer_while_the_copy_is_out_counts_and_the_copy_adds_nothing(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (first,) = world.out
        await world.say(world.silence(first))
        (copy,) = world.out
        await world.say(world.answer(first, "A1", late=True))
        assert await world.status(sid) == ("sent", 0)
        await world.say(world.answer(copy, "A2"))
        await world.say(world.receipt("A1"), world.receipt("A2"))
        assert await world.status(sid) == ("delivered", 0)
        assert world.told_states(sid) == ["sent", "delivered"]
        assert world.network.in_use == 0


@pytest.mark.parametrize("status", [THROTTLED, INVALID], ids=str)
async def test_a_late_refusal_says_nothing_of_the_copy_that_is_out(
    tmp_path: Path, status: CommandStatus
) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (first,) = world.out
        await world.say(world.silence(first))
        (copy,) = world.out
        await world.say(world.answer(first, status=status, late=True))
        assert await world.status(sid) == ("sending", 0)
        await world.pass_(5.0)
        assert world.out == []
        await world.say(world.answer(copy, "A2"))
        assert await world.status(sid) == ("sent", 0)


async def test_a_late_refusal_fails_the_text_that_waits_to_go_again(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=1) as world:
        sid = (await world.send()).sid
        (first,) = world.out
        world.network.room = 0
        await world.say(world.silence(first))
        await world.say(world.answer(first, status=INVALID, late=True))
        assert await world.status(sid) == ("failed", 30005)
        world.network.room = 1
        await world.pass_(2.0)
        assert world.out == []


async def test_hold_waits_for_the_late_answer_and_sends_nothing_again(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.say(world.silence(out))
        assert await world.status(sid) == ("sending", 0)
        assert await world.facts(sid) == ["queued", "held"]
        assert await world.parts(sid) == [(1, 1, "", "held")]
        await world.pass_(60.0)
        assert world.out == []
        await world.say(world.answer(out, "A1", late=True))
        assert await world.status(sid) == ("sent", 0)
        assert await world.parts(sid) == [(1, 1, "A1", "sent")]


@pytest.mark.parametrize("by", ["reference", "addresses"])
async def test_hold_is_settled_by_a_receipt_and_the_late_answer_changes_nothing(
    tmp_path: Path, by: str
) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.say(world.silence(out))
        reference = reference_of(out) if by == "reference" else None
        await world.say(world.receipt("A1", reference=reference))
        assert await world.status(sid) == ("delivered", 0)
        await world.say(world.answer(out, "A1", late=True))
        assert await world.parts(sid) == [(1, 1, "A1", "delivered")]
        assert world.told_states(sid) == ["sent", "delivered"]


async def test_hold_finds_the_receipt_that_came_before_the_silence(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.say(world.receipt("A1"))
        assert await world.count("parked_receipts") == 1
        await world.say(world.silence(out))
        assert await world.status(sid) == ("delivered", 0)
        assert await world.count("parked_receipts") == 0


async def test_addresses_decide_nothing_while_two_texts_could_be_meant(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        held = (await world.send("one")).sid
        (first,) = world.out
        await world.say(world.silence(first))
        other = (await world.send("two")).sid
        (second,) = world.out
        await world.say(world.receipt("A2"))  # it is the second one's
        assert await world.status(held) == ("sending", 0)
        await world.say(world.answer(second, "A2"))
        assert await world.status(other) == ("delivered", 0)
        assert await world.status(held) == ("sending", 0)


async def test_what_is_held_past_its_validity_fails(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send(validity_period=60.0)).sid
        (out,) = world.out
        await world.say(world.silence(out))
        await world.pass_(59.0)
        assert await world.status(sid) == ("sending", 0)
        await world.pass_(2.0)
        assert await world.status(sid) == ("failed", 30036)
        await world.say(world.answer(out, "A1", late=True))
        assert await world.status(sid) == ("failed", 30036)


async def test_a_late_pause_sends_the_held_part_again(tmp_path: Path) -> None:
    async with path_world(tmp_path, hold=HOLD) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        await world.say(world.silence(out))
        await world.say(world.answer(out, status=THROTTLED, late=True))
        (again,) = world.out
        assert again.attempt == 2
        await world.say(world.answer(again, "A1"))
        assert await world.parts(sid) == [(1, 2, "A1", "sent")]


# -- validity ----------------------------------------------------------------------------


async def test_never_submitted_by_the_end_of_its_validity(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        sid = (await world.send(validity_period=60.0)).sid
        await world.pass_(59.0)
        assert await world.status(sid) == ("queued", 0)
        await world.pass_(2.0)
        assert await world.status(sid) == ("failed", 30036)
        assert world.told_states(sid) == ["failed"]
        world.network.room = 1
        await world.pass_(1.0)
        assert world.out == []


async def test_what_a_suspended_account_had_queued_fails(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        sid = (await world.send()).sid
        world.active.discard(ACCOUNT)
        world.network.room = 1
        await world.pass_(1.0)
        await world.pass_(1.0)
        assert world.out == []
        assert await world.status(sid) == ("failed", 30002)
        assert world.told_states(sid) == ["failed"]


async def test_what_was_stopped_leaves_if_the_account_is_active_again(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        sid = (await world.send()).sid
        world.active.discard(ACCOUNT)
        world.network.room = 1
        await world.say(BindUp(carrier="acme", bind=1, at=world.now))
        assert world.out == []
        world.active.add(ACCOUNT)
        await world.pass_(3.0)
        assert [each.sid for each in world.out] == [sid]


async def test_refused_for_now_until_its_validity_ends(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(validity_period=0.4)).sid
        await world.say(world.answer(world.out[0], status=SYSERR))
        await world.pass_(1.0)
        await world.pass_(1.0)
        assert world.out == []
        assert await world.status(sid) == ("failed", 30036)


async def test_a_customer_without_a_callback_is_told_nothing(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(status_callback="")).sid
        await world.say(world.answer(world.out[0], "A1"))
        await world.say(world.receipt("A1"))
        assert await world.status(sid) == ("delivered", 0)
        assert world.runner.jobs == []


@pytest.mark.parametrize("url", ["http://[bad", "smpp:acme?id=x", APP])
async def test_no_callback_address_of_an_app_stops_a_text(tmp_path: Path, url: str) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send(status_callback=url)).sid
        await world.say(world.answer(world.out[0], "A1"))
        assert await world.status(sid) == ("sent", 0)
        assert world.told_states(sid) == ["sent"]  # a webhook that fails, never a bind's receipt


async def test_how_long_a_text_waited_for_its_first_submit_sm_is_measured(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        await world.send(THREE_PARTS)
        counters = world.network.counters("acme")
        assert counters.submit_seconds.count == 0
        world.network.room = 100
        await world.pass_(40.0)
        out = world.out
        assert len(out) == 3
        assert (counters.submit_seconds.count, counters.submit_seconds.total) == (1, 40.0)
        await world.say(*(world.answer(each, status=SYSERR) for each in out))
        await world.pass_(60.0)
        assert [each.attempt for each in world.out] == [2, 2, 2]
        assert counters.submit_seconds.count == 1  # a retry has waited for the carrier


async def test_how_long_final_receipts_take_is_measured(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        await accepted(world)
        latencies = world.network.counters("acme").receipt_seconds
        world.now += 5.0
        await world.say(world.receipt("id1", MessageState.ENROUTE))
        assert latencies.count == 0
        world.now += 5.0
        await world.say(world.receipt("id1"))
        assert (latencies.count, latencies.total) == (1, 10.0)
