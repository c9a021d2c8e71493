"""Conferences and queues over REST: who is in, what is changed of them, and how they end."""

from pathlib import Path
from typing import Any

import pytest

from gateway.calls import room_tables
from protocols.sip import agent_events as events
from tests.integration.voice.conftest import OpenPhone
from tests.integration.voice.phones import Phone
from tests.integration.voice.test_endings import DOMAIN, port
from tests.integration.voice.test_queue_calls import SETUP, WAITS
from tests.integration.voice.test_rooms import hears, left
from tests.integration.voice.test_spoken import ask, tone_file
from tests.integration.voice.world import ACCOUNT, until, world

NUMBERS = '[[numbers]]\nnumber = "+15550001000"\nvoice_url = "{app}/voice"'
ROOM = (
    '<Response><Dial><Conference beep="false" waitUrl="" statusCallback="/events"'
    ' participantLabel="{label}" statusCallbackEvent="mute hold end announcement">room</Conference>'
    "</Dial><Hangup/></Response>"
)

TAPED = (
    '<Response><Dial><Conference beep="false" waitUrl="" record="record-from-start"'
    ' recordingStatusCallback="/taped" recordingStatusCallbackEvent="in-progress completed absent">'
    "room</Conference></Dial></Response>"
)


@pytest.fixture
async def phones(open_phone: OpenPhone) -> list[Phone]:
    names = (("alice", "pa", 440), ("bob", "pb", 880))
    return [
        await open_phone(name, DOMAIN, tone=tone, password=secret) for name, secret, tone in names
    ]


async def test_a_conference_is_steered_over_rest(tmp_path: Path, phones: list[Phone]) -> None:
    alice, bob = phones
    async with world(tmp_path, SETUP) as here:
        here.app.sounds |= {"/hold.wav": tone_file(1000, 20.0), "/say.wav": tone_file(620, 1.5)}
        here.app.pages["/hold"] = "<Response><Play>/hold.wav</Play></Response>"
        here.app.pages["/other"] = '<Response><Play loop="0">/say.wav</Play></Response>'
        here.app.pages["/say"] = "<Response><Play>/say.wav</Play></Response>"
        for label, phone in zip(("alice", "bob"), phones, strict=True):
            await phone.register(here.hop())
            here.app.twiml = ROOM.format(label=label)
            phone.call("anybody", here.hop())
            await phone.until(events.Answered)
        await hears(alice, 880)
        await hears(bob, 440)

        (shown,) = (await ask(here, "GET", "/Conferences.json?Status=in-progress"))[1][
            "conferences"
        ]
        assert (shown["friendly_name"], shown["status"]) == ("room", "in-progress")
        above = f"/Conferences/{shown['sid']}"
        people = (await ask(here, "GET", f"{above}/Participants.json"))[1]["participants"]
        assert [each["label"] for each in people] == ["bob", "alice"]

        bobs = f"{above}/Participants/bob.json"
        status, changed = await ask(here, "POST", bobs, Muted="True")
        assert (status, changed["muted"]) == (200, True)
        await hears(alice)
        await hears(bob, 440)
        muted = (await ask(here, "GET", f"{above}/Participants.json?Muted=true"))[1]
        assert [each["label"] for each in muted["participants"]] == ["bob"]
        await ask(here, "POST", bobs, Muted="false")
        await hears(alice, 880)

        hold: dict[str, Any] = {"Hold": "true", "HoldUrl": f"{here.app.url}/hold"}
        assert (await ask(here, "POST", bobs, **hold))[1]["hold"] is True
        await hears(bob, 1000)
        await hears(alice)
        await ask(here, "POST", bobs, Hold="true", HoldUrl=f"{here.app.url}/other")
        await hears(bob, 620)
        await ask(here, "POST", bobs, Hold="false")
        await hears(bob, 440)

        await ask(here, "POST", f"{above}.json", AnnounceUrl=f"{here.app.url}/say")
        await hears(alice, 620, 880)
        await here.app.until("/events", lambda told: "announcement" in told["StatusCallbackEvent"])
        await hears(alice, 880)
        await ask(here, "POST", bobs, AnnounceUrl=f"{here.app.url}/say")
        await hears(bob, 620)
        await hears(bob, 440)

        assert (await ask(here, "DELETE", bobs))[0] == 204
        await bob.until(events.HungUp)
        assert (await ask(here, "GET", bobs))[0] == 404
        status, over = await ask(here, "POST", f"{above}.json", Status="completed")
        assert (status, over["status"]) == (200, "completed")
        assert over["reason_conference_ended"] == "conference-ended-via-api"
        await alice.until(events.HungUp)
        assert (await ask(here, "POST", f"{above}.json", Status="completed"))[0] == 400
        told = [form["StatusCallbackEvent"] for path, form in here.app.asked if path == "/events"]
        assert told == [
            *("participant-mute", "participant-unmute", "participant-hold", "participant-unhold"),
            *("announcement-end", "announcement-end", "conference-end"),
        ]
        await left(here)
        voice = here.gateway._voice
        assert voice is not None
        (row,) = await voice.calls._house.store.fetch(room_tables.GET, ACCOUNT, shown["sid"])
        kept = room_tables.conference_of(row)  # what a restart needs
        assert (kept.status_callback, kept.told) == (f"{here.app.url}/events", len(told))
        assert kept.status_callback_events == "announcement end hold mute"


