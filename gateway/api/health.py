"""Whether we live and are ready, and `/metrics`: what supervisors and Prometheus ask, unasked
for credentials.
"""

import asyncio
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from carriers.model import CarrierKind
from gateway.api.events import STREAMS
from gateway.api.http import answer_json
from gateway.api.resources import Access, Answer, Call, Operation, Result
from gateway.api.services import CarrierService, Services
from gateway.metrics import (
    facts_collector,
    http_collector,
    oldest_collector,
    streams_collector,
    trace_collector,
)
from gateway.store.base import Insert, Query, StoreError, Update

PING: Final = Query("ping", "SELECT 1")
_PATIENCE: Final = 2.0  # seconds for the store to answer a ping or a probe
_NAME: Final = "probed_at"
_FIRST: Final = Insert(table="meta", columns=("name", "value"), ignore_taken=("name",))
_NEXT: Final = Update(table="meta", key=("name",), columns=("value",))


class StateBody(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is `ok`, `ready` or `unready`; `reason` says why it is the last."""

    status: str
    reason: str = ""


async def healthz(call: Call) -> Result:
    """200 while the process answers at all."""
    return answer_json(StateBody(status="ok"))


async def readyz(call: Call) -> Result:
    """200 while traffic may come; 503 while starting, draining, or the store is away."""
    reason = await _why_unready(call.services)
    if reason:
        return answer_json(StateBody(status="unready", reason=reason), 503)
    return answer_json(StateBody(status="ready"))


async def _why_unready(services: Services) -> str:
    """Why no traffic may come; "" if it may.

    What is wrong is tried again first: while traffic is kept away nobody else may commit, and
    so find that the disk has room.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            if services.unready():
                now = str(services.clock())
                await services.store.commit([(_FIRST, (_NAME, now)), (_NEXT, (_NAME, now))])
            else:
                await services.store.fetch(PING)
    except (StoreError, TimeoutError) as error:
        away = f"the store does not answer: {error}" if str(error) else "the store is slow"
        return services.unready() or away
    return services.unready()


def _bound_to(carriers: CarrierService) -> list[str]:
    """The carriers that texts go by."""
    return [name for name in carriers.names() if carriers.kind(name) is not CarrierKind.SIP]


async def metrics(call: Call) -> Result:
    """Everything that is measured, in Prometheus' text format."""
    services = call.services
    read_now = (
        http_collector(services.http),
        streams_collector(len(call.request.app[STREAMS])),
        facts_collector(await services.bus.stats()),
        await oldest_collector(services.store, _bound_to(services.carriers), call.now),
        await trace_collector(services.store),
    )
    registry = CollectorRegistry(auto_describe=False)
    for collector in (*services.collectors, *read_now):
        registry.register(collector)
    return Answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)


OPERATIONS: Final = (
    Operation("Healthz", "GET", "/healthz", healthz, Access.PUBLIC, returns=StateBody),
    Operation("Readyz", "GET", "/readyz", readyz, Access.PUBLIC, returns=StateBody),
    Operation(
        "Metrics", "GET", "/metrics", metrics, Access.PUBLIC, returns=str, produces="text/plain"
    ),
)
