"""How a SIP peer is written in `<Dial>`: `<Sip>`, its `<Uri>`s and its `<Headers>`.

Only what decides whether a call can be tried is checked here; who sends the INVITE reads the URI
as SIP does. Headers are the ones that Twilio passes on, so that a document can't write others, and
none of their values can begin a line of its own.
Source: https://www.twilio.com/docs/voice/twiml/sip.
"""

import re
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from twiml import readers
from twiml.elements import Attribute, Complaint, Content, Element, Made
from twiml.errors import (
    HEADER_TOO_LONG,
    INVALID_HEADER_NAME,
    INVALID_SIP_CREDENTIALS,
    INVALID_SIP_METHOD,
    INVALID_SIP_URI,
    SCHEMA_WARNING,
    SIP_HEADERS_TOO_LONG,
    TOO_MANY_HEADERS,
    TOO_MANY_URIS,
)
from twiml.noun_attributes import UNDONE, noun_attributes
from twiml.nouns import Sip, SipUri

__all__ = [
    "MAX_HEADERS",
    "MAX_HEADER_LENGTH",
    "MAX_URIS",
    "SIP",
    "Address",
    "address",
]

MAX_URIS: Final = 10
MAX_HEADERS: Final = 32
MAX_HEADER_LENGTH: Final = 1024  # characters of one header, and of all of a URI's

