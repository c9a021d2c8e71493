"""A call's timeline: its facts, legs, documents and SIP messages, in the order of time.

Who was dialled in a call stands in that call's ladder, and is found there by the Call-IDs of its
legs.
"""

import re
from typing import Any, Final

import msgspec

from gateway.calls import tables
from gateway.calls.cdr import record_of
from gateway.calls.documents import Exchange
from gateway.calls.ladder_file import exchanges_of, ladder_of
from gateway.calls.model import Call, CallLeg, Crossing
from gateway.calls.pcap import pcap
from gateway.store.base import Store
from gateway.timelines import Event, facts_of, tries_of

_CALL_ID: Final = re.compile(rb"^(?:call-id|i)[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
_RANKS: Final = {"sip": 0, "document": 1}


async def timeline(store: Store, account_sid: str, sid: str) -> dict[str, Any] | None:
    """Everything known of one call of the account, as JSON; None if there is none.

    `{"sid", "created_at", "status", "from", "to", "duration", "reason", …, "children": [sid],
    "dialled": [{"sid", "to", "status", "reason"}], "legs": [records as in a CDR], "events": [{"at",
    "type", …}]}`, times in seconds since the
    epoch, those of legs in ISO 8601. The events are facts (with what a notification says), SIP
    messages (`type` "sip"), what apps were asked (`type` "document") and tries of jobs (`type`
    "job"). Secrets in messages are replaced by as many `*`.
    """
    call = await _found(store, account_sid, sid)
    if call is None:
        return None
    legs = [tables.leg_of(row) for row in await store.fetch(tables.LEGS, sid)]
    kept = await store.fetch(tables.TRACE, sid)
    children = [tables.call_of(row) for row in await store.fetch(tables.CHILDREN, sid, account_sid)]
    events = (
        await facts_of(store, sid)
        + [_message(each) for each in ladder_of(kept) or await _in_its_parents(store, call, legs)]
        + [_document(each) for each in exchanges_of(kept)]
        + await tries_of(store, sid)
    )
    return {
        **_head(call),
        "children": [each.sid for each in children],
        "dialled": [_dialled(each) for each in children],
        "legs": [msgspec.to_builtins(record_of(call, leg)) for leg in legs],
        "events": sorted(events, key=_place),
    }


async def captured(store: Store, account_sid: str, sid: str) -> bytes | None:
    """The SIP messages of one call of the account as a capture file; None if there is no call."""
    call = await _found(store, account_sid, sid)
    if call is None:
        return None
    ladder = ladder_of(await store.fetch(tables.TRACE, sid))
    if not ladder:
        legs = [tables.leg_of(row) for row in await store.fetch(tables.LEGS, sid)]
        ladder = await _in_its_parents(store, call, legs)
    return pcap(ladder)


async def _in_its_parents(store: Store, call: Call, legs: list[CallLeg]) -> list[Crossing]:
    """The messages of a call that was dialled, out of the ladder of the one that dialled it."""
    known = {leg.call_id.encode() for leg in legs if leg.call_id}
    if not call.parent_sid or not known:
        return []
    ladder = ladder_of(await store.fetch(tables.TRACE, call.parent_sid))
    return [each for each in ladder if _call_id(each.octets) in known]


def _call_id(octets: bytes) -> bytes:
    found = _CALL_ID.search(octets.partition(b"\r\n\r\n")[0])
    return found[1] if found else b""


async def _found(store: Store, account_sid: str, sid: str) -> Call | None:
    rows = await store.fetch(tables.GET, account_sid, sid)
    return tables.call_of(rows[0]) if rows else None


def _place(event: Event) -> tuple[float, int]:
    """At equal times a message is the reason of a fact, and so is a document."""
    return event["at"], _RANKS.get(event["type"], 2)


def _dialled(call: Call) -> dict[str, Any]:
    return {"sid": call.sid, "to": call.to_address, "status": call.status, "reason": call.reason}


def _head(call: Call) -> dict[str, Any]:
    return {
        "sid": call.sid,
        "account_sid": call.account_sid,
        "parent_call_sid": call.parent_sid or None,
        "created_at": call.date_created,
        "started_at": call.started or None,
        "ended_at": call.ended or None,
        "duration": call.duration,
        "direction": call.direction,
        "status": call.status,
        "error_code": call.error_code or None,
        "sip_code": call.sip_code or None,
        "reason": call.reason,
        "from": call.from_address,
        "to": call.to_address,
        "caller_name": call.caller_name,
        "forwarded_from": call.forwarded_from,
        "carrier": call.carrier,
        "domain": call.domain,
        "origin": call.origin,
    }


def _message(crossing: Crossing) -> Event:
    text = crossing.octets.decode("utf-8", "replace")
    ends = (_end(crossing.local), _end(crossing.remote))
    source, target = ends if crossing.sent else ends[::-1]
    return {
        "at": crossing.at,
        "type": "sip",
        "direction": "out" if crossing.sent else "in",
        "transport": crossing.transport,
        "from": source,
        "to": target,
        "first_line": text.partition("\n")[0].rstrip("\r"),
        "text": text,
    }


def _end(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _document(exchange: Exchange) -> Event:
    told = msgspec.to_builtins(exchange)
    return {"at": exchange.at, "type": "document", **told}
