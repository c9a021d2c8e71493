"""Recordings in every store: what a commit of the book leaves, and who is told of it."""

import wave
from pathlib import Path

import msgspec
import pytest

from gateway.core.runner import Job
from gateway.events import FactType
from gateway.recordings import callbacks
from gateway.recordings.book import Book, Change
from gateway.recordings.files import Files
from gateway.recordings.model import (
    OVER,
    TRANSITIONS,
    Recording,
    RecordingSource,
    RecordingStatus,
    Told,
    Wanted,
    advanced,
)
from gateway.recordings.restart import Closer
from gateway.store.base import Store
from gateway.webhooks.callbacks import Patience, Payload
from tests.contract.rows import facts_of
from twiml.nouns import RecordingEvent, RecordingTrack

ACCOUNT = f"AC{1:032x}"
CALL = f"CA{1:032x}"
NOW = 1_800_000_000.0
_S = RecordingStatus
EVERYTHING = Told(url="https://app.example/rec", method="GET", events=tuple(RecordingEvent))
DUAL = Wanted(source=RecordingSource.DIAL_VERB, channels=2, told=EVERYTHING)


@pytest.fixture
def book(store: Store, tmp_path: Path) -> Book:
    return Book(
        store=store,
        files=Files(tmp_path),
        base=lambda: "https://api.example",
        patience=Patience(retry_for=60.0),
        clock=lambda: NOW,
        owner="nobody-who-lives",
    )


def told(change: Change | None) -> dict[str, str]:
    assert change is not None
    (job,) = change.jobs
    payload = msgspec.json.decode(job.payload, type=Payload)
    assert (payload.url, payload.method) == (EVERYTHING.url, EVERYTHING.method)
    return dict(payload.parameters)


async def test_a_recording_from_beginning_to_end(store: Store, book: Book) -> None:
    begun = book.begun(ACCOUNT, DUAL, call_sid=CALL)
    await store.commit(begun.writes)
    assert await book.get(ACCOUNT, begun.recording.sid) == begun.recording
    assert await book.get(f"AC{2:032x}", begun.recording.sid) is None
    paused = book.moved(begun.recording, _S.PAUSED)
    assert paused is not None and paused.jobs == []
    await store.commit(paused.writes)
    ended = book.ended(paused.recording, 2.6)
    assert ended is not None
    await store.commit(ended.writes)
    found = await book.get(ACCOUNT, begun.recording.sid)
    assert found == ended.recording
    assert (found.status, found.seconds, found.version) == (_S.COMPLETED, 3, 3)
    assert [each.type for each in await facts_of(store, 3)] == [
        FactType.RECORDING_STARTED,
        FactType.RECORDING_UPDATED,
        FactType.RECORDING_COMPLETED,
    ]


def test_what_is_told_of_a_recording(book: Book) -> None:
    begun = book.begun(ACCOUNT, DUAL, call_sid=CALL)
    sid = begun.recording.sid
    first = told(begun)
    assert list(first.items()) == [
        ("AccountSid", ACCOUNT),
        ("CallSid", CALL),
        ("RecordingSid", sid),
        ("RecordingUrl", f"https://api.example/2010-04-01/Accounts/{ACCOUNT}/Recordings/{sid}"),
        ("RecordingStatus", "in-progress"),
        ("RecordingChannels", "2"),
        ("RecordingStartTime", "Fri, 15 Jan 2027 08:00:00 +0000"),
        ("RecordingSource", "DialVerb"),
        ("RecordingTrack", "both"),
    ]
    last = told(book.ended(begun.recording, 7.2))
    assert last == {**first, "RecordingStatus": "completed", "RecordingDuration": "7"}
    assert list(last)[4:7] == ["RecordingStatus", "RecordingDuration", "RecordingChannels"]


