"""Whether we live and are ready, and `/metrics`: what supervisors and Prometheus ask, unasked
for credentials.
"""

import asyncio
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.api.events import STREAMS
from gateway.api.http import answer_json
from gateway.api.resources import Access, Answer, Call, Operation, Result
from gateway.metrics import (
    facts_collector,
    http_collector,
    oldest_collector,
    streams_collector,
    trace_collector,
)
from gateway.store.base import Query, StoreError

PING: Final = Query("ping", "SELECT 1")
_PATIENCE: Final = 2.0  # seconds for the store to answer a ping


class StateBody(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is `ok`, `ready` or `unready`; `reason` says why it is the last."""

    status: str
    reason: str = ""


async def healthz(call: Call) -> Result:
    """200 while the process answers at all."""
    return answer_json(StateBody(status="ok"))


async def readyz(call: Call) -> Result:
    """200 while traffic may come; 503 while starting, draining, or the store is away."""
    reason = call.services.unready()
    if not reason:
        try:
            async with asyncio.timeout(_PATIENCE):
                await call.services.store.fetch(PING)
        except (StoreError, TimeoutError) as error:
            reason = f"the store does not answer: {error}" if str(error) else "the store is slow"
    if reason:
        return answer_json(StateBody(status="unready", reason=reason), 503)
    return answer_json(StateBody(status="ready"))


async def metrics(call: Call) -> Result:
    """Everything that is measured, in Prometheus' text format."""
    services = call.services
    read_now = (
        http_collector(services.http),
        streams_collector(len(call.request.app[STREAMS])),
        facts_collector(await services.bus.stats()),
        await oldest_collector(services.store, services.carriers.names(), call.now),
        await trace_collector(services.store),
    )
    registry = CollectorRegistry(auto_describe=False)
    for collector in (*services.collectors, *read_now):
        registry.register(collector)
    return Answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)


OPERATIONS: Final = (
    Operation(
        id="Healthz",
        method="GET",
        path="/healthz",
        doc=healthz.__doc__ or "",
        handler=healthz,
        access=Access.PUBLIC,
        returns=StateBody,
    ),
    Operation(
        id="Readyz",
        method="GET",
        path="/readyz",
        doc=readyz.__doc__ or "",
        handler=readyz,
        access=Access.PUBLIC,
        returns=StateBody,
    ),
    Operation(
        id="Metrics",
        method="GET",
        path="/metrics",
        doc=metrics.__doc__ or "",
        handler=metrics,
        access=Access.PUBLIC,
        returns=str,
        produces="text/plain",
    ),
)
