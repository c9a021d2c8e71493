"""A message's timeline: its facts, its parts and its PDUs, decoded, in the order of time."""

from typing import Any, Final

import msgspec

from gateway.events import FactType
from gateway.messages import records, segments, trace
from gateway.messages.decoded import decoded
from gateway.model import Message
from gateway.store.base import Query, Store
from gateway.timelines import facts_of, tries_of

_REPLIES: Final = Query(
    "replies_to",
    "SELECT sid FROM messages WHERE in_reply_to <> '' AND in_reply_to = $1 AND account_sid = $2"
    " ORDER BY sid LIMIT 50",
)

_RANKS: Final[dict[str, int]] = {FactType.MESSAGE_QUEUED: 0, "pdu": 1}


async def timeline(store: Store, account_sid: str, sid: str) -> dict[str, Any] | None:
    """Everything known of one message of the account, as JSON; None if there is none.

    `{"sid", "created_at", "status", "direction", "from", "to", "carrier", "num_segments",
    "in_reply_to", "replies": [sid], "route": [...], "parts": [...], "events": [{"at", "type",
    ...}]}`, times in seconds since the epoch; the
    events are facts (with what a notification says), PDUs (`type` "pdu") and tries of jobs
    (`type` "job").
    """
    rows = await store.fetch(records.GET, account_sid, sid)
    if not rows:
        return None
    message = records.message_of(rows[0])
    frames = trace.frames_of(await store.fetch(trace.OF_MESSAGE, sid))
    parts = [segments.segment_of(row) for row in await store.fetch(segments.OF_MESSAGE, sid)]
    replies = await store.fetch(_REPLIES, sid, account_sid)
    events = (
        await facts_of(store, sid)
        + [_pdu_event(frame) for frame in frames]
        + await tries_of(store, sid)
    )
    return {
        **_head(message),
        "replies": [row[0] for row in replies],
        "parts": [
            {
                "part": part.part,
                "attempt": part.attempt,
                "carrier_id": part.carrier_id,
                "state": part.state,
                "error_code": part.error_code or None,
            }
            for part in parts
        ],
        "events": sorted(events, key=_place),
    }


def _place(event: dict[str, Any]) -> tuple[float, int]:
    """At equal times a text is queued first, then come PDUs, then the facts that follow of them."""
    return event["at"], _RANKS.get(event["type"], 2)


def _head(message: Message) -> dict[str, Any]:
    return {
        "sid": message.sid,
        "account_sid": message.account_sid,
        "created_at": message.date_created,
        "direction": message.direction,
        "status": message.status,
        "error_code": message.error_code or None,
        "from": message.from_address,
        "to": message.to_address,
        "carrier": message.carrier,
        "origin": message.origin,
        "num_segments": message.num_segments,
        "encoding": message.encoding,
        "attempt": message.attempt,
        "in_reply_to": message.in_reply_to or None,
        "route": msgspec.json.decode(message.route),
    }


def _pdu_event(frame: trace.Frame) -> dict[str, Any]:
    return {
        "at": frame.at,
        "type": "pdu",
        "direction": "out" if frame.sent else "in",
        "octets": frame.octets.hex(),
        **decoded(frame.octets),
    }
