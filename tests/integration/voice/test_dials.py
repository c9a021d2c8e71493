"""A dial at night: silent peers, devices that disagree, ports set free, orders over REST."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.calls import calling
from gateway.media.plane import WorkerLost
from gateway.store.base import StoreUnavailable
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Accept
from protocols.sip.message import Headers
from protocols.sip.session_offers import Body
from protocols.sip.uri import SipUri
from tests.integration.voice import test_transfers as transfers
from tests.integration.voice.acts import dial, name, outcome, refer, ring_early, user
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.raw import Raw, described
from tests.integration.voice.test_endings import DOMAIN, TO_NUMBER, gateway, order, port
from tests.integration.voice.test_scope import breaks_off, house_of
from tests.integration.voice.world import World, until
from tests.ports import free_port

LARGE = "set_headers = { X-Padding = '" + "x" * 900 + "' }"


@pytest.fixture
async def carrier(open_phone: OpenPhone) -> Phone:
    """A phone at a port that is free over TCP too."""
    return await open_phone("callee", "carrier.example", tone=1500, port=free_port())


def live(here: World) -> Any:
    """The one call that lives."""
    voice = here.gateway._voice
    assert voice is not None
    (found,) = voice.calls._live.values()
    return found


class Slow:
    """Takes a connection at a port and an INVITE by it, and answers when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.greeting = 0
        self._invite: list[bytes] = []
        self._server: asyncio.Server
        self._writer: asyncio.StreamWriter

    async def open(self, port: int) -> "Slow":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._invite = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        if self.greeting:
            self.answer(self.greeting)
        self.asked.set()

    def answer(self, status: int) -> None:
        kept = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")
        lines = [each for each in self._invite if each.startswith(kept)]
        first = f"SIP/2.0 {status} Slow".encode()
        self._writer.write(b"\r\n".join([first, *lines, b"Content-Length: 0", b"", b""]))

    def close(self) -> None:
        self._server.close()
        self._writer.close()


async def undialled(here: World) -> Any:
    """The one call that lives, as soon as its dial is over."""
    call = live(here)

    async def is_over() -> bool:
        return call._dial is None

    await until(is_over)
    return call


async def test_who_is_silent_over_tcp_is_called_over_udp(
    tmp_path: Path, alice: Phone, carrier: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "TCP_PATIENCE", 1.5)
    silent = await Slow().open(int(port(carrier)))
    async with gateway(tmp_path, TO_NUMBER, ways=(carrier,), limits=LARGE) as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        assert silent.asked.is_set()
        alice.hang_up()
        await carrier.until(events.HungUp)
        form = await here.app.until("/after")
        silent.answer(480)
        await here.ended()
        legs = await here.legs(form["DialCallSid"])
        assert [leg.transport for leg in legs] == ["TCP", "UDP"]
        assert legs[0].cause == "no answer over TCP"
    silent.close()


async def test_who_says_trying_over_tcp_is_given_time(
    tmp_path: Path, alice: Phone, carrier: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "TCP_PATIENCE", 1.5)
    slow = Slow()
    slow.greeting = 100
    await slow.open(int(port(carrier)))
    twiml = dial("+447700900002", answerOnBridge="true", timeout="4", action="/after")
    async with gateway(tmp_path, twiml, ways=(carrier,), limits=LARGE) as here:
        alice.call("anybody", here.hop())
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "no-answer"
        assert not any(isinstance(each, events.Invited) for each in carrier.told)
        slow.answer(487)
        alice.hang_up()
    slow.close()


async def test_a_ringing_call_that_rest_ends_is_canceled_and_nobody_else_is_asked(
    tmp_path: Path, alice: Phone, carrier: Phone, open_phone: OpenPhone
) -> None:
    slow = await open_phone("slow", "carrier.example")
    slow.on_call = None
    async with gateway(tmp_path, TO_NUMBER, ways=(slow, carrier)) as here:
        here.app.pages["/after"] = "<Response><Hangup/></Response>"
        alice.call("anybody", here.hop())
        await slow.until(events.Invited)
        (sid,) = [each.sid for each in live(here)._dial.branches]
        await here.stored(lambda call: call.sid == sid)
        await order(here, sid, Status="completed")
        await slow.until(events.Cancelled)
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "canceled"
        await here.ended()
        child = await here.call(sid)
        assert (child.status, child.reason, child.error_code) == ("canceled", "ended over REST", 0)
        assert not any(isinstance(each, events.Invited) for each in carrier.told)


