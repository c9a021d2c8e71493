"""Dedup at millions of keys: the whole step of a worker, with logs in memory and a disk for real.

A process copies records through `gateway.core.dedup`: values decoded and hashed, looked up in
RocksDB, headers made, published to a list that is thrown away, keys and positions written in
synced batches. At the end it is killed with -9 while it works, and another process opens its
index. What the records cost to make is part of the figures; a broker is not.

    python bench/dedup.py --keys 5000000
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway.bus.records import Incoming, Outgoing
from gateway.core.dedup.index import Index, Memory
from gateway.core.dedup.notes import Notes, note_name
from gateway.core.dedup.ports import Span
from gateway.core.dedup.shelf import open_index
from gateway.core.dedup.steady import SteadyClock
from gateway.core.dedup.worker import Settings, Worker
from gateway.store.sqlite import SqliteStore

TOPIC = "trunkline.messages"
WINDOW = 86_400.0
ONE_IN = 167  # records is a duplicate: 0.6 %
STEPS = 5
VALUE = (
    b'{"v":1,"id":%d,"after":%d,"type":"message.delivered",'
    b'"account_sid":"AC00000000000000000000000000000000","sid":"SM%032x","version":4,'
    b'"at":1795262669.25,"data":{"status":"delivered","segments":1,"carrier":"acme"}}'
)


class Source:
    """A raw topic of `count` records that are made when they are read."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def kept(self, cluster: str) -> Span:
        return Span(first=0, next=self.count)

    async def read(self, cluster: str, offset: int, limit: int) -> list[Incoming]:
        if offset >= self.count:
            await asyncio.sleep(0.01)
            return []
        return [record(number) for number in range(offset, min(offset + limit, self.count))]

    async def rest(self, cluster: str) -> None:
        pass


class Sink:
    """A clean topic that forgets."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.count = 0

    def active(self) -> str:
        return "primary"

    async def kept(self, cluster: str) -> Span:
        return Span(first=0, next=self.count)

    async def since(self, cluster: str, at: float) -> int:
        return self.count

    async def read(self, cluster: str, offset: int, limit: int) -> list[Incoming]:
        return []

    async def rest(self, cluster: str) -> None:
        pass

    async def append(self, cluster: str, records: Sequence[Outgoing]) -> int:
        first, self.count = self.count, self.count + len(records)
        return first


def record(number: int) -> Incoming:
    same = number - number % ONE_IN if number % ONE_IN == 1 else number
    return Incoming(
        offset=number,
        timestamp_ms=0,
        key=b"SM%032x" % same,
        value=VALUE % (same, same - 1, same),
        headers=[("schema", b"1"), ("epoch", b"1")],
    )


async def copy(folder: Path, keys: int, batch: int) -> None:
    """Copy `keys` records and tell how it went after each fifth, then go on until killed."""
    source = Source(keys)
    store = await SqliteStore.open(folder / "store.db", max_queued=100, clock=time.time)
    memory = Memory()
    worker = Worker(
        topic=TOPIC,
        partition=0,
        epoch=1,
        clusters=("primary",),
        inputs=source,
        outputs=Sink(),
        open_index=lambda: open_index(
            folder / "index", 1, lambda each: Index(each, window=WINDOW, memory=memory)
        ),
        window=WINDOW,
        notes=Notes(store, note_name(TOPIC, 0), fence=lambda: None, monotonic=time.monotonic),
        clock=SteadyClock(time.time, time.monotonic),
        settings=Settings(batch=batch),
    )
    task = asyncio.create_task(worker.run())
    began, cpu = time.perf_counter(), time.process_time()
    before = began
    for step in range(1, STEPS + 1):
        due = keys * step // STEPS
        while worker.position("primary") < due:
            await asyncio.sleep(0.005)
            if task.done():
                task.result()
        now = time.perf_counter()
        print(
            json.dumps(
                {
                    "keys": due,
                    "keys_per_s": round(due / (now - began)),
                    "of_this_part_per_s": round(keys / STEPS / (now - before)),
                    "cpu_us_per_key": round((time.process_time() - cpu) / due * 1e6, 2),
                    "octets_per_key": round(size(folder / "index") / due, 1),
                    "rss_mb": round(rss(), 1),
                    "duplicates": worker.stats().duplicates,
                }
            ),
            flush=True,
        )
        before = now
    source.count *= 2  # it is killed at work
    await asyncio.sleep(1.0)
    print("at work", flush=True)
    await task


def rss() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def size(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.suffix in (".sst", ".log"))


def reopen(folder: Path) -> None:
    """Open the index that was left, and tell how long that took and what it knows."""
    began = time.perf_counter()
    index = Index(next((folder / "index").iterdir()), window=WINDOW, memory=Memory())
    opened = time.perf_counter() - began
    assert index.state is not None
    print(json.dumps({"reopen_s": round(opened, 3), "position": index.state.inputs["primary"]}))
    index.close()


def measure(keys: int, batch: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="trunkline-dedup-"))
    try:
        command = [sys.executable, __file__, "--keys", str(keys), "--batch", str(batch)]
        child = subprocess.Popen(
            [*command, "--copy", str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        parts = []
        for line in child.stdout:
            if line.startswith("at work"):
                break
            parts.append(json.loads(line))
            print(line.rstrip(), file=sys.stderr)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        found = subprocess.run(
            [*command, "--reopen", str(folder)], check=True, capture_output=True, text=True
        )
        return {"keys": keys, "batch": batch, "parts": parts, **json.loads(found.stdout)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def table(result: dict[str, Any]) -> str:
    lines = [
        "| keys | keys/s since the start | keys/s of this part | µs CPU | octets/key | RSS, MB |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {part['keys']:,} | {part['keys_per_s']:,} | {part['of_this_part_per_s']:,} |"
        f" {part['cpu_us_per_key']} | {part['octets_per_key']} | {part['rss_mb']} |"
        for part in result["parts"]
    ]
    lines.append("")
    lines.append(
        f"batches of {result['batch']}; killed with -9 at {result['position']:,} records,"
        f" opened again in {result['reopen_s']} s"
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--batch", type=int, default=Settings().batch, help="records at a time")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    parser.add_argument("--copy", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--reopen", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.copy:
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        asyncio.run(copy(arguments.copy, arguments.keys, arguments.batch))
        return 0
    if arguments.reopen:
        reopen(arguments.reopen)
        return 0
    result = measure(arguments.keys, arguments.batch)
    print(json.dumps(result) if arguments.json else table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