_LONGEST_URI: Final = 512
_URI: Final = re.compile(
    r"(?P<uri>sips?:(?:[^\s@<>\"]+@)?(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    r"(?:;[^\s?;<>\"]+)*)(?:\?(?P<headers>\S*))?",
    re.IGNORECASE,
)
_HEADER_NAME: Final = re.compile(r"(?:X-[A-Za-z0-9!%*_+`'~.-]+|User-to-User)", re.IGNORECASE)
_CODEC: Final = r"[A-Za-z0-9.-]{1,32}(?:[ ,]+[A-Za-z0-9.-]{1,32}){0,15}"


class _Headers(msgspec.Struct, frozen=True):
    pairs: tuple[tuple[str, str], ...]


class Address(msgspec.Struct, frozen=True):
    """A URI as it was written, taken apart."""

    uri: SipUri
    headers: tuple[tuple[str, str], ...]


def _header(fields: dict[str, Any], content: Content) -> Made[tuple[str, str]]:
    name, value = fields.get("name", ""), fields.get("value", "")
    wrong = _wrong_header(name, value)
    return Made((name, value)) if wrong is None else Made(None, (wrong,))


def _wrong_header(name: str, value: str) -> Complaint | None:
    shown = name[:80]
    if not _HEADER_NAME.fullmatch(name):
        why = f"{shown!r} can't be a header of a call; X- and a name can"
        return Complaint(INVALID_HEADER_NAME, why)
    if not value.isprintable():
        why = f"the value of the header {shown!r} holds what can't be sent in one line"
        return Complaint(INVALID_HEADER_NAME, why)
    if len(name) + len(value) > MAX_HEADER_LENGTH:
        why = f"the header {shown!r} has more than {MAX_HEADER_LENGTH} characters"
        return Complaint(HEADER_TOO_LONG, why)
    return None


def _headers(fields: dict[str, Any], content: Content) -> Made[_Headers]:
    return Made(_Headers(tuple(part for part in content.parts if isinstance(part, tuple))))


def address(text: str, fields: dict[str, Any]) -> Made[Address]:
    found = _URI.fullmatch(text) if text.isprintable() else None
    if found is None or len(found["uri"]) > _LONGEST_URI:
        why = f"{text[:80]!r} is no SIP URI; one is sip:name@host"
        return Made(None, (Complaint(INVALID_SIP_URI, why),))
    complaints: list[Complaint] = []
    if fields.get("password") and not fields.get("username"):
        fields = {**fields, "password": ""}
        complaints.append(
            Complaint(INVALID_SIP_CREDENTIALS, "a password without a username is not used")
        )
    headers = _headers_of(found["headers"] or "", complaints)
    return Made(Address(SipUri(uri=found["uri"], **fields), headers), tuple(complaints))


def _headers_of(query: str, complaints: list[Complaint]) -> tuple[tuple[str, str], ...]:
    if len(query) > MAX_HEADER_LENGTH:
        why = f"the headers of a SIP URI exceed {MAX_HEADER_LENGTH} characters; none is sent"
        complaints.append(Complaint(SIP_HEADERS_TOO_LONG, why))
        return ()
    pairs = []
    for each in filter(None, query.split("&")):
        name, _, value = (unquote(part, errors="replace") for part in each.partition("="))
        wrong = _wrong_header(name, value)
        if wrong is None:
            pairs.append((name, value))
        else:
            complaints.append(wrong)
    return tuple(pairs)


def _uri(fields: dict[str, Any], content: Content) -> Made[Address]:
    return address(content.text, fields)


def _sip(fields: dict[str, Any], content: Content) -> Made[Sip]:
    credentials = {
        key: fields.pop(key) for key in ("username", "password") if fields.get(key) is not None
    }
    addresses = list(content.of(Address))
    complaints: list[Complaint] = []
    if addresses and content.text:
        complaints.append(Complaint(SCHEMA_WARNING, "the text beside <Uri> in a <Sip> is not used"))
    elif not addresses:
        made = address(content.text, credentials)
        complaints += made.complaints
        if made.value is None:
            return Made(None, tuple(complaints))
        addresses = [made.value]
    if len(addresses) > MAX_URIS:
        why = f"of {len(addresses)} <Uri>, the first {MAX_URIS} are tried"
        complaints.append(Complaint(TOO_MANY_URIS, why))
    pairs = [pair for each in content.of(_Headers) for pair in each.pairs]
    pairs += dict.fromkeys(pair for address in addresses[:MAX_URIS] for pair in address.headers)
    if len(pairs) > MAX_HEADERS:
        why = f"of {len(pairs)} headers, the first {MAX_HEADERS} are sent"
        complaints.append(Complaint(TOO_MANY_HEADERS, why))
    uris = tuple(_with(credentials, address.uri) for address in addresses[:MAX_URIS])
    return Made(Sip(uris=uris, headers=tuple(pairs[:MAX_HEADERS]), **fields), tuple(complaints))


def _with(credentials: dict[str, str], uri: SipUri) -> SipUri:
    """A `<Uri>` without credentials of its own has those of the `<Sip>` around it."""
    if uri.username or "username" not in credentials:
        return uri
    return msgspec.structs.replace(uri, **credentials)


def _text(text: str) -> str | None:
    return text or None


def _codecs(text: str) -> tuple[str, ...] | None:
    return tuple(text.replace(",", " ").split()) if re.fullmatch(_CODEC, text) else None


_CREDENTIALS: Final = {
    name: Attribute(field=name, read=_text, code=INVALID_SIP_CREDENTIALS, expected="a text")
    for name in ("username", "password")
}
_RANK: Final = {
    name: Attribute(
        field=name,
        read=readers.integer(0, 65535),
        code=SCHEMA_WARNING,
        expected="a whole number up to 65535",
    )
    for name in ("priority", "weight")
}
_HEADER: Final = Element(
    attributes={
        name: Attribute(field=name, read=_text, code=INVALID_HEADER_NAME, expected="a text")
        for name in ("name", "value")
    },
    make=_header,
)

SIP: Final = Element(
    attributes={
        **_CREDENTIALS,
        **noun_attributes(INVALID_SIP_METHOD),
        "codecs": Attribute(
            field="codecs", read=_codecs, code=SCHEMA_WARNING, expected="a list of codecs"
        ),
    },
    undone=UNDONE,
    children={
        "Uri": Element(attributes={**_CREDENTIALS, **_RANK}, make=_uri),
        "Headers": Element(children={"Header": _HEADER}, make=_headers),
    },
    make=_sip,
)
