"""What is asked of the path: accept, cancel, redact, delete; its bounds; the store away."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from carriers.events import BindUp
from gateway.messages import records, trace
from gateway.messages.draft import Refusal
from gateway.messages.overdue import note_overdue
from gateway.model import Message
from protocols.smpp.constants import CommandStatus
from protocols.smpp.text import Concatenation
from tests.unit.messages.path_world import ACCOUNT, BOUNDS, OTHER, PathWorld, path_world

OK = CommandStatus.ESME_ROK
STATES = ("queued", "sending", "sent", "delivered", "failed")


async def brought_to(world: PathWorld, state: str) -> str:
    """A text in this state."""
    world.network.room = 0 if state == "queued" else 100
    sid = (await world.send()).sid
    if state not in ("queued", "sending"):
        (out,) = world.out
        status = CommandStatus.ESME_RINVDSTADR if state == "failed" else OK
        await world.say(world.answer(out, "A1" if status is OK else "", status))
    if state == "delivered":
        await world.say(world.receipt("A1"))
    assert (await world.status(sid))[0] == state
    return sid


def code_of(answer: Message | Refusal | None) -> int:
    """The error code of a refusal."""
    assert isinstance(answer, Refusal)
    return answer.error_code


# -- accept ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"account_sid": "AC" + "9" * 32}, 20005),
        ({"body": ""}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"body": "x" * 1600}, 0),
        ({"body": "", "media": ("https://example.com/a.png",)}, 0),
    ],
)
async def test_what_is_taken(tmp_path: Path, changes: dict[str, str], code: int) -> None:
    async with path_world(tmp_path) as world:
        answer = await world.messages.accept(world.draft(**changes))
        assert (code_of(answer) if isinstance(answer, Refusal) else 0) == code
        await world.quiet()
        assert await world.count("messages") == (0 if code else 1)


@pytest.mark.parametrize("long_message", list(Concatenation))
async def test_a_text_of_more_short_messages_than_can_be_joined_is_refused(
    tmp_path: Path, long_message: Concatenation
) -> None:
    bounds = msgspec.structs.replace(BOUNDS, max_body=100_000)
    async with path_world(tmp_path, bounds=bounds, long_message=long_message, room=300) as world:
        width = 152 if long_message is Concatenation.UDH16 else 153
        assert code_of(await world.messages.accept(world.draft("x" * (width * 255 + 1)))) == 21617
        most = await world.send("x" * width * 255)
        assert most.num_segments == 255
        assert len(world.out) == (1 if long_message is Concatenation.PAYLOAD else 255)


async def test_media_go_as_links(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        message = await world.send("See", media=("https://e.com/1", "https://e.com/2"))
        assert message.sid.startswith("MM")
        assert world.out[0].pdu.short_message == b"See\nhttps://e.com/1\nhttps://e.com/2"


async def test_accepts_in_flight_are_bounded(tmp_path: Path) -> None:
    bounds = msgspec.structs.replace(BOUNDS, max_accepts_in_flight=2)
    async with path_world(tmp_path, bounds=bounds) as world:
        world.store.gate = asyncio.Event()
        waiting = [asyncio.ensure_future(world.messages.accept(world.draft())) for _ in range(2)]
        await asyncio.sleep(0)
        assert world.messages.gauges().accepts_in_flight == 2
        assert code_of(await world.messages.accept(world.draft())) == 20429
        world.store.gate.set()
        assert all(isinstance(each, Message) for each in await asyncio.gather(*waiting))
        assert isinstance(await world.messages.accept(world.draft()), Message)
        assert world.messages.gauges().accepts_in_flight == 0


async def test_nothing_goes_out_before_its_commit(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        world.store.gate = asyncio.Event()
        accepting = asyncio.ensure_future(world.messages.accept(world.draft()))
        await world.quiet()
        assert world.out == [] and not accepting.done()
        world.store.gate.set()
        world.store.gate = gate = asyncio.Event()  # the attempt has a commit of its own
        await accepting
        await world.quiet()
        assert world.out == []
        gate.set()
        await world.quiet()
        assert len(world.out) == 1


# -- the store away ----------------------------------------------------------------------


async def test_nothing_is_accepted_while_the_store_is_away(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        world.store.away = True
        answer = await world.messages.accept(world.draft())
        assert code_of(answer) == 20503 and "the disk is full" in answer.message
        world.store.away = False
        await world.quiet()
        assert world.out == []
        assert await world.count("messages") == 0


async def test_what_carriers_say_while_the_store_is_away_is_settled_after(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        one, two = (await world.send()).sid, (await world.send()).sid
        first, second = world.out
        await world.say(world.answer(first, "A1"))
        world.store.away = True
        world.network.put(world.receipt("A1"), world.receipt("?"), world.answer(second, "A2"))
        await world.store.refusing.wait()
        assert world.network.answers == []  # nothing is told before it is durable
        assert world.network.in_use == 1
        world.store.away = False
        await world.quiet()
        assert [status for _, status in world.network.answers] == [OK, OK]
        assert world.network.in_use == 0
        assert await world.status(one) == ("delivered", 0)
        assert await world.status(two) == ("sent", 0)


async def test_an_attempt_waits_for_the_store(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        sid = (await world.send()).sid
        world.store.away = True
        world.network.room = 1
        world.network.put(BindUp(carrier="acme", bind=1, at=world.now))
        await world.store.refusing.wait()
        assert world.out == []
        world.store.away = False
        await world.network.busy.wait()
        assert [each.sid for each in world.out] == [sid]


async def test_a_late_answer_while_its_copy_is_being_taken(tmp_path: Path) -> None:
    """Between the answer and its commit the pump finds the copy in the queue."""
    async with path_world(tmp_path) as world:
        late = (await world.send()).sid
        (first,) = world.out
        world.network.room = 0
        await world.say(world.silence(first))
        other = (await world.send("another")).sid
        world.store.gate = gate = asyncio.Event()
        world.network.put(world.answer(first, "A1", late=True))
        await world.store.gated.wait()
        world.network.room = 100
        await world.follower.sweep()
        await asyncio.sleep(0)
        gate.set()
        await world.quiet()
        assert [each.sid for each in world.out] == [other]
        assert await world.status(late) == ("sent", 0)


async def test_a_late_answer_while_its_copy_is_made_durable(tmp_path: Path) -> None:
    """The attempt is on its way to the store when the answer to the first one comes."""
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (first,) = world.out
        world.network.room = 0
        await world.say(world.silence(first))
        world.store.gate = gate = asyncio.Event()
        world.network.room = 1
        await world.follower.sweep()
        await world.store.gated.wait()
        world.store.gated.clear()
        world.network.put(world.answer(first, "A1", late=True))
        await world.store.gated.wait()
        gate.set()
        world.store.gate = None
        await world.quiet()
        assert world.out == []
        assert await world.status(sid) == ("sent", 0)
        await world.send("next")  # and its room is free
        assert len(world.out) == 1


async def test_a_version_that_moved_on_elsewhere_is_taken_up(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (out,) = world.out
        stored = await world.message(sid)
        other = msgspec.structs.replace(stored, body="", version=stored.version + 1)
        await world.store.real.commit([records.redacted(other)])
        await world.say(world.answer(out, "A1"))
        await world.say(world.receipt("A1"))
        message = await world.message(sid)
        assert (message.status, message.body) == ("delivered", "")
        assert await world.facts(sid) == ["queued", "sent", "delivered"]


async def test_a_queued_text_that_was_changed_elsewhere_is_read_again(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        sids = [(await world.send(f"{number}")).sid for number in range(2)]
        stored = await world.message(sids[0])
        other = msgspec.structs.replace(stored, body="new", version=stored.version + 1)
        await world.store.real.commit([records.redacted(other)])
        world.network.room = 10
        for _ in range(3):
            await world.pass_(2.0)
        bodies = {each.sid: each.pdu.short_message for each in world.out}
        assert bodies == {sids[0]: b"new", sids[1]: b"1"}


async def test_one_event_that_can_not_be_settled_costs_no_other(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        good, bad = (await world.send()).sid, (await world.send()).sid
        first, second = world.out
        broken = msgspec.structs.replace(world.answer(second, "A2"), octets=(object(), b""))
        await world.say(broken, world.answer(first, "A1"))
        assert await world.status(good) == ("sent", 0)
        assert await world.status(bad) == ("sending", 0)
        assert world.network.in_use == 0  # its window is free all the same


# -- cancel, redact, delete --------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
async def test_only_what_no_carrier_has_seen_can_be_canceled(tmp_path: Path, state: str) -> None:
    async with path_world(tmp_path) as world:
        sid = await brought_to(world, state)
        answer = await world.messages.cancel(ACCOUNT, sid)
        if state != "queued":
            assert code_of(answer) == 30409
            return
        assert isinstance(answer, Message) and answer.status == "canceled"
        assert world.told_states(sid) == ["canceled"]
        world.network.room = 10
        await world.pass_(1.0)
        assert world.out == []
        assert await world.status(sid) == ("canceled", 0)


async def test_what_was_tried_once_can_not_be_canceled(tmp_path: Path) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        await world.say(world.answer(world.out[0], status=CommandStatus.ESME_RSYSERR))
        assert await world.status(sid) == ("queued", 0)
        assert code_of(await world.messages.cancel(ACCOUNT, sid)) == 30409


async def test_what_waits_in_the_store_alone_can_be_canceled(tmp_path: Path) -> None:
    bounds = msgspec.structs.replace(BOUNDS, max_in_memory=1)
    async with path_world(tmp_path, room=0, bounds=bounds) as world:
        sids = [(await world.send()).sid for _ in range(3)]
        assert isinstance(await world.messages.cancel(ACCOUNT, sids[2]), Message)
        world.network.room = 10
        sent: list[str] = []
        for _ in range(6):
            await world.pass_(2.0)
            out = world.out
            sent += [each.sid for each in out]
            await world.say(*(world.answer(each, f"id{each.sid}") for each in out))
        assert sent == sids[:2]


@pytest.mark.parametrize("asked", ["cancel", "redact", "delete"])
@pytest.mark.parametrize("state", STATES)
async def test_another_account_finds_nothing(tmp_path: Path, asked: str, state: str) -> None:
    async with path_world(tmp_path) as world:
        sid = await brought_to(world, state)
        assert code_of(await getattr(world.messages, asked)(OTHER, sid)) == 20404
        assert (await world.status(sid))[0] == state
        assert (await world.message(sid)).body == "Hello"


@pytest.mark.parametrize("asked", ["redact", "delete"])
@pytest.mark.parametrize("state", ["queued", "sending"])
async def test_an_unfinished_text_is_neither_redacted_nor_deleted(
    tmp_path: Path, asked: str, state: str
) -> None:
    async with path_world(tmp_path) as world:
        sid = await brought_to(world, state)
        assert code_of(await getattr(world.messages, asked)(ACCOUNT, sid)) == 20009


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_redacted_text_leaves_nothing_of_what_it_said_even_later(
    tmp_path: Path, restarted: bool
) -> None:
    async with path_world(tmp_path) as world:
        sid = await brought_to(world, "sent")
        assert await world.count("trace") == 1
        if restarted:
            await world.restart()
        answer = await world.messages.redact(ACCOUNT, sid)
        assert isinstance(answer, Message) and (answer.body, answer.status) == ("", "sent")
        assert await world.count("trace") == 0
        if restarted:
            await world.restart()
        await world.say(world.receipt("A1"))  # which quotes the text
        assert await world.status(sid) == ("delivered", 0)
        assert await world.store.real.fetch(trace.OF_MESSAGE, sid) == []
        assert (await world.message(sid)).body == ""
        assert all("Hello" not in job.payload for job in [*world.jobs, *world.runner.jobs])


@pytest.mark.parametrize("asked", ["redact", "delete"])
async def test_a_copy_that_is_answered_after_it_leaves_nothing_either(
    tmp_path: Path, asked: str
) -> None:
    async with path_world(tmp_path) as world:
        sid = (await world.send()).sid
        (first,) = world.out
        await world.say(world.silence(first))
        (copy,) = world.out
        await world.say(world.answer(first, "A1", late=True))
        await getattr(world.messages, asked)(ACCOUNT, sid)
        await world.say(world.answer(copy, "A2"))
        assert await world.count("trace") == 0


@pytest.mark.parametrize("state", ["sent", "delivered", "failed"])
async def test_a_deleted_text_is_gone_and_its_receipt_finds_nobody(
    tmp_path: Path, state: str
) -> None:
    async with path_world(tmp_path) as world:
        sid = await brought_to(world, state)
        told = world.told_states(sid)
        assert await world.messages.delete(ACCOUNT, sid) is None
        assert await world.count("messages") == 0
        assert await world.count("trace") == 0
        assert await world.parts(sid) == []
        await world.say(world.receipt("A1"))
        assert world.told_states(sid) == told
        assert code_of(await world.messages.delete(ACCOUNT, sid)) == 20404


async def test_cancel_and_the_pump_do_not_both_win(tmp_path: Path) -> None:
    async with path_world(tmp_path, room=0) as world:
        sid = (await world.send()).sid
        world.network.room = 1
        canceling = asyncio.ensure_future(world.messages.cancel(ACCOUNT, sid))
        await world.pass_(0.1)
        answer = await canceling
        out = world.out
        assert (len(out) == 1) is isinstance(answer, Refusal)


# -- receipts that never come ------------------------------------------------------------


async def test_a_text_whose_receipt_never_comes_stays_sent_and_is_noted_once(
    tmp_path: Path,
) -> None:
    async with path_world(tmp_path) as world:
        sid = await brought_to(world, "sent")
        store = world.store.real
        assert await note_overdue(store, "acme", world.now + 86_399.0, 86_400.0) == 0
        assert await note_overdue(store, "acme", world.now + 86_401.0, 86_400.0) == 1
        assert await note_overdue(store, "acme", world.now + 90_000.0, 86_400.0) == 0
        assert await world.status(sid) == ("sent", 0)
        assert await world.facts(sid) == ["queued", "sent", "receipt_overdue"]


async def test_texts_sent_in_the_same_moment_are_all_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.messages.overdue._PAGE", 2)
    async with path_world(tmp_path) as world:
        sids = [(await world.send()).sid for _ in range(5)]
        await world.say(*(world.answer(each, each.sid) for each in world.out))
        assert await note_overdue(world.store.real, "acme", world.now + 86_401.0, 86_400.0) == 5
        for sid in sids:
            assert (await world.facts(sid))[-1] == "receipt_overdue"
        assert await note_overdue(world.store.real, "acme", world.now + 90_000.0, 86_400.0) == 0
