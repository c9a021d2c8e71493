"""How browsers, apps and other applications are written in `<Dial>`.

Sources: https://www.twilio.com/docs/voice/twiml/client and /application.
"""

from typing import Any, Final

import msgspec

from twiml import readers
from twiml.elements import YES_OR_NO, Attribute, Complaint, Content, Element, Made, unused_text
from twiml.errors import SCHEMA_WARNING
from twiml.noun_attributes import noun_attributes
from twiml.nouns import Application, Client

__all__ = ["APPLICATION", "CLIENT", "MAX_IDENTITY", "PARAMETER"]

MAX_IDENTITY: Final = 121  # characters

_LONGEST_NAME: Final = 128
_IDENTITY: Final = readers.line(MAX_IDENTITY)
_APPLICATION_SID: Final = readers.matching(r"AP[0-9a-f]{32}")


class _Named(msgspec.Struct, frozen=True):
    """Who is called, written as a child."""

    text: str


def _named(fields: dict[str, Any], content: Content) -> Made[_Named]:
    return Made(_Named(content.text))


def _parameter(fields: dict[str, Any], content: Content) -> Made[tuple[str, str]]:
    if "name" not in fields:
        why = "a <Parameter> has no name; it is passed over"
        return Made(None, (Complaint(SCHEMA_WARNING, why),))
    return Made((fields["name"], fields.get("value", "")), unused_text(content, "Parameter"))


def _who(content: Content, child: str) -> tuple[str, tuple[Complaint, ...]]:
    """The child's text if there is one, else that of the noun, as the official helpers write it."""
    named = content.of(_Named)
    if not named:
        return content.text, ()
    if len(named) == 1 and not content.text:
        return named[0].text, ()
    why = f"of what is called in one noun, the first <{child}> counts"
    return named[0].text, (Complaint(SCHEMA_WARNING, why),)


def _parameters(content: Content) -> tuple[tuple[str, str], ...]:
    return tuple(part for part in content.parts if isinstance(part, tuple))


def _client(fields: dict[str, Any], content: Content) -> Made[Client]:
    who, complaints = _who(content, "Identity")
    if _IDENTITY(who) is None:
        why = f"{who[:80]!r} is no identity of a client; it is not called"
        return Made(None, (*complaints, Complaint(SCHEMA_WARNING, why)))
    return Made(Client(identity=who, parameters=_parameters(content), **fields), complaints)


def _application(fields: dict[str, Any], content: Content) -> Made[Application]:
    sid, complaints = _who(content, "ApplicationSid")
    if _APPLICATION_SID(sid) is None:
        why = f"{sid[:80]!r} is no SID of an application; it is not called"
        return Made(None, (*complaints, Complaint(SCHEMA_WARNING, why)))
    made = Application(application_sid=sid, parameters=_parameters(content), **fields)
    return Made(made, complaints)


def _any(text: str) -> str | None:
    return text


PARAMETER: Final = Element(
    attributes={
        "name": Attribute(
            field="name",
            read=readers.line(_LONGEST_NAME),
            code=SCHEMA_WARNING,
            expected=f"a name of at most {_LONGEST_NAME} characters",
        ),
        "value": Attribute(field="value", read=_any, code=SCHEMA_WARNING, expected="a text"),
    },
    make=_parameter,
)

CLIENT: Final = Element(
    attributes=noun_attributes(SCHEMA_WARNING),
    children={"Identity": Element(make=_named), "Parameter": PARAMETER},
    make=_client,
)

APPLICATION: Final = Element(
    attributes={
        **noun_attributes(SCHEMA_WARNING),
        "customerId": Attribute(
            field="customer_id",
            read=readers.line(MAX_IDENTITY),
            code=SCHEMA_WARNING,
            expected=f"at most {MAX_IDENTITY} characters",
        ),
        "copyParentTo": Attribute(
            field="copy_parent_to", read=readers.yes_or_no, code=SCHEMA_WARNING, expected=YES_OR_NO
        ),
    },
    children={"ApplicationSid": Element(make=_named), "Parameter": PARAMETER},
    make=_application,
)
