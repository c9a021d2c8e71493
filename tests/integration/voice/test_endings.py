"""How documents end calls and dials, what apps are told of it, and which ways calls take."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.message import Headers, NameAddr
from protocols.sip.uri import SipUri
from tests.integration.voice.acts import dial, ring_early, user
from tests.integration.voice.conftest import DOMAIN, OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.world import ACCOUNT, World, uncollected, until, world

CONFIG = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
voice_status_callback_url = "{app}/status"
users = [
  { username = "alice", password = "pa" },
  { username = "bob", password = "pb" },
  { username = "carol", password = "pc" },
]
[[carriers]]
name = "acme"
kind = "sip"
gateways = [{first}{ uri = "sip:127.0.0.1:{second}", priority = 2 }]
emergency = ["112"]
options_interval = "0s"
{limits}
"""
TO_NUMBER = dial("+447700900002", answerOnBridge="true", action="/after")


@pytest.fixture
async def carol(open_phone: OpenPhone) -> Phone:
    return await open_phone("carol", DOMAIN, tone=1300, password="pc")


@pytest.fixture
async def carrier(open_phone: OpenPhone) -> Phone:
    return await open_phone("callee", "carrier.example", tone=1500)


def port(phone: Phone) -> str:
    _, (_, found) = phone.station.endpoint.addresses()[0]
    return str(found)


@asynccontextmanager
async def gateway(
    folder: Path, twiml: str, *phones: Phone, ways: tuple[Phone, ...] = (), limits: str = ""
) -> AsyncIterator[World]:
    """A world with phones registered, and a carrier of one or two gateways; nothing is left."""
    ports = [port(each) for each in ways] or ["9"]
    first = f'{{ uri = "sip:127.0.0.1:{ports[0]}", priority = 1 }}, ' if len(ports) > 1 else ""
    text = CONFIG.replace("{first}", first).replace("{second}", ports[-1])
    async with world(folder, text.replace("{limits}", limits), twiml) as here:
        for phone in phones:
            await phone.register(here.hop())
        async with uncollected():
            yield here
            await here.ended()
        assert here.ledger() == {}


async def parent(here: World) -> Any:
    """The call that came in, when it is over."""
    await here.ended()
    return await here.call((await here.app.until("/voice"))["CallSid"])


async def order(here: World, sid: str, **fields: str) -> None:
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{sid}.json"
    async with here.http.post(here.url + path, data=fields) as response:
        assert response.status == 200, await response.text()


# Documents


@pytest.mark.parametrize(("reason", "code"), [("busy", 486), ("rejected", 603)])
async def test_a_call_that_is_rejected(
    tmp_path: Path, alice: Phone, reason: str, code: int
) -> None:
    twiml = f'<Response><Reject reason="{reason}"/></Response>'
    async with gateway(tmp_path, twiml) as here:
        alice.call("anybody", here.hop())
        assert (await alice.until(events.Refused)).status == code
        call = await parent(here)
        assert (call.status, call.sip_code, call.duration) == ("busy", code, 0)


@pytest.mark.parametrize(
    "twiml",
    [
        "<Response><Hangup/></Response>",
        "<Response/>",
        '<Response><Pause length="1"/></Response>',
        "<Response><Redirect>/more</Redirect></Response>",
    ],
)
async def test_a_document_that_does_nothing_takes_the_call_and_ends_it(
    tmp_path: Path, alice: Phone, twiml: str
) -> None:
    async with gateway(tmp_path, twiml) as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await alice.until(events.HungUp)
        call = await parent(here)
        assert (call.status, call.sip_code) == ("completed", 200)
        assert call.reason == "its document is done"


async def test_a_document_that_fails(tmp_path: Path, alice: Phone) -> None:
    async with gateway(tmp_path, "no document at all") as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        await alice.until(events.HungUp)
        call = await parent(here)
        assert (call.status, call.sip_code, call.error_code) == ("completed", 200, 11200)
        told = await here.get(f"/v1/calls/{call.sid}/timeline")
        noted = [each for each in told["events"] if each["type"].startswith("notification")]
        assert noted, [each["type"] for each in told["events"]]


