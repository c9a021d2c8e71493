"""What a dead process leaves of conferences and queues is ended by the next one."""

import time
from pathlib import Path

from gateway.calls import queue_tables, room_tables
from gateway.calls.queue_tables import MemberRow
from gateway.calls.room_restart import RoomCloser
from gateway.calls.room_tables import ConferenceRow, ParticipantRow
from gateway.store.sqlite import SqliteStore

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


async def test_nobody_is_in_a_room_or_a_queue_of_a_dead_process(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    try:
        await store.commit(
            [room_tables.inserted(ROOM), room_tables.came(PERSON), queue_tables.came(WAITS)]
        )

        await RoomCloser(store, lease=lambda: None, clock=lambda: 9.0).look()

        (row,) = await store.fetch(room_tables.GET, ACCOUNT, ROOM.sid)
        ended = room_tables.conference_of(row)
        assert (ended.status, ended.date_updated, ended.version) == ("completed", 9.0, 2)
        assert await store.fetch(room_tables.IN, ACCOUNT, ROOM.sid) == []
        assert await store.fetch(queue_tables.WAITING, ACCOUNT, WAITS.queue_sid) == []
    finally:
        await store.close()
