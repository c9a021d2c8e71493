"""The places at which an owner of dedup is killed: one for each row of its recovery, and one more.

They are of the kind of `tests.crash.points`. A row has a partition of its own, so that all can be
read back from one broker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.protocol.produce import ProduceRequest

from gateway.core.dedup.machine import Decision
from gateway.core.dedup.state import State
from tests.crash.points import Point, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A kill, and whether the disk of the index is lost with it."""

    point: Point
    disk_is_lost: bool = False


def _publishes(_: Any, decision: Decision) -> bool:
    return bool(decision.publish)


def _produces(_: Any, request: Any, *__: Any) -> bool:
    return isinstance(request, ProduceRequest)


def _writes_keys(_: Any, keys: Sequence[tuple[float, Sequence[bytes]]], state: State) -> bool:
    return any(those for _, those in keys)


_BEFORE: Final = Point(
    name="before-publish",
    meaning="a batch is decided, nothing of it has left",
    where="gateway.core.dedup.worker:Worker._publish",
    side=Side.BEFORE,
    counts=_publishes,
)
_UNKNOWN: Final = Point(
    name="publish-unknown",
    meaning="the batch is written to the broker's socket, no answer is read",
    where="aiokafka.conn:AIOKafkaConnection.send",
    side=Side.WRITTEN,
    counts=_produces,
)
_ACKED: Final = Point(
    name="before-index",
    meaning="the brokers have acknowledged the batch, its keys are not written",
    where="gateway.core.dedup.index:Index.commit",
    side=Side.BEFORE,
    counts=_writes_keys,
)
_WRITTEN: Final = Point(
    name="after-index",
    meaning="keys and positions are durable, the store does not know yet",
    where="gateway.core.dedup.index:Index.commit",
    side=Side.AFTER,
    counts=_writes_keys,
)

ROWS: Final = {
    "before-publish": Row(point=_BEFORE),
    "publish-unknown": Row(point=_UNKNOWN),
    "before-index": Row(point=_ACKED),
    "disk-lost": Row(point=_ACKED, disk_is_lost=True),
    "after-index": Row(point=_WRITTEN),
}
