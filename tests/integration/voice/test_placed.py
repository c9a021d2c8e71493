"""Calls that REST makes: whom they ring, what they run, what is told of them, how they end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from gateway.calls import orders, tables
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.orders import Place, Redirect
from gateway.calls.placed import Placed
from gateway.calls.restart import REASON
from gateway.calls.scoped import BROKEN
from gateway.sids import CALL, first_sid
from gateway.store.base import StoreUnavailable
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.uri import SipUri
from tests.integration.voice.acts import dial, outcome, refer, user
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_trunk_calls import NUMBER, trunk
from tests.integration.voice.world import ACCOUNT, TOKEN, World, world

CALLEE = "+447700900002"
PAUSE = '<Response><Pause length="60"/></Response>'
OFFICE = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
users = [{ username = "bob", password = "pb" }, { username = "carol", password = "pc" }]
"""
EVENTS = ["initiated", "ringing", "answered", "completed"]


@pytest.fixture
async def carrier(open_phone: OpenPhone) -> Phone:
    return await open_phone("callee", "carrier.example", tone=880)


@asynccontextmanager
async def gateway(
    folder: Path, carrier: Phone | int, twiml: str = PAUSE, more: str = "", pace: str = ""
) -> AsyncIterator[World]:
    """A world with a trunk to `carrier`; nothing is left of its calls."""
    text = trunk(carrier, more=more) + OFFICE
    async with world(folder, text, twiml, sip=pace) as here:
        yield here
        await here.ended()
        assert here.ledger() == {}


async def make(here: World, to: str = CALLEE, **fields: Any) -> dict[str, Any]:
    """Ask for a call, as a client does that the gateway did not ship with."""
    given = {"Url": f"{here.app.url}/voice"} if "Twiml" not in fields else {}
    form = {"To": to, "From": NUMBER, **given, **fields}
    pairs = [
        (name, each)
        for name, one in form.items()
        for each in (one if isinstance(one, list) else [one])
    ]
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    async with here.http.post(here.url + path, data=pairs) as response:
        assert response.status == 201, await response.text()
        found: dict[str, Any] = await response.json()
        return found


async def change(here: World, sid: str, **fields: str) -> int:
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{sid}.json"
    async with here.http.post(here.url + path, data=fields) as response:
        return response.status


def told(here: World, path: str = "/status") -> list[dict[str, str]]:
    return [form for asked, form in here.app.asked if asked == path]


async def over(here: World, sid: str) -> dict[str, str]:
    return await here.app.until("/status", lambda form: "CallDuration" in form)


async def test_a_call_is_made_answered_and_ended(tmp_path: Path, carrier: Phone) -> None:
    async with gateway(tmp_path, carrier) as here:
        status = {"StatusCallback": f"{here.app.url}/status", "StatusCallbackEvent": EVENTS}
        made = await make(here, **status)
        assert (made["status"], made["direction"]) == ("queued", "outbound-api")
        assert (made["from"], made["to"], made["start_time"]) == (NUMBER, CALLEE, None)
        asked = await here.app.until("/voice")
        invited = await carrier.until(events.Invited)
        assert CALLEE[1:] in str(invited.request.uri)
        assert (asked["CallSid"], asked["CallStatus"]) == (made["sid"], "in-progress")
        assert (asked["Direction"], asked["From"], asked["To"]) == ("outbound-api", NUMBER, CALLEE)
        await carrier.until(events.Confirmed)
        carrier.hang_up()
        await over(here, made["sid"])
        told_of = sorted(told(here), key=lambda form: int(form["SequenceNumber"]))
        assert [form["CallStatus"] for form in told_of] == [
            *("initiated", "ringing", "in-progress", "completed")
        ]
        assert [form["SequenceNumber"] for form in told_of] == ["0", "1", "2", "3"]
        assert {form["CallbackSource"] for form in told_of} == {"call-progress-events"}
        await here.ended()
        call = await here.call(made["sid"])
        assert (call.status, call.sip_code, call.origin) == ("completed", 200, "rest")
        (leg,) = await here.legs(made["sid"])
        assert (leg.direction, leg.carrier, leg.sip_code) == ("outbound-api", "acme", 200)
        timeline = await here.get(f"/v1/calls/{made['sid']}/timeline")
        kinds = [each["type"] for each in timeline["events"] if each["type"].startswith("call.")]
        assert kinds == [
            *("call.queued", "call.initiated", "call.ringing", "call.answered", "call.completed")
        ]


