"""Transfers: blind and attended, by caller and callee, refused, and half done when somebody goes.

RFC 3515, RFC 3891, RFC 5589 and the flows of RFC 5359 §2.4 and §2.5.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.calls import places
from gateway.calls.model import Call
from gateway.calls.seats import Newcomer
from gateway.calls.transfer import Transfers
from gateway.store.base import StoreUnavailable
from protocols.sdp.formats import PCMA
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import SessionId
from protocols.sip.headers import Replaces
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import SipUri, TelUri, Uri
from tests.integration.voice.acts import (
    dial,
    hears,
    name,
    outcome,
    refer,
    replace,
    ring_early,
    told,
    user,
)
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import PATIENCE, Phone
from tests.integration.voice.world import ACCOUNT, World, uncollected, until, world

DOMAIN = "office.example"
CONFIG = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
users = [
  { username = "alice", password = "pa" },
  { username = "bob", password = "pb" },
  { username = "carol", password = "pc" },
  { username = "dave", password = "pd" },
]
[[domains]]
name = "elsewhere.example"
voice_url = "{app}/voice"
users = [{ username = "eve", password = "pe" }]
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{port}"
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_url = "{app}/voice"
"""
NUMBER = "+15550001000"
TONES = {"alice": 440, "bob": 600, "carol": 880, "dave": 1100}


@pytest.fixture
async def carrier(open_phone: OpenPhone) -> Phone:
    return await open_phone("callee", "carrier.example", tone=1500)


@pytest.fixture
async def office(open_phone: OpenPhone) -> dict[str, Phone]:
    return {
        each: await open_phone(each, DOMAIN, tone=tone, password=f"p{each[0]}")
        for each, tone in TONES.items()
    }


@asynccontextmanager
async def gateway(
    folder: Path, carrier: Phone, office: dict[str, Phone], twiml: str
) -> AsyncIterator[World]:
    """A world with the office's phones registered; nothing is left of it in the end."""
    _, (_, port) = carrier.station.endpoint.addresses()[0]
    async with world(folder, CONFIG.replace("{port}", str(port)), twiml, workers=2) as here:
        for phone in office.values():
            await phone.register(here.hop())
        async with uncollected():
            yield here
            await here.ended()
        assert here.ledger() == {}


def house_of(here: World) -> Any:
    voice = here.gateway._voice
    assert voice is not None
    return voice.calls._house


def at(who: str) -> Uri:
    return SipUri(user=who, host=DOMAIN)


async def talk(one: Phone, other: Phone) -> None:
    await asyncio.gather(one.sound.hears(other.sound.tone), other.sound.hears(one.sound.tone))


async def join(here: World, caller: Phone, callee: Phone, **attributes: str) -> SessionId:
    """Let one phone call another; the session of the caller."""
    attributes = {"answerOnBridge": "true", "action": "/after", **attributes}
    here.app.pages["/voice"] = dial(user(callee.user), **attributes)
    session = caller.call(callee.user, here.hop())
    await caller.until(events.Answered, where=lambda each: each.session == session)
    await callee.until(events.Confirmed, where=lambda each: each.session == callee.session)
    return session


async def part(ends: Phone, other: Phone) -> None:
    """Let one party hang up, and the other hear of it."""
    ends.hang_up()
    await other.until(events.HungUp)


async def attended(
    here: World,
    who: Phone,
    one: Phone,
    other: Phone,
    parts: tuple[str, str] = ("callee", "caller"),
) -> tuple[SessionId, SessionId]:
    """Have a phone join the two that it talks to; its sessions with them."""
    first = await _joined(here, who, one, parts[0])
    second = await _joined(here, who, other, parts[1])
    asked = refer(who, at(other.user), session=first, replacing=name(who, second))
    assert await outcome(who, asked) == 200
    return first, second


async def by_origin(here: World, prefix: str, status: str = "") -> Call:
    """The call of that origin, once its row is there and has `status` if that is asked for."""
    return await here.stored(
        lambda call: call.origin.startswith(prefix) and status in ("", call.status)
    )


