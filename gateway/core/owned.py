"""Which queues of jobs belong to a process: shards of endpoints, and customers one by one."""

from typing import Final

import msgspec

from gateway.core.records import CUSTOMER, shard_of


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """Shards by their numbers, and the endpoints of customers' deliveries."""

    shards: frozenset[int] = frozenset()
    customers: frozenset[str] = frozenset()

    def __contains__(self, endpoint: str) -> bool:
        if endpoint.startswith(CUSTOMER):
            return endpoint in self.customers
        return shard_of(endpoint) in self.shards

    def __bool__(self) -> bool:
        return bool(self.shards or self.customers)

    def __or__(self, other: "Queues") -> "Queues":
        return Queues(shards=self.shards | other.shards, customers=self.customers | other.customers)

    def __sub__(self, other: "Queues") -> "Queues":
        return Queues(shards=self.shards - other.shards, customers=self.customers - other.customers)

    def numbers(self) -> list[int]:
        """The shards that the store knows their jobs by; more may stand there by accident."""
        return sorted({*self.shards, *map(shard_of, self.customers)})

    def marks(self) -> str:
        """The same as a text in which each number stands between bars; "" for all there are."""
        return "|".join(["", *map(str, self.numbers()), ""])


class _Everything(Queues, frozen=True):
    """Whatever there is: for the only process."""

    def __contains__(self, endpoint: str) -> bool:
        return True

    def __bool__(self) -> bool:
        return True

    def __or__(self, other: Queues) -> Queues:
        return self

    def __sub__(self, other: Queues) -> Queues:
        raise ValueError("whoever has everything has nobody to give a part of it to")

    def marks(self) -> str:
        return ""


NOTHING: Final = Queues()
EVERYTHING: Final[Queues] = _Everything()