async def test_the_official_client_makes_a_call_and_its_callbacks_are_signed(
    tmp_path: Path, carrier: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, carrier, "<Response><Hangup/></Response>") as here:
        signed: list[bool] = []
        answer, judge = here.app.answer, RequestValidator(TOKEN)

        async def judged(request: web.Request) -> web.Response:
            form = {name: str(value) for name, value in (await request.post()).items()}
            signed.append(
                judge.validate(str(request.url), form, request.headers["X-Twilio-Signature"])
            )
            return await answer(request)

        runner = web.AppRunner(_app(judged))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        client = Client(ACCOUNT, TOKEN)
        monkeypatch.setattr(client.api, "base_url", here.url)
        made = await asyncio.to_thread(
            client.calls.create,
            to=CALLEE,
            from_=NUMBER,
            url=f"{url}/voice",
            status_callback=f"{url}/status",
            status_callback_event=EVENTS,
        )
        assert (made.status, made.direction) == ("queued", "outbound-api")
        await over(here, made.sid)
        await here.ended()
        found = await asyncio.to_thread(client.calls(made.sid).fetch)
        assert (found.status, found.to) == ("completed", CALLEE)
        assert signed == [True] * 5
        await runner.cleanup()


def _app(answer: Callable[..., Any]) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


async def test_who_answers_is_joined_by_the_document_to_who_it_dials(
    tmp_path: Path, carrier: Phone, open_phone: OpenPhone
) -> None:
    bob = await open_phone("bob", "office.example", tone=440, password="pb")
    twiml = dial(user("bob"), action="/after")
    async with gateway(tmp_path, carrier, twiml) as here:
        await bob.register(here.hop())
        made = await make(here)
        await asyncio.gather(carrier.sound.hears(440), bob.sound.hears(880))
        child = await here.stored(lambda call: call.parent_sid == made["sid"])
        assert (child.direction, child.from_address) == ("outbound-dial", NUMBER)
        bob.hang_up()
        form = await here.app.until("/after")
        assert (form["DialCallStatus"], form["CallSid"]) == ("completed", made["sid"])


@pytest.mark.parametrize(
    ("on_call", "fields", "status", "code"),
    [
        (Phone.refusing(486), {}, "busy", 486),
        (Phone.refusing(603), {}, "busy", 603),
        (Phone.refusing(404), {}, "failed", 404),
        (Phone.ringing, {"Timeout": "1"}, "no-answer", 0),
    ],
    ids=["busy", "declined", "nobody", "no answer"],
)
async def test_what_a_call_comes_to_that_nobody_answers(
    tmp_path: Path,
    carrier: Phone,
    on_call: Callable[[Phone, events.Invited], None],
    fields: dict[str, str],
    status: str,
    code: int,
) -> None:
    carrier.on_call = on_call
    async with gateway(tmp_path, carrier) as here:
        made = await make(here, StatusCallback=f"{here.app.url}/status", **fields)
        form = await over(here, made["sid"])
        assert (form["CallStatus"], form["CallDuration"]) == (status, "0")
        await here.ended()
        call = await here.call(made["sid"])
        assert (call.status, call.sip_code) == (status, code)
        assert not told(here, "/voice")


@pytest.mark.parametrize("status", ["canceled", "completed"])
async def test_a_call_that_rings_is_cancelled(tmp_path: Path, carrier: Phone, status: str) -> None:
    carrier.on_call = Phone.ringing
    async with gateway(tmp_path, carrier) as here:
        made = await make(here, StatusCallback=f"{here.app.url}/status")
        await here.stored(lambda call: call.status == "ringing")
        assert await change(here, made["sid"], Twiml=PAUSE) == 400
        assert await change(here, made["sid"], Status=status) == 200
        await carrier.until(events.Cancelled)
        assert (await over(here, made["sid"]))["CallStatus"] == "canceled"
        await here.ended()
        assert not told(here, "/voice")


async def test_a_call_that_talks_is_redirected_and_completed(
    tmp_path: Path, carrier: Phone
) -> None:
    async with gateway(tmp_path, carrier) as here:
        made = await make(here)
        await here.app.until("/voice")
        await here.stored(lambda call: call.status == "in-progress")
        assert await change(here, made["sid"], Url=f"{here.app.url}/more") == 200
        await here.app.until("/more")
        await carrier.until(events.HungUp)
        await here.ended()
        made = await make(here)
        await here.stored(lambda call: call.sid == made["sid"] and call.status == "in-progress")
        assert await change(here, made["sid"], Status="completed") == 200
        await here.ended()
        assert (await here.call(made["sid"])).status == "completed"