async def test_ports_are_set_free_as_soon_as_a_leg_is_gone(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    bob.on_call = Phone.ringing
    twiml = dial(user("bob"), user("bob"), user("bob"), sequential="true", timeout="1")
    twiml = twiml.replace("</Response>", '<Pause length="60"/></Response>')
    async with gateway(tmp_path, twiml, bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        await bob.until(events.Cancelled)  # on a slow machine a second may be too short to ring
        call = await undialled(here)
        assert list(call._media._nodes) == [call.leg.id]
        here.app.pages["/voice"] = dial(user("bob")).replace("</Resp", '<Pause length="60"/></Resp')
        bob.on_call = Phone.pick_up
        await order(here, call.line.call.sid, Url=here.app.url + "/voice")
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        bob.hang_up()
        await undialled(here)
        assert list(call._media._nodes) == [call.leg.id]
        del call
        alice.hang_up()
        await here.ended()
        calls = [await here.call(each["sid"]) for each in await here.calls()]
        legs = [leg for each in calls for leg in await here.legs(each.sid)]
        assert sum(bool(leg.received.packets) for leg in legs) == 2


async def test_a_busy_device_says_more_than_one_that_is_gone(
    tmp_path: Path, alice: Phone, bob: Phone, open_phone: OpenPhone
) -> None:
    other = await open_phone("bob", DOMAIN, password="pb")
    bob.on_call, other.on_call = Phone.refusing(486), None
    twiml = dial(user("bob"), answerOnBridge="true", action="/after")
    async with gateway(tmp_path, twiml, bob, other) as here:
        alice.call("bob", here.hop())
        invited = await other.until(events.Invited)
        await bob.until(events.Ended)
        Phone.refusing(404)(other, invited)
        other.station.wake()
        assert (await alice.until(events.Refused)).status == 486
        assert (await here.app.until("/after"))["DialCallStatus"] == "busy"


async def test_early_media_are_heard_after_one_who_never_answered(
    tmp_path: Path, alice: Phone, carrier: Phone
) -> None:
    nobody = await Raw().open()
    carrier.on_call = ring_early
    nouns = (f"<Sip>sip:nobody@127.0.0.1:{nobody.port}</Sip>", "<Number>+447700900002</Number>")
    twiml = dial(*nouns, sequential="true", answerOnBridge="true", timeout="3", action="/after")
    async with gateway(tmp_path, twiml, ways=(carrier,)) as here:
        alice.call("anybody", here.hop())
        first = await nobody.asked("INVITE")
        await carrier.until(events.Invited)
        await alice.sound.hears(1500)
        Phone.refusing(486)(carrier, await carrier.until(events.Invited))
        carrier.station.wake()
        await here.app.until("/after")
        nobody.answer(first, 486, tag="late")
    nobody.close()


def mute(phone: Phone, event: events.Invited) -> None:
    """Answer, and refuse the sound: for `on_call`."""
    assert event.offer is not None
    octets = described(event.offer.octets, 4000).replace(b"m=audio 4000", b"m=audio 0")
    accept = Accept(body=Body(octets=octets))
    phone.station.agent.accept(event.session, accept, phone.station.now())


async def test_who_answers_without_sound_is_no_silent_gateway(
    tmp_path: Path, alice: Phone, carrier: Phone, open_phone: OpenPhone
) -> None:
    odd = await open_phone("odd", "carrier.example")
    odd.on_call = mute
    async with gateway(tmp_path, TO_NUMBER, ways=(odd, carrier)) as here:
        here.app.pages["/after"] = "<Response><Hangup/></Response>"
        alice.call("anybody", here.hop())
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "failed"
        await odd.until(events.HungUp)
        await here.ended()
        child = await here.call(form["DialCallSid"])
        assert (child.reason, child.error_code) == ("the answer describes no audio", 0)
        shown = await here.get("/v1/carriers/acme")
        assert [each["failures"] for each in shown["trunk"]["gateways"]] == [0, 0]
        assert not any(isinstance(each, events.Invited) for each in carrier.told)


async def test_a_whisper_ends_with_its_leg(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    noun = f'<Sip url="/whisper">sip:bob@{DOMAIN}</Sip>'
    twiml = dial(noun).replace("</Response>", '<Pause length="60"/></Response>')
    async with gateway(tmp_path, twiml, bob) as here:
        here.app.pages["/whisper"] = '<Response><Pause length="60"/><Redirect/></Response>'
        alice.call("bob", here.hop())
        await here.app.until("/whisper")
        await bob.until(events.Confirmed)
        bob.hang_up()
        await bob.until(events.Ended)
        await undialled(here)

        async def is_alone() -> bool:
            call = live(here)
            return not call._whispers and len(call._scope._tasks) == 1  # the caller's <Pause>

        await until(is_alone)
        alice.hang_up()


async def answering(here: World, caller: Phone, monkeypatch: pytest.MonkeyPatch) -> str:
    """The SID of a call whose answer waits for a store that is away, until that is undone."""
    monkeypatch.setattr(house_of(here).store, "commit", breaks_off(StoreUnavailable("away")))
    caller.call("anybody", here.hop())
    sid = (await here.app.until("/voice"))["CallSid"]
    call = live(here)

    async def waits() -> bool:
        return bool(call.line.call.status == "in-progress")

    await until(waits)
    return sid


async def test_who_gives_up_while_the_answer_waits_for_the_store_was_never_answered(
    tmp_path: Path, alice: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, '<Response><Pause length="60"/></Response>') as here:
        sid = await answering(here, alice, monkeypatch)
        alice.hang_up()
        await alice.until(events.Ended)
        monkeypatch.undo()
        await here.ended()
        kept = await here.call(sid)
        assert (kept.status, kept.sip_code, kept.started) == ("no-answer", 487, 0)
        assert (await here.app.until("/status"))["CallStatus"] == "no-answer"


async def test_a_call_lasts_from_its_answer_and_not_from_the_wish_to_answer(
    tmp_path: Path, alice: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, '<Response><Pause length="60"/></Response>') as here:
        sid = await answering(here, alice, monkeypatch)
        monkeypatch.undo()
        await alice.until(events.Answered)
        alice.hang_up()
        await here.ended()
        kept, (leg,) = await here.call(sid), await here.legs(sid)
        assert kept.started == leg.answered > 0


async def test_a_call_in_which_hops_alone_are_left_ends_when_its_media_are_lost(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    phones = {
        each: await open_phone(each, transfers.DOMAIN, password=f"p{each[0]}")
        for each in transfers.TONES
    }
    alice, bob, carol, dave = phones.values()
    carrier = await open_phone("callee", "carrier.example")
    async with transfers.gateway(tmp_path, carrier, phones, "") as here:
        first = await transfers.join(here, alice, bob)
        sid = (await here.app.until("/voice"))["CallSid"]
        stood = bob.session
        second = await transfers.join(here, bob, carol)
        asked = refer(bob, transfers.at("carol"), session=stood, replacing=name(bob, second))
        assert await outcome(bob, asked) == 200
        third = await transfers.join(here, alice, dave)
        asked = refer(alice, transfers.at("dave"), session=first, replacing=name(alice, third))
        assert await outcome(alice, asked) == 200
        voice = here.gateway._voice
        assert voice is not None
        calls = voice.calls._live

        async def are_gone() -> bool:
            return all(leg.record.ended for leg in calls[sid]._legs.values())

        await until(are_gone)
        voice.calls.told(WorkerLost(worker=0, calls=(sid,)))
        for phone in (carol, dave):
            await phone.until(events.HungUp)


async def test_a_dial_under_somebody_elses_number_fails(
    tmp_path: Path, alice: Phone, bob: Phone, carrier: Phone
) -> None:
    stranger = "+442079460000"
    twiml = dial("+447700900002", callerId=stranger, answerOnBridge="true", action="/after")
    async with gateway(tmp_path, twiml, bob, ways=(carrier,)) as here:
        here.app.pages["/after"] = dial(user("bob"), callerId=stranger, answerOnBridge="true")
        alice.call("anybody", here.hop())
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "failed"
        await alice.until(events.Answered)
        invited = await bob.until(events.Invited)
        assert invited.request.from_.uri.user == stranger
        # Nor does who was called under it call others by it.
        asked = refer(bob, SipUri(user="+447700900003", host=DOMAIN))
        assert await outcome(bob, asked) == 403
        assert not any(isinstance(each, events.Invited) for each in carrier.told)
        alice.hang_up()
        await here.ended()
        told = await here.get(f"/v1/calls/{form['CallSid']}/timeline")
        assert 13214 in [each.get("error_code") for each in told["events"]]


async def test_a_phone_is_not_told_who_wants_to_stay_unknown(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    bob = await open_phone("bob", transfers.DOMAIN, password="pb")
    said = Headers(
        (
            ("Privacy", "id"),
            ("P-Asserted-Identity", '"Ann" <sip:+447700900001@carrier.example>'),
        )
    )
    async with transfers.gateway(tmp_path, caller, {"bob": bob}, dial(user("bob"))) as here:
        caller.call(transfers.NUMBER, here.hop(), headers=said)
        invited = await bob.until(events.Invited)
        assert invited.request.from_.uri == SipUri(user="anonymous", host="anonymous.invalid")
        assert "447700900001" not in str(invited.request)
        await caller.until(events.Answered)
        caller.hang_up()


async def test_a_phone_that_wants_to_stay_unknown_is_named_to_the_app_alone(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    hidden = Headers((("Privacy", "header;id"),))
    async with gateway(tmp_path, dial(user("bob"), answerOnBridge="true"), bob) as here:
        alice.call("anybody", here.hop(), headers=hidden)
        request = (await bob.until(events.Invited)).request
        assert request.from_.uri == SipUri(user="anonymous", host="anonymous.invalid")
        assert "alice" not in str(request)
        assert (await here.app.until("/voice"))["From"].startswith("sip:alice@")
        await alice.until(events.Answered)
        alice.hang_up()


async def test_a_channel_is_free_when_its_caller_is_gone(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    nobody = await Raw().open()
    twiml = dial(f"<Sip>sip:nobody@127.0.0.1:{nobody.port}</Sip>", answerOnBridge="true")
    async with transfers.gateway(tmp_path, caller, {}, twiml) as here:
        caller.call(transfers.NUMBER, here.hop())
        invite = await nobody.asked("INVITE")
        caller.hang_up()
        await caller.until(events.Ended)
        shown = await here.get("/v1/carriers/acme")
        assert shown["trunk"]["calls"] == 0
        assert live(here), "whoever was dialled has not answered yet"
        nobody.answer(invite, 480, tag="late")
    nobody.close()


@pytest.mark.parametrize("which", ["parent", "child"])
async def test_rest_changes_how_long_a_call_lasts_and_whom_its_end_is_told(
    tmp_path: Path, alice: Phone, bob: Phone, which: str
) -> None:
    twiml = dial(user("bob"), answerOnBridge="true", action="/after")
    async with gateway(tmp_path, twiml, bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        sids = {"parent": (await here.app.until("/voice"))["CallSid"]}
        sids["child"] = live(here)._dial.branches[0].sid
        told = {"StatusCallback": here.app.url + "/changed", "StatusCallbackMethod": "POST"}
        await order(here, sids[which], TimeLimit="600")
        await order(here, sids[which], TimeLimit="1", **told)
        hung_up = await (alice if which == "parent" else bob).until(events.HungUp)
        assert "time limit of the call" in (hung_up.headers.first("Reason") or "")
        form = await here.app.until("/changed")
        assert (form["CallSid"], form["CallStatus"]) == (sids[which], "completed")
        await here.ended()
        assert (await here.call(sids[which])).reason == "the time limit of the call"
        assert "/status" not in [path for path, _ in here.app.asked] or which == "child"


async def test_an_app_that_was_too_slow_for_its_caller_stands_in_the_timeline(
    tmp_path: Path, alice: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, "") as here:
        asked = asyncio.Event()

        async def never(*_: Any, **__: Any) -> None:
            asked.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(house_of(here).documents, "fetch", never)
        alice.call("anybody", here.hop())
        await asked.wait()
        sid = live(here).line.call.sid
        alice.hang_up()
        await here.ended()
        told = await here.get(f"/v1/calls/{sid}/timeline")
        (document,) = [each for each in told["events"] if each["type"] == "document"]
        assert (document["url"], document["status"]) == (here.app.url + "/voice", 0)
