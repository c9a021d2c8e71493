"""Calls and their legs in the store: the declared writes, the named reads, rows to values and back.

What peers say comes with octets that no text of the store can hold: they become the sign for what
can't be read. A leg's saved session is JSON, and is gone with the leg's end.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import structlog

from gateway.calls.documents import Exchange
from gateway.calls.ladder_file import exchanges_packed, packed
from gateway.calls.model import Call, CallDirection, CallLeg, CallStatus, Crossing, Party, Quality
from gateway.messages import trace
from gateway.store.base import Delete, Insert, Query, Row, Update, Write
from protocols.sip.session_saved import Saved

COLUMNS: Final = Call.__struct_fields__
LEG_COLUMNS: Final = CallLeg.__struct_fields__
_OPEN: Final = "status IN ('queued', 'initiated', 'ringing', 'in-progress')"

INSERT: Final = Insert(table="calls", columns=COLUMNS)
UPDATE: Final = Update(
    table="calls",
    key=("account_sid", "sid"),
    columns=(
        "status",
        "carrier",
        "origin",
        "owner",
        "status_callback",
        "status_callback_method",
        "status_callback_events",
        "error_code",
        "sip_code",
        "reason",
        "date_updated",
        "started",
        "ended",
        "version",
    ),
    guard="version",
)
DELETE: Final = Delete(table="calls", key=("account_sid", "sid"))
LEG_INSERT: Final = Insert(table="call_legs", columns=LEG_COLUMNS)
LEG_UPDATE: Final = Update(
    table="call_legs",
    key=("sid", "attempt"),
    columns=(
        "carrier",
        "peer",
        "transport",
        "call_id",
        "saved",
        "ringing",
        "answered",
        "ended",
        "sip_code",
        "cause",
        "released_by",
        "codec_received",
        "codec_sent",
        "received",
        "sent",
    ),
)
LEGS_DELETE: Final = Delete(table="call_legs", key=("sid",))

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM calls"
_SELECT_LEGS: Final = f"SELECT {', '.join(LEG_COLUMNS)} FROM call_legs"

GET: Final = Query("call_get", f"{_SELECT} WHERE account_sid = $1 AND sid = $2")
CHILDREN: Final = Query(
    "calls_children",
    f"{_SELECT} WHERE parent_sid <> '' AND parent_sid = $1 AND account_sid = $2"
    " ORDER BY sid LIMIT 200",
)
LEGS: Final = Query("call_legs_of", f"{_SELECT_LEGS} WHERE sid = $1 ORDER BY attempt")
# For a restart: whose calls are not over, and which they are, page by page.
OPEN_OWNERS: Final = Query(
    "calls_open_owners", f"SELECT owner, count(*) FROM calls WHERE {_OPEN} GROUP BY owner"
)
OPEN: Final = Query(
    "calls_open", f"{_SELECT} WHERE owner = $1 AND {_OPEN} AND sid > $2 ORDER BY sid LIMIT $3"
)
TRACE: Final = trace.OF_MESSAGE  # the rows of its ladder and of its documents

_log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder().encode
_decode_saved = msgspec.json.Decoder(Saved).decode
_quality = msgspec.json.Decoder(Quality).decode
_NONE: Final = Quality()


def storable(text: str) -> str:
    """`text` as the store can hold it: what a peer wrote that is no UTF-8, or NUL, is replaced."""
    if text.isascii() and "\0" not in text:
        return text
    octets = text.encode("utf-8", "surrogateescape")
    return octets.decode("utf-8", "replace").replace("\0", "\ufffd")


def inserted(call: Call) -> Write:
    """The write that makes `call` exist."""
    row = [
        storable(value) if type(value) is str else value for value in msgspec.structs.astuple(call)
    ]
    row[_EVENTS_AT] = " ".join(call.status_callback_events)
    return INSERT, tuple(row)


_EVENTS_AT: Final = COLUMNS.index("status_callback_events")


def updated(call: Call) -> Write:
    """The write that stores the next state of a call that exists, one version above it."""
    return UPDATE, (
        call.account_sid,
        call.sid,
        call.status,
        call.carrier,
        call.origin,
        call.owner,
        call.status_callback,
        call.status_callback_method,
        " ".join(call.status_callback_events),
        call.error_code,
        call.sip_code,
        storable(call.reason),
        call.date_updated,
        call.started,
        call.ended,
        call.version,
    )


def call_of(row: Row) -> Call:
    """The call that a row of `GET`, `CHILDREN` or `OPEN` holds."""
    fields: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    fields["direction"] = CallDirection(fields["direction"])
    fields["status"] = CallStatus(fields["status"])
    fields["status_callback_events"] = tuple(fields["status_callback_events"].split())
    return Call(**fields)


def leg_inserted(leg: CallLeg) -> Write:
    """The write that makes a leg exist."""
    return LEG_INSERT, (
        leg.account_sid,
        leg.sid,
        leg.attempt,
        leg.direction,
        leg.carrier,
        storable(leg.peer),
        leg.transport,
        storable(leg.call_id),
        _saved_text(leg),
        leg.began,
        *_course(leg),
    )


def leg_updated(leg: CallLeg) -> Write:
    """The write that stores what became of a leg that exists; its owner alone changes it."""
    return LEG_UPDATE, (
        leg.sid,
        leg.attempt,
        leg.carrier,
        storable(leg.peer),
        leg.transport,
        storable(leg.call_id),
        _saved_text(leg),
        *_course(leg),
    )


def _course(leg: CallLeg) -> Row:
    return (
        leg.ringing,
        leg.answered,
        leg.ended,
        leg.sip_code,
        storable(leg.cause),
        leg.released_by,
        storable(leg.codec_received),
        storable(leg.codec_sent),
        _quality_text(leg.received),
        _quality_text(leg.sent),
    )


def _quality_text(quality: Quality) -> str:
    return "" if quality == _NONE else _encode(quality).decode()


def _saved_text(leg: CallLeg) -> str:
    """Texts of a session may bear octets that are no UTF-8, and must come back as they were."""
    if leg.saved is None:
        return ""
    try:
        return _encode(leg.saved).decode()
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(leg.saved))  # lone surrogates as escapes


def _saved_of(text: str) -> Saved | None:
    """None for what another version wrote: one such row must not keep the gateway from starting."""
    try:
        return _decode_saved(text)
    except msgspec.DecodeError:
        pass
    try:
        return msgspec.convert(json.loads(text), Saved)
    except (ValueError, msgspec.ValidationError):
        _log.warning("a session can't be read: its far end hears of nothing")
        return None


def leg_of(row: Row) -> CallLeg:
    """The leg that a row of `LEGS` holds."""
    fields: dict[str, Any] = dict(zip(LEG_COLUMNS, row, strict=True))
    fields["direction"] = CallDirection(fields["direction"])
    fields["released_by"] = Party(fields["released_by"])
    fields["saved"] = _saved_of(fields["saved"]) if fields["saved"] else None
    for name in ("received", "sent"):
        fields[name] = _quality(fields[name]) if fields[name] else _NONE
    return CallLeg(**fields)


def ladder_kept(sid: str, crossings: Sequence[Crossing]) -> Write:
    """The write that keeps the messages of the call `sid`, without the secrets in them."""
    return trace.INSERT, (sid, packed(crossings))


def exchanges_kept(sid: str, exchanges: Iterable[Exchange]) -> Write:
    """The write that keeps what the apps of the call `sid` were asked, and answered."""
    return trace.INSERT, (sid, exchanges_packed(exchanges))


def deleted(account_sid: str, sid: str) -> list[Write]:
    """The writes that forget a call that is over, its legs, its messages and documents."""
    return [(DELETE, (account_sid, sid)), (LEGS_DELETE, (sid,)), trace.wiped(sid)]
