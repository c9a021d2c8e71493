"""Kills an owner of dedup at each of its rows, over a real broker, and reads back what came of it.

Facts stand in the raw topic several times, as a forwarder leaves them that was killed too. For
each row an owner dies at the point, once for each of some passages, the next one takes over, and
the last one copies what is left. Then kcat reads the clean topic, and the filter that is
documented for readers is applied to what it shows, written here a second time.
"""

import asyncio
import json
import random
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from gateway.bus.records import encode
from gateway.bus.topics import MESSAGES, clean
from gateway.store.base import Fact
from tests.dedup_crash.points import ROWS
from tests.interop import kcat_peer
from tests.interop.kcat_peer import Record

FACTS: Final = 1500
PASSAGES: Final = (1, 3, 2)
_WITHIN: Final = 90.0  # seconds for what takes a few
_PIECE: Final = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a row: facts, of them missing and given twice; records in the clean topic."""

    row: str
    kills: int
    facts: int
    missing: int
    twice: int
    records: int


async def run(bootstrap: str, folder: Path, dice: random.Random) -> list[Outcome]:
    """Every row, each on a partition of its own of the broker at `bootstrap`."""
    outcomes = []
    for partition, row in enumerate(ROWS):
        home = folder / row
        home.mkdir()
        outcomes.append(await _row(bootstrap, home, row, partition, dice))
    return outcomes


async def _row(
    bootstrap: str, home: Path, row: str, partition: int, dice: random.Random
) -> Outcome:
    victim = _Victim(bootstrap, home, partition)
    await victim.run(until=0)  # it makes the topics
    raw = _raw(dice)
    await asyncio.to_thread(_write, bootstrap, partition, raw)
    for passage in PASSAGES:
        await victim.run(until=len(raw), row=row, passage=passage)
        if ROWS[row].disk_is_lost:
            shutil.rmtree(home / "index")
    await victim.run(until=len(raw))
    read = kcat_peer.read(bootstrap, clean(MESSAGES), "-p", str(partition))
    taken = [_id(record) for record in filtered(read)]
    return Outcome(
        row=row,
        kills=len(PASSAGES),
        facts=FACTS,
        missing=FACTS - len(set(taken)),
        twice=len(taken) - len(set(taken)),
        records=sum(bool(record.value) for record in read),
    )


class _Victim:
    """One owner after another of a partition, each with a higher epoch."""

    def __init__(self, bootstrap: str, home: Path, partition: int) -> None:
        self._home = home
        self._options = [
            *("--bootstrap", bootstrap, "--partition", str(partition)),
            *("--partitions", str(len(ROWS))),
        ]
        self._epoch = 0

    async def run(self, until: int, row: str = "", passage: int = 0) -> None:
        """Start it and wait for its end, which is as ordered."""
        self._epoch += 1
        order = ["--row", row, "--passage", str(passage)] if row else []
        log = (self._home / "log").open("ab")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.dedup_crash.victim", str(self._home), *self._options),
            *("--epoch", str(self._epoch), "--until", str(until), *order),
            stdout=log,
            stderr=log,
        )
        log.close()
        try:
            status = await asyncio.wait_for(process.wait(), _WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"{row or 'the last owner'} did not end: {self._log()}") from None
        assert status == (-signal.SIGKILL if row else 0), (
            f"{row} ended with {status}: {self._log()}"
        )

    def _log(self) -> str:
        return (self._home / "log").read_text(errors="replace")[-2000:]


def _raw(dice: random.Random) -> list[bytes]:
    """Values of the raw topic: facts in their order, now and then some of the last once more."""
    values = [
        encode(
            Fact(
                id=number,
                account_sid="AC" + "0" * 32,
                sid=f"SM{number // 4:032x}",
                version=number % 4,
                type="message.sent",
                at=1.5,
                data="{}",
            ),
            number - 1,
        )
        for number in range(1, FACTS + 1)
    ]
    raw: list[bytes] = []
    at = 0
    while at < FACTS:
        to = min(FACTS, at + dice.randint(1, _PIECE))
        again = max(0, at - dice.randint(0, _PIECE)) if dice.random() < 0.5 else at
        raw += [value for value in values[again:to] if isinstance(value, bytes)]
        at = to
    return raw


def _write(bootstrap: str, partition: int, raw: Sequence[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for value in raw:
        producer.produce(MESSAGES, value, b"k", partition, headers=[("schema", b"1")])
    assert producer.flush(_WITHIN) == 0


def filtered(records: Sequence[Record]) -> list[Record]:
    """What a reader takes: nothing that is not newer than what it has seen."""
    epoch = 0
    seen: dict[tuple[str, str], int] = {}
    taken = []
    for record in records:
        said = record.headers
        if int(said["epoch"]) < epoch:
            continue
        epoch = int(said["epoch"])
        source = said["cluster"], said["partition"]
        if int(said["offset"]) <= seen.get(source, -1):
            continue
        seen[source] = int(said["offset"])
        taken.append(record)
    return taken


def _id(record: Record) -> int:
    return int(json.loads(record.value or "")["id"])
