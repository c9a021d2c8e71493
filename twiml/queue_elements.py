"""How waiting is written: `<Enqueue>`, `<Leave>`, and `<Queue>` in `<Dial>`.

A name is one to 64 characters. Most of what can be wrong here is an error at Twilio's, and ends the
document.
Sources: https://www.twilio.com/docs/voice/twiml/enqueue, /leave and /queue.
"""

from collections.abc import Callable
from typing import Any, Final

from twiml import readers
from twiml.elements import (
    GET_OR_POST,
    URL,
    Attribute,
    Complaint,
    Content,
    Element,
    Made,
    OnBadValue,
    unused_text,
)
from twiml.errors import (
    DIALLED_QUEUE_TOO_LONG,
    DIALLED_QUEUE_TOO_SHORT,
    INVALID_ENQUEUE_ACTION,
    INVALID_ENQUEUE_METHOD,
    INVALID_ENQUEUE_WAIT_METHOD,
    INVALID_ENQUEUE_WAIT_URL,
    INVALID_QUEUE_METHOD,
    INVALID_QUEUE_URL,
    QUEUE_NAME_TOO_LONG,
    QUEUE_NAME_TOO_SHORT,
    SCHEMA_WARNING,
    Level,
)
from twiml.nouns import Queue
from twiml.verbs import Enqueue, Leave

__all__ = ["ENQUEUE", "HOLD_MUSIC", "LEAVE", "MAX_QUEUE_NAME", "MAX_QUEUE_SIZE", "QUEUE"]

MAX_QUEUE_NAME: Final = 64  # characters
MAX_QUEUE_SIZE: Final = 5000
HOLD_MUSIC: Final = "without it the music is ours"

_NO_TASKS: Final = "there is no TaskRouter"


def _wrong_name(name: str, short: int, long: int) -> tuple[Complaint, ...]:
    if not name:
        return (Complaint(short, "a queue has no name", Level.ERROR),)
    if len(name) > MAX_QUEUE_NAME:
        why = f"a queue's name has {len(name)} characters; {MAX_QUEUE_NAME} are the most"
        return (Complaint(long, why, Level.ERROR),)
    return ()


def _enqueue(fields: dict[str, Any], content: Content) -> Made[Enqueue]:
    wrong = _wrong_name(content.text, QUEUE_NAME_TOO_SHORT, QUEUE_NAME_TOO_LONG)
    return Made(None, wrong) if wrong else Made(Enqueue(name=content.text, **fields))


def _queue(fields: dict[str, Any], content: Content) -> Made[Queue]:
    wrong = _wrong_name(content.text, DIALLED_QUEUE_TOO_SHORT, DIALLED_QUEUE_TOO_LONG)
    return Made(None, wrong) if wrong else Made(Queue(name=content.text, **fields))


def _leave(fields: dict[str, Any], content: Content) -> Made[Leave]:
    return Made(Leave(), unused_text(content, "Leave"))


def _strict(
    field: str, read: Callable[[str], object | None], code: int, expected: str
) -> Attribute:
    return Attribute(
        field=field,
        read=read,
        code=code,
        expected=expected,
        on_bad_value=OnBadValue.END_DOCUMENT,
    )


ENQUEUE: Final = Element(
    attributes={
        "action": _strict("action", readers.url_reference, INVALID_ENQUEUE_ACTION, URL),
        "method": _strict("method", readers.method, INVALID_ENQUEUE_METHOD, GET_OR_POST),
        "waitUrl": Attribute(
            field="wait_url",
            read=readers.url_or_nothing,
            code=INVALID_ENQUEUE_WAIT_URL,
            expected=f"{URL}, or nothing for silence",
            on_bad_value=OnBadValue.END_DOCUMENT,
            difference=HOLD_MUSIC,
        ),
        "waitUrlMethod": _strict(
            "wait_method", readers.method, INVALID_ENQUEUE_WAIT_METHOD, GET_OR_POST
        ),
        "maxQueueSize": Attribute(
            field="max_queue_size",
            read=readers.integer(1, MAX_QUEUE_SIZE),
            code=SCHEMA_WARNING,
            expected=f"a whole number from 1 to {MAX_QUEUE_SIZE}",
        ),
    },
    undone={"workflowSid": _NO_TASKS},
    undone_children={"Task": _NO_TASKS},
    make=_enqueue,
)

LEAVE: Final = Element(make=_leave)

QUEUE: Final = Element(
    attributes={
        "url": _strict("url", readers.url_reference, INVALID_QUEUE_URL, URL),
        "method": _strict("method", readers.method, INVALID_QUEUE_METHOD, GET_OR_POST),
    },
    undone={"reservationSid": _NO_TASKS, "postWorkActivitySid": _NO_TASKS},
    make=_queue,
)