async def test_a_registered_phone_is_called_with_headers_of_the_app(
    tmp_path: Path, open_phone: OpenPhone
) -> None:
    bob = await open_phone("bob", "office.example", tone=440, password="pb")
    async with gateway(tmp_path, 9, "<Response><Hangup/></Response>") as here:
        await bob.register(here.hop())
        made = await make(here, "sip:bob@office.example?X-Order=17", CallerId="shop")
        invited = await bob.until(events.Invited)
        assert invited.request.headers.first("X-Order") == "17"
        assert "shop" in str(invited.request.from_.uri)
        await bob.until(events.HungUp)
        await here.ended()
        call = await here.call(made["sid"])
        assert (call.status, call.to_address) == ("completed", "sip:bob@office.example")


@pytest.mark.parametrize(
    ("to", "ends", "name"),
    [
        ("sip:carol@office.example", "failed", "carol@office.example"),
        ("client:carol", "no-answer", "client:carol"),
    ],
)
async def test_who_is_not_registered_is_not_there(
    tmp_path: Path, to: str, ends: str, name: str
) -> None:
    async with gateway(tmp_path, 9) as here:
        made = await make(here, to)
        await here.ended()
        call = await here.call(made["sid"])
        assert (call.status, call.reason) == (ends, f"{name} is not registered")


async def test_keys_are_pressed_before_the_document_is_asked_for(
    tmp_path: Path, carrier: Phone
) -> None:
    async with gateway(tmp_path, carrier, more='dtmf = "info"') as here:
        made = await make(here, SendDigits="1w#", TimeLimit="1")
        for key in "1#":
            info = await carrier.until(
                events.InfoReceived, where=lambda each, key=key: f"={key}" in str(each.body)
            )
            carrier.station.agent.respond(info.key, Reply(status=200), carrier.station.now())
            carrier.station.wake()
            assert not told(here, "/voice")
        await here.app.until("/voice")
        await carrier.until(events.HungUp)
        await here.ended()
        assert (await here.call(made["sid"])).reason == "the time limit of the call"


async def test_a_document_may_come_with_the_call(tmp_path: Path, carrier: Phone) -> None:
    async with gateway(tmp_path, carrier) as here:
        twiml = "<Response><Redirect>/told</Redirect></Response>".replace(
            "/told", f"{here.app.url}/told"
        )
        made = await make(here, Twiml=twiml, MachineDetection="Enable", CallReason="dinner")
        assert (await here.app.until("/told"))["CallSid"] == made["sid"]
        await here.ended()
        timeline = await here.get(f"/v1/calls/{made['sid']}/timeline")
        noted = [
            each["error_code"]
            for each in timeline["events"]
            if each["type"].startswith("notification")
        ]
        assert noted == [21263, 20001]


async def test_a_call_may_be_recorded_from_its_answer(tmp_path: Path, carrier: Phone) -> None:
    async with gateway(tmp_path, carrier) as here:
        more = {"Record": "true", "RecordingChannels": "dual"}
        more["StatusCallback"] = f"{here.app.url}/status"
        made = await make(here, RecordingStatusCallback=f"{here.app.url}/recording", **more)
        await here.app.until("/voice")
        await asyncio.sleep(0.3)  # of sound
        carrier.hang_up()
        form = await here.app.until("/recording")
        assert (form["CallSid"], form["RecordingStatus"]) == (made["sid"], "completed")
        assert (form["RecordingSource"], form["RecordingChannels"]) == ("OutboundAPI", "2")
        ended = await over(here, made["sid"])
        names = ("RecordingUrl", "RecordingSid", "RecordingDuration")
        assert [ended[each] for each in names] == [form[each] for each in names]
        assert len(told(here)) == 1


async def test_an_application_says_what_runs_and_who_is_told(
    tmp_path: Path, carrier: Phone
) -> None:
    async with gateway(tmp_path, carrier, "<Response><Hangup/></Response>") as here:
        path = f"/2010-04-01/Accounts/{ACCOUNT}/Applications.json"
        settings = {"VoiceUrl": f"{here.app.url}/app", "StatusCallback": f"{here.app.url}/status"}
        async with here.http.post(here.url + path, data=settings) as response:
            application = await response.json()
        made = await make(here, ApplicationSid=application["sid"])
        asked = await here.app.until("/app")
        assert (asked["CallSid"], asked["ApplicationSid"]) == (made["sid"], application["sid"])
        assert (await over(here, made["sid"]))["CallStatus"] == "completed"
        assert not told(here, "/voice")


