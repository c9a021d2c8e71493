"""The interpreter for calls: what of a document takes a call that rings, and what ends the call.

How documents are run is `runner`'s. One interpreter serves one leg from its first document to its
end.
"""

from enum import StrEnum
from functools import partial
from typing import Final

from twiml.call import Call, DialEnded, Ending, Event, FullCall, Speaking
from twiml.dialling import dialling
from twiml.errors import (
    DIAL_IN_WHISPER,
    INVALID_VERB_FOR_WAITING,
    VERB_NOT_SUPPORTED,
    Level,
)
from twiml.gathering import gathering
from twiml.machine import Desk, Families, Instant, Offered, Verbs
from twiml.outcome import Begun, Next, Over
from twiml.recording import recording
from twiml.runner import REDIRECTING, Runner
from twiml.single import prompts, queueing, sending
from twiml.verbs import (
    Dial,
    Echo,
    Enqueue,
    Gather,
    Hangup,
    Pause,
    Play,
    Record,
    Redirect,
    Refer,
    Reject,
    Say,
    Sms,
    StartRecording,
    StopRecording,
    VoiceVerb,
)

__all__ = [
    "Interpreter",
    "Part",
    "Pickup",
    "aside_verbs",
    "call_verbs",
    "whisper_verbs",
]


class Pickup(StrEnum):
    """Whether the call was answered before its first document came."""

    RINGING = "ringing"
    ANSWERED = "answered"


class Part(StrEnum):
    """Whose documents are run.

    `CALL` are the call's own. `WHISPER` are those for who was dialled, before joining. `ASIDE` are
    such as may be heard and nothing else: for who is fetched from a queue, and announcements.
    """

    CALL = "call"
    WHISPER = "whisper"
    ASIDE = "aside"


_OF_CALL: Final[Families] = {
    **dict.fromkeys((Say, Play, Pause), prompts),
    Gather: gathering,
    **dict.fromkeys((Record, StartRecording, StopRecording), lambda call: recording(call, call)),
    Dial: dialling,
    Enqueue: queueing,
    **dict.fromkeys((Sms, Refer, Echo), sending),
}


def call_verbs(call: FullCall) -> Verbs:
    """What can be run in a call."""
    return Offered(_OF_CALL, call)


def whisper_verbs(call: Speaking) -> Verbs:
    """What who was dialled can be told and asked."""
    return {**prompts(call), **gathering(call)}


def aside_verbs(call: Speaking) -> Verbs:
    """What may be heard."""
    return prompts(call)


_REFUSED: Final = {
    Part.CALL: (VERB_NOT_SUPPORTED, "is not run in a call"),
    Part.WHISPER: (VERB_NOT_SUPPORTED, "is not run for who was dialled before they are joined"),
    Part.ASIDE: (INVALID_VERB_FOR_WAITING, "is not run here: what is heard is"),
}


class Interpreter(Runner):
    """One leg's documents, being run; `verbs` are those that the call can do."""

    def __init__(self, call: Call, *, pickup: Pickup, verbs: Verbs, part: Part = Part.CALL) -> None:
        own = REDIRECTING if part is Part.ASIDE else Offered(_ENDING, self)
        super().__init__(call, verbs, own)
        self._leg = call
        self._part = part
        self._is_ringing = pickup is Pickup.RINGING
        self._held_off = False

    def on(self, event: Event) -> None:
        """Take what the call tells."""
        if isinstance(event, DialEnded) and event.ask == self._awaited and event.bridged:
            self._is_ringing = False
        super().on(event)

    def _begin(self, verb: VoiceVerb) -> Begun:
        if isinstance(verb, Dial) and self._part is Part.WHISPER:
            self._note(DIAL_IN_WHISPER, Level.ERROR, "a document for who was dialled can't <Dial>")
            self._leg.hang_up(Ending.FAILED)
            return Over()
        return super()._begin(verb)

    def _before(self, verb: VoiceVerb | None) -> None:
        """Twilio's rule: anything but a `<Reject>` takes the call, saying nothing as well."""
        match verb:
            case Reject():
                return
            case Pause() if self._leads_to_reject():
                return
            case Dial(answer_on_bridge=True) if self._is_ringing:
                self._held_off = True
                return
            case None | Hangup() if self._held_off:
                return  # what waited for a bridge in vain is not taken just to be hung up
        if self._is_ringing:
            self._is_ringing = False
            self._leg.answer()

    def _leads_to_reject(self) -> bool:
        rest = self._verbs[self._at :]
        return isinstance(next((v for v in rest if not isinstance(v, Pause)), None), Reject)

    def _refuse(self, verb: VoiceVerb) -> Begun:
        code, why = _REFUSED[self._part]
        self._note(code, Level.WARNING, f"<{type(verb).__name__}> {why}")
        return Next()

    def _reject(self, verb: Reject, desk: Desk) -> Begun:
        if self._is_ringing:
            self._leg.reject(verb.reason)
        else:
            self._leg.hang_up(Ending.DONE)
        return Over()

    def _hangup(self, verb: Hangup, desk: Desk) -> Begun:
        self._leg.hang_up(Ending.DONE)
        return Over()

    def _documents_ended(self) -> None:
        self._is_over = True
        if self._part is Part.CALL:
            self._leg.hang_up(Ending.DONE)
        else:
            self._leg.connect()

    def _fail(self) -> None:
        self._is_over = True
        self._leg.hang_up(Ending.FAILED)


_ENDING: Final[Families] = {
    Redirect: lambda interpreter: REDIRECTING,
    Reject: lambda interpreter: {Reject: partial(Instant, interpreter._reject)},
    Hangup: lambda interpreter: {Hangup: partial(Instant, interpreter._hangup)},
}
"""What there is beside all that a call can do: going on elsewhere, and its end."""
