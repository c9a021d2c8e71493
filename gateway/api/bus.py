"""The bus: `/v1/bus`, which cluster is written to and why, and who is how far behind."""

from typing import Final

import msgspec

from gateway.api.http import answer_json, iso8601
from gateway.api.resources import Access, Call, Operation, Result
from gateway.bus.status import BusStatus, ForwarderStatus, PartitionStatus, bus_status


class ClusterBody(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster as the forwarder sees it; `p99` of writes in seconds, `errors` their share."""

    name: str
    brokers: tuple[str, ...]
    state: str
    since: str | None
    reason: str
    errors: float
    p99: float


class ForwarderBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who copies facts to Kafka said this at `at`; `silent` is true when that is long ago."""

    at: str | None
    silent: bool
    epoch: int
    active: str
    since: str | None
    reason: str
    forwarded: int
    skipped: int
    rewinds: int


class PartitionBody(msgspec.Struct, frozen=True, kw_only=True):
    """Facts by their ids: the last one sent to a raw partition, and copied by dedup."""

    topic: str
    partition: int
    sent: int
    copied: int


class ReaderBody(msgspec.Struct, frozen=True, kw_only=True):
    """A reader that keeps its place, and how many facts it has still to read."""

    name: str
    behind: int


class BusBody(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is `embedded` or `kafka`; with the former only `newest`, `kept` and `readers` count.

    `newest` and `cursor` are ids of facts: the last there is, and the one up to which all are in
    Kafka; `backlog` is how many are not.
    """

    kind: str
    newest: int
    kept: int
    cursor: int
    backlog: int
    forwarder: ForwarderBody | None
    clusters: list[ClusterBody]
    partitions: list[PartitionBody]
    readers: list[ReaderBody]


def _bus_body(status: BusStatus) -> BusBody:
    said = status.forwarder
    return BusBody(
        kind=status.kind,
        newest=status.newest,
        kept=status.kept,
        cursor=status.cursor,
        backlog=status.backlog,
        forwarder=None if said is None else _forwarder(said, silent=status.forwarder_is_silent),
        clusters=[] if said is None else _clusters(said),
        partitions=[_partition(each) for each in status.partitions],
        readers=[
            ReaderBody(name=name, behind=behind) for name, behind in sorted(status.readers.items())
        ],
    )


def _forwarder(said: ForwarderStatus, *, silent: bool) -> ForwarderBody:
    return ForwarderBody(
        at=iso8601(said.at),
        silent=silent,
        epoch=said.epoch,
        active=said.active,
        since=iso8601(said.since),
        reason=said.reason,
        forwarded=said.forwarded,
        skipped=said.skipped,
        rewinds=said.rewinds,
    )


def _clusters(said: ForwarderStatus) -> list[ClusterBody]:
    return [
        ClusterBody(
            name=each.name,
            brokers=each.brokers,
            state=each.state,
            since=iso8601(each.since),
            reason=each.reason,
            errors=round(each.errors, 3),
            p99=round(each.p99, 3),
        )
        for each in said.clusters
    ]


def _partition(each: PartitionStatus) -> PartitionBody:
    return PartitionBody(
        topic=each.topic, partition=each.partition, sent=each.sent, copied=each.copied
    )


async def show(call: Call) -> Result:
    """How facts come to their readers: clusters and their health, backlog, dedup, readers."""
    services = call.services
    return answer_json(_bus_body(await bus_status(services.store, services.bus, call.now)))


OPERATIONS: Final = (Operation("ShowBus", "GET", "/v1/bus", show, Access.STEER, returns=BusBody),)
