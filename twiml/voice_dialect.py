"""How a document for a call is written. Source: https://www.twilio.com/docs/voice/twiml."""

from collections.abc import Mapping
from typing import Any, Final

from twiml import readers
from twiml.dial_elements import DIAL
from twiml.elements import Attribute, Complaint, Content, Dialect, Element, Made, OnNothing
from twiml.errors import (
    INVALID_PAUSE_LENGTH,
    INVALID_REJECT_REASON,
    SCHEMA_WARNING,
    VERB_NOT_SUPPORTED,
)
from twiml.messaging_dialect import REDIRECT
from twiml.verbs import Hangup, Pause, Reject, RejectReason, VoiceVerb

__all__ = ["MAX_PAUSE", "VOICE"]

MAX_PAUSE: Final = 14400  # seconds, as long as a call may last


def _hangup(fields: dict[str, Any], content: Content) -> Made[Hangup]:
    return Made(Hangup(), _unused(content, "Hangup"))


def _pause(fields: dict[str, Any], content: Content) -> Made[Pause]:
    return Made(Pause(**fields), _unused(content, "Pause"))


def _reject(fields: dict[str, Any], content: Content) -> Made[Reject]:
    return Made(Reject(**fields), _unused(content, "Reject"))


def _unused(content: Content, name: str) -> tuple[Complaint, ...]:
    if not content.text:
        return ()
    return (Complaint(SCHEMA_WARNING, f"the text in a <{name}> has no meaning"),)


def _review(verbs: tuple[object, ...]) -> Mapping[int, Complaint]:
    """Twilio's rule: only a `<Reject>` before anything but pauses leaves a call unanswered."""
    first = next((at for at, verb in enumerate(verbs) if not isinstance(verb, Pause)), len(verbs))
    late = Complaint(
        SCHEMA_WARNING, "a <Reject> after another verb hangs up: the call is answered by then"
    )
    return {at: late for at, verb in enumerate(verbs) if isinstance(verb, Reject) and at > first}


_NOT_RUN: Final = (
    "Connect", "Echo", "Enqueue", "Gather", "Leave", "Pay", "Play", "Prompt", "Queue", "Record",
    "Refer", "Say", "Sms", "Start", "Stop",
)  # fmt: skip

VOICE: Final[Dialect[VoiceVerb]] = Dialect(
    elements={
        "Dial": DIAL,
        "Hangup": Element(undone_children=frozenset({"Parameter"}), make=_hangup),
        "Pause": Element(
            attributes={
                "length": Attribute(
                    field="length",
                    read=readers.integer(1, MAX_PAUSE),
                    code=INVALID_PAUSE_LENGTH,
                    expected=f"a whole number of seconds from 1 to {MAX_PAUSE}",
                )
            },
            make=_pause,
        ),
        "Redirect": REDIRECT,
        "Reject": Element(
            attributes={
                "reason": Attribute(
                    field="reason",
                    read=readers.one_of({reason.value: reason for reason in RejectReason}),
                    code=INVALID_REJECT_REASON,
                    expected="rejected or busy",
                )
            },
            undone_children=frozenset({"Parameter"}),
            make=_reject,
        ),
    },
    foreign={
        "Message": Complaint(SCHEMA_WARNING, "is no verb for a call"),
        **{name: Complaint(VERB_NOT_SUPPORTED, "is not run by this version") for name in _NOT_RUN},
    },
    of_text=lambda text: Made(
        None, (Complaint(VERB_NOT_SUPPORTED, "a text is spoken, which this version does not do"),)
    ),
    on_nothing=OnNothing.NO_DOCUMENT,
    review=_review,
)
