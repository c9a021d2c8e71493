"""The recordings of one call, while it lives: what is wanted of them, and what became of them.

A recording is a recorder in the graph of the call, a file, and a row, which is kept in the order of
the call. It ends by itself, when it is told to, or with its leg, and its row ends when its file is
closed, whatever has become of the call by then.
"""

import contextlib
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from gateway.calls.hands import Spawn
from gateway.calls.keeping import Keeping, NotKept
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.model import Call
from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
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
from twiml.nouns import RecordingTrack, RecordMode, Trim
from twiml.verbs import Dial, Record, StartRecording

_log = structlog.get_logger(__name__)

MOST: Final = 8
"""Recordings of one call at once."""

_ENOUGH: Final = Trouble(
    error_code=16108, reason=f"{MOST} recordings of the call run, and no more can"
)
_DUAL: Final = frozenset({RecordMode.FROM_ANSWER_DUAL, RecordMode.FROM_RINGING_DUAL})
FROM_RINGING: Final = frozenset({RecordMode.FROM_RINGING, RecordMode.FROM_RINGING_DUAL})

Ended = Callable[[Recording, RecordingEnded], None]
Also = Callable[[Recording], list[Job]]


def _nobody(recording: Recording) -> list[Job]:
    return []


class _Tape(msgspec.Struct):
    recording: Recording
    ended: Ended | None
    also: Also


class Tapes:
    """See the module; `leg` gives the leg that is recorded, `errand` outlives the call."""

    def __init__(
        self,
        book: Book,
        *,
        call: Callable[[], Call],
        media: CallMedia,
        keeping: Keeping,
        leg: Callable[[], str],
        errand: Spawn,
    ) -> None:
        self._book = book
        self._errand = errand
        self._call = call
        self._media = media
        self._keeping = keeping
        self._leg = leg
        self._tapes: dict[str, _Tape] = {}
        self._named: set[str] = set()  # whatever has become of them

    def begin(
        self, wanted: Wanted, ended: Ended | None = None, *, sid: str = "", also: Also = _nobody
    ) -> str:
        """Record from now on; the recording's SID, which is `sid` if that is given.

        `ended` is told when its file is closed, `also` says what that makes due beside what the
        recording does, in the same commit. "" if it can't be, which the app is told. A SID that was
        given before is that recording, which goes on as it is.
        """
        call, book = self._call(), self._book
        if sid in self._named:
            return sid
        if len(self._tapes) >= MOST:
            _log.warning("a call is recorded often enough", call=call.sid, most=MOST)
            self._fail(wanted, _ENOUGH, sid)
            return ""
        change = book.begun(call.account_sid, wanted, call_sid=call.sid, sid=sid)
        recording = change.recording
        try:
            path = book.files.begin(recording.account_sid, recording.sid)
            recorder = _recorder(recording.sid, self._leg(), str(path), wanted)
            self._media.record(recorder, self._on_ended)
        except (OSError, NoMedia) as error:
            _log.error("a call can't be recorded", call=call.sid, reason=str(error))
            with contextlib.suppress(OSError):
                book.files.remove(recording.account_sid, recording.sid)
            if isinstance(error, OSError):  # otherwise its leg is gone, which is told
                self._fail(wanted, Trouble(), sid)
            return ""
        self._named.add(recording.sid)
        self._tapes[recording.sid] = _Tape(recording, ended, also)
        self._keep(change)
        return recording.sid

    def url(self, recording: Recording) -> str:
        """Where its sound is."""
        return self._book.url(recording)

    def finish(self, sid: str) -> None:
        """End a recording; one that is over is passed over."""
        if sid in self._tapes:
            self._media.finish(sid)

    def move(self, sid: str, status: RecordingStatus, *, skips: bool = True) -> bool:
        """Pause a recording, go on with it, or stop it; whether it runs at all.

        While it is paused its time is silence, or is left out if it `skips`.
        """
        tape = self._tapes.get(sid)
        if tape is None:
            return False
        change = self._book.moved(tape.recording, status)
        if change is not None:
            tape.recording = change.recording
            self._keep(change)
            if status is RecordingStatus.STOPPED:
                self._media.finish(sid)
            else:
                paused = status is RecordingStatus.PAUSED
                self._media.amend(sid, is_paused=paused, skips=skips)
        return True

    def running(self) -> list[Recording]:
        """Those that are not over."""
        return [tape.recording for tape in self._tapes.values()]

    def _fail(self, wanted: Wanted, trouble: Trouble, sid: str) -> None:
        """Tell the app that a recording can't be made; over REST it was told of `sid` already."""
        call = self._call()
        change = self._book.failed(call.account_sid, wanted, trouble, call_sid=call.sid)
        if sid:
            self._keeping.put(self._book.noted(change.recording, trouble))
        else:
            self._keep(change)

    def _on_ended(self, event: RecordingEnded) -> None:
        tape = self._tapes.pop(event.recorder)
        book, recording = self._book, tape.recording
        if event.fault:
            _log.error("a recording is not whole", sid=recording.sid, reason=event.fault)
            self._keeping.put(book.noted(recording, Trouble()))
            change = book.broken(recording)
        else:
            change = book.ended(recording, event.seconds, spoke=event.spoke)
        if change is not None:
            recording = change.recording
            jobs = tape.also(recording)
            writes = [*change.writes, *map(job_inserted, jobs)]
            self._keeping.put(writes, [*change.jobs, *jobs])
        if tape.ended is not None:
            self._errand(self._tell(tape.ended, recording, event))

    async def _tell(self, ended: Ended, recording: Recording, event: RecordingEnded) -> None:
        """Whoever is told of a recording finds it, by whichever process they ask."""
        with contextlib.suppress(NotKept):
            await self._keeping.durable()
        ended(recording, event)

    def _keep(self, change: Change) -> None:
        self._keeping.put(change.writes, change.jobs)


def _recorder(sid: str, leg: str, path: str, wanted: Wanted) -> graph.Recorder:
    return graph.Recorder(
        id=sid,
        of=leg,
        path=path,
        track=graph.Track(wanted.track.value),
        channels=wanted.channels,
        silence=wanted.silence,
        limit=wanted.limit,
        trims=wanted.trim is Trim.TRIM_SILENCE,
    )


def of_record(record: Record) -> Wanted:
    """What a `<Record>` wants: the caller alone, until nobody speaks."""
    return Wanted(
        source=RecordingSource.RECORD_VERB,
        track=RecordingTrack.INBOUND,
        trim=record.trim,
        silence=record.timeout,
        limit=record.max_length,
        told=_told(record),
    )


def of_dial(dial: Dial) -> Wanted:
    """What a `<Dial>` wants that is to be recorded."""
    both = dial.recording_track is RecordingTrack.BOTH
    return Wanted(
        source=RecordingSource.DIAL_VERB,
        channels=2 if dial.record in _DUAL and both else 1,
        track=dial.recording_track,
        trim=dial.trim,
        told=_told(dial),
    )


def of_start(
    start: StartRecording, source: RecordingSource = RecordingSource.START_CALL_TWIML
) -> Wanted:
    """What a `<Start><Recording>` wants, or REST in the same words: of one side there is no two."""
    return Wanted(
        source=source,
        channels=start.channels if start.track is RecordingTrack.BOTH else 1,
        track=start.track,
        trim=start.trim,
        told=_told(start),
    )


def _told(verb: Record | Dial | StartRecording) -> Told:
    return Told(
        url=verb.recording_status_callback,
        method=verb.recording_status_callback_method,
        events=verb.recording_status_callback_event,
    )
