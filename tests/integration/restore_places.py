"""Stores of either kind, and backups of them: for tests of what is restored where."""

from pathlib import Path

from gateway.backup.file import Frame, Packer
from gateway.backup.in_flight import InFlight
from gateway.backup.making import octets
from gateway.config import Config, load
from gateway.core.tracking.counters import INSERT as COUNTER
from gateway.daemon.restoring import Order, Restored, restore
from gateway.store.base import Row, Store
from gateway.store.postgres import PostgresStore
from gateway.store.sqlite import SqliteStore
from tests.contract.rows import (
    META,
    TRACE,
    account,
    fact,
    job,
    message,
    number,
    segment,
    transition,
)

MADE_AT = 1_795_000_000.0
NOW = MADE_AT + 60
SID = f"SM{int(MADE_AT * 1000) << 16:016x}{7:016x}"
GENERATION = 498_611
OTHER_PLACES = ("leases", "carrier_states")  # belong to processes
BOTH = ("sqlite", "postgres")
COUNTED = COUNTER, ("AC1", "2026-11-21", "sent", 3)


class Place:
    """A store that a gateway with `config` and the folder `data` has."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir()
        self.data = folder / "var"
        self.url = url
        self.config = self.configured()

    def configured(self, **bus: str) -> Config:
        """The config of this store, with more variables."""
        environ = {"TRUNKLINE_STORE__URL": self.url} if self.url else {}
        return load(None, {**environ, **bus})

    async def open(self) -> Store:
        if self.url:
            return await PostgresStore.open(
                self.url, connections=4, max_queued=1000, clock=lambda: NOW, writer="test"
            )
        return await SqliteStore.open(
            self.data / "trunkline.db", max_queued=1000, clock=lambda: NOW
        )

    async def restore(
        self, file: Path, in_flight: InFlight = InFlight.RESEND, *, replace: bool = False
    ) -> Restored:
        order = Order(file=file, in_flight=in_flight, may_replace=lambda: replace, now=NOW)
        return await restore(self.config, self.data, order)

    async def rows(self) -> dict[str, list[Row]]:
        """Everything it holds, by table, in one order of columns and rows."""
        store = await self.open()
        try:
            return await everything(store)
        finally:
            await store.close()


async def everything(store: Store) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    async with store.snapshot() as view:
        for shape in view.shapes:
            columns = sorted(shape.columns)
            at = [shape.columns.index(name) for name in columns]
            rows = [
                tuple(row[each] for each in at) async for page in view.pages(shape) for row in page
            ]
            kept = [row for row in rows if "schema_version" not in row]
            if shape.table not in OTHER_PLACES and (kept or not shape.table.startswith("job")):
                found[shape.table] = sorted(kept, key=repr)
    return found


async def back_up(store: Store, file: Path, made_at: float = MADE_AT) -> Path:
    async with store.snapshot() as view:
        write_octets(file, b"".join([chunk async for chunk in octets(view, made_at)]))
    return file


async def fill(store: Store) -> None:
    """A row of most kinds; one commit is under way to nowhere."""
    await store.commit([account("AC1"), number("PN1", "+15550001000"), (META, ("a", "ä\n"))])
    await store.commit([message(SID), fact(SID), job(GENERATION, "JB1")])
    await store.commit([transition(GENERATION, "JB1", 1), job(GENERATION, "JB2"), segment(SID)])
    await store.commit([(TRACE, (SID, b"\x00\xff")), fact(SID, 2)])
    await store.commit([COUNTED, (META, ("cursor:tracking", "2"))])
    member = await store.renew("somebody", 600.0)
    await store.claim(["carrier:acme"], member)


def write(file: Path, parts: list[Frame]) -> Path:
    packer = Packer()
    write_octets(file, packer.add(*parts) + packer.end())
    return file


def write_octets(file: Path, content: bytes) -> None:
    """As `Path.write_bytes`."""
    file.write_bytes(content)
