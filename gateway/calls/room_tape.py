"""What is recorded of a conference, from its start to its end, or until REST stops it.

It is a recorder in the room's graph, a file, and a row that is kept in the order of the room.
"""

from typing import Final

import structlog

from gateway.calls.keeping import Keeping
from gateway.calls.room_graph import MIXER
from gateway.calls.room_media import RoomMedia
from gateway.media import graph
from gateway.media.wire import RecordingEnded
from gateway.recordings.book import Book, Change
from gateway.recordings.model import (
    Recording,
    RecordingSource,
    RecordingStatus,
    Told,
    Trouble,
    Wanted,
)
from twiml.nouns import Conference as Noun
from twiml.nouns import Trim

__all__ = ["RoomTape"]

_log = structlog.get_logger(__name__)


class RoomTape:
    """See the module; `noun` is that of the first who came."""

    def __init__(self, book: Book, noun: Noun, media: RoomMedia, keeping: Keeping) -> None:
        self._book = book
        self._media = media
        self._keeping = keeping
        self._trims: Final = noun.trim is Trim.TRIM_SILENCE
        self._wanted: Final = Wanted(
            source=RecordingSource.CONFERENCE,
            trim=noun.trim,
            told=Told(
                url=noun.recording_status_callback,
                method=noun.recording_status_callback_method,
                events=noun.recording_status_callback_event,
            ),
        )
        self._recording: Recording | None = None

    def begin(self, account_sid: str, conference_sid: str) -> None:
        """Record from now on."""
        change = self._book.begun(account_sid, self._wanted, conference_sid=conference_sid)
        recording = change.recording
        try:
            path = self._book.files.begin(account_sid, recording.sid)
        except OSError as error:
            _log.error("a conference can't be recorded", sid=conference_sid, reason=str(error))
            self._keep(
                self._book.failed(
                    account_sid, self._wanted, Trouble(), conference_sid=conference_sid
                )
            )
            return
        self._recording = recording
        self._keep(change)
        recorder = graph.Recorder(id=recording.sid, of=MIXER, path=str(path), trims=self._trims)
        self._media.record(recorder, self._ended)

    def move(self, sid: str, status: RecordingStatus, *, skips: bool = True) -> None:
        """Pause the recording, go on with it, or stop it; another one is passed over.

        While it is paused its time is silence, or is left out if it `skips`.
        """
        recording = self._recording
        change = None
        if recording is not None and recording.sid == sid:
            change = self._book.moved(recording, status)
        if change is None:
            return
        self._recording = change.recording
        self._keep(change)
        if status is RecordingStatus.STOPPED:
            self._media.finish(sid)
        else:
            paused = status is RecordingStatus.PAUSED
            self._media.amend(sid, is_paused=paused, skips=skips)

    def _ended(self, event: RecordingEnded) -> None:
        recording, book = self._recording, self._book
        if recording is None:
            return
        self._recording = None
        if event.fault:
            _log.error("a recording is not whole", sid=recording.sid, reason=event.fault)
            self._keeping.put(book.noted(recording, Trouble()))
        change = book.broken(recording) if event.fault else book.ended(recording, event.seconds)
        if change is not None:
            self._keep(change)

    def _keep(self, change: Change) -> None:
        self._keeping.put(change.writes, change.jobs)
