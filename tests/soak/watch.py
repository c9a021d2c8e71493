"""What a process holds while it works: memory and open files, and whether they grow."""

import asyncio
from pathlib import Path
from statistics import median

import msgspec

_EVERY = 0.5  # seconds
# A page of the database may stay in the page caches of the store's writer and of its readers. These
# are bounded (gateway/store/sqlite_file): the growth of the file excuses as many, up to here.
_PAGE_CACHES = 16.0
_COPIES = 3
_MAY_GROW = 12.0  # MB, for what an allocator keeps
# Python's allocator returns a megabyte once nothing at all lives in it: of what a peak took some
# stays, whatever became of it.
_MAY_STAY = 1.25
_MORE_FILES = 24  # connections to the app are kept, 16 to one host; some readers and timers


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the process; MB."""

    memory: float
    files: int
    database: float


class Watch:
    """Looks at process `pid`, whose store is in `data`, until it is cancelled."""

    def __init__(self, pid: int, data: Path) -> None:
        self._process = Path(f"/proc/{pid}")
        self._data = data
        self.samples: list[Sample] = []

    async def run(self) -> None:
        while True:
            self.samples.append(self.look())
            await asyncio.sleep(_EVERY)

    def look(self) -> Sample:
        """As it is now."""
        status = (self._process / "status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return Sample(
            memory=int(resident.split()[1]) / 1024,
            files=sum(1 for _ in (self._process / "fd").iterdir()),
            database=sum(each.stat().st_size for each in self._data.glob("*.db")) / 2**20,
        )


def growth(samples: list[Sample]) -> tuple[Sample, Sample]:
    """The process once it was warm (second third) and at the end (last third), each a median."""
    third = len(samples) // 3
    return _median(samples[third : 2 * third]), _median(samples[2 * third :])


def _median(samples: list[Sample]) -> Sample:
    return Sample(
        memory=median(each.memory for each in samples),
        files=round(median(each.files for each in samples)),
        database=median(each.database for each in samples),
    )


def memory_problems(warm: Sample, end: Sample) -> list[str]:
    """Why memory is not flat."""
    grown = end.memory - warm.memory
    pages = _COPIES * max(0.0, end.database - warm.database)
    excused = min(_PAGE_CACHES, pages) + _MAY_GROW
    if grown > excused:
        return [f"memory grew by {grown:.1f} MB, {excused:.1f} MB are explained"]
    return []


def rest_problems(warm: Sample, rested: Sample, peak: float) -> list[str]:
    """Why memory has not gone back to what it was when the process had worked a little.

    `peak` is what it had to remember at one time, MB: as much may stay with the allocator.
    """
    most = warm.memory * _MAY_STAY + peak
    if rested.memory > most:
        return [
            f"memory was {warm.memory:.1f} MB and is {rested.memory:.1f} at rest, of {most:.1f}"
        ]
    return []


def file_problems(before: Sample, after: Sample) -> list[str]:
    """Why more files are open `after` the load than `before`; meanwhile there are its sockets."""
    if after.files > before.files + _MORE_FILES:
        return [f"open files grew from {before.files} to {after.files}"]
    return []