async def test_the_recording_of_a_conference_is_paused_and_stopped(
    tmp_path: Path, phones: list[Phone]
) -> None:
    async with world(tmp_path, SETUP, TAPED) as here:
        for phone in phones:
            await phone.register(here.hop())
            phone.call("anybody", here.hop())
            await phone.until(events.Answered)
        begun = await here.app.until("/taped")
        assert begun["RecordingStatus"] == "in-progress"
        above = f"/Conferences/{begun['ConferenceSid']}/Recordings"
        path = f"{above}/{begun['RecordingSid']}.json"
        (listed,) = (await ask(here, "GET", f"{above}.json"))[1]["recordings"]
        assert (listed["sid"], listed["status"]) == (begun["RecordingSid"], "in-progress")
        assert (listed["call_sid"], listed["source"]) == (None, "Conference")
        assert listed["uri"].endswith(path)
        assert (await ask(here, "DELETE", path))[0] == 409

        now = f"{above}/Twilio.CURRENT.json"
        for status in ("paused", "in-progress", "stopped"):
            code, shown = await ask(here, "POST", now, Status=status)
            assert code == 200
            assert shown["status"] in (status, "completed", "absent")
        done = await here.app.until("/taped", lambda form: form["RecordingStatus"] != "in-progress")
        assert done["RecordingSid"] == begun["RecordingSid"]
        assert (await ask(here, "POST", path, Status="paused"))[1]["code"] == 21220
        assert (await ask(here, "GET", now))[0] == 404
        await hears(phones[0], 880)
        other = f"/Conferences/CF{'0' * 32}/Recordings/{begun['RecordingSid']}.json"
        assert (await ask(here, "GET", other))[0] == 404
        assert (await ask(here, "DELETE", path))[0] == 204
        assert (await ask(here, "GET", path))[0] == 404
        for phone in phones:
            phone.hang_up()
        await left(here)


async def test_queues_and_their_members_over_rest(tmp_path: Path, phones: list[Phone]) -> None:
    async with world(tmp_path, SETUP, WAITS) as here:
        here.app.pages["/wait"] = '<Response><Pause length="60"/></Response>'
        here.app.pages["/next"] = "<Response><Hangup/></Response>"
        status, made = await ask(here, "POST", "/Queues.json", FriendlyName="support", MaxSize="1")
        assert (status, made["max_size"], made["current_size"]) == (201, 1, 0)
        assert (await ask(here, "POST", "/Queues.json", FriendlyName="support"))[0] == 409
        above = f"/Queues/{made['sid']}"
        alice, bob = phones
        for phone in phones:
            await phone.register(here.hop())
        alice.call("anybody", here.hop())
        waiting = await here.app.until("/wait")
        assert (waiting["QueueSid"], waiting["MaxQueueSize"]) == (made["sid"], "1")

        async def member() -> dict[str, Any] | None:
            status, found = await ask(here, "GET", f"{above}/Members/Front.json")
            return found if status == 200 else None

        front = await until(member)
        assert (front["call_sid"], front["position"]) == (waiting["CallSid"], 1)
        assert (await ask(here, "GET", f"{above}.json"))[1]["current_size"] == 1
        assert (await ask(here, "DELETE", f"{above}.json"))[0] == 409
        bob.call("anybody", here.hop())
        full = await here.app.until("/dequeued")
        assert full["QueueResult"] == "queue-full"
        members = (await ask(here, "GET", f"{above}/Members.json"))[1]["queue_members"]
        assert len(members) == 1
        here.app.asked.clear()
        front_path = f"{above}/Members/Front.json"
        status, taken = await ask(here, "POST", front_path, Url=f"{here.app.url}/next")
        assert (status, taken["call_sid"]) == (200, front["call_sid"])
        await here.app.until("/next")
        done = await here.app.until("/dequeued")
        assert done["QueueResult"] == "redirected"
        await alice.until(events.HungUp)
        await left(here)
        assert (await ask(here, "POST", f"{above}.json", MaxSize="7"))[1]["max_size"] == 7
        assert (await ask(here, "DELETE", f"{above}.json"))[0] == 204