@pytest.mark.parametrize("event", RecordingEvent)
def test_who_asked_for_one_event_hears_of_no_other(book: Book, event: RecordingEvent) -> None:
    wanted = msgspec.structs.replace(DUAL, told=Told(url="https://a.example", events=(event,)))
    begun = book.begun(ACCOUNT, wanted, call_sid=CALL)
    changes = [begun, book.ended(begun.recording, 1.0), book.ended(begun.recording, 0.0)]
    statuses = [
        dict(msgspec.json.decode(job.payload, type=Payload).parameters)["RecordingStatus"]
        for change in changes
        if change is not None
        for job in change.jobs
    ]
    assert statuses == [event.value]


def test_of_a_conference_its_own_sid_is_told(book: Book) -> None:
    wanted = msgspec.structs.replace(
        DUAL, source=RecordingSource.CONFERENCE, track=RecordingTrack.INBOUND, channels=1
    )
    conference = f"CF{1:032x}"
    parameters = told(book.begun(ACCOUNT, wanted, call_sid=CALL, conference_sid=conference))
    assert parameters["ConferenceSid"] == conference and "CallSid" not in parameters
    assert (parameters["RecordingTrack"], parameters["RecordingChannels"]) == ("inbound", "1")


@pytest.mark.parametrize(
    ("source", "seconds", "spoke", "status"),
    [
        (RecordingSource.RECORD_VERB, 3.0, True, _S.COMPLETED),
        (RecordingSource.RECORD_VERB, 3.0, False, _S.ABSENT),
        (RecordingSource.DIAL_VERB, 3.0, False, _S.COMPLETED),
        (RecordingSource.DIAL_VERB, 0.0, True, _S.ABSENT),
    ],
)
def test_what_holds_nothing_is_absent_and_leaves_no_file(
    book: Book, source: RecordingSource, seconds: float, spoke: bool, status: RecordingStatus
) -> None:
    recording = book.begun(ACCOUNT, Wanted(source=source), call_sid=CALL).recording
    path = book.files.begin(ACCOUNT, recording.sid)
    ended = book.ended(recording, seconds, spoke=spoke)
    assert ended is not None and ended.recording.status is status
    assert path.exists() is (status is _S.COMPLETED)
    assert book.ended(ended.recording, 5.0) is None


@pytest.mark.parametrize("before", _S)
@pytest.mark.parametrize("after", _S)
def test_a_status_changes_as_the_table_says(before: _S, after: _S) -> None:
    recording = Recording(
        account_sid=ACCOUNT,
        sid="RE1",
        source=RecordingSource.DIAL_VERB,
        status=before,
        start_time=NOW,
        date_created=NOW,
        date_updated=NOW,
    )
    found = advanced(recording, after, NOW + 1)
    if after in TRANSITIONS[before]:
        assert found is not None and (found.status, found.version) == (after, 2)
    else:
        assert found is None
    assert before not in OVER or found is None


async def test_what_a_dead_process_left_ends_with_what_there_is(store: Store, book: Book) -> None:
    heard, empty = (book.begun(ACCOUNT, DUAL, call_sid=CALL) for _ in range(2))
    await store.commit([*heard.writes, *empty.writes])
    path = book.files.begin(ACCOUNT, heard.recording.sid)
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(4 * 12_000))
    with path.open("r+b") as unclosed:
        unclosed.seek(40)
        unclosed.write(bytes(4))
    offered: list[str] = []

    async def nothing(recording: Recording) -> list[Job]:
        return []

    closer = Closer(
        book,
        store,
        lease=lambda: None,
        offer=lambda job: offered.append(job.kind),
        also=nothing,
    )
    await closer.look()
    await closer.look()  # there is nothing left to do
    found = [await book.get(ACCOUNT, each.recording.sid) for each in (heard, empty)]
    assert [each and (each.status, each.duration) for each in found] == [
        (_S.COMPLETED, 1.5),
        (_S.ABSENT, 0.0),
    ]
    assert offered == [callbacks.KIND] * 2
    with wave.open(str(path)) as file:
        assert file.getnframes() == 12_000
