"""What every timeline has: a resource's facts, with what notifications say, and its jobs' tries."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.records import FAMILY, UPGRADED, generation_at, tables
from gateway.events import FactType
from gateway.messages import notifications
from gateway.sids import made_at
from gateway.store.base import Query, Row, Store

Event = dict[str, Any]

_FACTS: Final = Query(
    "facts_of_sid", "SELECT at, version, type, data FROM facts WHERE sid = $1 ORDER BY id"
)


async def facts_of(store: Store, sid: str) -> list[Event]:
    """What happened to a resource, `{"at", "type", "version", …}`, in the order of its commits."""
    facts = await store.fetch(_FACTS, sid)
    noted = {row[1]: row[5] for row in await store.fetch(notifications.OF_RESOURCE, sid)}
    return [_fact_event(row, noted) for row in facts]


def _fact_event(row: Row, noted: Mapping[str, str]) -> Event:
    """A fact; `noted` are the details of notifications by their SIDs."""
    at, version, kind, data = row
    event = {"at": at, "type": kind, "version": version, **msgspec.json.decode(data)}
    if kind == FactType.NOTIFICATION_CREATED:
        event.update(msgspec.json.decode(noted.get(event["notification"], "{}")))
    return event


async def tries_of(store: Store, sid: str) -> list[Event]:
    """The jobs about a resource and their tries, `{"at", "type": "job", "job", "kind", "to", …}`.

    None was made before the resource, but for clocks that are apart.
    """
    first = generation_at(made_at(sid)) - 1
    return [
        _job_event(row)
        for number in await store.generations(FAMILY)
        if number >= first or number == UPGRADED
        for row in await store.fetch(tables(number).of_sid, sid)
    ]


def _job_event(row: Row) -> Event:
    job_id, kind, endpoint, created_at, attempt, to_state, at, note = row
    job = {"type": "job", "job": job_id, "kind": kind, "to": endpoint}
    if to_state is None:
        return {"at": created_at, **job}
    return {"at": at, **job, "attempt": attempt, "state": to_state, "note": note}