async def test_somebody_is_called_into_a_conference(
    tmp_path: Path, phones: list[Phone], open_phone: OpenPhone
) -> None:
    carrier = await open_phone("callee", "carrier.example", tone=1500)
    config = SETUP.replace("sip:127.0.0.1:9", f"sip:127.0.0.1:{port(carrier)}")
    async with world(tmp_path, f"{config}\n{NUMBERS}", ROOM.format(label="alice")) as here:
        (alice, _) = phones
        await alice.register(here.hop())
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)

        async def room() -> str | None:
            found = (await ask(here, "GET", "/Conferences.json"))[1]["conferences"]
            return found[0]["sid"] if found else None

        above = f"/Conferences/{await until(room)}/Participants"
        status, made = await ask(
            *(here, "POST", f"{above}.json"),
            From="+15550001000",
            To="+447700900002",
            Label="<carol>",
            EndConferenceOnExit="true",
        )
        assert (status, made["status"], made["label"]) == (201, "queued", "<carol>"), made
        again = {"From": "+15550001000", "To": "+447700900002", "Label": "<carol>"}
        assert (await ask(here, "POST", f"{above}.json", **again))[1]["code"] == 16026
        await hears(alice, 1500)
        await hears(carrier, 440)
        found = (await ask(here, "GET", f"{above}/{made['call_sid']}.json"))[1]
        assert (found["status"], found["label"]) == ("connected", "<carol>")
        assert found["end_conference_on_exit"] is True
        carrier.hang_up()
        await alice.until(events.HungUp)
        await left(here)


async def test_who_waits_is_played_something_else_over_rest(
    tmp_path: Path, phones: list[Phone]
) -> None:
    async with world(tmp_path, SETUP, ROOM.format(label="alice")) as here:
        here.app.sounds["/wait.wav"] = tone_file(1000, 20.0)
        here.app.pages["/wait"] = "<Response><Play>/wait.wav</Play></Response>"
        (alice, _) = phones
        await alice.register(here.hop())
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)

        async def room() -> str | None:
            found = (await ask(here, "GET", "/Conferences.json"))[1]["conferences"]
            return found[0]["sid"] if found else None

        path = f"/Conferences/{await until(room)}/Participants/alice.json"
        assert (await ask(here, "POST", path, WaitUrl="nowhere"))[1]["code"] == 21205
        given = {"WaitUrl": f"{here.app.url}/wait", "WaitMethod": "GET"}
        assert (await ask(here, "POST", path, **given))[0] == 200
        await hears(alice, 1000)
        alice.hang_up()
        await left(here)


