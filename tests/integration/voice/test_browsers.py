"""Pages with the Voice SDK call and are called: documents, keys, tones, sockets that drop."""

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest

from protocols.sip import agent_events as events
from protocols.sip.uri import SipUri
from tests.integration.voice.acts import outcome, refer
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.sdk import Page, application_of, key_of, token_of
from tests.integration.voice.world import ACCOUNT, World, world
from tests.webrtc_peer import on_loopback

__all__ = ["on_loopback"]

pytestmark = pytest.mark.usefixtures("on_loopback")


@pytest.fixture
async def pages() -> AsyncIterator[list[Page]]:
    opened: list[Page] = []
    yield opened
    for page in opened:
        await page.closes()


async def opened(
    pages: list[Page], here: World, token: str, *, tone: float = 1000.0, registers: bool = True
) -> Page:
    """Another device."""
    page = Page(here, tone)
    pages.append(page)
    return await page.opens(token, registers=registers)


async def quiet(here: World) -> None:
    """Nothing is left of any call."""
    await here.ended()
    await here.quiet()
    voice = here.gateway._voice
    assert voice is not None
    assert voice.browsers.desk.ledger()["calls"] == 0


async def test_a_page_calls_a_document_and_both_hear(tmp_path: Path, pages: list[Page]) -> None:
    twiml = (
        '<Response><Gather finishOnKey="#" action="/keys" timeout="20">'
        "<Play>/tone.wav</Play></Gather></Response>"
    )
    async with world(tmp_path, "", twiml) as here:
        here.app.sounds["/tone.wav"] = tone_file(440.0)
        application = await application_of(here)
        token = token_of(await key_of(here), "alice", application)
        page = await opened(pages, here, token, registers=False)
        await page.calls(To="+15550001000", name="Zoë & 李", CallSid="CAforged")
        await page.is_answered()
        asked = await here.app.until("/voice")
        told = {name: asked[name] for name in ("From", "To", "name", "CallSid", "ApplicationSid")}
        assert told == {
            "From": "client:alice",
            "To": "+15550001000",
            "name": "Zoë & 李",
            "CallSid": page.callsid,
            "ApplicationSid": application,
        }
        await page.hears_tone(440.0)
        sample = {"call_sid": page.callsid, "mos": 4.2, "jitter": 1}
        posted = {"X-Twilio-Token": token, "Authorization": ""}
        async with here.http.post(
            f"{here.url}/v4/EndpointMetrics", json={"payload": [sample]}, headers=posted
        ) as response:
            assert response.status == 200
        await page.press("123#")
        assert (await here.app.until("/keys"))["Digits"] == "123"
        assert (await page.hears("hangup")) == {"callsid": page.callsid}
        await quiet(here)
        call = await here.call(page.callsid)
        assert (call.status, call.origin) == ("completed", f"application:{application}")
        (leg,) = await here.legs(page.callsid)
        assert (leg.transport, leg.codec_sent) == ("WS", "PCMU")
        assert leg.received.packets > 0
        shown = await here.get(f"/v1/calls/{page.callsid}/timeline")
        ladder = [each for each in shown["events"] if each["type"] == "sip"]
        assert [each["first_line"].split()[0] for each in ladder] == [
            "invite",
            "answer",
            "dtmf",
            "hangup",
        ]
        (quality,) = [each for each in shown["events"] if each["type"] == "call.quality"]
        assert (quality["mos"], quality["jitter"]) == (4.2, 1)
        text = "".join(each["text"] for each in ladder)
        assert page.reconnect not in text
        assert "123#" not in text


