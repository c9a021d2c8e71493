"""Jobs: in and out of both stores, callbacks over HTTP, many queues, an endpoint that is dead.

    python bench/jobs.py --seconds 20 --json jobs.json
    python bench/jobs.py --only in-out-sqlite --only queues

`in-out` is one row of a job and one transition each, durable, through the scheduler and the
workers, without a call; beside it on PostgreSQL a table that is emptied with SKIP LOCKED, with
commits of the same size. Every figure is of one process; what it talks to runs on the same cores.
"""

import argparse
import asyncio
import gc
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from processes import Process, cpu_of, family

from gateway.core.archive import Folder
from gateway.core.jobs import Entry, QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.runner import Bounds, Done, Handler, Job, JobOutcome, JobRunner, Retry, Sign
from gateway.core.runner import insert as job_inserted
from gateway.process import spare_the_collector
from gateway.sids import JOB, new_sid
from gateway.store.base import Store
from gateway.store.postgres import PostgresStore
from gateway.store.sqlite import SqliteStore
from gateway.webhooks.callbacks import Patience, Payload, StatusCallbacks, endpoint_of
from gateway.webhooks.exchange import Connections
from gateway.webhooks.fetch import Fetcher
from gateway.webhooks.guard import Guard
from tests.postgres import PostgresServer

HERE = Path(__file__).parent
ACCOUNT, TOKEN = "AC" + "0" * 32, "0" * 32
PAYLOAD = json.dumps({"url": "https://app.example/status", "parameters": [["a", "b" * 20]] * 12})
WORKERS, PER_HOST = 64, 16  # the defaults of [webhooks]
Row = dict[str, Any]


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def server_cpu(server: PostgresServer | None) -> float:
    return 0.0 if server is None else sum(map(cpu_of, family(server.pid)))


