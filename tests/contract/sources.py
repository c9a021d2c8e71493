"""The buses that the contract is tested on, each with a way to put facts on it."""

from pathlib import Path
from typing import Protocol

from gateway.bus.base import Bus
from gateway.bus.embedded import EmbeddedBus
from gateway.store.base import Delete, Insert, Store
from tests.contract.backends import STORES, Backend

FACT = Insert(table="facts", columns=("account_sid", "sid", "version", "type", "at", "data"))
FORGET = Delete(table="facts", key=("id",))


class Source(Protocol):
    """A bus and the store beside it, on new data; after `close` it may be opened again."""

    @property
    def store(self) -> Store:
        """Where the positions of its readers are."""
        ...

    async def open(self) -> Bus:
        """Open both."""
        ...

    async def append(self, *sids: str) -> None:
        """One fact for each, durable when this is done."""
        ...

    async def forget(self, count: int) -> None:
        """Keep nothing of the first `count` facts."""
        ...

    async def close(self) -> None:
        """Close the store; the bus was closed, or is about to be."""
        ...

    async def close_all(self) -> None:
        """Let go of the data too."""
        ...


class Embedded:
    """The bus that reads the store's own facts."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._opened: Store | None = None

    @property
    def store(self) -> Store:
        """`Source.store`."""
        assert self._opened is not None
        return self._opened

    async def open(self) -> Bus:
        """`Source.open`."""
        self._opened = await self._backend.open()
        return EmbeddedBus(self._opened)

    async def append(self, *sids: str) -> None:
        """`Source.append`."""
        await self.store.commit(
            [(FACT, ("AC1", sid, 1, "message.queued", 1.0, "{}")) for sid in sids]
        )

    async def forget(self, count: int) -> None:
        """`Source.forget`."""
        facts = await self.store.facts_after(0, count)
        await self.store.commit([(FORGET, (fact.id,)) for fact in facts])

    async def close(self) -> None:
        """`Source.close`."""
        await self.store.close()

    async def close_all(self) -> None:
        """`Source.close_all`."""
        await self._backend.close_all()


def source_of(name: str, place: Path) -> Source:
    """The source of this name, one of `SOURCES`, with its data in or for the folder `place`."""
    return Embedded(STORES[name.removeprefix("embedded-")](place))


SOURCES: tuple[str, ...] = tuple(f"embedded-{name}" for name in STORES)