async def test_two_devices_ring_and_the_first_that_answers_has_the_call(
    tmp_path: Path, pages: list[Page]
) -> None:
    twiml = (
        "<Response><Dial answerOnBridge='true'><Client statusCallback='/told'"
        " statusCallbackEvent='ringing answered completed'><Identity>bob</Identity>"
        "<Parameter name='who' value='Zoë &amp; 李'/></Client></Dial></Response>"
    )
    async with world(tmp_path, "", twiml) as here:
        key = await key_of(here)
        alice = await opened(
            pages, here, token_of(key, "alice", await application_of(here)), tone=1000.0
        )
        one, other = [await opened(pages, here, token_of(key, "bob"), tone=600.0) for _ in range(2)]
        await alice.calls(To="client:bob")
        invited = [await each.is_called() for each in (one, other)]
        sids = {each["callsid"] for each in invited}
        assert len(sids) == 1
        parameters = invited[0]["parameters"]
        assert parameters["From"] == "client:alice"
        assert parameters["To"] == "client:bob"
        assert {parameters["CallSid"]} == sids
        assert parse_qsl(parameters["Params"]) == [("who", "Zoë & 李")]
        await other.answers()
        await alice.is_answered()
        assert await one.hears("cancel") == {"callsid": one.callsid}
        await alice.hears_tone(600.0)
        await other.hears_tone(1000.0)
        voice = here.gateway._voice
        assert voice is not None
        assert voice.calls.counts()["outbound-dial"] == 1
        await other.hangs_up()
        assert await alice.hears("hangup") == {"callsid": alice.callsid}
        await quiet(here)
        told = [form["CallStatus"] for path, form in here.app.asked if path == "/told"]
        assert sorted(told) == ["completed", "in-progress", "ringing"]


async def test_a_socket_drops_and_the_call_goes_on_until_it_is_back(
    tmp_path: Path, pages: list[Page]
) -> None:
    twiml = "<Response><Play loop='5'>/tone.wav</Play></Response>"
    async with world(tmp_path, "", twiml) as here:
        here.app.sounds["/tone.wav"] = tone_file(440.0)
        token = token_of(await key_of(here), "alice", await application_of(here))
        page = await opened(pages, here, token)
        await page.calls()
        await page.is_answered()
        await page.hears_tone(440.0)
        await page.drops()
        assert page.peer is not None
        heard = len(page.peer.payloads)
        async with asyncio.timeout(30):
            while len(page.peer.payloads) <= heard + 10:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.02)
        told = await page.comes_back(token)
        assert told["callsid"] == page.callsid
        await page.hears_tone(440.0)
        await page.hangs_up()
        await quiet(here)
        call = await here.call(page.callsid)
        assert (call.status, call.reason) == ("completed", "hangup")


async def test_another_page_takes_a_call_that_rings_and_a_third_one_when_it_is_up(
    tmp_path: Path, pages: list[Page]
) -> None:
    twiml = "<Response><Dial answerOnBridge='true'><Client>bob</Client></Dial></Response>"
    async with world(tmp_path, "", twiml) as here:
        key = await key_of(here)
        alice = await opened(pages, here, token_of(key, "alice", await application_of(here)))
        rung = await opened(pages, here, token_of(key, "bob"), tone=600.0)
        second, third = [
            await opened(pages, here, token_of(key, "bob"), tone=tone, registers=False)
            for tone in (700.0, 800.0)
        ]
        await alice.calls(To="client:bob")
        await rung.is_called()
        await second.takes_over(rung)
        assert await rung.hears("cancel") == {"callsid": rung.callsid}
        await alice.is_answered()
        await asyncio.gather(alice.hears_tone(700.0), second.hears_tone(1000.0))
        await third.takes_over(second)
        assert await second.hears("hangup") == {"callsid": rung.callsid}
        await asyncio.gather(alice.hears_tone(800.0), third.hears_tone(1000.0))
        await third.hangs_up()
        assert await alice.hears("hangup") == {"callsid": alice.callsid}
        await quiet(here)


async def test_a_page_in_another_network_is_heard_again(tmp_path: Path, pages: list[Page]) -> None:
    twiml = "<Response><Play loop='9'>/tone.wav</Play></Response>"
    async with world(tmp_path, "", twiml) as here:
        here.app.sounds["/tone.wav"] = tone_file(440.0)
        token = token_of(await key_of(here), "alice", await application_of(here))
        page = await opened(pages, here, token)
        await page.calls()
        await page.is_answered()
        await page.hears_tone(440.0)
        began = asyncio.get_running_loop().time()
        await page.moves()
        await page.hears_tone(440.0)
        assert asyncio.get_running_loop().time() - began < 20
        await page.hangs_up()
        await quiet(here)


