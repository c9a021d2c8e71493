"""How a reply to a text is written. Source: https://www.twilio.com/docs/messaging/twiml."""

from typing import Any, Final

import msgspec

from twiml import readers
from twiml.elements import (
    GET_OR_POST,
    URL,
    Attribute,
    Complaint,
    Content,
    Dialect,
    Element,
    Made,
    OnBadValue,
    OnNothing,
)
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
from twiml.verbs import MAX_MEDIA, MAX_MESSAGES, Message, MessagingVerb, Redirect

__all__ = ["MESSAGING", "REDIRECT"]


class _Body(msgspec.Struct, frozen=True):
    text: str


class _Media(msgspec.Struct, frozen=True):
    url: str


def _body(fields: dict[str, Any], content: Content) -> Made[_Body]:
    return Made(_Body(content.text))


def _media(fields: dict[str, Any], content: Content) -> Made[_Media]:
    if readers.url_reference(content.text) is None:
        why = "a <Media> holds no URL of http or https; it is left out"
        return Made(None, (Complaint(SCHEMA_WARNING, why),))
    return Made(_Media(content.text))


def _message(fields: dict[str, Any], content: Content) -> Made[Message]:
    complaints = []
    bodies = content.of(_Body)
    media = tuple(each.url for each in content.of(_Media))
    if len(bodies) > 1:
        complaints.append(Complaint(SCHEMA_WARNING, "only the first <Body> of a <Message> counts"))
    if bodies and content.text:
        complaints.append(
            Complaint(SCHEMA_WARNING, "the text beside <Body> in a <Message> is not sent")
        )
    if len(media) > MAX_MEDIA:
        complaints.append(
            Complaint(SCHEMA_WARNING, f"of {len(media)} <Media>, the first {MAX_MEDIA} are sent")
        )
    body = bodies[0].text if bodies else content.text
    if not body and not media:
        complaints.append(
            Complaint(INVALID_BODY, "a <Message> has neither text nor media; it is not sent")
        )
        return Made(None, tuple(complaints))
    return Made(Message(body=body, media=media[:MAX_MEDIA], **fields), tuple(complaints))


def _redirect(fields: dict[str, Any], content: Content) -> Made[Redirect]:
    if content.text and readers.url_reference(content.text) is None:
        why = "the text of a <Redirect> is no URL of http or https"
        return Made(None, (Complaint(SCHEMA_WARNING, why),))
    return Made(Redirect(url=content.text, **fields))


_MESSAGE_ATTRIBUTES: Final = {
    "to": Attribute(
        field="to",
        read=readers.address,
        code=INVALID_TO,
        expected="a phone number",
        # By default the text goes to whoever texted, who was not meant to read this one.
        on_bad_value=OnBadValue.LEAVE_OUT,
    ),
    "from": Attribute(
        field="from_", read=readers.sender, code=INVALID_FROM, expected="a phone number or a sender"
    ),
    "action": Attribute(
        field="action", read=readers.url_reference, code=SCHEMA_WARNING, expected=URL
    ),
    "method": Attribute(
        field="method", read=readers.method, code=INVALID_METHOD, expected=GET_OR_POST
    ),
    "statusCallback": Attribute(
        field="status_callback",
        read=readers.url_reference,
        code=INVALID_STATUS_CALLBACK,
        expected=URL,
    ),
}

_MESSAGE: Final = Element(
    attributes=_MESSAGE_ATTRIBUTES,
    children={"Body": Element(make=_body), "Media": Element(make=_media)},
    make=_message,
    limit=MAX_MESSAGES,
    limit_code=MESSAGE_LIMIT,
)

REDIRECT: Final = Element(
    attributes={
        "method": Attribute(
            field="method",
            read=readers.method,
            code=INVALID_REDIRECT_METHOD,
            expected=GET_OR_POST,
        )
    },
    make=_redirect,
)

_VOICE_VERBS: Final = (
    "Connect", "Dial", "Echo", "Enqueue", "Gather", "Hangup", "Leave", "Pause", "Pay", "Play",
    "Prompt", "Queue", "Record", "Refer", "Reject", "Say", "Start", "Stop",
)  # fmt: skip

MESSAGING: Final[Dialect[MessagingVerb]] = Dialect(
    elements={
        "Message": _MESSAGE,
        # The verb's old name, still legal in a reply.
        "Sms": _MESSAGE,
        "Redirect": REDIRECT,
    },
    foreign={
        name: Complaint(INVALID_VERB_FOR_MESSAGE, "is no verb for a message")
        for name in _VOICE_VERBS
    },
    of_text="Message",
    # Twilio's rule: an app that has nothing to say to a text may say just that.
    on_nothing=OnNothing.SAYS_NOTHING,
)
