"""Ends that nobody asked for: the process is killed, it drains, a media worker dies."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gateway.store.base import StoreUnavailable
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Ask, Reply
from protocols.sip.message import Headers, NameAddr
from protocols.sip.session_saved import Saved
from protocols.sip.uri import SipUri
from tests.crash import recordings
from tests.crash.calls import fifty, promised
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_joined_calls import NUMBER, config
from tests.integration.voice.world import World, world

DIAL = "<Response><Dial answerOnBridge='true' action='/after'>+447700900002</Dial></Response>"


@pytest.mark.waiting
async def test_a_kill_leaves_nobody_up(tmp_path: Path) -> None:
    _, wrong = await fifty(tmp_path / "calls", answered=3, ringing=3, waiting=2)
    assert wrong == []


@pytest.mark.waiting
async def test_a_kill_forgets_no_call_that_rest_has_promised(tmp_path: Path) -> None:
    assert await promised(tmp_path / "calls") == []


@pytest.mark.waiting
async def test_a_kill_keeps_what_was_recorded(tmp_path: Path) -> None:
    _, wrong = await recordings.fifty(tmp_path / "calls", messages=2, joined=2, speaks=1.5)
    assert wrong == []


async def connected(here: World, caller: Phone, callee: Phone) -> None:
    caller.call(NUMBER, here.hop())
    await caller.until(events.Answered)
    await callee.until(events.Confirmed)


async def test_a_call_that_cant_be_ended_keeps_nobody_from_starting(
    tmp_path: Path, open_phone: OpenPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")
    async with world(tmp_path, config(callee), DIAL) as here:
        await connected(here, caller, callee)
        voice = here.gateway._voice
        assert voice is not None
        book = voice.calls._house.book
        asked = []

        async def legs(sid: str) -> Any:
            asked.append(sid)
            raise ValueError("as the test wants it")

        async def orphaned() -> list[str]:
            return [voice.calls._house.owner]

        monkeypatch.setattr(book, "orphaned", orphaned)
        monkeypatch.setattr(book, "legs", legs)
        await voice._restart._look()
        assert len(asked) == 2
        monkeypatch.undo()
        caller.hang_up()
        await here.ended()


async def test_a_media_worker_that_dies_ends_its_calls(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example", tone=440)
    callee = await open_phone("callee", "carrier.example", tone=880)
    async with world(tmp_path, config(callee), DIAL) as here:
        await connected(here, caller, callee)
        await asyncio.gather(caller.sound.hears(880), callee.sound.hears(440))
        voice = here.gateway._voice
        assert voice is not None
        plane = voice.calls._house.plane
        (pid,) = plane.pids().values()
        os.kill(pid, signal.SIGKILL)
        reasons = [
            (await phone.until(events.HungUp)).headers.first("Reason") or ""
            for phone in (caller, callee)
        ]
        assert "its media worker died" in reasons[0]
        await here.ended()
        assert here.ledger() == {}
        for call in await here.calls():
            known = await here.call(call["sid"])
            assert known.status == "completed"
            assert known.reason
        (parent,) = [each for each in await here.calls() if each["direction"] == "inbound"]
        assert (await here.call(parent["sid"])).reason == "its media worker died"
        async with asyncio.timeout(60):  # until another has its place
            while pid in plane.pids().values() or not plane.pids():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        caller.told.clear()
        callee.told.clear()
        await connected(here, caller, callee)
        await asyncio.gather(caller.sound.hears(880), callee.sound.hears(440))
        caller.hang_up()
        await callee.until(events.HungUp)
        await here.ended()
        assert here.ledger() == {}


async def asked(phone: Phone, here: World) -> int:
    """What OPTIONS are answered."""
    since = len(phone.told)
    us = NameAddr(uri=SipUri(user=phone.user, host=phone.domain))
    ask = Ask(method="OPTIONS", uri=SipUri(host="127.0.0.1"), from_=us, to=us)
    phone.station.agent.request(ask, here.hop(), phone.station.now())
    phone.station.wake()
    return (await phone.until(events.Responded, since=since)).response.status


async def test_who_drains_takes_no_calls_and_lets_those_end_that_stand(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")
    other = await open_phone("+447700900003", "carrier.example")
    text = config(callee) + "[daemon]\ndrain_calls = '60s'\n"
    async with world(tmp_path, text, DIAL) as here:
        assert await asked(other, here) == 200
        await connected(here, caller, callee)
        closing = asyncio.create_task(here.gateway.close())
        while await asked(other, here) != 503:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        other.call(NUMBER, here.hop())
        assert (await other.until(events.Refused)).status == 503
        assert not [each for each in caller.told if isinstance(each, events.HungUp)]
        caller.hang_up()
        await callee.until(events.HungUp)
        async with asyncio.timeout(30):  # half of what calls may take
            await closing


async def test_without_patience_calls_are_hung_up(tmp_path: Path, open_phone: OpenPhone) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")
    async with world(tmp_path, config(callee), DIAL) as here:
        await connected(here, caller, callee)
        await here.gateway.close()
        for phone in (caller, callee):
            await phone.until(events.HungUp)


async def test_who_is_silent_does_not_keep_the_process(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")
    async with world(tmp_path, config(callee), DIAL) as here:
        await connected(here, caller, callee)
        sid = (await here.calls())[0]["sid"]
        callee.station._passes = lambda crossed: False  # it will hear no BYE
        async with asyncio.timeout(30):  # a BYE is repeated for 32 s
            await here.gateway.close()
    async with world(tmp_path, config(caller)) as again:
        assert (await again.call(sid)).reason != "the gateway was restarted"
        assert {call["status"] for call in await again.calls()} == {"completed"}
        assert all(leg.ended and leg.saved is None for leg in await again.legs(sid))


async def test_a_store_that_is_away_does_not_keep_the_process(
    tmp_path: Path, open_phone: OpenPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")

    def commit(*_: Any) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(StoreUnavailable("away"))
        return future

    async with world(tmp_path, config(callee), DIAL) as here:
        await connected(here, caller, callee)
        voice = here.gateway._voice
        assert voice is not None
        monkeypatch.setattr(voice.calls._house.store, "commit", commit)
        async with asyncio.timeout(30):
            await here.gateway.close()
        for phone in (caller, callee):
            await phone.until(events.HungUp)


CHALLENGE = 'Digest realm="carrier.example", nonce="abc", algorithm=MD5, qop="auth"'


def challenging(phone: Phone, event: events.Invited) -> None:
    """Ask for a password, and ring for who gives one."""
    if "Proxy-Authorization" in event.request.headers:
        Phone.ringing(phone, event)
        return
    reply = Reply(status=407, headers=Headers((("Proxy-Authenticate", CHALLENGE),)))
    phone.station.agent.refuse(event.session, reply, phone.station.now())


async def kept(here: World, part: bytes) -> Saved:
    """What a restart would know of the INVITE with `part`: a provisional waits for no row."""
    async with asyncio.timeout(30):
        while True:
            for call in await here.calls():
                for leg in await here.legs(call["sid"]):
                    if leg.saved is not None and part in leg.saved.invite:
                        return leg.saved
            await asyncio.sleep(0.05)


async def test_an_invite_that_goes_out_again_is_what_a_restart_cancels(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    callee = await open_phone("callee", "carrier.example")
    callee.on_call = challenging
    text = config(callee).replace("[[numbers]]", 'username = "us"\npassword = "pw"\n[[numbers]]')
    async with world(tmp_path, text, DIAL) as here:
        caller.call(NUMBER, here.hop())
        await caller.until(events.Progressed, where=lambda each: each.response.status == 180)
        saved = await kept(here, b"Proxy-Authorization: ")
        invite = [each for each in callee.told if isinstance(each, events.Invited)][-1].request
        assert f"CSeq: {invite.cseq} INVITE".encode() in saved.invite
        assert invite.vias[0].branch.encode() in saved.invite
        caller.hang_up()
        await here.ended()
        assert here.ledger() == {}