async def test_early_media_is_heard_before_the_answer(tmp_path: Path, pages: list[Page]) -> None:
    dial = "<Dial answerOnBridge='true' callerId='+15550001000'>+15552000183</Dial>"
    twiml = f"<Response>{dial}</Response>"
    async with world(tmp_path, "", twiml) as here:
        token = token_of(await key_of(here), "alice", await application_of(here))
        page = await opened(pages, here, token)
        await page.calls(To="+15552000183")
        early = await page.hears("ringing")
        await page.takes(early["sdp"])
        await page.hears_tone(620.0)
        answer = await page.hears("answer")
        assert answer["sdp"] == early["sdp"]
        await page.hears_tone(440.0)
        await page.hangs_up()
        await here.ended()  # the INVITE to the carrier is known for 32 s


async def test_pages_meet_in_a_conference_that_is_recorded(
    tmp_path: Path, pages: list[Page]
) -> None:
    room = "<Conference record='record-from-start' waitUrl='' beep='false'>den</Conference>"
    async with world(tmp_path, "", f"<Response><Dial>{room}</Dial></Response>") as here:
        key, application = await key_of(here), await application_of(here)
        alice, bob = [
            await opened(pages, here, token_of(key, name, application), tone=tone)
            for name, tone in (("alice", 1000.0), ("bob", 600.0))
        ]
        for page in (alice, bob):
            await page.calls()
            await page.is_answered()
        await alice.hears_tone(600.0)
        await bob.hears_tone(1000.0)
        for page in (alice, bob):
            await page.hangs_up()
        await quiet(here)
        listed = await here.get(f"/2010-04-01/Accounts/{ACCOUNT}/Recordings.json")
        (recording,) = listed["recordings"]
        assert recording["conference_sid"].startswith("CF")


OFFICE = """
[[domains]]
name = "office.example"
voice_url = "{app}/voice"
users = [{ username = "bob", password = "pb" }, { username = "carol", password = "pc" }]
"""


async def test_phones_transfer_a_page_that_called_and_one_that_was_called(
    tmp_path: Path, pages: list[Page], open_phone: OpenPhone
) -> None:
    async with world(tmp_path, OFFICE) as here:
        bob = await open_phone("bob", "office.example", tone=600, password="pb")
        carol = await open_phone("carol", "office.example", tone=880, password="pc")
        for phone in (bob, carol):
            await phone.register(here.hop())
        token = token_of(await key_of(here), "alice", await application_of(here))
        page = await opened(pages, here, token)
        to_carol = SipUri(user="carol", host="office.example")

        here.app.twiml = "<Response><Dial><Sip>sip:bob@office.example</Sip></Dial></Response>"
        await page.calls()
        await page.is_answered()
        await page.hears_tone(600.0)
        assert await outcome(bob, refer(bob, to_carol)) == 200
        await page.hears_tone(880.0)
        await carol.sound.hears(1000)
        await page.hangs_up()
        await carol.until(events.HungUp)

        here.app.twiml = "<Response><Dial><Client>alice</Client></Dial></Response>"
        bob.call("anybody", here.hop())
        await page.is_called()
        await page.answers()
        await page.hears_tone(600.0)
        assert await outcome(bob, refer(bob, to_carol)) == 200
        await page.hears_tone(880.0)
        await page.hangs_up()
        await carol.until(events.HungUp)
        await here.ended()