async def test_a_call_is_answered_before_the_bridge_unless_told_otherwise(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    bob.on_call = Phone.ringing
    async with gateway(tmp_path, dial(user("bob")), bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        bob.pick_up(await bob.until(events.Invited))
        bob.station.wake()
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        bob.hang_up()
        await alice.until(events.HungUp)


@pytest.mark.parametrize(
    ("on_call", "told", "code", "status"),
    [
        (Phone.refusing(486), "busy", 486, "busy"),
        (Phone.refusing(603), "busy", 603, "busy"),
        (Phone.ringing, "no-answer", 480, "no-answer"),
        (Phone.refusing(500), "failed", 500, "failed"),
    ],
    ids=["busy", "declined", "no answer", "fault"],
)
async def test_what_a_dial_comes_to_that_nobody_answers(
    tmp_path: Path,
    alice: Phone,
    bob: Phone,
    on_call: Callable[[Phone, events.Invited], None],
    told: str,
    code: int,
    status: str,
) -> None:
    bob.on_call = on_call
    patience = "1" if told == "no-answer" else "30"
    twiml = dial(user("bob"), answerOnBridge="true", timeout=patience, action="/after")
    async with gateway(tmp_path, twiml, bob) as here:
        alice.call("bob", here.hop())
        refused = await alice.until(events.Refused)
        form = await here.app.until("/after")
        assert (form["DialCallStatus"], form["DialBridged"]) == (told, "false")
        call = await parent(here)
        child = await here.call(form["DialCallSid"])
        assert (refused.status, call.sip_code) == (code, code)
        assert (child.status, call.status) == (status, status)


async def test_who_leaves_a_message_is_told_that_this_is_over_not_the_dial(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    bob.on_call = Phone.refusing(486)
    twiml = dial(user("bob"), answerOnBridge="true", action="/after")
    async with gateway(tmp_path, twiml, bob) as here:
        here.app.pages["/after"] = '<Response><Record action="/left" maxLength="1"/></Response>'
        here.app.pages["/left"] = "<Response/>"
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        await here.app.until("/left")
        hung_up = await alice.until(events.HungUp)
        assert "its document is done" in (hung_up.headers.first("Reason") or "")
        call = await parent(here)
        assert (call.status, call.reason) == ("completed", "its document is done")


@pytest.mark.parametrize("winner", ["bob", "carol"])
async def test_of_several_the_first_to_answer_is_joined(
    tmp_path: Path, alice: Phone, bob: Phone, carol: Phone, winner: str
) -> None:
    quick, slow = (bob, carol) if winner == "bob" else (carol, bob)
    slow.on_call, quick.on_call = Phone.ringing, None
    twiml = dial(user("bob"), user("carol"), answerOnBridge="true", action="/after")
    async with gateway(tmp_path, twiml, bob, carol) as here:
        alice.call("all", here.hop())
        await slow.until(events.Invited)
        quick.pick_up(await quick.until(events.Invited))
        quick.station.wake()
        await alice.until(events.Answered)
        await slow.until(events.Cancelled)
        await asyncio.gather(alice.sound.hears(quick.sound.tone), quick.sound.hears(440))
        alice.hang_up()
        await quick.until(events.HungUp)
        form = await here.app.until("/after")
        await here.ended()
        child = await here.call(form["DialCallSid"])
        assert child.to_address == f"sip:{winner}@{DOMAIN}"
        children = [await here.call(each["sid"]) for each in await here.calls()]
        assert sorted(each.status for each in children) == ["canceled", "completed", "completed"]


async def test_one_after_the_other(tmp_path: Path, alice: Phone, bob: Phone, carol: Phone) -> None:
    bob.on_call = Phone.ringing
    twiml = dial(user("bob"), user("carol"), sequential="true", answerOnBridge="true")
    async with gateway(tmp_path, twiml, bob, carol) as here:
        alice.call("all", here.hop())
        invited = await bob.until(events.Invited)
        await asyncio.sleep(0.3)  # carol would ring by now
        assert not any(isinstance(each, events.Invited) for each in carol.told)
        bob.station.agent.refuse(invited.session, Reply(status=486), bob.station.now())
        bob.station.wake()
        await alice.until(events.Answered)
        assert invited.request.uri.user == "bob"
        await asyncio.gather(alice.sound.hears(1300), carol.sound.hears(440))
        carol.hang_up()
        await alice.until(events.HungUp)


# Whispers


async def test_a_whisper_that_ends_joins(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    noun = f'<Sip url="/whisper">sip:bob@{DOMAIN}</Sip>'
    async with gateway(tmp_path, dial(noun, answerOnBridge="true"), bob) as here:
        here.app.pages["/whisper"] = '<Response><Pause length="1"/></Response>'
        alice.call("bob", here.hop())
        form = await here.app.until("/whisper")
        assert form["ParentCallSid"] == (await here.app.until("/voice"))["CallSid"]
        assert not any(isinstance(each, events.Answered) for each in alice.told)
        await bob.until(events.Confirmed)
        await alice.until(events.Answered)
        await asyncio.gather(alice.sound.hears(880), bob.sound.hears(440))
        alice.hang_up()
        await bob.until(events.HungUp)


async def test_a_whisper_that_hangs_up_joins_nobody(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    noun = f'<Sip url="/whisper">sip:bob@{DOMAIN}</Sip>'
    async with gateway(tmp_path, dial(noun, answerOnBridge="true", action="/after"), bob) as here:
        here.app.pages["/whisper"] = "<Response><Hangup/></Response>"
        here.app.pages["/after"] = "<Response><Hangup/></Response>"
        alice.call("bob", here.hop())
        await bob.until(events.HungUp)
        form = await here.app.until("/after")
        assert (form["DialCallStatus"], form["DialBridged"]) == ("no-answer", "false")
        await alice.until(events.Refused)


# Limits of time


async def test_a_dial_lasts_no_longer_than_its_limit(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    twiml = dial(user("bob"), answerOnBridge="true", timeLimit="1", action="/after")
    async with gateway(tmp_path, twiml, bob) as here:
        alice.call("bob", here.hop())
        hung_up = await bob.until(events.HungUp)
        assert "time limit" in (hung_up.headers.first("Reason") or "")
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "completed"
        assert int(form["DialCallDuration"]) >= 1


async def test_the_action_hears_of_a_dial_whose_caller_is_gone(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    twiml = dial(user("bob"), answerOnBridge="true", action="/after")
    async with gateway(tmp_path, twiml, bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        alice.hang_up()
        await bob.until(events.HungUp)
        form = await here.app.until("/after")
        assert (form["DialCallStatus"], form["CallStatus"]) == ("completed", "completed")


# What apps are told


async def test_status_callbacks_come_in_order(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    noun = (
        '<Sip statusCallback="/child" statusCallbackEvent="initiated ringing answered completed">'
        f"sip:bob@{DOMAIN}</Sip>"
    )
    async with gateway(tmp_path, dial(noun, answerOnBridge="true"), bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        alice.hang_up()
        last = await here.app.until("/child", lambda form: form["CallStatus"] == "completed")
        await here.app.until("/status")
        told = [form for path, form in here.app.asked if path == "/child"]
        ordered = sorted(told, key=lambda form: int(form["SequenceNumber"]))
        assert [form["SequenceNumber"] for form in ordered] == ["0", "1", "2", "3"]
        assert [form["CallStatus"] for form in ordered] == [
            "initiated",
            "ringing",
            "in-progress",
            "completed",
        ]
        assert {form["CallSid"] for form in told} == {last["CallSid"]}
        assert "CallDuration" in last
        mine = [form for path, form in here.app.asked if path == "/status"]
        assert [form["CallStatus"] for form in mine] == ["completed"]


# REST


async def test_rest_ends_a_call(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    twiml = dial(user("bob"), answerOnBridge="true", action="/after")
    async with gateway(tmp_path, twiml, bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        await order(here, (await here.app.until("/voice"))["CallSid"], Status="completed")
        for phone in (alice, bob):
            await phone.until(events.HungUp)
        call = await parent(here)
        assert (call.status, call.reason) == ("completed", "ended over REST")


async def test_the_ladder_of_a_call_that_lives(
    tmp_path: Path, alice: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks at a call that lives sees its messages, and in the end each is there once."""
    monkeypatch.setattr("gateway.calls.service._SHOWN_WITHIN", 0.01)
    async with gateway(tmp_path, '<Response><Pause length="600"/></Response>') as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        (call,) = await here.calls()

        async def messages() -> list[str]:
            told = await here.get(f"/v1/calls/{call['sid']}/timeline")
            return [each["first_line"] for each in told["events"] if each["type"] == "sip"]

        async def acknowledged() -> bool:
            return any(each.startswith("ACK ") for each in await messages())

        await until(acknowledged)
        assert (await here.call(call["sid"])).status == "in-progress"
        alice.hang_up()
        await here.ended()
        begins = [each.removeprefix("SIP/2.0 ").split(" ")[0] for each in await messages()]
        assert [each for each in begins if each != "100"] == ["INVITE", "200", "ACK", "BYE", "200"]


async def test_rest_ends_a_call_that_rings(tmp_path: Path, alice: Phone, bob: Phone) -> None:
    bob.on_call = Phone.ringing
    async with gateway(tmp_path, dial(user("bob"), answerOnBridge="true"), bob) as here:
        alice.call("bob", here.hop())
        await alice.until(events.Progressed, where=lambda each: each.response.status == 180)
        parent_sid = (await here.app.until("/voice"))["CallSid"]
        await here.stored(lambda call: call.sid == parent_sid)
        await order(here, parent_sid, Status="canceled")
        await bob.until(events.Cancelled)
        assert (await alice.until(events.Refused)).status == 480
        assert (await parent(here)).status == "canceled"


@pytest.mark.parametrize("how", ["url", "twiml"])
async def test_rest_has_a_call_run_another_document(
    tmp_path: Path, alice: Phone, bob: Phone, carol: Phone, how: str
) -> None:
    twiml = dial(user("bob"), answerOnBridge="true", action="/after")
    async with gateway(tmp_path, twiml, bob, carol) as here:
        other = dial(user("carol"))
        here.app.pages["/other"] = other
        alice.call("bob", here.hop())
        await alice.until(events.Answered)
        sid = (await here.app.until("/voice"))["CallSid"]
        fields = {"url": {"Url": here.app.url + "/other"}, "twiml": {"Twiml": other}}
        await order(here, sid, **fields[how])
        await bob.until(events.HungUp)
        await asyncio.gather(alice.sound.hears(1300), carol.sound.hears(440))
        alice.hang_up()
        await carol.until(events.HungUp)
        assert "/after" not in [path for path, _ in here.app.asked]


# Ways to carriers


async def test_a_gateway_that_wants_to_rest_is_not_asked(
    tmp_path: Path, alice: Phone, carrier: Phone, open_phone: OpenPhone
) -> None:
    tired = await open_phone("tired", "carrier.example")

    def rest(phone: Phone, event: events.Invited) -> None:
        headers = Headers((("Retry-After", "60"),))
        reply = Reply(status=503, headers=headers)
        phone.station.agent.refuse(event.session, reply, phone.station.now())

    tired.on_call = rest
    async with gateway(tmp_path, TO_NUMBER, ways=(tired, carrier)) as here:
        for asked in (1, 1):
            alice.call("anybody", here.hop())
            await alice.until(events.Answered, where=lambda each: each.session == alice.session)
            alice.hang_up()
            await here.ended()
            invites = [each for each in tired.told if isinstance(each, events.Invited)]
            assert len(invites) == asked
        form = await here.app.until("/after")
        legs = await here.legs(form["DialCallSid"])
        assert [leg.sip_code for leg in legs] == [503, 200]


@pytest.mark.parametrize("rings", [False, True], ids=["at once", "after ringing"])
async def test_a_redirect_is_followed(
    tmp_path: Path, alice: Phone, carrier: Phone, open_phone: OpenPhone, rings: bool
) -> None:
    moved = await open_phone("moved", "carrier.example")
    there = NameAddr(uri=SipUri(user="there", host="127.0.0.1", port=int(port(carrier))))

    def redirect(phone: Phone, event: events.Invited) -> None:
        if rings:
            Phone.ringing(phone, event)
        low = NameAddr(uri=event.request.uri, params=(("q", "0.1"),))
        reply = Reply(status=302, contacts=(low, there))
        phone.station.agent.refuse(event.session, reply, phone.station.now())

    moved.on_call = redirect
    async with gateway(tmp_path, TO_NUMBER, ways=(moved,)) as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        invited = await carrier.until(events.Invited)
        assert invited.request.uri.user == "there"
        carrier.hang_up()
        form = await here.app.until("/after")
        await here.ended()
        legs = await here.legs(form["DialCallSid"])
        assert [leg.sip_code for leg in legs] == [302, 200]


async def test_early_media_are_heard(tmp_path: Path, alice: Phone, carrier: Phone) -> None:
    carrier.on_call = ring_early
    async with gateway(tmp_path, TO_NUMBER, ways=(carrier,)) as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Progressed, where=lambda each: each.response.status == 183)
        await alice.sound.hears(1500)
        Phone.refusing(486)(carrier, await carrier.until(events.Invited))
        carrier.station.wake()
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "busy"
        await here.ended()
        legs = await here.legs(form["DialCallSid"])
        assert legs[0].ringing and legs[0].received.packets


@pytest.mark.parametrize(
    ("limits", "why"), [("cps = 0.01", "cps = 0.01"), ("channels = 1", "channel")]
)
async def test_a_trunks_limits_are_named(
    tmp_path: Path, alice: Phone, bob: Phone, carrier: Phone, limits: str, why: str
) -> None:
    async with gateway(tmp_path, TO_NUMBER, ways=(carrier,), limits=limits) as here:
        here.app.pages["/after"] = "<Response><Hangup/></Response>"
        alice.call("anybody", here.hop())
        bob.call("anybody", here.hop())
        await _refused(alice, bob)
        form = await here.app.until("/after")
        assert form["DialCallStatus"] == "failed"
        answered = bob if any(isinstance(e, events.Refused) for e in alice.told) else alice
        await answered.until(events.Answered)
        answered.hang_up()
        await here.ended()
        child = await here.call(form["DialCallSid"])
        assert why in child.reason, child.reason
        told = await here.get(f"/v1/calls/{child.sid}/timeline")
        assert why in told["reason"]


async def _refused(*phones: Phone) -> None:
    """Return when one of them was refused."""
    tasks = [asyncio.create_task(each.until(events.Refused)) for each in phones]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def test_a_call_for_help_goes_out_whatever_the_limits(
    tmp_path: Path, alice: Phone, bob: Phone, carrier: Phone
) -> None:
    async with gateway(tmp_path, TO_NUMBER, ways=(carrier,), limits="channels = 1") as here:
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        here.app.pages["/voice"] = dial("112", answerOnBridge="true")
        bob.call("anybody", here.hop())
        await bob.until(events.Answered)
        users = [e.request.uri.user for e in carrier.told if isinstance(e, events.Invited)]
        assert users == ["+447700900002", "112"]
        alice.hang_up()
        bob.hang_up()