async def test_a_number_may_refer_to_an_application(
    tmp_path: Path, carrier: Phone, open_phone: OpenPhone
) -> None:
    caller = await open_phone("+447700900001", "carrier.example")
    async with gateway(tmp_path, carrier) as here:
        account = f"{here.url}/2010-04-01/Accounts/{ACCOUNT}"
        settings = {"VoiceUrl": f"{here.app.url}/app", "StatusCallback": f"{here.app.url}/status"}
        async with here.http.post(f"{account}/Applications.json", data=settings) as response:
            sid = (await response.json())["sid"]
        number = {
            "PhoneNumber": "+15550003000",
            "VoiceApplicationSid": sid,
            "VoiceUrl": f"{here.app.url}/voice",
        }
        path = f"{account}/IncomingPhoneNumbers.json"
        async with here.http.post(path, data=number) as response:
            assert (await response.json())["voice_application_sid"] == sid
        caller.call("+15550003000", here.hop())
        asked = await here.app.until("/app")
        caller.hang_up()
        assert (await over(here, asked["CallSid"]))["CallStatus"] in ("completed", "no-answer")
        assert not told(here, "/voice")
        async with here.http.delete(f"{account}/Applications/{sid}.json") as response:
            assert response.status == 204
        caller.call("+15550003000", here.hop())
        refused = await caller.until(events.Refused, since=len(caller.told))
        assert refused.status == 480


async def test_calls_of_an_account_begin_one_after_the_other_and_few_wait(
    tmp_path: Path, carrier: Phone
) -> None:
    async with gateway(tmp_path, carrier, pace="account_cps = 0.001\nmax_queued = 1") as here:
        voice = here.gateway._voice
        assert voice is not None
        first, second = await make(here), await make(here)
        await here.app.until("/voice", lambda form: form["CallSid"] == first["sid"])
        assert voice.stats().queued == 1
        path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
        form = {"To": CALLEE, "From": NUMBER, "Url": here.app.url}
        async with here.http.post(here.url + path, data=form) as response:
            assert (response.status, (await response.json())["code"]) == (429, 20429)
        assert (await here.call(second["sid"])).status == "queued"
        assert await change(here, second["sid"], Status="canceled") == 200
        assert await change(here, first["sid"], Status="completed") == 200
        await here.ended()
        call = await here.call(second["sid"])
        assert (call.status, await here.legs(second["sid"])) == ("canceled", [])


def waiting(here: World, at: float) -> Call:
    """A call that a process without a voice has taken."""
    return Call(
        account_sid=ACCOUNT,
        sid=f"{first_sid(CALL, at)}{7:016x}",
        direction=CallDirection.OUTBOUND_API,
        status=CallStatus.QUEUED,
        from_address=NUMBER,
        to_address=CALLEE,
        origin="rest",
        status_callback=f"{here.app.url}/status",
        date_created=at,
        date_updated=at,
    )


async def test_what_another_process_has_taken_is_made_once(tmp_path: Path, carrier: Phone) -> None:
    async with gateway(tmp_path, carrier, "<Response><Hangup/></Response>") as here:
        store, now = here.gateway._ground.store, here.gateway._clock()
        call = waiting(here, now)
        runs = Redirect(url=f"{here.app.url}/voice")
        place = Place(to=CALLEE, caller=NUMBER, runs=runs)
        _, left = orders.left(ACCOUNT, call.sid, place, now)
        _, again = orders.left(ACCOUNT, call.sid, place, now)
        await store.commit([tables.inserted(call), left, again])
        store.hint(orders.HINT)
        assert (await over(here, call.sid))["CallStatus"] == "completed"
        await here.ended()
        invited = [each for each in carrier.told if isinstance(each, events.Invited)]
        assert len(invited) == 1
        while await orders.count_of(store, ACCOUNT):  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