def memory() -> float:
    """Resident megabytes of this process."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


async def until(is_so: Callable[[], bool]) -> None:
    while True:
        if is_so():
            return
        await asyncio.sleep(0.005)


def job(endpoint: str, number: int, payload: str = PAYLOAD, account: str = ACCOUNT) -> Job:
    now = time.time()
    return Job(
        id=new_sid(JOB, now),
        kind="bench",
        account_sid=account,
        endpoint=endpoint,
        sequence="",
        sid=f"SM{number:032x}",
        payload=payload,
        created_at=now,
        expire_at=now + 14400.0,
    )


def runner(
    store: Store, handler: Handler, workers: int = WORKERS, per_host: int = PER_HOST
) -> JobRunner:
    scheduler: Scheduler[Job] = Scheduler(
        policies(QueuePolicy(concurrency=per_host), {}),
        RetryPolicy(base=1.0, cap=600.0),
        slots=workers,
    )
    return JobRunner(
        store,
        scheduler,
        {"bench": handler},
        workers=workers,
        clock=time.time,
        fraction=random.random,
        bounds=Bounds(),
        archive=Folder(Path(tempfile.gettempdir()) / "trunkline-bench-archive"),
    )


@asynccontextmanager
async def sqlite(folder: Path) -> AsyncIterator[Store]:
    store = await SqliteStore.open(folder / "bench.db", max_queued=100_000, clock=time.time)
    yield store
    await store.close()


@asynccontextmanager
async def postgres(folder: Path, server: PostgresServer) -> AsyncIterator[Store]:
    name = f"bench_{time.monotonic_ns()}"
    server.execute(f"CREATE DATABASE {name}")
    store = await PostgresStore.open(
        server.url(name), connections=8, max_queued=100_000, clock=time.time, writer="bench"
    )
    yield store
    await store.close()


# -- in and out --------------------------------------------------------------------------------


async def in_out(
    store: Store, seconds: float, batch: int, ahead: int, server: PostgresServer | None = None
) -> Row:
    """Commits of `batch` jobs, at most `ahead` jobs under way."""
    served = server_cpu(server)
    done = asyncio.Semaphore(ahead // batch)
    left = [0]

    async def handler(_: Job, __: int) -> JobOutcome:
        left[0] += 1
        if not left[0] % batch:
            done.release()
        return Done()

    under_test = runner(store, handler, workers=8, per_host=100)
    under_test.start()
    hosts = [f"https://{at}.example" for at in range(100)]
    started, used, made = time.monotonic(), cpu(), 0
    commits: set[asyncio.Task[None]] = set()

    async def commit(jobs: Sequence[Job]) -> None:
        await store.commit([job_inserted(each) for each in jobs])
        for each in jobs:
            under_test.offer(each)

    while time.monotonic() - started < seconds:
        await done.acquire()
        jobs = [job(hosts[at % 100], at) for at in range(made, made + batch)]
        made += batch
        task = asyncio.create_task(commit(jobs))
        commits.add(task)
        task.add_done_callback(commits.discard)
        await asyncio.sleep(0)
    await asyncio.gather(*commits)
    await until(lambda: left[0] == made and not under_test.stats().unstored)
    wall = time.monotonic() - started
    await under_test.close(5.0)
    return {
        "jobs": made,
        "jobs_per_s": round(made / wall),
        "cpu_us_per_job": round((cpu() - used) / made * 1e6, 1),
        "server_cpu_us_per_job": round((server_cpu(server) - served) / made * 1e6, 1),
        "memory_mb": round(memory()),
    }


async def control(server: PostgresServer, seconds: float, batch: int) -> Row:
    """The queue that most have: rows are inserted, taken with SKIP LOCKED, and deleted."""
    served = server_cpu(server)
    name = f"control_{time.monotonic_ns()}"
    server.execute(f"CREATE DATABASE {name}")
    pool = await asyncpg.create_pool(server.url(name), min_size=4, max_size=4)
    await pool.execute("CREATE TABLE queue (id text PRIMARY KEY, payload text NOT NULL)")
    stop, taken = time.monotonic() + seconds, [0]

    async def producer() -> None:
        while time.monotonic() < stop:
            rows = [(new_sid(JOB, time.time()), PAYLOAD) for _ in range(batch)]
            await pool.copy_records_to_table("queue", records=rows)

    async def consumer() -> None:
        while time.monotonic() < stop:
            async with pool.acquire() as connection, connection.transaction():
                rows = await connection.fetch(
                    "DELETE FROM queue WHERE id IN (SELECT id FROM queue ORDER BY id LIMIT $1"
                    " FOR UPDATE SKIP LOCKED) RETURNING id, payload",
                    batch,
                )
            taken[0] += len(rows)
            if not rows:
                await asyncio.sleep(0.001)

    started, used = time.monotonic(), cpu()
    await asyncio.gather(producer(), producer(), consumer(), consumer())
    wall = time.monotonic() - started
    served, used = server_cpu(server) - served, cpu() - used
    await pool.close()
    return {
        "jobs": taken[0],
        "jobs_per_s": round(taken[0] / wall),
        "cpu_us_per_job": round(used / max(1, taken[0]) * 1e6, 1),
        "server_cpu_us_per_job": round(served / max(1, taken[0]) * 1e6, 1),
    }


# -- callbacks over HTTP -----------------------------------------------------------------------


class Accounts:
    def token_of(self, account_sid: str) -> str:
        return TOKEN


async def webhooks(store: Store, folder: Path, seconds: float) -> Row:
    """Signed callbacks to a server of which each hundredth answer is 500; a closed loop."""
    stats = folder / "receiver.json"
    command = [sys.executable, str(HERE / "receiver.py"), "--stats", str(stats), "--failing", "100"]
    receiver = Process(command, log=folder / "receiver.log", stats=stats)
    url = f"http://127.0.0.1:{receiver.wait_for_stats('port')}/status"
    parameters = [("MessageSid", "SM" + "1" * 32), ("To", "+447700900123"), ("Status", "sent")]
    payload = Payload(url=url, method="POST", parameters=[*parameters, ("AccountSid", ACCOUNT)])
    text = msgspec.json.encode(payload).decode()
    samples: list[float] = []
    async with Connections(Guard([ip_network("127.0.0.0/8")]), per_host=WORKERS) as connections:
        patience = Patience(retry_for=14400.0)
        callbacks = StatusCallbacks(Fetcher(connections), Accounts(), patience)
        under_test = runner(store, callbacks, per_host=WORKERS)
        under_test.start()
        started, used, made = time.monotonic(), cpu(), 0
        while time.monotonic() - started < seconds:
            if under_test.stats().in_memory < 2_000 - 100:
                jobs = [job(endpoint_of(url), made + at, text) for at in range(100)]
                made += 100
                await store.commit([job_inserted(each) for each in jobs])
                for each in jobs:
                    under_test.offer(each)
            else:
                await asyncio.sleep(0.002)
            if len(samples) < (time.monotonic() - started):
                samples.append(memory())
        await until(
            lambda: (
                under_test.stats().ended.get("succeeded") == made
                and not under_test.stats().unstored
            )
        )
        wall, used = time.monotonic() - started, cpu() - used
        ended = under_test.stats().ended
        await under_test.close(5.0)
    receiver.end()
    return {
        "jobs": made,
        "tries": sum(ended.values()),
        "failed_tries": ended.get("awaiting_retry", 0),
        "tries_per_s": round(sum(ended.values()) / wall),
        "cpu_us_per_try": round(used / sum(ended.values()) * 1e6, 1),
        "memory_mb_by_tenth": [round(samples[len(samples) * at // 10], 1) for at in range(10)],
    }


# -- many queues, and a dead one ---------------------------------------------------------------


def queues(count: int) -> Row:
    """Microseconds of offer, take and release with `count` queues that have jobs."""
    scheduler: Scheduler[None] = Scheduler(
        policies(QueuePolicy(concurrency=PER_HOST), {}), RetryPolicy(base=1.0, cap=600.0)
    )

    def entry(key: int, queue: int) -> Entry[None]:
        account, endpoint = f"AC{queue % 42_000}", f"https://{queue // 2}.example"
        return Entry(key=f"JB{key}", account=account, endpoint=endpoint, expire_at=1e12, item=None)

    for at in range(count * 2):
        scheduler.offer(entry(at, at % count), 0.0)
    gc.collect()
    turns, best = 20_000, {"offer": 9e9, "take": 9e9, "release": 9e9}
    for again in range(5):
        entries = [entry(10**9 + again * turns + at, at % count) for at in range(turns)]
        begun = time.perf_counter()
        for each in entries:
            scheduler.offer(each, 0.0)
        best["offer"] = min(best["offer"], time.perf_counter() - begun)
        taken: list[Entry[None]] = []
        spent = 0.0
        freed = 0.0
        for _ in range(turns // 10):
            begun = time.perf_counter()
            taken = scheduler.take(0.0, 10)
            spent += time.perf_counter() - begun
            begun = time.perf_counter()
            for each in taken:
                scheduler.release(each.key)
            freed += time.perf_counter() - begun
        best["take"] = min(best["take"], spent)
        best["release"] = min(best["release"], freed)
    return {
        "queues": count,
        **{f"{name}_us": round(spent / turns * 1e6, 2) for name, spent in best.items()},
        "memory_mb": round(memory()),
    }


async def dead(store: Store, seconds: float, many: int) -> Row:
    """Jobs for an endpoint whose tries hang for 15 s and fail; another account's first tries."""
    delays: list[float] = []

    async def handler(each: Job, attempt: int) -> JobOutcome:
        if each.endpoint == "https://dead.example":
            await asyncio.sleep(15.0)
            return Retry(note="no answer", sign=Sign.FAILED)
        if attempt == 1:
            delays.append(time.time() - each.created_at)
        return Done()

    under_test = runner(store, handler)
    under_test.start()
    jobs = [job("https://dead.example", at, account="AC" + "1" * 32) for at in range(many)]
    for at in range(0, many, 500):
        await store.commit([job_inserted(each) for each in jobs[at : at + 500]])
        for each in jobs[at : at + 500]:
            under_test.offer(each)
    del jobs
    started, made = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        each = job("https://app.example", made)
        made += 1
        await store.commit([job_inserted(each)])
        under_test.offer(each)
        await asyncio.sleep(0.01)
    await until(lambda: len(delays) == made)
    stats = under_test.stats()
    await under_test.close(0.0)
    delays.sort()
    return {
        "dead_jobs": many,
        "dead_in_memory": stats.in_memory,
        "dead_tries": stats.ended.get("awaiting_retry", 0),
        "circuits_open": stats.broken,
        "first_tries": made,
        "p50_ms": round(delays[made // 2] * 1e3, 1),
        "worst_ms": round(delays[-1] * 1e3, 1),
    }


# -- all of it ---------------------------------------------------------------------------------


class Bench:
    """The parts by name; PostgreSQL is started when the first of them needs it."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.seconds: float = arguments.seconds
        self.batch: int = arguments.batch
        self.dead_jobs: int = arguments.dead_jobs
        self.folder = folder
        self.server: PostgresServer | None = None
        self.parts: dict[str, Callable[[], Awaitable[list[Row]]]] = {
            "in-out-sqlite": self.in_out_sqlite,
            "in-out-postgres": self.in_out_postgres,
            "control": self.control,
            "webhooks-sqlite": self.webhooks_sqlite,
            "webhooks-postgres": self.webhooks_postgres,
            "queues": self.queues,
            "dead": self.dead,
        }

    def postgres(self) -> PostgresServer:
        if self.server is None:
            self.server = PostgresServer(durable=True, shared_buffers="512MB", max_wal_size="4GB")
            self.server.start()
        return self.server

    async def in_out_sqlite(self) -> list[Row]:
        async with sqlite(self.folder) as store:
            return [await in_out(store, self.seconds, self.batch, 20_000)]

    async def in_out_postgres(self) -> list[Row]:
        async with postgres(self.folder, self.postgres()) as store:
            return [await in_out(store, self.seconds, self.batch, 20_000, self.server)]

    async def control(self) -> list[Row]:
        return [await control(self.postgres(), self.seconds, size) for size in (1, self.batch)]

    async def webhooks_sqlite(self) -> list[Row]:
        async with sqlite(self.folder) as store:
            return [await webhooks(store, self.folder, self.seconds)]

    async def webhooks_postgres(self) -> list[Row]:
        async with postgres(self.folder, self.postgres()) as store:
            return [await webhooks(store, self.folder, self.seconds)]

    async def queues(self) -> list[Row]:
        return [queues(count) for count in (10, 1_000, 88_000)]

    async def dead(self) -> list[Row]:
        async with sqlite(self.folder) as store:
            return [await dead(store, self.seconds, self.dead_jobs)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="of each part")
    parser.add_argument("--batch", type=int, default=200, help="jobs in one commit")
    parser.add_argument("--dead-jobs", type=int, default=100_000)
    parser.add_argument("--only", action="append", help="a part; may be repeated")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    bench = Bench(arguments, folder)
    wanted = arguments.only or list(bench.parts)
    if unknown := set(wanted) - bench.parts.keys():
        parser.error(f"no such part: {', '.join(unknown)}; there are: {', '.join(bench.parts)}")
    results: list[Row] = []
    try:
        for name in wanted:
            spare_the_collector()  # as the gateway does after its start
            for found in uvloop.run(bench.parts[name]()):
                results.append({"part": name, **found})
                print(json.dumps(results[-1]), flush=True)
            for leftover in folder.iterdir():
                leftover.unlink()
    finally:
        if bench.server is not None:
            bench.server.remove()
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
