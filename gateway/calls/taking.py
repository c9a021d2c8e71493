"""What a call's documents ask of its recordings: `<Record>`, and what runs beside a call.

A `<Record>` is a beep and a recording of the party; while the beep is heard nothing is recorded.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec

from gateway.calls.hands import Spawn
from gateway.calls.media import NoMedia
from gateway.calls.prompting import Prompting
from gateway.calls.recording import Tapes, of_record, of_start
from gateway.media.graph import File
from gateway.media.wire import RecordingEnded
from gateway.recordings.model import Recording as Row
from gateway.recordings.model import RecordingStatus
from gateway.speech.model import NoPrompt, Prompt
from twiml.call import Event, Recorded, RecordEnd
from twiml.verbs import Record, StartRecording

_ENDS: Final = {"silence": RecordEnd.SILENCE, "limit": RecordEnd.LIMIT}


class _Take(msgspec.Struct):
    """One `<Record>`: its task while it beeps, and then the SID of its recording."""

    task: asyncio.Task[None] | None = None
    sid: str = ""
    is_finished: bool = False


class Takes:
    """See the module; `beep` is what tells the party to speak."""

    def __init__(
        self,
        tapes: Tapes,
        *,
        prompting: Prompting,
        beep: Callable[[], Awaitable[Prompt | NoPrompt]],
        spawn: Spawn,
        give: Callable[[Event], None],
    ) -> None:
        self._tapes = tapes
        self._prompting = prompting
        self._beep = beep
        self._spawn = spawn
        self._give = give
        self._takes: dict[int, _Take] = {}
        self._beside: list[str] = []

    def record(self, ask: int, record: Record) -> None:
        """See `twiml.call.Recording`."""
        take = self._takes[ask] = _Take()
        take.task = self._spawn(self._record(ask, take, record))

    def finish(self, ask: int) -> None:
        """See `twiml.call.Recording`."""
        take = self._takes.get(ask)
        if take is None or take.is_finished:
            return
        take.is_finished = True
        if take.sid:
            self._tapes.finish(take.sid)
        else:
            self._drop(ask)
            self._give(Recorded(ask=ask, end=RecordEnd.FINISHED))

    def stop(self, ask: int) -> None:
        """Let go of a `<Record>`: what there is of it is kept."""
        take = self._drop(ask)
        if take is not None and take.sid:
            self._tapes.finish(take.sid)

    def close(self) -> None:
        """Nobody is recorded any more: what there is is kept, and told of as after a hang-up."""
        for take in self._takes.values():
            if take.task is not None:
                take.task.cancel()
        for row in self._tapes.running():
            self._tapes.finish(row.sid)

    def start_recording(self, start: StartRecording) -> None:
        """See `twiml.call.Recording`."""
        sid = self._tapes.begin(of_start(start))
        if sid:
            self._beside.append(sid)

    def stop_recording(self) -> None:
        """See `twiml.call.Recording`."""
        for sid in self._beside:
            self._tapes.move(sid, RecordingStatus.STOPPED)
        self._beside.clear()

    def _drop(self, ask: int) -> _Take | None:
        take = self._takes.pop(ask, None)
        if take is not None and take.task is not None:
            take.task.cancel()
        return take

    async def _record(self, ask: int, take: _Take, record: Record) -> None:
        try:
            beep = await self._beep() if record.play_beep else None
            clips = (File(path=str(beep.path)),) if isinstance(beep, Prompt) else ()
            await self._prompting.clips(clips)
        except NoMedia:  # that is told otherwise
            return
        take.task = None
        take.sid = self._tapes.begin(of_record(record), partial(self._on_ended, ask))
        if not take.sid:
            self._drop(ask)
            self._give(Recorded(ask=ask, end=RecordEnd.FINISHED))

    def _on_ended(self, ask: int, row: Row, event: RecordingEnded) -> None:
        take = self._takes.pop(ask, None)
        if take is None:
            return
        removed = RecordEnd.FINISHED if take.is_finished else RecordEnd.HANGUP
        is_there = row.status is RecordingStatus.COMPLETED
        self._give(
            Recorded(
                ask=ask,
                end=_ENDS.get(event.cause, removed),
                sid=row.sid if is_there else "",
                url=self._tapes.url(row) if is_there else "",
                duration=row.seconds,
            )
        )


class Taking(ABC):
    """What a `twiml.call.FullCall` leaves to its takes."""

    @property
    @abstractmethod
    def takes(self) -> Takes:
        """Those of this call."""

    def record(self, ask: int, record: Record) -> None:
        """See `twiml.call.Recording`."""
        self.takes.record(ask, record)

    def finish(self, ask: int) -> None:
        """See `twiml.call.Recording`."""
        self.takes.finish(ask)

    def start_recording(self, start: StartRecording) -> None:
        """See `twiml.call.Recording`."""
        self.takes.start_recording(start)

    def stop_recording(self) -> None:
        """See `twiml.call.Recording`."""
        self.takes.stop_recording()
