"""Documents for who waits: in a queue, or for a conference to begin or to go on.

They begin anew where they began when they have ended, as with Twilio, until who waits is fetched
or hangs up. A round that was over at once is followed by a second of silence, and documents that
can't be had leave silence: the waiting goes on.
"""

from functools import partial
from typing import Final

from twiml.call import Ending, Queued, Running, Speaking, Told
from twiml.errors import INVALID_VERB_FOR_WAITING, VERB_NOT_SUPPORTED, Level
from twiml.gathering import gathering
from twiml.machine import Desk, Instant, Machine, Verbs
from twiml.outcome import Begun, Goto, Next, Over, Wait
from twiml.runner import REDIRECTING, Runner
from twiml.single import prompts
from twiml.verbs import Hangup, Leave, VoiceVerb

__all__ = ["Waiter", "in_queue", "in_room"]

_BREATH: Final = 1  # seconds
_SHORT: Final = 0.5  # seconds: of two in a second none comes to an end for its pace


class Waiter(Runner):
    """See the module; `code` and `why` are the warning about a verb that is none of `verbs`."""

    def __init__(self, call: Running, verbs: Verbs, *, code: int, why: str) -> None:
        super().__init__(call, verbs, REDIRECTING)
        self._code = code
        self._why = why
        self._beginning = Goto(url="", method="POST")

    def start(self, goto: Goto) -> None:
        """Have the document at an absolute URL heard, again and again."""
        self._beginning = goto
        super().start(goto)

    def _before(self, verb: VoiceVerb | None) -> None:
        """Who waits is answered."""

    def _refuse(self, verb: VoiceVerb) -> Begun:
        self._note(self._code, Level.WARNING, f"<{type(verb).__name__}> {self._why}")
        return Next()

    def _documents_ended(self) -> None:
        if self._call.clock() - self._began < _SHORT:
            self._machine = _Breath(self._call, self, self._beginning)
            self._machine.begin()
        else:
            self._fetch(self._beginning)

    def _fail(self) -> None:
        self._is_over = True


class _Breath(Machine):
    """The silence between two rounds."""

    def __init__(self, call: Running, desk: Desk, beginning: Goto) -> None:
        self._call = call
        self._desk = desk
        self._beginning = beginning

    def begin(self) -> Begun:
        """See `Machine`."""
        self._call.pause(self._desk.ask(), _BREATH)
        return Wait()

    def on(self, event: Told) -> Begun:
        """See `Machine`."""
        return self._beginning


def in_queue(call: Queued) -> Waiter:
    """Who waits in a queue hears prompts and presses keys, and may leave it or hang up."""

    def hang_up(verb: Hangup, desk: Desk) -> Begun:
        call.hang_up(Ending.DONE)
        return Over()

    def leave(verb: Leave, desk: Desk) -> Begun:
        call.leave()
        return Over()

    verbs: Verbs = {
        **prompts(call),
        **gathering(call),
        Hangup: partial(Instant, hang_up),
        Leave: partial(Instant, leave),
    }
    why = "is not run for who waits in a queue"
    return Waiter(call, verbs, code=VERB_NOT_SUPPORTED, why=why)


def in_room(call: Speaking) -> Waiter:
    """Who waits for a conference, or was put on hold in one, hears prompts."""
    why = "is not run for who waits for a conference"
    return Waiter(call, prompts(call), code=INVALID_VERB_FOR_WAITING, why=why)
