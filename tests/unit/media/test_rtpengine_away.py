"""What becomes of calls when rtpengine is silent, refuses, forgets or restarts."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from gateway.media import wire
from gateway.media.graph import Guest
from gateway.media.ng import NgRefused
from gateway.media.plane import Lost, WorkerLost
from gateway.media.rtpengine import keeper, leftovers
from gateway.media.rtpengine.plane import LOST
from tests.unit.media.ng_world import AWAY, CALL, World, graph, leg, talk, taped, until


@pytest.mark.parametrize("command", ["offer", "answer"])
async def test_a_call_whose_fronts_are_refused_is_lost_and_leaves_nothing(command: str) -> None:
    here = await World().bridged()
    here.engine.fails[command] = NgRefused("no ports left")
    assert isinstance(await here.plane.apply(taped(2)), Lost)
    assert here.of(WorkerLost) == [WorkerLost(worker=0, calls=(CALL,), reason=LOST)]
    assert isinstance(await here.plane.apply(talk(3)), Lost)
    assert len(here.of(WorkerLost)) == 1
    here.engine.fails.clear()
    await here.plane.end(CALL)
    assert here.engine.known == {}


@pytest.mark.parametrize("command", ["offer", "answer"])
async def test_a_change_is_held_while_rtpengine_is_silent_and_made_when_it_answers(
    command: str,
) -> None:
    here = await World().bridged()
    here.engine.fails[command] = AWAY
    changing = here.plane.apply(taped(2))
    await until(lambda: not here.plane.keeper.is_there)
    assert not changing.done()
    here.engine.fails.clear()
    await here.plane.keeper._ask_once()
    assert isinstance(await changing, wire.Applied)
    assert here.log[-5:-1] == [
        *("offer a at 20000", "answer a at 5000", "offer b at 20002", "answer b at 6000")
    ]
    assert here.plane.counts()["bridged"] == 0 and here.of(WorkerLost) == []


async def test_a_change_that_is_held_for_too_long_ends_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "GIVEN_UP", 0.1)
    here = await World().bridged()
    here.engine.fails["offer"] = AWAY
    assert isinstance(await here.plane.apply(taped(2)), Lost)
    assert here.of(WorkerLost) == [WorkerLost(worker=0, calls=(CALL,), reason=LOST)]


async def test_a_call_may_end_while_a_change_is_held() -> None:
    here = await World().bridged()
    here.engine.fails["offer"] = AWAY
    changing = here.plane.apply(taped(2))
    await until(lambda: not here.plane.keeper.is_there)
    await here.plane.end(CALL)
    assert isinstance(await changing, Lost)
    assert here.of(WorkerLost) == [] and here.plane._calls == {}
    here.engine.fails.clear()
    await here.plane.keeper._ask_once()
    assert here.engine.known == {}


async def test_what_is_wanted_of_a_call_that_ends_is_nothing_any_more() -> None:
    """It borrows, and waits for that; meanwhile the end has its turn."""
    here = await World().bridged()
    here.plane.open("CF1")
    here.engine.held["offer"] = asyncio.Event()
    wanted = graph(1, leg("x"), Guest(id="g", call=CALL, leg="a"), call="CF1")
    applying = here.plane.apply(wanted)
    await until(lambda: bool(here.log))
    ending = here.plane.end("CF1")
    await ending
    here.engine.held["offer"].set()
    assert isinstance(await applying, Lost)
    await here.settled()
    assert not [each for each in here.engine.known if each.endswith("-x")]
    assert (here.plane._guests, here.plane._lent) == ({}, set())
    assert here.plane.counts()["bridged"] == 2


async def test_who_wants_something_of_a_call_that_is_ending_borrows_nothing() -> None:
    here = await World().bridged()
    here.plane.open("CF1")
    await here.applied(graph(1, leg("x"), call="CF1"))
    here.engine.held["delete"] = asyncio.Event()
    ending = here.plane.end("CF1")
    await until(lambda: "delete x" in here.log)
    late = here.plane.apply(graph(2, Guest(id="g", call=CALL, leg="a"), call="CF1"))
    assert isinstance(await late, Lost)
    assert here.plane._lent == set() and here.plane.counts()["bridged"] == 2
    here.engine.held["delete"].set()
    await ending


async def test_a_lender_that_ends_while_it_is_waited_for_takes_no_other_along() -> None:
    here = await World().bridged()
    here.plane.open("CA2")
    await here.applied(talk(1, call="CA2"))
    here.plane.open("CF1")
    here.log.clear()
    here.engine.held["offer"] = asyncio.Event()
    guests = [Guest(id=f"g{each}", call=each, leg="a") for each in (CALL, "CA2")]
    applying = here.plane.apply(graph(1, *guests, call="CF1"))
    await until(lambda: here.log.count("offer a at 20000") == 2)  # neither waits for the other
    ending = [here.plane.end(each) for each in (CALL, "CA2")]
    here.engine.held["offer"].set()
    assert isinstance(await applying, wire.Applied)
    await asyncio.gather(*ending)
    assert here.of(WorkerLost) == [] and here.plane._calls.keys() == {"CF1"}


async def test_a_lenders_fault_is_the_lenders_alone() -> None:
    here = await World().bridged()
    here.plane.open("CF1")
    here.engine.fails["answer"] = ValueError("a fault of ours")
    room = graph(1, Guest(id="g", call=CALL, leg="a"), call="CF1")
    assert isinstance(await here.plane.apply(room), wire.Applied)
    assert [each.calls for each in here.of(WorkerLost)] == [(CALL,)]


async def test_a_front_that_was_made_without_an_answer_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = await World().open()
    ask = here.engine.ask

    async def unheard(command: str, **fields: Any) -> dict[str, Any]:
        answer = await ask(command, **fields)
        if command == "offer":
            raise AWAY
        return answer

    monkeypatch.setattr(here.engine, "ask", unheard)
    await here.applied(graph(1, leg("a")))
    assert len(here.engine.known) == 1 and here.plane.counts()["fronts"] == 0
    await here.plane.keeper._ask_once()
    assert here.engine.known == {}


async def test_a_leg_that_the_worker_refuses_to_take_back_is_lost_and_not_deaf() -> None:
    here = await World().bridged()
    here.behind.refuses = "it has a fault"
    here.plane.press(CALL, "b", "1")
    await here.settled()
    assert here.of(WorkerLost) == [WorkerLost(worker=0, calls=(CALL,), reason=LOST)]


async def test_a_close_deletes_what_could_not_be_deleted_before() -> None:
    here = await World().bridged()
    here.plane.keeper.failed(AWAY)
    await here.plane.end(CALL)
    assert len(here.engine.known) == 2
    await here.plane.close()
    assert here.engine.known == {}


async def test_a_close_waits_for_no_change_that_is_held() -> None:
    here = await World().bridged()
    here.engine.fails["offer"] = AWAY
    changing = here.plane.apply(taped(2))
    await until(lambda: not here.plane.keeper.is_there)
    await here.plane.close()
    assert isinstance(await changing, Lost)
    assert here.of(WorkerLost) == []


async def test_a_fault_leaves_nothing() -> None:
    here = await World().bridged()
    here.engine.fails["delete"] = ValueError("a fault of ours")
    with pytest.raises(ValueError, match="a fault of ours"):
        await here.plane.end(CALL)
    assert here.plane._calls == {} and here.log[-1] == "end"
    del here.engine.fails["delete"]
    await here.plane.keeper._ask_once()
    assert here.engine.known == {}


async def test_a_fault_in_a_change_ends_its_call() -> None:
    here = await World().bridged()
    here.engine.fails["answer"] = ValueError("a fault of ours")
    with pytest.raises(ValueError, match="a fault of ours"):
        await here.plane.apply(taped(2))
    assert len(here.of(WorkerLost)) == 1
    await here.plane.end(CALL)
    assert here.engine.known == {} and here.plane._calls == {}


async def test_what_could_not_be_deleted_is_deleted_when_it_answers_again() -> None:
    here = await World().bridged()
    here.engine.fails["delete"] = AWAY
    await here.plane.end(CALL)
    assert here.plane._calls == {} and len(here.engine.known) == 2
    assert not here.plane.keeper.is_there
    del here.engine.fails["delete"]
    await here.plane.keeper._ask_once()
    assert here.engine.known == {}


async def test_one_that_restarted_has_lost_its_calls() -> None:
    here = await World().bridged()
    await here.plane.keeper._ask_once()
    here.engine.known.clear()
    here.engine.uptime = 0
    here.engine.asked.clear()
    await here.plane.keeper._ask_once()
    assert len(here.of(WorkerLost)) == 1
    assert here.plane.keeper.is_there
    assert here.engine.asked == {"statistics": 1, "query": 2}


async def test_one_that_has_fewer_calls_than_there_are_fronts_has_forgotten_some() -> None:
    here = await World().bridged()
    await here.plane.keeper._ask_once()
    here.engine.known.clear()  # it says of its time and its ends what it said before
    await here.plane.keeper._ask_once()
    assert len(here.of(WorkerLost)) == 1


async def test_while_nothing_is_forgotten_one_question_is_enough_for_all() -> None:
    here = await World().bridged()
    await here.plane.keeper._ask_once()
    here.engine.asked.clear()
    await here.plane.keeper._ask_once()
    assert here.engine.asked == {"statistics": 1}


async def test_a_front_that_is_forgotten_among_others_calls_is_found_at_once() -> None:
    here = await World().bridged()
    here.plane.open("CA2")
    await here.applied(talk(1, call="CA2"))
    here.engine.known["another's"] = here.engine._new()
    await here.plane.keeper._ask_once()
    first = next(iter(here.engine.known))
    del here.engine.known[first]
    here.engine.ended += 1
    await here.plane.keeper._ask_once()
    assert [each.calls for each in here.of(WorkerLost)] == [(CALL,)]


async def test_one_that_was_begun_anew_on_other_ports_is_none_that_is_known() -> None:
    """It restarted since it was looked at, and takes an offer for a first one."""
    here = await World().bridged()
    here.engine.known.clear()
    assert isinstance(await here.plane.apply(taped(2)), Lost)
    assert here.of(WorkerLost) == [WorkerLost(worker=0, calls=(CALL,), reason=LOST)]


@pytest.mark.parametrize("command", ["statistics", "query"])
async def test_an_answer_that_cant_be_read_ends_no_call(command: str) -> None:
    here = await World().bridged(silence=0.02)
    here.engine.fails[command] = NgRefused("its answer is none that is known")
    here.engine.ended += 1
    await here.plane.keeper._ask_once()
    await here.plane._look()
    assert here.plane.keeper.is_there
    assert here.of(WorkerLost) == []


async def test_one_that_is_away_for_long_has_lost_its_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = await World().bridged()
    here.engine.fails["statistics"] = AWAY
    await here.plane.keeper._ask_once()
    assert here.of(WorkerLost) == []
    monkeypatch.setattr(keeper, "GIVEN_UP", 0.0)
    await here.plane.keeper._ask_once()
    assert len(here.of(WorkerLost)) == 1


@pytest.mark.parametrize("refuses", [False, True])
async def test_one_that_answers_anything_is_not_away_for_long(refuses: bool) -> None:
    """Looks may take longer than that; then one question without an answer is no end."""
    here = await World().bridged()
    here.plane._ng.at -= 2 * keeper.GIVEN_UP
    here.engine.fails["statistics"] = AWAY
    if refuses:
        here.engine.fails["query"] = NgRefused("it is busy")
    front = here.plane._fronts()[0]
    with suppress(NgRefused):
        await front.look()
    await here.plane.keeper._ask_once()
    assert here.of(WorkerLost) == []
    here.plane._ng.at -= 2 * keeper.GIVEN_UP
    await here.plane.keeper._ask_once()
    assert len(here.of(WorkerLost)) == 1


async def test_a_leftover_that_cant_be_deleted_ends_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "GIVEN_UP", 0.0)
    here = await World().bridged()
    here.plane.keeper.leave("x-1-one")
    here.engine.fails["delete"] = AWAY
    await here.plane.keeper._ask_once()
    assert not here.plane.keeper.is_there and here.of(WorkerLost) == []
    del here.engine.fails["delete"]
    await here.plane.keeper._ask_once()
    assert here.plane.keeper.is_there and here.log == ["delete one", "delete one"]


async def test_what_a_crash_left_is_deleted_at_the_next_start_and_nothing_of_others() -> None:
    crashed = await World(start="0001").bridged()
    engine = crashed.engine
    engine.asked.clear()
    for each in ("a1b2c3d4", "ffffffff-0001-1-a", "a1b2c3d49-0001-1-a", "sip-call@example.com"):
        engine.known[each] = engine._new()
    for number in range(100):
        engine.known[f"a1b2c3d4-00ff-{number}-a"] = engine._new()
    others = {"a1b2c3d4", "ffffffff-0001-1-a", "a1b2c3d49-0001-1-a", "sip-call@example.com"}
    here = await World(start="0002", engine=engine).open()
    assert engine.known.keys() == others
    await here.applied(talk(1))
    assert len(engine.known) == len(others) + 2
    await here.plane.keeper._ask_once()
    assert len(engine.known) == len(others) + 2
    assert engine.asked["list"] == 2  # it is known how long names are, then all are asked for


async def test_what_a_crash_left_and_rtpengine_keeps_is_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leftovers, "_ROOM", 100)  # a list never has all
    engine = World().engine
    for number in range(40):
        engine.known[f"a1b2c3d4-00ff-{number}-a"] = engine._new()
    engine.fails["delete"] = NgRefused("it is kept")
    async with asyncio.timeout(10):
        here = await World(start="0002", engine=engine).open()
    assert here.plane.keeper.is_there
    assert (engine.asked["list"], engine.asked["delete"]) == (2, 32)


async def test_what_a_crash_left_is_deleted_when_rtpengine_is_back() -> None:
    engine = (await World(start="0001").bridged()).engine
    here = World(start="0002", engine=engine)
    engine.fails["list"] = AWAY
    await here.open()
    assert len(engine.known) == 2
    del engine.fails["list"]
    await here.plane.keeper._ask_once()
    assert engine.known == {}


async def test_what_is_left_while_another_is_deleted_is_deleted_as_well() -> None:
    here = await World().open()
    here.engine.held["delete"] = held = asyncio.Event()
    here.plane.keeper.leave("x-1-one")
    asking = asyncio.create_task(here.plane.keeper._ask_once())
    for _ in range(10):
        await asyncio.sleep(0)
    assert "delete one" in here.log
    here.plane.keeper.leave("x-2-two")
    held.set()
    await asking
    assert [each for each in here.log if "delete" in each] == ["delete one", "delete two"]