async def test_a_conference_is_there_before_anybody_is_in(
    tmp_path: Path, phones: list[Phone], open_phone: OpenPhone
) -> None:
    carrier = await open_phone("callee", "carrier.example", tone=1500)
    carrier.on_call = Phone.ringing
    config = SETUP.replace("sip:127.0.0.1:9", f"sip:127.0.0.1:{port(carrier)}")
    async with world(tmp_path, f"{config}\n{NUMBERS}", ROOM.format(label="alice")) as here:
        (alice, _) = phones
        await alice.register(here.hop())
        given = {"From": "+15550001000", "To": "+447700900002", "Label": "carol", "Muted": "true"}
        given |= {"EarlyMedia": "true", "WaitUrl": ""}
        status, made = await ask(here, "POST", "/Conferences/room/Participants.json", **given)
        assert (status, made["status"], made["muted"]) == (201, "queued", True), made
        above = f"/Conferences/{made['conference_sid']}"
        assert (await ask(here, "GET", f"{above}.json"))[1]["status"] == "init"
        carols = f"{above}/Participants/carol.json"

        async def rings() -> bool | None:
            found = (await ask(here, "GET", carols))[1]
            return found["status"] == "ringing" or None

        await until(rings)
        assert (await ask(here, "POST", carols, Muted="false"))[1]["code"] == 21220
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)

        async def both() -> list[dict[str, Any]] | None:
            found = (await ask(here, "GET", f"{above}/Participants.json"))[1]["participants"]
            return found if len(found) == 2 else None

        people = {each["label"]: each["status"] for each in await until(both)}
        assert people == {"alice": "connected", "carol": "ringing"}
        carrier.pick_up(await carrier.until(events.Invited))
        carrier.station.wake()
        await hears(carrier, 440)
        assert (await ask(here, "GET", carols))[1]["status"] == "connected"
        for phone in (carrier, alice):
            phone.hang_up()
        await left(here)
        over = (await ask(here, "GET", f"{above}.json"))[1]
        assert over["status"] == "completed"
        assert (await ask(here, "GET", f"{above}/Participants.json"))[1]["participants"] == []


async def test_who_rings_is_called_no_more_when_a_conference_is_ended(
    tmp_path: Path, phones: list[Phone], open_phone: OpenPhone
) -> None:
    carrier = await open_phone("callee", "carrier.example")
    carrier.on_call = Phone.ringing
    config = SETUP.replace("sip:127.0.0.1:9", f"sip:127.0.0.1:{port(carrier)}")
    async with world(tmp_path, f"{config}\n{NUMBERS}", ROOM.format(label="alice")) as here:
        (alice, _) = phones
        await alice.register(here.hop())
        given = {"From": "+15550001000", "To": "+447700900002"}
        _, made = await ask(here, "POST", "/Conferences/room/Participants.json", **given)
        await carrier.until(events.Invited)
        alice.call("anybody", here.hop())
        await alice.until(events.Answered)
        path = f"/Conferences/{made['conference_sid']}.json"

        async def opened() -> bool | None:
            found = (await ask(here, "GET", path.replace(".json", "/Participants.json")))[1]
            return len(found["participants"]) == 2 or None

        await until(opened)
        assert (await ask(here, "POST", path, Status="completed"))[1]["status"] == "completed"
        await alice.until(events.HungUp)
        await carrier.until(events.Cancelled)
        await left(here)


@pytest.mark.parametrize("is_dropped", [True, False])
async def test_a_conference_into_which_nobody_came_is_over(
    tmp_path: Path, open_phone: OpenPhone, is_dropped: bool
) -> None:
    carrier = await open_phone("callee", "carrier.example")
    carrier.on_call = Phone.ringing
    config = SETUP.replace("sip:127.0.0.1:9", f"sip:127.0.0.1:{port(carrier)}")
    async with world(tmp_path, f"{config}\n{NUMBERS}") as here:
        given = {"From": "+15550001000", "To": "+447700900002"}
        _, made = await ask(here, "POST", "/Conferences/room/Participants.json", **given)
        above = f"/Conferences/{made['conference_sid']}"
        await carrier.until(events.Invited)
        heard = await ask(here, "POST", f"{above}.json", AnnounceUrl=f"{here.app.url}/say")
        assert heard[1]["code"] == 16001
        if is_dropped:
            path = f"{above}/Participants/{made['call_sid']}.json"
            assert (await ask(here, "DELETE", path))[0] == 204
        else:
            status, over = await ask(here, "POST", f"{above}.json", Status="completed")
            assert (status, over["status"]) == (200, "completed")
        await left(here)
        over = (await ask(here, "GET", f"{above}.json"))[1]
        reason = "last-participant-left" if is_dropped else "conference-ended-via-api"
        assert (over["status"], over["reason_conference_ended"]) == ("completed", reason)
        assert (await ask(here, "GET", f"{above}/Participants.json"))[1]["participants"] == []
