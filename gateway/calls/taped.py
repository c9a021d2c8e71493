"""The recording of one `<Dial>`: when it begins, and that the end of the dial is told with it."""

from collections.abc import Callable

import msgspec

from gateway.calls.recording import FROM_RINGING, Tapes, of_dial
from gateway.media.wire import RecordingEnded
from gateway.recordings.model import Recording, RecordingStatus
from twiml.call import DialEnded
from twiml.nouns import RecordMode
from twiml.verbs import Dial

__all__ = ["Taped"]


class Taped:
    """See the module; of a dial that is not to be recorded nothing is."""

    def __init__(self, tapes: Tapes, dial: Dial) -> None:
        self._tapes = tapes
        self._dial = dial
        self._sid = ""
        self._recording: Recording | None = None  # as it ended
        self._ended: DialEnded | None = None  # told when it is known how long the recording is
        self._tell: Callable[[DialEnded], None] | None = None

    def rings(self) -> None:
        """Whoever is dialled is being called."""
        if self._dial.record in FROM_RINGING:
            self._begin()

    def joined(self) -> None:
        """Whoever was dialled is joined to the caller."""
        if self._dial.record is not RecordMode.NEVER:
            self._begin()

    def _begin(self) -> None:
        self._sid = self._sid or self._tapes.begin(of_dial(self._dial), self._on_ended)

    def end(self, ended: DialEnded, tell: Callable[[DialEnded], None]) -> None:
        """The dial is over: `tell` it, when it can be said what was recorded."""
        self._ended, self._tell = ended, tell
        if self._sid and self._recording is None:
            self._tapes.finish(self._sid)
        else:
            self._say()

    def _on_ended(self, recording: Recording, event: RecordingEnded) -> None:
        self._recording = recording
        self._say()

    def _say(self) -> None:
        ended, tell, recording = self._ended, self._tell, self._recording
        if ended is None or tell is None:
            return
        if recording is not None and recording.status is RecordingStatus.COMPLETED:
            ended = msgspec.structs.replace(
                ended,
                recording_url=self._tapes.url(recording),
                recording_sid=recording.sid,
                recording_duration=recording.seconds,
            )
        tell(ended)