async def test_rest_calls_a_page_talks_with_its_app_and_ends_it(
    tmp_path: Path, pages: list[Page]
) -> None:
    twiml = "<Response><Play loop='9'>/tone.wav</Play></Response>"
    async with world(tmp_path, "", twiml) as here:
        here.app.sounds |= {"/tone.wav": tone_file(440.0), "/other.wav": tone_file(800.0)}
        here.app.pages["/hold"] = "<Response><Play loop='9'>/other.wav</Play></Response>"
        page = await opened(pages, here, token_of(await key_of(here), "bob"))
        calls = f"{here.url}/2010-04-01/Accounts/{ACCOUNT}/Calls"
        form = {
            "To": "client:bob?who=Zo%C3%AB%20%26%20b",
            "From": "+15550001000",
            "Url": f"{here.app.url}/voice",
        }
        async with here.http.post(f"{calls}.json", data=form) as response:
            made = await response.json()
        assert made["to"] == "client:bob"
        invited = await page.is_called()
        assert invited["callsid"] == made["sid"]
        assert invited["parameters"]["From"] == "+15550001000"
        assert parse_qsl(invited["parameters"]["Params"]) == [("who", "Zoë & b")]
        await page.answers()
        await page.hears_tone(440.0)

        one = f"{calls}/{made['sid']}"
        told = {"Callback": f"{here.app.url}/heard"}
        async with here.http.post(
            f"{one}/UserDefinedMessageSubscriptions.json", data=told
        ) as response:
            assert response.status == 201
        said = {"content": {"a": "ü"}, "messagetype": "user-defined-message"}
        await page.says("message", callsid=page.callsid, voiceeventsid="KX1", **said)
        assert (await page.hears("ack"))["voiceeventsid"] == "KX1"
        assert json.loads((await here.app.until("/heard"))["Content"]) == {"a": "ü"}
        content = {"Content": json.dumps({"b": 1})}
        async with here.http.post(f"{one}/UserDefinedMessages.json", data=content) as response:
            assert response.status == 201
        assert (await page.hears("message"))["content"] == {"b": 1}

        async with here.http.post(f"{one}.json", data={"Url": f"{here.app.url}/hold"}) as response:
            assert response.status == 200
        await page.hears_tone(800.0)
        async with here.http.post(f"{one}.json", data={"Status": "completed"}) as response:
            assert response.status == 200
        assert await page.hears("hangup") == {"callsid": made["sid"]}
        await quiet(here)


async def test_who_is_not_there_is_not_reached_and_the_caller_hears_why(
    tmp_path: Path, pages: list[Page]
) -> None:
    dial = "<Dial answerOnBridge='true' action='/after'><Client>nobody</Client></Dial>"
    async with world(tmp_path, "", f"<Response>{dial}</Response>") as here:
        here.app.pages["/after"] = "<Response/>"
        token = token_of(await key_of(here), "alice", await application_of(here))
        page = await opened(pages, here, token)
        await page.calls()
        assert (await here.app.until("/after"))["DialCallStatus"] == "no-answer"
        await page.hears("hangup")
        here.app.twiml = (
            "<Response><Dial answerOnBridge='true'><Client>nobody</Client></Dial></Response>"
        )
        await page.calls()
        told = await page.hears("hangup")
        assert told["error"]["code"] == 31480
        await quiet(here)


async def test_a_telephone_is_called_under_a_number_or_the_app_is_told(
    tmp_path: Path, pages: list[Page]
) -> None:
    """A client has no number of its own."""
    twiml = "<Response><Dial answerOnBridge='true' action='/after'>+15552000183</Dial></Response>"
    async with world(tmp_path, "", twiml) as here:
        here.app.pages["/after"] = "<Response><Hangup/></Response>"
        token = token_of(await key_of(here), "alice", await application_of(here))
        page = await opened(pages, here, token)
        await page.calls(To="+15552000183")
        assert (await here.app.until("/after"))["DialCallStatus"] == "failed"
        await page.hears("hangup")
        await quiet(here)
        listed = await here.get(f"/2010-04-01/Accounts/{ACCOUNT}/Notifications.json")
        (told,) = listed["notifications"]
        assert told["error_code"] == "13214"
        assert "callerId should be one of the account" in told["message_text"]


async def test_a_device_that_rejects_is_busy_to_the_caller(
    tmp_path: Path, pages: list[Page]
) -> None:
    twiml = "<Response><Dial answerOnBridge='true'><Client>bob</Client></Dial></Response>"
    async with world(tmp_path, "", twiml) as here:
        key = await key_of(here)
        alice = await opened(pages, here, token_of(key, "alice", await application_of(here)))
        bob = await opened(pages, here, token_of(key, "bob"))
        await alice.calls()
        await bob.is_called()
        await bob.says("reject", callsid=bob.callsid)
        told = await alice.hears("hangup")
        assert told["error"]["code"] == 31603
        await quiet(here)


