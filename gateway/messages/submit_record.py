"""A record of the topic of submits: what its value holds, and what makes it one that is refused.

Pure. `SUBMIT_FIELDS` says of each field what it is for; the page about events and the AsyncAPI
document are made of it.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from gateway.messages import idempotency
from gateway.messages.asked import DEFAULT_VALIDITY
from gateway.messages.draft import Refusal
from gateway.messages.idempotency import is_key
from gateway.sids import ACCOUNT, is_sid

VERSION: Final = 1
MAX_RECORD: Final = 1024 * 1024  # octets, as of a request of REST
NO_ACCOUNT: Final = 21471
_UNUSABLE: Final = 20001
_TOO_LARGE: Final = 20413

SUBMIT_FIELDS: Final[Mapping[str, str]] = {
    "v": f"version of the value: {VERSION}",
    "id": "the producer's own; the second record with the same one is not taken",
    "account_sid": "who sends it",
    "to": "in E.164",
    "from": "a number of the account, or another sender that it may use",
    "body": "what it says",
    "media_url": "a URL, or a list of them",
    "status_callback": "a URL that is told what becomes of it",
    "validity_period": f"seconds for which it may wait; default: {DEFAULT_VALIDITY}",
}

# A number of thousands of digits can't even be shown.
_Number = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]


class SubmitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record, version 1: JSON; fields that are not named here are passed over."""

    v: _Number
    id: str
    account_sid: str
    to: str
    from_: str = msgspec.field(name="from")
    body: str | None = None
    media_url: str | list[str] | None = None
    status_callback: str | None = None
    validity_period: _Number | None = None  # seconds


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    """Of a record that is no `SubmitRecord`, whose it says that it is."""

    v: _Number = VERSION
    id: str = ""
    account_sid: str = ""


_record: Final = msgspec.json.Decoder(SubmitRecord)
_named: Final = msgspec.json.Decoder(_Named)
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(value: bytes) -> SubmitRecord | Refusal:
    """The record that `value` holds, or why it is none."""
    if len(value) > MAX_RECORD:
        return refuse(_TOO_LARGE, f"A record may have {MAX_RECORD} octets, not {len(value)}")
    try:
        named = _named.decode(value)
        if named.v != VERSION:
            return refuse(_UNUSABLE, f"'v' should be {VERSION}, not {named.v}")
        record = _record.decode(value)
    except _MALFORMED as error:
        return refuse(_UNUSABLE, f"The record is not a submit: {error or 'nested too deeply'}")
    if not is_key(record.id):
        shown = f"1 to {idempotency.MAX_KEY} visible characters of ASCII"
        return refuse(_UNUSABLE, f"'id' should be {shown}")
    if not is_sid(record.account_sid, ACCOUNT):
        return refuse(NO_ACCOUNT, "'account_sid' is not the SID of an account")
    texts = (record.to, record.from_, record.body or "", record.status_callback or "")
    if any("\0" in text for text in (*texts, *media_of(record))):
        return refuse(_UNUSABLE, "A text holds the character U+0000")
    return record


def media_of(record: SubmitRecord) -> tuple[str, ...]:
    """The URLs of its media."""
    given = record.media_url
    urls = [given] if isinstance(given, str) else given or []
    return tuple(url for url in urls if url)


def refuse(error_code: int, message: str) -> Refusal:
    """The refusal with one of Twilio's error codes and a sentence for a person."""
    return Refusal(error_code=error_code, message=message)


def name_of(value: bytes) -> tuple[str, str]:
    """(account, id) of a record that was refused, each "" if it can't be one."""
    try:
        named = _named.decode(value[: MAX_RECORD + 1])
    except _MALFORMED:
        return "", ""
    account_sid = named.account_sid if is_sid(named.account_sid, ACCOUNT) else ""
    return account_sid, named.id if is_key(named.id) else ""
