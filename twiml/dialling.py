"""`<Dial>`: its nouns are the call's affair, its end is told to the action.

Source: https://www.twilio.com/docs/voice/twiml/dial.
"""

from functools import partial
from typing import Final

from twiml.call import Call, DialEnded, DialStatus, Told
from twiml.machine import Debt, Desk, Machine, Verbs, resolved, told
from twiml.outcome import Begun, Next, Outcome, Wait
from twiml.parameters import dial_parameters
from twiml.verbs import Dial

__all__ = ["Calling", "dialling"]

_DIAL_URLS: Final = ("action", "recording_status_callback", "refer_url")
_NOUN_URLS: Final = (
    "url",
    "wait_url",
    "status_callback",
    "recording_status_callback",
    "event_callback_url",
)


class Calling(Machine):
    """See the module; also the action of a dial that its caller left by hanging up is told."""

    owes = frozenset({Debt.HUNG_UP})

    def __init__(self, call: Call, dial: Dial, desk: Desk) -> None:
        self._call = call
        nouns = tuple([resolved(noun, desk.base, *_NOUN_URLS) for noun in dial.nouns])
        self._dial = resolved(dial, desk.base, *_DIAL_URLS, nouns=nouns)
        self._desk = desk

    def begin(self) -> Begun:
        """See `Machine`."""
        if not self._dial.nouns:
            return self._after(DialEnded(ask=0, status=DialStatus.FAILED))
        self._call.dial(self._desk.ask(), self._dial)
        return Wait()

    def on(self, event: Told) -> Begun:
        """See `Machine`."""
        return self._after(event) if isinstance(event, DialEnded) else Next()

    def _after(self, ended: DialEnded) -> Outcome:
        dial = self._dial
        return told(dial.action, dial.method, dial_parameters(ended)) if dial.action else Next()


def dialling(call: Call) -> Verbs:
    """Calling others."""
    return {Dial: partial(Calling, call)}
