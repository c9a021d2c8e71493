"""How the verbs are written that do one thing with a call: end it, refuse it, pass it on, text.

Sources: https://www.twilio.com/docs/voice/twiml/hangup, /reject, /refer, /sms and /echo.
"""

from typing import Any, Final

from twiml import readers
from twiml.common_attributes import action
from twiml.elements import (
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
    INVALID_BODY,
    INVALID_FROM,
    INVALID_METHOD,
    INVALID_REJECT_REASON,
    INVALID_SIP_URI,
    INVALID_STATUS_CALLBACK,
    INVALID_TO,
    SCHEMA_WARNING,
    TOO_MANY_HEADERS,
)
from twiml.sip_nouns import MAX_HEADERS, Address, address
from twiml.verbs import Echo, Hangup, Refer, Reject, RejectReason, Sms

__all__ = ["ECHO", "HANGUP", "REFER", "REJECT", "SMS"]

_NOBODY_ASKS: Final = {"Parameter": "nobody is told of it"}


def _hangup(fields: dict[str, Any], content: Content) -> Made[Hangup]:
    return Made(Hangup(), unused_text(content, "Hangup"))


def _reject(fields: dict[str, Any], content: Content) -> Made[Reject]:
    return Made(Reject(**fields), unused_text(content, "Reject"))


def _echo(fields: dict[str, Any], content: Content) -> Made[Echo]:
    return Made(Echo(), unused_text(content, "Echo"))


def _target(fields: dict[str, Any], content: Content) -> Made[Address]:
    return address(content.text, {})


def _refer(fields: dict[str, Any], content: Content) -> Made[Refer]:
    complaints = unused_text(content, "Refer")
    targets = content.of(Address)
    if not targets:
        why = "a <Refer> needs a <Sip> to send the caller to; it is passed over"
        return Made(None, (*complaints, Complaint(INVALID_SIP_URI, why)))
    if len(targets) > 1:
        why = f"of {len(targets)} <Sip> in a <Refer>, the first counts"
        complaints += (Complaint(SCHEMA_WARNING, why),)
    target = targets[0]
    if len(target.headers) > MAX_HEADERS:
        why = f"of {len(target.headers)} headers, the first {MAX_HEADERS} are sent"
        complaints += (Complaint(TOO_MANY_HEADERS, why),)
    headers = target.headers[:MAX_HEADERS]
    return Made(Refer(uri=target.uri.uri, headers=headers, **fields), complaints)


def _sms(fields: dict[str, Any], content: Content) -> Made[Sms]:
    if not content.text:
        return Made(None, (Complaint(INVALID_BODY, "an <Sms> has no text; it is not sent"),))
    return Made(Sms(body=content.text, **fields))


HANGUP: Final = Element(undone_children=_NOBODY_ASKS, make=_hangup)

REJECT: Final = Element(
    attributes={
        "reason": Attribute(
            field="reason",
            read=readers.one_of({reason.value: reason for reason in RejectReason}),
            code=INVALID_REJECT_REASON,
            expected="rejected or busy",
        )
    },
    undone_children=_NOBODY_ASKS,
    make=_reject,
)

ECHO: Final = Element(make=_echo)

REFER: Final = Element(
    attributes=action(SCHEMA_WARNING),
    children={"Sip": Element(make=_target)},
    make=_refer,
)

SMS: Final = Element(
    attributes={
        "to": Attribute(
            field="to",
            read=readers.address,
            code=INVALID_TO,
            expected="a phone number",
            # By default the text goes to the caller, who was not meant to read this one.
            on_bad_value=OnBadValue.LEAVE_OUT,
        ),
        "from": Attribute(
            field="from_",
            read=readers.sender,
            code=INVALID_FROM,
            expected="a phone number or a sender",
        ),
        **action(INVALID_METHOD),
        "statusCallback": Attribute(
            field="status_callback",
            read=readers.url_reference,
            code=INVALID_STATUS_CALLBACK,
            expected=URL,
        ),
    },
    make=_sms,
)
