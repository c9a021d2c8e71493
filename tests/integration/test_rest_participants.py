"""Who is called into a conference over REST: what may be said of them, and what has no effect."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rest_world import World, rest_world

from gateway.calls import orders, room_tables, tables
from gateway.calls.book import changed_at
from gateway.calls.model import CallStatus
from gateway.calls.orders import Place
from gateway.messages import notifications

NUMBER, CALLEE = "+15550001000", "+447700900123"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


async def called(world: World, room: str = "room", **fields: Any) -> tuple[int, dict[str, Any]]:
    path = f"/2010-04-01/Accounts/{world.main.sid}/Conferences/{room}/Participants.json"
    form = {"From": NUMBER, "To": CALLEE, **fields}
    status, body, _ = await world.ask("POST", path, world.main, data=form)
    return status, body


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"WaitUrl": "ftp://app.example"}, 21205),
        ({"ConferenceStatusCallback": "nowhere"}, 21609),
        ({"ConferenceStatusCallbackEvent": "start lunch"}, 20001),
        ({"ConferenceRecordingStatusCallback": "nowhere"}, 21205),
        ({"ConferenceRecordingStatusCallbackEvent": "lunch"}, 20001),
        ({"ConferenceRecord": "sometimes"}, 20001),
        ({"JitterBufferSize": "huge"}, 20001),
        ({"EarlyMedia": "perhaps"}, 20001),
        ({"Label": "a/b"}, 16024),
        ({"Label": "x" * 129}, 16024),
        ({"Label": f"CA{'0' * 32}"}, 16024),
        ({"MaxParticipants": "1"}, 20001),
        ({"MaxParticipants": "251"}, 20001),
        ({"Label": "two\nlines"}, 16024),
        ({"ConferenceStatusCallbackEvent": "joined"}, 20001),
        ({"WaitUrl": "https://app.example/a b"}, 21205),
        ({"Coaching": "true"}, 13240),
        ({"Coaching": "true", "CallSidToCoach": "alice"}, 13240),
        ({"CallerDisplayName": "Alice"}, 20001),
        ({"CallerDisplayName": "A", "To": "sip:alice@office.example"}, 20001),
    ],
)
async def test_what_can_not_be_said_of_a_participant(
    world: World, fields: dict[str, Any], code: int
) -> None:
    status, body = await called(world, **fields)
    assert (status, body["code"]) == (400, code), body
    assert await world.services.store.fetch(room_tables.NAMED, world.main.sid, "room") == []


@pytest.mark.parametrize("name", ["x" * 129, "bell%07", "%20room"])
async def test_nobody_is_called_into_what_no_document_can_name(world: World, name: str) -> None:
    status, body = await called(world, name)
    assert (status, body["code"]) == (400, 20001), body
    assert await orders.waiting(world.services.store) == []
    assert (await called(world, "x" * 128))[0] == 201


async def test_what_is_empty_is_as_none_given_but_a_wait_in_silence(world: World) -> None:
    status, _ = await called(world, Label="", MaxParticipants="", WaitUrl="")
    (waiting,) = await orders.waiting(world.services.store)
    assert status == 201
    assert isinstance(waiting.order, Place)
    assert '<Conference waitUrl="">room</Conference>' in waiting.order.runs.twiml


async def test_a_yes_is_one_in_any_case(world: World) -> None:
    """What is accepted is heeded, however it is written."""
    switches = {"Muted": "True", "EndConferenceOnExit": "TRUE", "StartConferenceOnEnter": "False"}
    status, body = await called(world, **switches, ConferenceRecord="True", Beep="False")
    assert (status, body["muted"], body["end_conference_on_exit"]) == (201, True, True)
    assert not body["start_conference_on_enter"]
    (waiting,) = await orders.waiting(world.services.store)
    assert isinstance(waiting.order, Place)
    said = waiting.order.runs.twiml
    assert 'record="record-from-start"' in said
    assert 'beep="false"' in said
    above = f"/2010-04-01/Accounts/{world.main.sid}/Conferences/{body['conference_sid']}"
    found = {}
    for muted in ("TRUE", "False"):
        path = f"{above}/Participants.json?Muted={muted}"
        found[muted] = len((await world.ask("GET", path, world.main))[1]["participants"])
    assert found == {"TRUE": 1, "False": 0}


async def test_what_has_no_effect_is_noted(world: World) -> None:
    idle = {
        "EarlyMedia": "true",
        "Region": "ie1",
        "CallReason": "dinner",
        "MachineDetection": "Enable",
        "AmdStatusCallback": "https://app.example/amd",
    }
    status, body = await called(world, **idle)
    assert (status, body["status"]) == (201, "queued")
    noted = await world.services.store.fetch(notifications.OF_RESOURCE, body["call_sid"])
    said = " ".join(str(row) for row in noted)
    assert len(noted) == len(idle)
    assert all(name in said for name in idle)


async def test_two_are_called_into_one_conference(world: World) -> None:
    (_, first), (_, second) = [await called(world, Label=label) for label in ("a", "b")]
    assert first["conference_sid"] == second["conference_sid"]
    assert (await called(world, Label="a"))[1]["code"] == 16026
    waiting = [each.order for each in await orders.waiting(world.services.store)]
    assert [isinstance(each, Place) and each.conference_sid for each in waiting] == [
        first["conference_sid"]
    ] * 2


async def test_a_sip_address_is_shown_a_name(world: World) -> None:
    await called(world, To="sip:alice@office.example", CallerDisplayName="The Office")
    (waiting,) = await orders.waiting(world.services.store)
    assert isinstance(waiting.order, Place)
    assert waiting.order.display == "The Office"


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (CallStatus.QUEUED, "queued"),
        (CallStatus.INITIATED, "connecting"),
        (CallStatus.RINGING, "ringing"),
        (CallStatus.IN_PROGRESS, "connecting"),
    ],
)
async def test_how_far_somebody_is_who_is_called(
    world: World, status: CallStatus, shown: str
) -> None:
    _, made = await called(world)
    store, account_sid = world.services.store, world.main.sid
    (row,) = await store.fetch(tables.GET, account_sid, made["call_sid"])
    if status is not CallStatus.QUEUED:
        await store.commit([tables.updated(changed_at(tables.call_of(row), 9.0, status=status))])
    path = f"/2010-04-01/Accounts/{account_sid}/Conferences/{made['conference_sid']}/Participants"
    _, found, _ = await world.ask("GET", f"{path}/{made['call_sid']}.json", world.main)
    assert (found["status"], found["conference_sid"]) == (shown, made["conference_sid"])
