"""A conference that can't be recorded, or not to its end, tells its app."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.calls.keeping import Keeping
from gateway.calls.room_tape import RoomTape
from gateway.media.graph import Recorder
from gateway.media.wire import RecordingEnded
from gateway.messages import notifications
from gateway.recordings import tables
from gateway.recordings.book import Book
from gateway.recordings.files import Files
from gateway.webhooks.callbacks import Patience
from tests.unit.calls.test_call_sound import Store, turn
from twiml.nouns import Conference, ConferenceRecord, RecordingEvent

ROOM = Conference(
    name="room",
    record=ConferenceRecord.FROM_START,
    recording_status_callback="https://a.example/taped",
    recording_status_callback_event=(RecordingEvent.ABSENT,),
)


class Media:
    """A room's, which records nothing."""

    def __init__(self) -> None:
        self.ended: Callable[[RecordingEnded], None] | None = None

    def record(self, recorder: Recorder, ended: Callable[[RecordingEnded], None]) -> None:
        self.ended = ended


@pytest.mark.parametrize("breaks", ["at the start", "at the end"])
async def test_what_can_not_be_recorded_is_told(tmp_path: Path, breaks: str) -> None:
    store, media = Store(), Media()
    given: dict[str, Any] = {"store": store, "patience": Patience(retry_for=60.0)}
    book = Book(
        files=Files(tmp_path),
        base=lambda: "https://api.example",
        clock=lambda: 1000.0,
        owner="w",
        **given,
    )
    room: Any = media
    kept: Any = store
    tape = RoomTape(book, ROOM, room, Keeping(kept, lambda: None, lambda job: None, "CF1"))
    if breaks == "at the start":
        (tmp_path / "recordings").write_text("no folder")
    tape.begin("AC1", "CF1")
    if media.ended is not None:
        media.ended(
            RecordingEnded(
                call="CF1", recorder="RE", seconds=0.0, cause="fault", spoke=False, fault="no room"
            )
        )
    await turn()
    assert (media.ended is None) is (breaks == "at the start")
    (noted,) = (row for kind, row in store.took if kind is notifications.INSERT)
    assert noted[2:4] == ("CF1", 12400)
    assert str(tmp_path) not in str(noted)
    assert [kind for kind, _ in store.took].count(tables.INSERT) == 1
    (told,) = (row for _, row in store.took if "RecordingUrl" in str(row))
    assert "absent" in str(told)
