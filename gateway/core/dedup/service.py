"""Dedup of all partitions that this process owns: a worker for each, taken over and given up."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.bus import topics
from gateway.core.dedup.index import Index, Memory
from gateway.core.dedup.kafka import KafkaLogs
from gateway.core.dedup.machine import Outrun
from gateway.core.dedup.notes import Notes, note_name
from gateway.core.dedup.shelf import open_index
from gateway.core.dedup.steady import SteadyClock
from gateway.core.dedup.worker import DEFAULTS, DedupStats, Settings, Worker
from gateway.sections import Bus
from gateway.store.base import Fenced, Lease, Store

_log = structlog.get_logger(__name__)


def partitions(bus: Bus) -> list[str]:
    """The names of all partitions of this configuration: `<topic>:<partition>`."""
    return [
        f"{topic}:{partition}"
        for topic in topics.raw_topics(bus)
        for partition in range(bus.partitions)
    ]


class Dedup:
    """The estate of the names `dedup:<topic>:<partition>`."""

    def __init__(
        self,
        *,
        store: Store,
        logs: KafkaLogs,
        folder: Path,
        window: float,
        fence: Callable[[], Lease | None],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        settings: Settings = DEFAULTS,
    ) -> None:
        """Indexes stand in `folder`; `fence` gives the lease of this member; `window` in s."""
        self._store = store
        self._logs = logs
        self._folder = folder
        self._window = window
        self._fence = fence
        self._clock = SteadyClock(clock, monotonic)
        self._monotonic = monotonic
        self._settings = settings
        self._memory = Memory()
        self._workers: dict[str, Worker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def take_over(self, name: str, lease: Lease) -> None:
        """Begin to copy the partition `name` under the epoch of its lease."""
        topic, _, number = name.rpartition(":")

        def made() -> Worker:
            return self._worker(topic, int(number), lease.epoch)

        self._workers[name] = made()
        self._tasks[name] = asyncio.create_task(self._run(name, made), name=f"dedup: {name}")

    async def give_up(self, name: str) -> None:
        """End after the batch that is under way."""
        worker, task = self._workers.pop(name, None), self._tasks.pop(name, None)
        if worker is not None and task is not None:
            worker.stop()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Give up everything."""
        await asyncio.gather(*(self.give_up(name) for name in list(self._workers)))

    def stats(self) -> dict[str, DedupStats]:
        """How each partition goes, by its name."""
        return {name: worker.stats() for name, worker in self._workers.items()}

    def _worker(self, topic: str, partition: int, epoch: int) -> Worker:
        indexes = self._folder / topic / str(partition)

        def opening(folder: Path) -> Index:
            return Index(folder, window=self._window, memory=self._memory)

        return Worker(
            topic=topic,
            partition=partition,
            epoch=epoch,
            clusters=self._logs.names,
            inputs=self._logs.inputs(topic, partition),
            outputs=self._logs.outputs(topic, partition),
            open_index=lambda: open_index(indexes, epoch, opening),
            window=self._window,
            notes=Notes(
                self._store,
                note_name(topic, partition),
                fence=self._fence,
                monotonic=self._monotonic,
            ),
            clock=self._clock,
            settings=self._settings,
        )

    async def _run(self, name: str, made: Callable[[], Worker]) -> None:
        """Let one worker after another copy the partition: one that failed is of no more use."""
        while (worker := self._workers.get(name)) is not None:
            try:
                return await worker.run()
            except (Fenced, Outrun) as error:
                _log.error("dedup of a partition ends", name=name, reason=str(error))
                return
            except Exception:
                _log.exception("dedup of a partition begins again", name=name)
                await worker.rest(self._settings.again)  # and its trouble is told meanwhile
                if name in self._workers:
                    self._workers[name] = made()
