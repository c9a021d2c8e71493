"""Another application is dialled: its documents run for a call of its own, and the caller hears."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocols.sip import agent_events as events
from tests.integration.voice.acts import dial
from tests.integration.voice.keyed import KeyPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import DOMAIN, gateway, order, user
from tests.integration.voice.test_spoken import PRESSES, tone_file
from tests.integration.voice.world import ACCOUNT, World

PLACE = f"/2010-04-01/Accounts/{ACCOUNT}"


@pytest.fixture
async def keyed() -> AsyncIterator[KeyPhone]:
    mode, _ = PRESSES["events"]
    phone = KeyPhone("alice", DOMAIN, 440.0, "pa", dtmf=mode)
    await phone.open()
    yield phone
    await phone.close()


async def made(here: World, path: str = "/app", **more: str) -> str:
    """The SID of an application that asks `path`."""
    form = {"FriendlyName": path, "VoiceUrl": here.app.url + path, **more}
    async with here.http.post(f"{here.url}{PLACE}/Applications.json", data=form) as response:
        assert response.status == 201, await response.text()
        return str((await response.json())["sid"])


def noun(sid: str, **attributes: str) -> str:
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    parameter = '<Parameter name="colour" value="blue"/>'
    return f"<Application{given}><ApplicationSid>{sid}</ApplicationSid>{parameter}</Application>"


async def test_a_caller_hears_an_application_and_presses_keys_for_it(
    tmp_path: Path, keyed: KeyPhone
) -> None:
    async with gateway(tmp_path, "", keyed) as here:
        here.app.sounds["/tone.wav"] = tone_file(1000, 1.0)
        here.app.pages["/app"] = (
            '<Response><Gather numDigits="1" action="/keys"><Play loop="0">/tone.wav</Play>'
            "</Gather></Response>"
        )
        here.app.pages["/keys"] = "<Response><Hangup/></Response>"
        sid = await made(here)
        told = {
            "statusCallback": "/told",
            "statusCallbackEvent": "initiated ringing answered completed",
            "statusCallbackMethod": "GET",
        }
        here.app.pages["/own"] = here.app.pages.pop("/app")
        goes = {"url": f"{here.app.url}/own", "method": "GET"}
        here.app.twiml = dial(noun(sid, customerId="c7", **goes, **told), action="/after")
        keyed.call("anybody", here.hop())
        await keyed.sound.hears(1000)
        _, press = PRESSES["events"]
        press(keyed, "5")
        asked, keys = await here.app.until("/own"), await here.app.until("/keys")
        after = await here.app.until("/after")
        parent = await here.app.until("/voice")
        assert (asked["ParentCallSid"], asked["Direction"]) == (parent["CallSid"], "outbound-dial")
        assert (asked["To"], asked["From"], asked["CallStatus"]) == (sid, parent["From"], "ringing")
        assert (asked["ApplicationSid"], asked["CustomerId"], asked["colour"]) == (
            sid,
            "c7",
            "blue",
        )
        assert (keys["CallSid"], keys["Digits"]) == (asked["CallSid"], "5")
        assert (after["CallSid"], after["DialCallSid"]) == (parent["CallSid"], asked["CallSid"])
        assert (after["DialCallStatus"], after["DialBridged"]) == ("completed", "true")
        await keyed.until(events.HungUp)
        await here.app.until("/told", lambda form: form["CallStatus"] == "completed")
        callbacks = [form["CallStatus"] for path, form in here.app.asked if path == "/told"]
        assert callbacks == ["initiated", "ringing", "in-progress", "completed"]
        assert {way for way, path in here.app.ways if path in ("/own", "/told")} == {"GET"}
        assert {form["CallSid"] for path, form in here.app.asked if path == "/told"} == {
            asked["CallSid"]
        }


async def test_whom_an_application_dials_talks_to_the_caller(
    tmp_path: Path, alice: Phone, bob: Phone
) -> None:
    async with gateway(tmp_path, "", alice, bob) as here:
        here.app.pages["/app"] = dial(user("bob"), action="/dialled", answerOnBridge="true")
        sid = await made(here)
        here.app.twiml = dial(noun(sid, copyParentTo="true"), answerOnBridge="true")
        alice.call("anybody", here.hop())
        await alice.sound.hears(880)
        await bob.sound.hears(440)
        asked, parent = await here.app.until("/app"), await here.app.until("/voice")
        assert asked["To"] == parent["To"]
        alice.hang_up()
        done = await here.app.until("/dialled")
        assert (done["CallSid"], done["CallStatus"]) == (asked["CallSid"], "completed")
        assert (done["DialCallStatus"], done["DialBridged"]) == ("completed", "true")
        await bob.until(events.HungUp)


async def test_what_an_application_records_is_its_callers(tmp_path: Path, alice: Phone) -> None:
    async with gateway(tmp_path, "", alice) as here:
        here.app.pages["/app"] = (
            '<Response><Record playBeep="false" maxLength="1" action="/kept"/></Response>'
        )
        here.app.pages["/kept"] = "<Response/>"
        here.app.twiml = dial(noun(await made(here)), action="/after")
        alice.call("anybody", here.hop())
        kept = await here.app.until("/kept")
        assert (kept["RecordingDuration"], kept["Digits"]) == ("1", "")
        found = await here.get(f"{PLACE}/Calls/{kept['CallSid']}/Recordings.json")
        assert [each["sid"] for each in found["recordings"]] == [kept["RecordingSid"]]
        assert (await here.app.until("/after"))["DialCallSid"] == kept["CallSid"]


@pytest.mark.parametrize("who", ["the caller", "REST"])
async def test_a_recording_of_an_application_is_told_of_whoever_ends_it(
    tmp_path: Path, alice: Phone, who: str
) -> None:
    async with gateway(tmp_path, "", alice) as here:
        here.app.pages["/app"] = (
            '<Response><Record playBeep="false" action="/kept" recordingStatusCallback="/told"'
            ' recordingStatusCallbackEvent="in-progress"/></Response>'
        )
        here.app.twiml = dial(noun(await made(here)), action="/after")
        alice.call("anybody", here.hop())
        child = (await here.app.until("/app"))["CallSid"]
        await here.app.until("/told")
        await asyncio.sleep(1.0)  # of which there is something to hear then
        if who == "REST":
            await order(here, child, Status="completed")
        else:
            alice.hang_up()
        kept = await here.app.until("/kept")
        assert (kept["CallSid"], kept["Digits"], kept["CallStatus"]) == (
            child,
            "hangup",
            "completed",
        )
        assert kept["RecordingSid"].startswith("RE")
        assert (await here.app.until("/after"))["DialCallStatus"] == "completed"


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ('<Response><Reject reason="busy"/></Response>', "busy"),
        ("<Response><Refer><Sip>sip:a@b.example</Sip></Refer></Response>", "completed"),
        ("no document", "failed"),
        ('<Response><Pause length="1"/><Redirect>/astray</Redirect></Response>', "completed"),
    ],
)
async def test_what_a_dial_of_an_application_comes_to(
    tmp_path: Path, alice: Phone, page: str, status: str
) -> None:
    async with gateway(tmp_path, "", alice) as here:
        here.app.pages |= {"/app": page, "/astray": "<Response>"}
        here.app.twiml = dial(noun(await made(here)), action="/after")
        alice.call("anybody", here.hop())
        assert (await here.app.until("/after"))["DialCallStatus"] == status


async def test_an_application_that_is_not_there_fails_and_is_noted(
    tmp_path: Path, alice: Phone
) -> None:
    async with gateway(tmp_path, dial(noun("AP" + "0" * 32), action="/after"), alice) as here:
        alice.call("anybody", here.hop())
        after = await here.app.until("/after")
        assert after["DialCallStatus"] == "failed"
        child = after["DialCallSid"]
        await here.ended()
        noted = await here.get(f"{PLACE}/Calls/{child}/Notifications.json")
        assert [each["error_code"] for each in noted["notifications"]] == ["21218"]


async def test_applications_that_dial_each_other_come_to_an_end(
    tmp_path: Path, alice: Phone
) -> None:
    async with gateway(tmp_path, "", alice) as here:
        here.app.pages["/app"] = here.app.twiml = dial(noun(await made(here)), action="/after")
        here.app.pages["/after"] = "<Response/>"
        alice.call("anybody", here.hop())
        await alice.until(events.HungUp)
        asked = [form for path, form in here.app.asked if path == "/app"]
        assert 1 < len(asked) < 20
        assert len({form["CallSid"] for form in asked}) == len(asked)


async def test_rest_has_an_application_run_something_else(tmp_path: Path, alice: Phone) -> None:
    async with gateway(tmp_path, "", alice) as here:
        here.app.pages |= {
            "/app": '<Response><Pause length="600"/></Response>',
            "/instead": "<Response/>",
        }
        here.app.twiml = dial(noun(await made(here)), action="/after")
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        asked = await here.app.until("/app")
        await order(here, asked["CallSid"], Url=f"{here.app.url}/instead")
        instead, after = await here.app.until("/instead"), await here.app.until("/after")
        assert instead["CallSid"] == after["DialCallSid"] == asked["CallSid"]
        assert after["DialCallStatus"] == "completed"


async def test_rest_ends_an_application_and_its_caller_goes_on(
    tmp_path: Path, alice: Phone
) -> None:
    async with gateway(tmp_path, "", alice) as here:
        here.app.pages["/app"] = '<Response><Pause length="600"/></Response>'
        here.app.twiml = dial(noun(await made(here)), action="/after")
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        asked = await here.app.until("/app")
        await order(here, asked["CallSid"], Status="completed")
        after = await here.app.until("/after")
        assert (after["DialCallStatus"], after["CallStatus"]) == ("completed", "in-progress")
        await here.ended()
        assert (await here.call(asked["CallSid"])).status == "completed"
