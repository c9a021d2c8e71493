"""The role `core`: shards of the jobs, and works of which there is one in all processes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from gateway.core.owned import Queues
from gateway.core.records import SHARDS
from gateway.core.runner import JobRunner
from gateway.store.base import Lease

GIVEN_UP_WITHIN: Final = 5.0  # seconds for the tries that run when another gets the queue
SHARD_NAMES: Final = tuple(f"{shard:02d}" for shard in range(SHARDS))


class JobsEstate:
    """Shards of the jobs by number: the runner takes them up and lets them go."""

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner

    async def take_over(self, name: str, lease: Lease) -> None:
        """`Estate.take_over`."""
        await self._runner.take_over(Queues(shards=frozenset({int(name)})))

    async def give_up(self, name: str) -> None:
        """`Estate.give_up`."""
        await self._runner.give_up(Queues(shards=frozenset({int(name)})), GIVEN_UP_WITHIN)


class Work(Protocol):
    """Something that goes on in the background while it is ours."""

    async def close(self) -> None:
        """End it."""
        ...


Maker = Callable[[Lease], Awaitable[Work]]


class WorksEstate:
    """Works by name; a maker starts one under the lease by which it is ours."""

    def __init__(self, makers: Mapping[str, Maker]) -> None:
        self._makers = makers
        self._running: dict[str, Work] = {}

    def names(self) -> list[str]:
        """All there are."""
        return list(self._makers)

    async def take_over(self, name: str, lease: Lease) -> None:
        """`Estate.take_over`."""
        self._running[name] = await self._makers[name](lease)

    async def give_up(self, name: str) -> None:
        """`Estate.give_up`."""
        work = self._running.pop(name, None)
        if work is not None:
            await work.close()

    async def close(self) -> None:
        """End all."""
        for name in list(self._running):
            await self.give_up(name)
