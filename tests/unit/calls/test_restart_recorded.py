"""The end of a call that was recorded whole and whose process died is told once, with its sound."""

import time
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.calls import callbacks, tables
from gateway.calls.book import Book
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.restart import Restart
from gateway.core.runner import Job
from gateway.recordings.book import Book as Recordings
from gateway.recordings.files import Files
from gateway.recordings.model import RecordingSource, Wanted
from gateway.recordings.restart import Closer
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.callbacks import Patience, Payload

ACCOUNT = "AC" + "1" * 32
PATIENCE = Patience(retry_for=60.0)
STOOD = Call(
    account_sid=ACCOUNT,
    sid="CA" + "1" * 32,
    direction=CallDirection.OUTBOUND_API,
    status=CallStatus.IN_PROGRESS,
    from_address="+15550002000",
    to_address="+15550001000",
    owner="dead",
    status_callback="https://app.example/status",
    status_callback_events=("initiated", "ringing", "answered", "completed"),
    date_created=1.0,
    date_updated=1.0,
    started=2.0,
    version=4,
)
OVER = msgspec.structs.replace(STOOD, status=CallStatus.COMPLETED, ended=9.0, version=5)


@pytest.mark.parametrize("call", [STOOD, OVER])
@pytest.mark.parametrize("is_closed", [False, True])
async def test_an_end_waits_for_its_recording(tmp_path: Path, call: Call, is_closed: bool) -> None:
    offered: list[Job] = []
    store = await SqliteStore.open(tmp_path / "store.db", max_queued=100, clock=time.time)
    recordings = Recordings(
        store=store,
        files=Files(tmp_path),
        base=lambda: "https://api.example",
        patience=PATIENCE,
        clock=lambda: 10.0,
        owner="dead",
    )
    house: Any = SimpleNamespace(
        book=Book(store, lambda: None),
        recordings=recordings,
        ladder=SimpleNamespace(take=lambda ids: []),
        owner="me",
        clock=lambda: 10.0,
        patience=PATIENCE,
        offer=offered.append,
    )
    try:
        wanted = Wanted(source=RecordingSource.OUTBOUND_API)
        begun = recordings.begun(ACCOUNT, wanted, call_sid=call.sid)
        with wave.open(str(recordings.files.begin(ACCOUNT, begun.recording.sid)), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(2 * 8000 * 3))
        await store.commit([tables.inserted(call), *begun.writes])
        if is_closed:
            ended = recordings.ended(begun.recording, 3.0)
            assert ended is not None
            await store.commit(ended.writes)
        restart = Restart(house, is_shared=lambda: False)
        closer = Closer(
            recordings, store, lease=lambda: None, offer=offered.append, also=restart.recorded
        )
        for _ in range(2):
            await restart.begin(closer.look)
            await restart.close()
    finally:
        await store.close()
    told = [
        dict(msgspec.json.decode(job.payload, type=Payload).parameters)
        for job in offered
        if job.kind == callbacks.KIND
    ]
    if call is OVER and is_closed:  # it was told with the recording's end
        assert told == []
        return
    (form,) = told
    assert (form["CallStatus"], form["SequenceNumber"]) == ("completed", "3")
    assert (form["RecordingSid"], form["RecordingDuration"]) == (begun.recording.sid, "3")
    assert form["RecordingUrl"].endswith(f"/Recordings/{begun.recording.sid}")