async def test_an_offer_that_is_none_is_refused_and_no_call_begins(
    tmp_path: Path, pages: list[Page]
) -> None:
    async with world(tmp_path, "") as here:
        token = token_of(await key_of(here), "alice", await application_of(here))
        page = await opened(pages, here, token)
        for number, sdp in enumerate(("v=0", "x" * 20_000, "v=0\r\nm=audio 9 RTP/AVP 0\r\n")):
            await page.says("invite", callsid=f"TJS{number}", sdp=sdp, twilio={})
            told = await page.hears("hangup")
            assert told["callsid"] == f"TJS{number}"
            assert told["error"]["code"] == 31488
        assert await here.calls() == []


async def test_a_token_of_another_account_finds_nobody_here(
    tmp_path: Path, pages: list[Page]
) -> None:
    twiml = "<Response><Dial timeout='5'><Client>bob</Client></Dial></Response>"
    async with world(tmp_path, "", twiml) as here:
        form = {"FriendlyName": "others"}
        async with here.http.post(f"{here.url}/2010-04-01/Accounts.json", data=form) as response:
            others = str((await response.json())["sid"])
        application = await application_of(here)
        ours, theirs = await key_of(here), await key_of(here, others)
        alice = await opened(pages, here, token_of(ours, "alice", application))
        await opened(pages, here, token_of(theirs, "bob"))
        # Its own application is ours, and is not there for it.
        stranger = await opened(pages, here, token_of(theirs, "alice", application))
        await stranger.calls(To="client:bob")
        assert (await stranger.hears("hangup"))["error"]["code"] == 31480
        await alice.calls(To="client:bob")
        await alice.hears("hangup")
        assert all(path != "/voice" or form["AccountSid"] == ACCOUNT for path, form in asked(here))
        await quiet(here)


async def test_a_key_that_is_deleted_and_an_account_that_is_suspended_reach_devices_that_are_there(
    tmp_path: Path, pages: list[Page]
) -> None:
    async with world(tmp_path, "", "<Response/>") as here:
        accounts = f"{here.url}/2010-04-01/Accounts"
        async with here.http.post(f"{accounts}.json", data={"FriendlyName": "others"}) as response:
            others = str((await response.json())["sid"])
        application = await application_of(here)
        ours, theirs = await key_of(here), await key_of(here, others)
        alice = await opened(pages, here, token_of(ours, "alice", application))
        bob = await opened(pages, here, token_of(theirs, "bob", application))
        deleted = f"{accounts}/{ACCOUNT}/Keys/{ours.sid}.json"
        async with here.http.delete(deleted) as response:
            assert response.status == 204
        form = {"Status": "suspended"}
        async with here.http.post(f"{accounts}/{others}.json", data=form) as response:
            assert response.status == 200
        voice = here.gateway._voice
        assert voice is not None
        for page, who, code in ((alice, (ACCOUNT, "alice"), 31204), (bob, (others, "bob"), 31203)):
            assert voice.browsers.desk.of(*who) == []
            assert (await page.hears("error"))["error"]["code"] == code  # unasked
            await page.hears("offline")
            await page.says("invite", callsid="TJS1", sdp="v=0", twilio={"params": "To=x"})
            assert (await page.hears("hangup"))["error"]["code"] == code
            await page.says("register", media={"audio": True})
            assert (await page.hears("error"))["error"]["code"] == code
        assert await here.calls() == []
        assert asked(here) == []


def asked(here: World) -> list[tuple[str, dict[str, str]]]:
    return here.app.asked


def tone_file(frequency: float) -> bytes:
    """Ten seconds of it."""
    octets = io.BytesIO()
    with wave.open(octets, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        at = np.arange(80_000) / 8000
        file.writeframes((np.sin(2 * np.pi * frequency * at) * 8000).astype("<i2").tobytes())
    return octets.getvalue()