async def test_what_nobody_took_in_time_is_ended_by_who_starts(
    tmp_path: Path, carrier: Phone
) -> None:
    async with gateway(tmp_path, carrier) as here:
        store, now = here.gateway._ground.store, here.gateway._clock()
        old = waiting(here, now - orders.STALE - 1)
        young = msgspec.structs.replace(waiting(here, now), sid=f"{first_sid(CALL, now)}{8:016x}")
        await store.commit([tables.inserted(old), tables.inserted(young)])
        voice = here.gateway._voice
        assert voice is not None
        await voice._restart._look()
        assert (await over(here, old.sid))["CallStatus"] == "failed"
        found = await here.call(old.sid)
        assert (found.status, found.reason) == ("failed", REASON)
        assert (await here.call(young.sid)).status == "queued"


async def test_a_call_of_a_process_that_died_before_its_turn_is_failed(
    tmp_path: Path, carrier: Phone
) -> None:
    async with gateway(tmp_path, carrier) as here:
        store, now = here.gateway._ground.store, here.gateway._clock()
        call = msgspec.structs.replace(waiting(here, now), owner="somebody dead")
        await store.commit([tables.inserted(call)])
        voice = here.gateway._voice
        assert voice is not None
        await voice._restart._look()
        form = await over(here, call.sid)
        assert (form["CallSid"], form["CallStatus"]) == (call.sid, "failed")
        assert form["SequenceNumber"] == "0"


async def test_who_was_called_may_transfer_who_was_dialled_for_it(
    tmp_path: Path, carrier: Phone, open_phone: OpenPhone
) -> None:
    bob = await open_phone("bob", "office.example", tone=440, password="pb")
    carol = await open_phone("carol", "office.example", tone=1300, password="pc")
    async with gateway(tmp_path, carrier, dial(user("carol"))) as here:
        for phone in (bob, carol):
            await phone.register(here.hop())
        made = await make(here, "sip:bob@office.example", StatusCallback=f"{here.app.url}/status")
        await asyncio.gather(bob.sound.hears(1300), carol.sound.hears(440))
        transfer = refer(bob, SipUri(user=CALLEE, host="office.example"))
        assert await outcome(bob, transfer) == 200
        await asyncio.gather(carrier.sound.hears(1300), carol.sound.hears(880))
        assert (await over(here, made["sid"]))["CallStatus"] == "completed"
        assert here.ledger()
        carol.hang_up()
        await carrier.until(events.HungUp)


async def test_a_trunk_that_is_full_takes_no_call_of_rest(tmp_path: Path, carrier: Phone) -> None:
    async with gateway(tmp_path, carrier, more="channels = 1") as here:
        first = await make(here)
        await here.stored(lambda call: call.sid == first["sid"] and call.status == "in-progress")
        second = await make(here)
        found = await here.stored(
            lambda call: call.sid == second["sid"] and call.status == "failed"
        )
        assert found.reason.startswith("acme: ")
        carrier.hang_up()


async def test_a_fault_in_a_call_of_rest_ends_that_call(
    tmp_path: Path, carrier: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*given: Any) -> None:
        raise ValueError("as the test wants it")

    async with gateway(tmp_path, carrier) as here:
        monkeypatch.setattr(Placed, "_on_answered", breaks)
        made = await make(here, StatusCallback=f"{here.app.url}/status")
        await carrier.until(events.HungUp)
        await here.ended()
        call = await here.call(made["sid"])
        assert (call.status, call.reason) == ("completed", BROKEN)


async def test_a_gateway_that_drains_takes_no_call_of_rest(tmp_path: Path, carrier: Phone) -> None:
    async with gateway(tmp_path, carrier) as here:
        voice = here.gateway._voice
        assert voice is not None
        voice.calls.stop()
        path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
        form = {"To": CALLEE, "From": NUMBER, "Url": here.app.url}
        async with here.http.post(here.url + path, data=form) as response:
            assert (response.status, (await response.json())["code"]) == (503, 20503)
        assert await here.calls() == []


async def test_a_call_that_can_t_be_stored_is_not_made(
    tmp_path: Path, carrier: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, carrier) as here:

        def commit(*given: Any) -> asyncio.Future[None]:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_exception(StoreUnavailable("the disk is full"))
            return done

        monkeypatch.setattr(here.book, "commit", commit)
        path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
        form = {"To": CALLEE, "From": NUMBER, "Url": here.app.url}
        async with here.http.post(here.url + path, data=form) as response:
            assert response.status == 503
        monkeypatch.undo()
        await here.ended()
        assert await here.calls() == []
        assert not [each for each in carrier.told if isinstance(each, events.Invited)]