async def test_the_callee_transfers_the_caller(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        await talk(alice, bob)
        carol.on_call = Phone.ringing
        asked = refer(bob, at("carol"))
        invited = await carol.until(events.Invited)
        await hears(bob, asked, 180)  # else it may give way to what comes next
        carol.pick_up(invited)
        carol.station.wake()
        assert await outcome(bob, asked) == 200
        assert told(bob, asked)[0] in (100, 202)
        await bob.until(events.HungUp)
        await talk(alice, carol)
        assert "sip:bob@office.example" in (invited.request.headers.first("Referred-By") or "")
        assert here.app.asked[-1][0] == "/voice"
        carol.hang_up()
        form = await here.app.until("/after")
        await alice.until(events.HungUp)
        assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
        third = await by_origin(here, "transfer:")
        parent = await here.call(form["CallSid"])
        await here.ended()
        parent, third = await here.call(parent.sid), await here.call(third.sid)
        child = await here.call(form["DialCallSid"])
        assert third.origin == f"transfer:{parent.sid}"
        assert third.parent_sid == parent.sid
        assert third.to_address == "sip:carol@office.example"
        assert [each.status for each in (parent, child, third)] == ["completed"] * 3
        assert child.ended < third.ended <= parent.ended
        legs = [leg for each in (parent, child, third) for leg in await here.legs(each.sid)]
        assert all(leg.received.packets and leg.ended and leg.saved is None for leg in legs)
        assert [leg.cause for leg in await here.legs(child.sid)] == ["transferred"]


async def test_the_caller_transfers_the_callee(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        asked = refer(alice, at("carol"))
        assert await outcome(alice, asked) == 200
        await alice.until(events.HungUp)
        await talk(bob, carol)
        third = await by_origin(here, "transfer:", "in-progress")
        await here.stored(lambda call: call.sid == third.parent_sid and call.status == "completed")
        await part(bob, carol)
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "completed"
        await here.ended()
        assert (await here.call(third.sid)).status == "completed"


@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_who_asked_may_go_at_once(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], who: str
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    leaving, staying = (alice, bob) if who == "alice" else (bob, alice)
    carol.on_call = None
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        refer(leaving, at("carol"))
        invited = await carol.until(events.Invited)
        leaving.hang_up()
        await leaving.until(events.Ended)
        carol.pick_up(invited)
        carol.station.wake()
        await talk(staying, carol)
        await part(staying, carol)


@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_nobody_is_left_when_who_asked_is_gone_and_nobody_comes(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], who: str
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    leaving, staying = (alice, bob) if who == "alice" else (bob, alice)
    carol.on_call = None
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        refer(leaving, at("carol"))
        invited = await carol.until(events.Invited)
        leaving.hang_up()
        await leaving.until(events.Ended)
        Phone.refusing(486)(carol, invited)
        carol.station.wake()
        await staying.until(events.HungUp)
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "completed"
        await here.ended()
        assert (await by_origin(here, "transfer:")).status == "busy"


@pytest.mark.parametrize(("answer", "heard"), [(486, 486), (404, 404), (603, 603)])
async def test_a_transfer_that_fails_leaves_all_as_it_was(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], answer: int, heard: int
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    carol.on_call = Phone.refusing(answer)
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        assert await outcome(bob, refer(bob, at("carol"))) == heard
        await talk(alice, bob)
        carol.on_call = Phone.pick_up
        assert await outcome(bob, refer(bob, at("carol"))) == 200
        await talk(alice, carol)
        await part(alice, carol)


async def test_who_was_heard_and_did_not_answer_is_heard_no_more(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    carol.on_call = ring_early
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        asked = refer(bob, at("carol"))
        await alice.sound.hears(carol.sound.tone)
        await hears(bob, asked, 183)
        carol.station.agent.refuse(carol.session, Reply(status=486), carol.station.now())
        carol.station.wake()
        assert await outcome(bob, asked) == 486
        await talk(alice, bob)
        await part(alice, bob)


async def test_who_is_not_there_is_said_to_be_unavailable(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob = office["alice"], office["bob"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        assert await outcome(alice, refer(alice, at("nobody"))) == 503
        await talk(alice, bob)
        await part(bob, alice)


@pytest.mark.parametrize(
    "to",
    [
        SipUri(user="+447700900002", host=DOMAIN),
        TelUri(number="+44-7700-900002"),
    ],
)
async def test_a_user_transfers_to_a_number(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], to: Uri
) -> None:
    alice, bob = office["alice"], office["bob"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob, callerId=NUMBER)
        assert await outcome(bob, refer(bob, to)) == 200
        await talk(alice, carrier)
        invited = await carrier.until(events.Invited)
        assert invited.request.from_.uri.user == NUMBER
        assert invited.request.uri.user == "+447700900002"
        third = await by_origin(here, "transfer:", "in-progress")
        assert third.to_address == "+447700900002"
        assert [leg.carrier for leg in await here.legs(third.sid)] == ["acme"]
        await part(alice, carrier)


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_a_carriers_leg_may_not_transfer(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], who: str
) -> None:
    bob = office["bob"]
    async with gateway(tmp_path, carrier, office, dial(user("bob"))) as here:
        if who == "caller":
            carrier.call(NUMBER, here.hop())
            await carrier.until(events.Answered)
            await bob.until(events.Confirmed)
            stranger = carrier
        else:
            here.app.pages["/voice"] = dial("+447700900002")
            bob.call("anything", here.hop())
            await bob.until(events.Answered)
            await carrier.until(events.Confirmed)
            stranger = carrier
        assert await outcome(stranger, refer(stranger, at("carol"))) == 403
        await talk(carrier, bob)
        assert len(await here.calls()) == 2
        await part(bob, carrier)


async def test_who_is_joined_to_nobody_has_nobody_to_transfer(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice = office["alice"]
    document = '<Response><Pause length="30"/></Response>'
    async with gateway(tmp_path, carrier, office, document) as here:
        alice.call("anything", here.hop())
        await alice.until(events.Answered)
        assert await outcome(alice, refer(alice, at("carol"))) == 480
        alice.hang_up()


async def test_one_transfer_at_a_time(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    carol.on_call = Phone.ringing
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        refer(bob, at("carol"))
        await carol.until(events.Invited)
        assert await outcome(alice, refer(alice, at("dave"))) == 491
        assert await outcome(bob, refer(bob, at("dave"))) == 491
        alice.hang_up()
        await carol.until(events.Cancelled)
        await bob.until(events.HungUp)


async def test_a_phone_does_not_transfer_without_end(
    tmp_path: Path,
    carrier: Phone,
    office: dict[str, Phone],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "MOST", 2)
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    carol.on_call = Phone.refusing(486)
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        codes = [await outcome(bob, refer(bob, at("carol"))) for _ in range(3)]
        assert codes == [486, 486, 403]
        await part(alice, bob)


@pytest.mark.parametrize("who", ["alice", "bob"])
async def test_who_stays_may_go_before_the_other_comes(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], who: str
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    asking, staying = (alice, bob) if who == "alice" else (bob, alice)
    carol.on_call = Phone.ringing
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        refer(asking, at("carol"))
        await carol.until(events.Invited)
        staying.hang_up()
        await carol.until(events.Cancelled)
        await asking.until(events.HungUp)
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "completed"


@pytest.mark.parametrize("first", ["alice", "bob"])
@pytest.mark.parametrize("second", ["stayed", "came"])
async def test_who_was_transferred_transfers_on(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], first: str, second: str
) -> None:
    alice, bob, carol, dave = office.values()
    asking, staying = (alice, bob) if first == "alice" else (bob, alice)
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        assert await outcome(asking, refer(asking, at("carol"))) == 200
        await talk(staying, carol)
        await carol.until(events.Confirmed)
        next_, left = (staying, carol) if second == "stayed" else (carol, staying)
        assert await outcome(next_, refer(next_, at("dave"))) == 200
        await next_.until(events.HungUp)
        await talk(left, dave)
        await part(dave, left)


@pytest.mark.parametrize("first_as", ["caller", "callee"])
@pytest.mark.parametrize("second_as", ["caller", "callee"])
@pytest.mark.parametrize("ends", ["alice", "carol"])
async def test_two_calls_of_a_user_become_one(
    tmp_path: Path,
    carrier: Phone,
    office: dict[str, Phone],
    first_as: str,
    second_as: str,
    ends: str,
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    async with gateway(tmp_path, carrier, office, "") as here:
        parts = (first_as, second_as)
        first, second = await attended(here, bob, alice, carol, parts)
        for session in (first, second):
            await bob.until(events.HungUp, where=lambda each, one=session: each.session == one)
        await talk(alice, carol)
        assert len(await here.calls()) == 4
        ending, other = (alice, carol) if ends == "alice" else (carol, alice)
        await part(ending, other)
        await here.ended()
        calls = [await here.call(each["sid"]) for each in await here.calls()]
        assert {each.status for each in calls} == {"completed"}


async def _joined(here: World, who: Phone, other: Phone, part: str) -> SessionId:
    """A call of `who` with another; its session there."""
    if part == "caller":
        return await join(here, who, other)
    await join(here, other, who)
    return who.session


async def test_who_asked_for_an_attended_transfer_may_go_at_once(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    async with gateway(tmp_path, carrier, office, "") as here:
        first = await _joined(here, bob, alice, "callee")
        second = await _joined(here, bob, carol, "caller")
        refer(bob, at("carol"), session=first, replacing=name(bob, second))
        for session in (first, second):
            bob.session = session
            bob.hang_up()
        await talk(alice, carol)
        await part(alice, carol)


async def test_a_transferred_party_of_another_call_transfers_on(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol, dave = office.values()
    async with gateway(tmp_path, carrier, office, "") as here:
        await attended(here, bob, alice, carol)
        await talk(alice, carol)
        assert await outcome(carol, refer(carol, at("dave"))) == 200
        await carol.until(events.HungUp)
        await talk(alice, dave)
        await part(alice, dave)


async def test_what_one_call_speaks_is_made_over_for_the_other(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    alice.codecs = (PCMA,)
    came = asyncio.Event()

    def watch(data: bytes, address: tuple[str, int]) -> None:
        if data[1] & 0x7F == PCMA.payload_type:
            came.set()

    async with gateway(tmp_path, carrier, office, "") as here:
        first, _ = await attended(here, bob, alice, carol)
        await bob.until(events.HungUp, where=lambda each: each.session == first)
        alice.sound.datagram_received = watch  # type: ignore[method-assign]
        async with asyncio.timeout(PATIENCE):
            await came.wait()
        await part(carol, alice)


@pytest.mark.parametrize("dies", [0, 1])
async def test_two_calls_that_were_joined_end_together_when_one_loses_its_media(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], dies: int
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await attended(here, bob, alice, carol)
        await talk(alice, carol)
        os.kill(house_of(here).plane.pids()[dies], signal.SIGKILL)
        for phone in (alice, carol):
            await phone.until(events.HungUp)
        await here.ended()
        calls = [await here.call(each["sid"]) for each in await here.calls()]
        assert {each.status for each in calls} == {"completed"}
        assert "its media worker died" in {each.reason for each in calls}


async def test_who_takes_a_call_over_that_ends_meanwhile_is_refused(
    tmp_path: Path,
    carrier: Phone,
    office: dict[str, Phone],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, bob, dave = office["alice"], office["bob"], office["dave"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        await talk(alice, bob)
        tried = asyncio.Event()

        def commit(*_: object) -> "asyncio.Future[None]":
            tried.set()
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(StoreUnavailable("away"))
            return future

        voice = here.gateway._voice
        assert voice is not None

        async def came() -> bool:
            return len(voice.calls._legs) == 3

        monkeypatch.setattr(house_of(here).store, "commit", commit)
        replace(dave, "anything", here.hop(), name(bob))
        await until(came)  # others write, too
        await tried.wait()
        alice.hang_up()
        assert (await dave.until(events.Refused)).status == 480
        await bob.until(events.HungUp)
        monkeypatch.undo()
        await here.ended()
        third = await by_origin(here, "replaces:")
        assert third.status in ("failed", "completed")  # its answer may be under way


async def test_a_second_call_that_nobody_answered_is_not_replaced(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    gone = Replaces(call_id="gone", to_tag="a", from_tag="b")
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        to = SipUri(user="+447700900002", host=DOMAIN)
        assert await outcome(bob, refer(bob, to, replacing=gone)) == 480  # and not 481
        await talk(alice, bob)
        await part(bob, alice)
        assert not any(isinstance(each, events.Invited) for each in carol.told)


async def test_a_dialog_elsewhere_is_named_to_who_has_it(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], open_phone: OpenPhone
) -> None:
    alice, bob = office["alice"], office["bob"]
    peer = await open_phone("peer", "127.0.0.1", tone=1300)
    helper = await open_phone("helper", "127.0.0.1", tone=1700)
    _, (_, port) = peer.station.endpoint.addresses()[0]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        # The peer is in a call with somebody whom the gateway knows nothing of.
        hop = Hop(transport=Transport.UDP, host="127.0.0.1", port=port)
        helper.call("peer", hop)
        await peer.until(events.Confirmed)
        stood = peer.session
        to = SipUri(user="peer", host="127.0.0.1", port=port)
        assert await outcome(bob, refer(bob, to, replacing=name(helper))) == 200
        taken = await peer.until(events.Invited, where=lambda each: each.replaces is not None)
        assert taken.replaces == stood
        await talk(alice, peer)
        await part(alice, peer)
        helper.hang_up()
        await helper.until(events.Ended)


@pytest.mark.parametrize("taken", ["alice", "bob"])
async def test_another_phone_takes_a_call_over(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], taken: str
) -> None:
    alice, bob, dave = office["alice"], office["bob"], office["dave"]
    old, other = (alice, bob) if taken == "alice" else (bob, alice)
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        await talk(alice, bob)
        here.fall_behind()  # which is no reason to lose a call that is up
        replace(dave, "anything", here.hop(), name(old))
        await dave.until(events.Answered)
        hung_up = await old.until(events.HungUp)
        assert "took its place" in (hung_up.headers.first("Reason") or "")
        await talk(other, dave)
        third = await by_origin(here, "replaces:")
        assert (third.direction, third.status) == ("inbound", "in-progress")
        await part(dave, other)
        await here.ended()
        assert (await here.call(third.sid)).status == "completed"


async def test_a_call_is_not_taken_over_without_end(
    tmp_path: Path,
    carrier: Phone,
    office: dict[str, Phone],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "MOST", 1)
    alice, bob, carol, dave = office.values()
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        replace(dave, "anything", here.hop(), name(bob))
        await dave.until(events.Answered)
        replace(carol, "anything", here.hop(), name(dave))
        assert (await carol.until(events.Refused)).status == 403
        await talk(alice, dave)
        await part(alice, dave)


async def test_who_gives_up_taking_a_call_over_leaves_no_port_behind(
    tmp_path: Path,
    carrier: Phone,
    office: dict[str, Phone],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, bob, dave = office["alice"], office["bob"], office["dave"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        voice = here.gateway._voice
        assert voice is not None
        live = voice.calls._live

        def with_ports() -> set[str]:
            return {name for call in live.values() for name in call._media._places}

        before = with_ports()

        def commit(*_: object) -> "asyncio.Future[None]":
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(StoreUnavailable("away"))
            return future

        async def has_ports() -> bool:
            return with_ports() > before

        monkeypatch.setattr(house_of(here).store, "commit", commit)
        replace(dave, "anything", here.hop(), name(bob))
        await until(has_ports)
        dave.hang_up()
        await dave.until(events.Ended)
        assert {name for call in live.values() for name in call._media._nodes} == before
        monkeypatch.undo()
        await talk(alice, bob)
        await part(alice, bob)


async def test_who_gave_up_before_taking_a_call_over_takes_no_port(
    tmp_path: Path,
    carrier: Phone,
    office: dict[str, Phone],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, bob, dave = office["alice"], office["bob"], office["dave"]
    welcome, welcomed = Transfers._welcome, asyncio.Event()

    async def late(self: Transfers, comer: Newcomer) -> None:
        async def is_over() -> bool:
            return comer.line.is_over

        dave.hang_up()
        await until(is_over)
        await welcome(self, comer)
        welcomed.set()

    monkeypatch.setattr(Transfers, "_welcome", late)
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        graphs = here.graphs()
        replace(dave, "anything", here.hop(), name(bob))
        await dave.until(events.Ended)
        await asyncio.wait_for(welcomed.wait(), 60)
        assert graphs == []
        await talk(alice, bob)
        await part(alice, bob)


async def test_a_stranger_takes_no_call_over(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone], open_phone: OpenPhone
) -> None:
    alice, bob = office["alice"], office["bob"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        replace(carrier, NUMBER, here.hop(), name(bob))
        assert (await carrier.until(events.Refused)).status == 403
        wrong = await open_phone("bob", DOMAIN, password="guess")
        replace(wrong, "anything", here.hop(), name(bob))
        assert (await wrong.until(events.Refused)).status in (401, 407)
        await talk(alice, bob)
        await part(alice, bob)
        assert len(await here.calls()) == 2


async def test_an_app_says_what_becomes_of_who_is_transferred(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    async with gateway(tmp_path, carrier, office, "") as here:
        here.app.pages["/refer"] = dial(user("carol"))
        await join(here, alice, bob, referUrl="/refer", referMethod="GET", action="")
        asked = refer(bob, at("dave"))
        assert await outcome(bob, asked) == 200
        form = await here.app.until("/refer")
        assert ("GET", "/refer") in here.app.ways
        assert form["ReferTransferTarget"] == "sip:dave@office.example"
        assert form["From"] == "sip:alice@office.example"
        await bob.until(events.HungUp)
        await talk(alice, carol)
        await part(alice, carol)


async def test_what_rest_wants_holds_against_an_app_that_is_slow_to_say(
    tmp_path: Path,
    carrier: Phone,
    office: dict[str, Phone],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, bob, carol, dave = office.values()
    async with gateway(tmp_path, carrier, office, "") as here:
        here.app.pages["/refer"] = dial(user("carol"))
        await join(here, alice, bob, referUrl="/refer", action="")
        asked, said = asyncio.Event(), asyncio.Event()
        documents = house_of(here).documents
        fetch = documents.fetch

        async def slow(call: Call, goto: Any, *given: Any, **more: Any) -> Any:
            if goto.url.endswith("/refer"):
                asked.set()
                await said.wait()
            return await fetch(call, goto, *given, **more)

        monkeypatch.setattr(documents, "fetch", slow)
        transfer = refer(bob, at("anybody"))
        await asked.wait()
        here.app.pages["/other"] = dial(user("dave"))
        sid = (await here.app.until("/voice"))["CallSid"]
        path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{sid}.json"
        form = {"Url": here.app.url + "/other"}
        async with here.http.post(here.url + path, data=form) as response:
            assert response.status == 200
        await bob.until(events.HungUp)
        await talk(alice, dave)
        said.set()

        async def is_kept() -> bool:
            shown = await here.get(f"/v1/calls/{sid}/timeline")
            return any(str(each.get("url")).endswith("/refer") for each in shown["events"])

        await until(is_kept)
        await talk(alice, dave)
        assert not any(isinstance(each, events.Invited) for each in carol.told)
        assert 200 not in told(bob, transfer)
        await part(alice, dave)


async def test_an_app_that_says_nothing_leaves_all_as_it_was(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob = office["alice"], office["bob"]
    async with gateway(tmp_path, carrier, office, "") as here:
        here.app.pages["/refer"] = "no document"
        await join(here, alice, bob, referUrl="/refer")
        assert await outcome(bob, refer(bob, at("dave"))) == 503
        await talk(alice, bob)
        await part(alice, bob)


async def test_rest_ends_a_call_that_was_transferred(
    tmp_path: Path, carrier: Phone, office: dict[str, Phone]
) -> None:
    alice, bob, carol = office["alice"], office["bob"], office["carol"]
    async with gateway(tmp_path, carrier, office, "") as here:
        await join(here, alice, bob)
        assert await outcome(bob, refer(bob, at("carol"))) == 200
        await talk(alice, carol)
        sid = (await here.app.until("/voice"))["CallSid"]
        path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{sid}.json"
        async with here.http.post(here.url + path, data={"Status": "completed"}) as response:
            assert response.status == 200
        for phone in (alice, carol):
            await phone.until(events.HungUp)
