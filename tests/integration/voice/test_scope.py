"""Whatever breaks in a call: it ends, everybody is let go, and nothing is left of it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.calls import service, sip_leg
from gateway.calls.calling import Calling
from gateway.calls.dial_run import DialRun
from gateway.calls.model import CallStatus
from gateway.calls.paths import Paths
from gateway.calls.sip_leg import SipLeg
from gateway.media.plane import Full, Lost
from gateway.store.base import Fenced, StoreUnavailable
from protocols.sip import agent_events as events
from protocols.sip.errors import LocalProtocolError
from protocols.sip.session_offers import Body
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_joined_calls import NUMBER, config
from tests.integration.voice.world import World, world

DIAL = "<Response><Dial action='/after'>+447700900002</Dial></Response>"
FAULT = "the gateway had a fault"
Break = Callable[[pytest.MonkeyPatch, World], None]


class Broken(Exception):
    """What no room expects."""


@pytest.fixture
async def caller(open_phone: OpenPhone) -> Phone:
    return await open_phone("+447700900001", "carrier.example")


@pytest.fixture
async def callee(open_phone: OpenPhone) -> Phone:
    return await open_phone("callee", "carrier.example")


def house_of(here: World) -> Any:
    voice = here.gateway._voice
    assert voice is not None
    return voice.calls._house


async def fails(*_: Any, **__: Any) -> Any:
    raise Broken("as the test wants it")


def fails_at_once(*_: Any, **__: Any) -> Any:
    raise Broken("as the test wants it")


def answers(value: Any) -> Callable[..., Any]:
    def answer(*_: Any, **__: Any) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_result(value)
        return future

    return answer


def breaks_off(error: Exception) -> Callable[..., Any]:
    def answer(*_: Any, **__: Any) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_exception(error)
        return future

    return answer


async def connected(here: World, caller: Phone, callee: Phone) -> None:
    """Have them talk: each leg is answered by itself, so one may be up before the other."""
    caller.call(NUMBER, here.hop())
    await caller.until(events.Answered)
    await callee.until(events.Confirmed)


async def nothing_is_left(here: World, tasks: set[Any]) -> None:
    """Also when that takes as long as a worker may."""
    await here.ended()
    voice = here.gateway._voice
    assert voice is not None
    assert here.ledger() == {}
    assert house_of(here).plane._places == {}
    left = {each for each in asyncio.all_tasks() - tasks if "call" in repr(each.get_coro()).lower()}
    assert not left


def documents(patch: pytest.MonkeyPatch, here: World) -> None:
    patch.setattr(house_of(here).documents, "fetch", fails)


def arms(patch: pytest.MonkeyPatch, here: World) -> None:
    patch.setattr(house_of(here).reach, "arms", fails_at_once)


def lost(patch: pytest.MonkeyPatch, here: World) -> None:
    patch.setattr(house_of(here).plane, "apply", answers(Lost(call="")))


def broken_plane(patch: pytest.MonkeyPatch, here: World) -> None:
    patch.setattr(house_of(here).plane, "apply", breaks_off(Broken("as the test wants it")))


def full(patch: pytest.MonkeyPatch, here: World) -> None:
    patch.setattr(house_of(here).plane, "open", lambda call: Full(reason="no room"))


def fenced(patch: pytest.MonkeyPatch, here: World) -> None:
    patch.setattr(house_of(here).store, "commit", breaks_off(Fenced("another has it")))


def unwritable(patch: pytest.MonkeyPatch, here: World) -> None:
    patch.setattr(house_of(here).store, "commit", breaks_off(Broken("as the test wants it")))


@pytest.mark.parametrize(
    ("breaks", "status", "reason"),
    [
        (documents, 500, FAULT),
        (arms, 500, FAULT),
        (lost, 500, "the media worker of the call is gone"),
        (broken_plane, 500, "the media worker of the call is gone"),
        (full, 503, "no room"),
    ],
)
async def test_a_call_that_is_not_answered_is_refused(
    tmp_path: Path,
    caller: Phone,
    callee: Phone,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Break,
    status: int,
    reason: str,
) -> None:
    twiml = DIAL.replace("action", "answerOnBridge='true' action")
    async with world(tmp_path, config(callee), twiml) as here:
        tasks = asyncio.all_tasks()
        breaks(monkeypatch, here)
        caller.call(NUMBER, here.hop())
        refused = await caller.until(events.Refused)
        assert refused.status == status
        assert reason in (refused.headers.first("Reason") or "")
        # Who finds no room here is asked to stay away from the whole node for a while.
        assert ("Retry-After" in refused.headers) is (status == 503)
        await nothing_is_left(here, tasks)
        (call,) = await here.calls()
        assert call["status"] == "failed"
        monkeypatch.undo()
        caller.call(NUMBER, here.hop())
        await caller.until(events.Answered)
        caller.hang_up()
        await nothing_is_left(here, tasks)


@pytest.mark.parametrize("breaks", [fenced, unwritable])
async def test_what_cant_be_kept_is_not_answered(
    tmp_path: Path, caller: Phone, callee: Phone, monkeypatch: pytest.MonkeyPatch, breaks: Break
) -> None:
    async with world(tmp_path, config(callee), DIAL) as here:
        tasks = asyncio.all_tasks()
        breaks(monkeypatch, here)
        caller.call(NUMBER, here.hop())
        assert (await caller.until(events.Refused)).status == 500
        await nothing_is_left(here, tasks)
        monkeypatch.undo()
        assert await here.calls() == []


async def test_a_store_that_is_away_is_waited_for(
    tmp_path: Path, caller: Phone, callee: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, config(callee), DIAL) as here:
        tried = asyncio.Event()

        refuse = breaks_off(StoreUnavailable("away"))

        def commit(*_: Any) -> "asyncio.Future[None]":
            tried.set()
            return refuse()

        monkeypatch.setattr(house_of(here).store, "commit", commit)
        caller.call(NUMBER, here.hop())
        await tried.wait()
        await here.app.until("/voice")
        assert not [each for each in caller.told if isinstance(each, events.Answered)]
        monkeypatch.undo()
        await caller.until(events.Answered)
        await callee.until(events.Confirmed)
        caller.hang_up()
        await here.ended()
        assert here.ledger() == {}


def dial_at_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Calling, "_on_answered", fails_at_once)


def leg_at_ringing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DialRun, "_on_rang", fails_at_once)


def media_at_its_first_packet(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Paths, "found", fails_at_once)


@pytest.mark.parametrize("breaks", [dial_at_answer, leg_at_ringing, media_at_its_first_packet])
async def test_what_breaks_while_a_leg_or_media_tell_ends_all_legs(
    tmp_path: Path,
    caller: Phone,
    callee: Phone,
    monkeypatch: pytest.MonkeyPatch,
    breaks: Callable[[pytest.MonkeyPatch], None],
) -> None:
    async with world(tmp_path, config(callee), DIAL) as here:
        tasks, pids = asyncio.all_tasks(), house_of(here).plane.pids()
        breaks(monkeypatch)
        caller.call(NUMBER, here.hop())
        await caller.until(events.Ended)
        await callee.until(events.Ended)
        await nothing_is_left(here, tasks)
        assert house_of(here).plane.pids() == pids  # a fault of one call costs no worker
        found = {call["direction"]: call["status"] for call in await here.calls()}
        assert found["inbound"] in ("failed", "completed")  # its answer may be under way
        assert found["outbound-dial"] in ("canceled", "completed")


async def test_a_fault_of_a_leg_ends_that_leg(
    tmp_path: Path, caller: Phone, callee: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, config(callee), DIAL) as here:
        tasks = asyncio.all_tasks()
        await connected(here, caller, callee)
        monkeypatch.setitem(sip_leg._HANDLERS, events.InfoReceived, fails_at_once)
        _inform(callee)
        await callee.until(events.HungUp)
        form = await here.app.until("/after")  # and the caller's document goes on
        assert form["DialCallStatus"] == "completed"
        await caller.until(events.HungUp)
        await nothing_is_left(here, tasks)


def _inform(phone: Phone) -> None:
    body = Body(octets=b"Signal=1\r\n", type="application/dtmf-relay")
    phone.station.agent.info(phone.session, body, phone.station.now())
    phone.station.wake()


async def test_media_that_are_not_released_keep_no_call_alive(
    tmp_path: Path, caller: Phone, callee: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, config(callee), DIAL) as here:
        monkeypatch.setattr(house_of(here).plane, "end", fails)
        await connected(here, caller, callee)
        caller.hang_up()
        await callee.until(events.HungUp)
        await here.ended()
        assert here.ledger() == {}
        assert {call["status"] for call in await here.calls()} == {CallStatus.COMPLETED}


async def test_a_document_that_breaks_in_mid_call_ends_it(
    tmp_path: Path, caller: Phone, callee: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, config(callee), DIAL) as here:
        tasks = asyncio.all_tasks()
        await connected(here, caller, callee)
        documents(monkeypatch, here)
        callee.hang_up()
        hung = await caller.until(events.HungUp)
        assert FAULT in (hung.headers.first("Reason") or "")
        await nothing_is_left(here, tasks)


async def test_an_invite_that_cant_be_said_is_no_way(
    tmp_path: Path, caller: Phone, callee: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, config(callee), DIAL) as here:
        tasks = asyncio.all_tasks()

        def invite(*_: Any) -> None:
            raise LocalProtocolError("a header has a line end")

        monkeypatch.setattr(house_of(here).tools.station.agent, "invite", invite)
        caller.call(NUMBER, here.hop())
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "failed"
        await caller.until(events.Ended)
        await nothing_is_left(here, tasks)


@pytest.mark.parametrize("where", [(service, "objection"), (SipLeg, "receive")])
async def test_a_call_that_falls_as_it_comes_in_is_refused(
    tmp_path: Path,
    caller: Phone,
    callee: Phone,
    monkeypatch: pytest.MonkeyPatch,
    where: tuple[Any, str],
) -> None:
    async with world(tmp_path, config(callee), DIAL) as here:
        tasks = asyncio.all_tasks()
        monkeypatch.setattr(*where, fails_at_once)
        caller.call(NUMBER, here.hop())
        refused = await caller.until(events.Refused)
        assert refused.status == 500
        assert FAULT in (refused.headers.first("Reason") or "")
        await nothing_is_left(here, tasks)
        await here.quiet()
        monkeypatch.undo()
        caller.call(NUMBER, here.hop())
        await callee.until(events.Confirmed)
        caller.hang_up()
        await nothing_is_left(here, tasks)
