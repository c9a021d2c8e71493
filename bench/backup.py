"""What a backup costs the traffic beside it: how long commits take, without one and with one.

A store is filled with finished messages; then commits of one message, its fact and its job come
at a steady rate, each awaited, first alone and then beside backups, one after the other.

    python bench/backup.py --messages 200000 --rate 300 --seconds 20
    python bench/backup.py --postgres postgresql://…
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway.backup.making import octets
from gateway.core import records as jobs
from gateway.core.records import Job
from gateway.events import FactType, message_fact
from gateway.messages import records
from gateway.model import Direction, Message, MessageStatus
from gateway.sids import JOB, SMS, new_sid
from gateway.store.base import Store, Write
from gateway.store.postgres import PostgresStore
from gateway.store.sqlite import SqliteStore

_AT_ONCE = 1000  # messages in a commit while the store is filled


def accepted(status: MessageStatus, now: float) -> list[Write]:
    """The commit of one message."""
    message = Message(
        account_sid="AC" + "0" * 32,
        sid=new_sid(SMS, now),
        direction=Direction.OUTBOUND_API,
        status=status,
        from_address="+15550001000",
        to_address="+15550009999",
        body="Your table is ready. Reply STOP to end these messages, HELP for help.",
        num_segments=1,
        parts=1,
        encoding="gsm7",
        status_callback="https://app.example/status",
        origin="rest",
        carrier="acme",
        valid_until=now + 14400,
        date_created=now,
        date_updated=now,
    )
    job = Job(
        id=new_sid(JOB, now),
        kind="message_status",
        account_sid=message.account_sid,
        endpoint="https://app.example",
        sequence=message.sid,
        sid=message.sid,
        payload=json.dumps({"url": message.status_callback, "parameters": [["To", "+1555"]] * 8}),
        created_at=now,
        expire_at=now + 14400,
    )
    fact = message_fact(message, FactType.MESSAGE_QUEUED, now, carrier="acme")
    return [records.inserted(message), fact, jobs.insert(job)]


async def fill(store: Store, messages: int) -> None:
    for start in range(0, messages, _AT_ONCE):
        now = time.time()
        writes: list[Write] = []
        for _ in range(min(_AT_ONCE, messages - start)):
            writes += accepted(MessageStatus.DELIVERED, now)
        await store.commit(writes)


async def load(store: Store, rate: float, seconds: float) -> list[float]:
    """Commits at `rate` a second; how long each took, seconds."""
    loop = asyncio.get_running_loop()
    taken: list[float] = []
    futures: list[asyncio.Future[None]] = []
    start = loop.time()
    while (now := loop.time()) < start + seconds:
        while len(futures) < (now - start) * rate:
            began = loop.time()
            future = store.commit(accepted(MessageStatus.QUEUED, time.time()))
            future.add_done_callback(lambda _, began=began: taken.append(loop.time() - began))
            futures.append(future)
        await asyncio.sleep(0.001)
    await asyncio.gather(*futures)
    return taken


async def back_up(store: Store, until: asyncio.Event) -> dict[str, float]:
    """Backups, one after the other; how many, and seconds and octets of one."""
    times: list[float] = []
    size = 0
    while not until.is_set():
        began, size = time.monotonic(), 0
        async with store.snapshot() as view, aclosing(octets(view, time.time())) as chunks:
            async for chunk in chunks:
                size += len(chunk)
        times.append(time.monotonic() - began)
    return {"backups": len(times), "seconds": sum(times) / len(times), "octets": size}


def figures(taken: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    shown = {name: round(ordered[int(len(ordered) * q)] * 1e3, 2) for name, q in at.items()}
    return {"commits": len(ordered), **shown, "max": round(ordered[-1] * 1e3, 2)}


async def measure(store: Store, options: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    await fill(store, options.messages)
    filled = time.monotonic() - began
    alone = await load(store, options.rate, options.seconds)
    ended = asyncio.Event()
    backing_up = asyncio.create_task(back_up(store, ended))
    beside = await load(store, options.rate, options.seconds)
    ended.set()
    made = await backing_up
    return {
        "filled_in": round(filled, 1),
        "ms_alone": figures(alone),
        "ms_beside": figures(beside),
        "backup": made,
        "octets_per_message": round(made["octets"] / options.messages, 1),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rate", type=float, default=300.0, help="commits a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each half")
    parser.add_argument("--postgres", help="an empty database; default: SQLite in a new folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store: Store
        if options.postgres:
            store = await PostgresStore.open(
                options.postgres, connections=8, max_queued=10_000, clock=time.time, writer="bench"
            )
        else:
            path = Path(folder) / "store.db"
            store = await SqliteStore.open(path, max_queued=10_000, clock=time.time)
        print(json.dumps(await measure(store, options), indent=2))
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())
