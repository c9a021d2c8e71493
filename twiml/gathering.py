"""`<Gather>`: keys, while its prompts are heard and for a time after them or after the last key.

Any key ends the prompts, also one that finishes nothing because no digit came before it.
Source: https://www.twilio.com/docs/voice/twiml/gather.
"""

from functools import partial

from twiml.ahead import upcoming
from twiml.call import Speaking, Told
from twiml.machine import Desk, Machine, Verbs, resolved
from twiml.outcome import Begun, Goto, Next, Wait
from twiml.parameters import gather_parameters
from twiml.references import absolute
from twiml.verbs import Gather, Pause, Play, Say

__all__ = ["Gathering", "gathering"]

_DTMF = "dtmf"


class Gathering(Machine):
    """See the module."""

    def __init__(self, call: Speaking, gather: Gather, desk: Desk) -> None:
        self._call = call
        self._gather = gather
        self._desk = desk
        self._at = 0  # the prompt that comes next
        self._is_listening = False
        self._digits = ""

    def begin(self) -> Begun:
        """See `Machine`."""
        return self._prompt()

    def on(self, event: Told) -> Begun:
        """A prompt was heard, or the time for a key is over."""
        return self._end() if self._is_listening else self._prompt()

    def pressed(self, key: str) -> Begun:
        """See `Machine`."""
        if _DTMF not in self._gather.input:
            return Wait()
        self._desk.let_go()
        if key not in self._gather.finish_on_key:
            self._digits += key
        elif self._digits:
            return self._end(finished_on=key)
        if len(self._digits) == self._gather.num_digits != 0:
            return self._end()
        return self._listen()

    def _prompt(self) -> Begun:
        if self._at == len(self._gather.prompts):
            return self._listen()
        prompt = self._gather.prompts[self._at]
        self._at += 1
        match prompt:
            case Say() as say:
                self._call.say(self._desk.ask(), say)
            case Play() as play:
                self._call.play(self._desk.ask(), resolved(play, self._desk.base, "url"))
            case Pause(length=length):
                self._call.pause(self._desk.ask(), length)
        self._call.foresee(upcoming(self._gather.prompts[self._at :], self._desk.base))
        return Wait()

    def _listen(self) -> Begun:
        """The time for a key begins."""
        self._is_listening = True
        if not self._gather.timeout:
            return self._end()
        self._call.pause(self._desk.ask(), self._gather.timeout)
        return Wait()

    def _end(self, finished_on: str = "") -> Begun:
        gather = self._gather
        if not self._digits and not gather.action_on_empty_result:
            return Next()
        return Goto(
            url=absolute(self._desk.base, gather.action),
            method=gather.method,
            parameters=gather_parameters(self._digits, finished_on),
        )


def gathering(call: Speaking) -> Verbs:
    """Collecting keys."""
    return {Gather: partial(Gathering, call)}
