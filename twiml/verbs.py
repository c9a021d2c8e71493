"""The verbs as values, and the table that says how each is written.

A `Dialect` is what may stand in a document for one kind of traffic. The parser knows no verb by
name: it reads attributes by the rows here, and `make` turns what was written into a value.
Source of names and defaults: https://www.twilio.com/docs/messaging/twiml.
"""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

import msgspec

from twiml.errors import (
    INVALID_BODY,
    INVALID_FROM,
    INVALID_METHOD,
    INVALID_REDIRECT_METHOD,
    INVALID_STATUS_CALLBACK,
    INVALID_TO,
    INVALID_VERB_FOR_MESSAGE,
    MESSAGE_LIMIT,
    SCHEMA_WARNING,
)

MAX_MESSAGES: Final = 10
MAX_MEDIA: Final = 10
# How many documents one message may lead through before its run is cut off with 14106.
MAX_DOCUMENTS: Final = 50


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A text to send. Empty `to` is whoever texted, empty `from_` the number that was texted."""

    to: str = ""
    from_: str = ""
    action: str = ""
    method: str = "POST"
    status_callback: str = ""
    body: str = ""
    media: tuple[str, ...] = ()


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """Go on with the document at `url`; empty is the document that this stands in."""

    method: str = "POST"
    url: str = ""


Verb = Message | Redirect


class OnBadValue(Enum):
    """What becomes of a verb of which one attribute makes no sense."""

    USE_DEFAULT = "use default"
    LEAVE_OUT = "leave out"


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """One attribute: the field it fills, and `read`, which gives None for a bad value."""

    field: str
    read: Callable[[str], str | None]
    code: int
    expected: str
    on_bad_value: OnBadValue = OnBadValue.USE_DEFAULT


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What stood between the tags: trimmed text, and the known children with theirs."""

    text: str
    children: tuple[tuple[str, str], ...]

    def texts(self, name: str) -> tuple[str, ...]:
        """The texts of the children called `name`."""
        return tuple(text for child, text in self.children if child == name)


class Complaint(msgspec.Struct, frozen=True):
    """A warning about one verb."""

    code: int
    message: str


class Made(msgspec.Struct, frozen=True):
    """What a verb's element came to; `verb` is None if nothing can be done with it."""

    verb: Verb | None
    complaints: tuple[Complaint, ...] = ()


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """How one verb is written. `limit` verbs of a kind may stand in a document, the rest go."""

    attributes: Mapping[str, Attribute]
    children: frozenset[str] = frozenset()
    make: Callable[[dict[str, str], Content], Made]
    limit: int = 0
    limit_code: int = 0


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """What may stand in `<Response>`; `foreign` are verbs of others, complained of by their own
    code. `of_text` makes a verb of a text/plain document."""

    elements: Mapping[str, Element]
    foreign: frozenset[str]
    foreign_code: int
    of_text: Callable[[str], Verb]


# A number in any usual writing, a short code, or an address of a channel as whatsapp:+15550001000.
_ADDRESS: Final = re.compile(r"(?:[a-z]+:)?\+?\(?[0-9](?:[ ().-]*[0-9]){2,14}|[a-z]+:\S+")
# Beside those, an alphanumeric sender or a messaging service.
_SENDER: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_-]{1,11}|MG[0-9a-f]{32}")


def _address(text: str) -> str | None:
    return text if _ADDRESS.fullmatch(text) else None


def _sender(text: str) -> str | None:
    return text if _SENDER.fullmatch(text) else _address(text)


def _method(text: str) -> str | None:
    upper = text.upper()
    return upper if upper in ("GET", "POST") else None


def url_reference(text: str) -> str | None:
    """`text` if it can be a URL of http or https, absolute or relative."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", text)
    if scheme is not None and scheme.group(1).lower() not in ("http", "https"):
        return None
    return text if text and not re.search(r"[\s\x00-\x1f]", text) else None


def _message(fields: dict[str, str], content: Content) -> Made:
    complaints = []
    bodies = content.texts("Body")
    media = tuple(url for url in content.texts("Media") if url_reference(url))
    if len(bodies) > 1:
        complaints.append(Complaint(SCHEMA_WARNING, "only the first <Body> of a <Message> counts"))
    if bodies and content.text:
        complaints.append(
            Complaint(SCHEMA_WARNING, "the text beside <Body> in a <Message> is not sent")
        )
    if len(media) < len(content.texts("Media")):
        complaints.append(
            Complaint(SCHEMA_WARNING, "a <Media> holds no URL of http or https; it is left out")
        )
    if len(media) > MAX_MEDIA:
        complaints.append(
            Complaint(SCHEMA_WARNING, f"of {len(media)} <Media>, the first {MAX_MEDIA} are sent")
        )
    body = bodies[0] if bodies else content.text
    if not body and not media:
        complaints.append(
            Complaint(INVALID_BODY, "a <Message> has neither text nor media; it is not sent")
        )
        return Made(None, tuple(complaints))
    return Made(Message(body=body, media=media[:MAX_MEDIA], **fields), tuple(complaints))


def _redirect(fields: dict[str, str], content: Content) -> Made:
    if content.text and url_reference(content.text) is None:
        return Made(
            None,
            (Complaint(SCHEMA_WARNING, "the text of a <Redirect> is no URL of http or https"),),
        )
    return Made(Redirect(url=content.text, **fields))


_URL: Final = "a URL of http or https"
_GET_OR_POST: Final = "GET or POST"

_MESSAGE_ATTRIBUTES: Final = {
    "to": Attribute(
        field="to",
        read=_address,
        code=INVALID_TO,
        expected="a phone number",
        # By default the text goes to whoever texted, who was not meant to read this one.
        on_bad_value=OnBadValue.LEAVE_OUT,
    ),
    "from": Attribute(
        field="from_", read=_sender, code=INVALID_FROM, expected="a phone number or a sender"
    ),
    "action": Attribute(field="action", read=url_reference, code=SCHEMA_WARNING, expected=_URL),
    "method": Attribute(field="method", read=_method, code=INVALID_METHOD, expected=_GET_OR_POST),
    "statusCallback": Attribute(
        field="status_callback",
        read=url_reference,
        code=INVALID_STATUS_CALLBACK,
        expected=_URL,
    ),
}

_MESSAGE: Final = Element(
    attributes=_MESSAGE_ATTRIBUTES,
    children=frozenset({"Body", "Media"}),
    make=_message,
    limit=MAX_MESSAGES,
    limit_code=MESSAGE_LIMIT,
)

MESSAGING: Final = Dialect(
    elements={
        "Message": _MESSAGE,
        # The verb's old name, still legal in a reply.
        "Sms": _MESSAGE,
        "Redirect": Element(
            attributes={
                "method": Attribute(
                    field="method",
                    read=_method,
                    code=INVALID_REDIRECT_METHOD,
                    expected=_GET_OR_POST,
                )
            },
            make=_redirect,
        ),
    },
    foreign=frozenset(
        {
            "Connect",
            "Dial",
            "Echo",
            "Enqueue",
            "Gather",
            "Hangup",
            "Leave",
            "Pause",
            "Pay",
            "Play",
            "Prompt",
            "Queue",
            "Record",
            "Refer",
            "Reject",
            "Say",
            "Start",
            "Stop",
        }
    ),
    foreign_code=INVALID_VERB_FOR_MESSAGE,
    of_text=lambda text: Message(body=text),
)
