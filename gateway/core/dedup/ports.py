"""What dedup asks of the clusters: the raw topic of its partition, and the clean one.

Both are logs of one partition, one in each cluster. Whoever implements these ports knows the
topic and the partition; `gateway/core/dedup/kafka.py` does it over Kafka.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.bus.records import Incoming, Outgoing


class ClusterAway(Exception):
    """The cluster can't be used now. What was being written may be there, in part or whole."""


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What a log keeps: offsets from `first` up to but without `next`."""

    first: int
    next: int


class Inputs(Protocol):
    """The raw topic. Each call raises `ClusterAway`, and says so within seconds."""

    async def kept(self, cluster: str) -> Span:
        """What is there."""
        ...

    async def read(self, cluster: str, offset: int, limit: int) -> list[Incoming]:
        """1 to `limit` records from `offset` on, or none if for a moment none came.

        If `offset` is not kept any more it begins with the oldest that is.
        """
        ...

    async def rest(self, cluster: str) -> None:
        """Nothing more of the cluster will be read for now."""
        ...


class Outputs(Protocol):
    """The clean topic. Each call raises `ClusterAway`, and says so within seconds."""

    def active(self) -> str:
        """The cluster to which one should write now."""
        ...

    async def kept(self, cluster: str) -> Span:
        """What is there."""
        ...

    async def since(self, cluster: str, at: float) -> int:
        """The offset of the first record written at `at` (seconds since the epoch) or later.

        Without one, the next offset.
        """
        ...

    async def read(self, cluster: str, offset: int, limit: int) -> list[Incoming]:
        """As `Inputs.read`."""
        ...

    async def rest(self, cluster: str) -> None:
        """Nothing more of the cluster will be read for now."""
        ...

    async def append(self, cluster: str, records: Sequence[Outgoing]) -> int:
        """Write the records in their order and wait for the brokers; the offset of the first.

        They stand one behind the other then. When it fails, a beginning of them may be there, but
        never one without those before it.
        """
        ...
