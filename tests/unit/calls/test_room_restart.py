"""What a dead process leaves of conferences and queues is ended by the next one."""

import time
from pathlib import Path

import msgspec
import pytest

from gateway.calls import queue_tables, room_announced, room_tables, tables
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.queue_tables import MemberRow
from gateway.calls.room_restart import RoomCloser
from gateway.calls.room_tables import ConferenceRow, ParticipantRow
from gateway.core.runner import Job
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.callbacks import Patience, Payload

ACCOUNT = "AC" + "1" * 32
ROOM = ConferenceRow(
    account_sid=ACCOUNT,
    sid="CF" + "1" * 32,
    friendly_name="room",
    status="in-progress",
    owner="dead",
    date_created=1.0,
    date_updated=1.0,
)
PERSON = ParticipantRow(
    account_sid=ACCOUNT,
    conference_sid=ROOM.sid,
    call_sid="CA" + "1" * 32,
    label="",
    muted=True,
    hold=False,
    coached="",
    start_on_enter=True,
    end_on_exit=False,
    date_created=1.0,
    date_updated=1.0,
)
WAITS = MemberRow(
    account_sid=ACCOUNT,
    queue_sid="QU" + "1" * 32,
    call_sid="CA" + "2" * 32,
    owner="dead",
    date_enqueued=1.0,
)


def closer_of(store: SqliteStore, offered: list[Job] | None = None) -> RoomCloser:
    jobs: list[Job] = [] if offered is None else offered
    return RoomCloser(
        store,
        lease=lambda: None,
        clock=lambda: 9.0,
        offer=jobs.append,
        patience=Patience(retry_for=60.0),
    )


async def test_nobody_is_in_a_room_or_a_queue_of_a_dead_process(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    try:
        await store.commit(
            [room_tables.inserted(ROOM), room_tables.came(PERSON), queue_tables.came(WAITS)]
        )

        await closer_of(store).look()

        (row,) = await store.fetch(room_tables.GET, ACCOUNT, ROOM.sid)
        ended = room_tables.conference_of(row)
        assert (ended.status, ended.date_updated, ended.version) == ("completed", 9.0, 2)
        assert await store.fetch(room_tables.IN, ACCOUNT, ROOM.sid) == []
        assert await store.fetch(queue_tables.WAITING, ACCOUNT, WAITS.queue_sid) == []
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("status", "is_over"),
    [(CallStatus.RINGING, False), (CallStatus.NO_ANSWER, True), (None, True)],
)
async def test_a_conference_to_which_nobody_comes_any_more_is_over(
    tmp_path: Path, status: CallStatus | None, is_over: bool
) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    try:
        room, writes = room_announced.announced(ACCOUNT, "room", 1.0)
        person = msgspec.structs.replace(PERSON, conference_sid=room.sid, status=room_tables.CALLED)
        await store.commit([*writes, room_tables.came(person)])
        if status is not None:
            call = Call(
                account_sid=ACCOUNT,
                sid=person.call_sid,
                direction=CallDirection.OUTBOUND_API,
                status=status,
                from_address="",
                to_address="",
                date_created=1.0,
                date_updated=1.0,
            )
            await store.commit([tables.inserted(call)])
        closer = closer_of(store)
        await closer.look()
        await closer.look()
        (row,) = await store.fetch(room_tables.GET, ACCOUNT, room.sid)
        ended = room_tables.conference_of(row)
        found = await room_announced.find(store, ACCOUNT, "room")
        people = await store.fetch(room_tables.IN, ACCOUNT, room.sid)
        if is_over:
            assert (ended.status, ended.reason_ended) == ("completed", "last-participant-left")
            assert (ended.call_sid_ending, found, people) == (person.call_sid, None, [])
        else:
            assert (ended.status, found) == ("init", room)
            assert [room_tables.participant_of(each) for each in people] == [person]
    finally:
        await store.close()


@pytest.mark.parametrize("ends", [False, True])
async def test_who_a_room_tells_is_told_of_its_end_once(tmp_path: Path, ends: bool) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    offered: list[Job] = []
    room = msgspec.structs.replace(
        ROOM,
        status_callback="https://app.example/events",
        status_callback_method="GET",
        status_callback_events="end join leave",
        told=3,
    )
    last = f"CA{'3' * 32}"
    people = [
        PERSON,
        msgspec.structs.replace(PERSON, call_sid=last, date_created=2.0, end_on_exit=ends),
        msgspec.structs.replace(PERSON, call_sid=f"CA{'4' * 32}", status=room_tables.CALLED),
    ]
    try:
        await store.commit([room_tables.inserted(room), *map(room_tables.came, people)])
        for _ in range(2):
            await closer_of(store, offered).look()
        (row,) = await store.fetch(room_tables.GET, ACCOUNT, ROOM.sid)
        assert await store.fetch(room_tables.IN, ACCOUNT, ROOM.sid) == []
    finally:
        await store.close()
    ended = room_tables.conference_of(row)
    payloads = [msgspec.json.decode(each.payload, type=Payload) for each in offered]
    assert {(each.url, each.method) for each in payloads} == {("https://app.example/events", "GET")}
    told = [dict(each.parameters) for each in payloads]
    assert [(each["StatusCallbackEvent"], each["SequenceNumber"]) for each in told] == [
        ("participant-leave", "4"),
        ("participant-leave", "5"),
        ("conference-end", "6"),
    ]
    assert [each.get("CallSid") for each in told] == [PERSON.call_sid, last, None]
    assert (told[0]["Muted"], told[0]["ReasonParticipantLeft"]) == ("true", "participant_hung_up")
    why = "participant-with-end-conference-on-exit-left" if ends else "last-participant-left"
    assert (told[2]["ReasonConferenceEnded"], told[2]["CallSidEndingConference"]) == (why, last)
    assert told[2]["Reason"] == "the gateway was restarted"
    assert (ended.reason_ended, ended.call_sid_ending, ended.told) == (why, last, 6)
