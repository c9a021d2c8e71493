"""How a document for a call is written. Source: https://www.twilio.com/docs/voice/twiml.

`VOICE` is what a call runs. `ALL_VOICE` is what it is to run when all of it is done: whoever brings
a verb to work adds its line to `VOICE`, and whoever brings an attribute or a noun to work takes its
name out of `_NOT_DONE`.
"""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from twiml.call_elements import ECHO, HANGUP, REFER, REJECT, SMS
from twiml.dial_elements import DIAL
from twiml.elements import Complaint, Dialect, Element, OnNothing
from twiml.errors import SCHEMA_WARNING, VERB_NOT_SUPPORTED
from twiml.gather_elements import GATHER
from twiml.messaging_dialect import REDIRECT
from twiml.prompt_elements import PAUSE, PLAY, SAY
from twiml.queue_elements import ENQUEUE, LEAVE
from twiml.record_elements import RECORD, START, STOP
from twiml.verbs import Pause, Reject, VoiceVerb

__all__ = ["ALL_VOICE", "VOICE"]

T = TypeVar("T")

_NOT_DONE: Final[Mapping[str, frozenset[str]]] = {}
_LATER: Final = "this version does not do it"


def _done(name: str, element: Element[T]) -> Element[T]:
    """The element without what is not done of it and of its children."""
    later = _NOT_DONE.get(name, frozenset())
    attributes = [each for each in element.attributes if each in later]
    children = [each for each in element.children if each in later]
    return msgspec.structs.replace(
        element,
        undone={**element.undone, **dict.fromkeys(attributes, _LATER)},
        children={
            child: _done(child, each)
            for child, each in element.children.items()
            if child not in later
        },
        undone_children={**element.undone_children, **dict.fromkeys(children, _LATER)},
    )


def _review(verbs: tuple[object, ...]) -> Mapping[int, Complaint]:
    """Twilio's rule: only a `<Reject>` before anything but pauses leaves a call unanswered."""
    first = next((at for at, verb in enumerate(verbs) if not isinstance(verb, Pause)), len(verbs))
    late = Complaint(
        SCHEMA_WARNING, "a <Reject> after another verb hangs up: the call is answered by then"
    )
    return {at: late for at, verb in enumerate(verbs) if isinstance(verb, Reject) and at > first}


_ELEMENTS: Final[Mapping[str, Element[object]]] = {
    "Dial": DIAL,
    "Echo": ECHO,
    "Enqueue": ENQUEUE,
    "Gather": GATHER,
    "Hangup": HANGUP,
    "Leave": LEAVE,
    "Pause": PAUSE,
    "Play": PLAY,
    "Record": RECORD,
    "Redirect": REDIRECT,
    "Refer": REFER,
    "Reject": REJECT,
    "Say": SAY,
    "Sms": SMS,
    "Start": START,
    "Stop": STOP,
}

_DONE: Final[Mapping[str, Element[VoiceVerb]]] = {
    "Dial": _done("Dial", DIAL),
    "Echo": ECHO,
    "Enqueue": ENQUEUE,
    "Gather": GATHER,
    "Hangup": HANGUP,
    "Leave": LEAVE,
    "Pause": PAUSE,
    "Play": PLAY,
    "Record": RECORD,
    "Redirect": REDIRECT,
    "Refer": REFER,
    "Reject": REJECT,
    "Say": SAY,
    "Sms": SMS,
    "Start": START,
    "Stop": STOP,
}

_NOT_RUN: Final = Complaint(VERB_NOT_SUPPORTED, "is not run by this version")
_FOREIGN: Final = {
    "Message": Complaint(SCHEMA_WARNING, "is no verb for a call"),
    "Queue": Complaint(SCHEMA_WARNING, "stands in a <Dial>"),
    "Connect": _NOT_RUN,
    "Pay": _NOT_RUN,
    "Prompt": _NOT_RUN,
}

ALL_VOICE: Final[Dialect[object]] = Dialect(
    elements=_ELEMENTS,
    foreign=_FOREIGN,
    of_text="Say",
    on_nothing=OnNothing.NO_DOCUMENT,
    review=_review,
)

VOICE: Final[Dialect[VoiceVerb]] = Dialect(
    elements=_DONE,
    foreign={**_FOREIGN, **dict.fromkeys(_ELEMENTS.keys() - _DONE.keys(), _NOT_RUN)},
    of_text="Say",
    on_nothing=OnNothing.NO_DOCUMENT,
    review=_review,
)
