"""What keeps a call's sound: `<Record>`, which waits for the caller, and what runs beside a call.

Source: https://www.twilio.com/docs/voice/twiml/record.
"""

from functools import partial
from typing import Final

from twiml.call import Recorded, RecordEnd, Recording, Running, Told
from twiml.machine import Debt, Desk, Instant, Machine, Verbs, resolved
from twiml.outcome import Begun, Goto, Next, Wait
from twiml.parameters import record_parameters
from twiml.references import absolute
from twiml.verbs import Record, StartRecording, StopRecording

__all__ = ["Taking", "recording"]

_CALLBACK: Final = "recording_status_callback"
_BY_HANGUP: Final = "hangup"


class Taking(Machine):
    """A `<Record>`: its end by hang-up is told to the action too, and a silent one to nobody."""

    owes = frozenset({Debt.HUNG_UP})

    def __init__(self, call: Recording, record: Record, desk: Desk) -> None:
        self._call = call
        self._record = resolved(record, desk.base, _CALLBACK)
        self._action = absolute(desk.base, record.action)
        self._desk = desk
        self._ask = 0
        self._key = ""

    def begin(self) -> Begun:
        """See `Machine`."""
        self._ask = self._desk.ask()
        self._call.record(self._ask, self._record)
        return Wait()

    def pressed(self, key: str) -> Begun:
        """See `Machine`."""
        if key in self._record.finish_on_key and not self._key:
            self._key = key
            self._call.finish(self._ask)
        return Wait()

    def on(self, event: Told) -> Begun:
        """See `Machine`."""
        if not isinstance(event, Recorded) or not event.sid:
            return Next()
        return Goto(
            url=self._action,
            method=self._record.method,
            parameters=record_parameters(event, self._ended_by(event.end)),
        )

    def _ended_by(self, end: RecordEnd) -> str:
        match end:
            case RecordEnd.FINISHED:
                return self._key
            case RecordEnd.HANGUP:
                return _BY_HANGUP
            case RecordEnd.SILENCE | RecordEnd.LIMIT:
                return ""


def recording(call: Recording, reporter: Running) -> Verbs:
    """Recording the caller, or the call; `reporter` tells the action of a `<Start>`."""

    def start(verb: StartRecording, desk: Desk) -> Begun:
        verb = resolved(verb, desk.base, "action", _CALLBACK)
        call.start_recording(verb)
        if verb.action:
            reporter.report(Goto(url=verb.action, method=verb.method))
        return Next()

    def stop(verb: StopRecording, desk: Desk) -> Begun:
        call.stop_recording()
        return Next()

    return {
        Record: partial(Taking, call),
        StartRecording: partial(Instant, start),
        StopRecording: partial(Instant, stop),
    }
