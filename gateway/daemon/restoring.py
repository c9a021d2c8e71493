"""Restore: a backup becomes the store of the config, whole or not at all.

The file is poured into a database file of its own first, whatever the store is: so all of it has
been read before anything is touched, an older schema is brought up to date by the same steps as
any other database, and what was under way is settled. Then that file takes the place of the one
in the data folder, or its rows go to PostgreSQL in one transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from gateway import credentials
from gateway.accounts import Accounts
from gateway.backup import in_flight, restoring
from gateway.backup.file import Head, Unusable
from gateway.backup.in_flight import InFlight
from gateway.backup.restoring import Poured, Sequences
from gateway.bus import positions
from gateway.bus.embedded import EmbeddedBus
from gateway.config import Config
from gateway.core.tracking import counters
from gateway.core.tracking.tracker import READER
from gateway.daemon.ground import DATABASE
from gateway.messages.callbacks import CallbackPolicy
from gateway.store import postgres_loader, sqlite_loader
from gateway.store.base import Store, StoreError
from gateway.store.loading import Held
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_file import newest_schema

_MADE: Final = f"{DATABASE}.restoring"
_NOTHING: Final[Mapping[str, int]] = {}


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was done: `made_at` of the backup (seconds since the epoch), rows, messages that were
    under way. `short`: see `gateway.backup.restoring.Sequences`.
    """

    made_at: float
    program: str
    rows: int
    under_way: int
    short: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be restored, and how. `may_replace` is asked before a store with messages goes.

    `now` is seconds since the epoch.
    """

    file: Path
    in_flight: InFlight
    may_replace: Callable[[], bool]
    now: float


async def restore(config: Config, data: Path, order: Order) -> Restored:
    """Do it. Raises `Unusable` for a file and `StoreError` for a store that does not allow it.

    Then everything is as it was before.
    """
    if config.store.url:
        return await _into_postgres(config, data, order)
    return await _into_file(config, data, order)


async def _into_file(config: Config, data: Path, order: Order) -> Restored:
    path = data / DATABASE
    with sqlite_loader.taken(path) as held:
        _check(held, order, str(path))
        async with _made(config, data, order, held.sequences) as (made, restored):
            store = await _opened(made, config, order)
            try:
                known = credentials.stored(await Accounts.load(store))
            finally:
                await store.close()
            # The gateway would make accounts of its own for credentials that are not there.
            if len(known) == len(credentials.Credentials.__struct_fields__):
                credentials.save(data, credentials.Credentials(**known))
            sqlite_loader.put_in_place(made, path)
    return restored


async def _into_postgres(config: Config, data: Path, order: Order) -> Restored:
    def check(held: Held) -> None:
        if held.members:
            raise StoreError(
                f"processes are at work on this database: stop {', '.join(held.members)} first"
            )
        _check(held, order, "the database at [store] url")

    async with _made(config, data, order, _NOTHING) as (made, restored):
        store = await _opened(made, config, order)
        try:
            async with store.snapshot() as view:
                await postgres_loader.load(config.store.url, view, check)
        finally:
            await store.close()
    return restored


def _check(held: Held, order: Order, where: str) -> None:
    if held.readable and not held.has_messages:
        return
    if not order.may_replace():
        what = "holds messages" if held.readable else "can't be read"
        raise StoreError(
            f"{where} {what}: restore into an empty store, or say --replace to lose what is there"
        )


@asynccontextmanager
async def _made(
    config: Config, data: Path, order: Order, replaced: Mapping[str, int]
) -> AsyncIterator[tuple[Path, Restored]]:
    """A database file with everything, and what was done; it is gone afterwards."""
    made = data / _MADE
    try:
        poured, sequences = await asyncio.to_thread(_pour, made, order, replaced, config)
        store = await _opened(made, config, order)
        try:
            under_way = await _settle(store, config, order)
        finally:
            await store.close()
        yield (
            made,
            Restored(
                made_at=poured.head.made_at,
                program=poured.head.program,
                rows=poured.rows,
                under_way=under_way,
                short=sequences.short,
            ),
        )
    finally:
        await asyncio.to_thread(sqlite_loader.discard, made)


def _pour(
    made: Path, order: Order, replaced: Mapping[str, int], config: Config
) -> tuple[Poured, Sequences]:
    loaders: list[sqlite_loader.Loader] = []

    def begin(head: Head) -> sqlite_loader.Loader:
        made.parent.mkdir(parents=True, exist_ok=True)
        loaders.append(sqlite_loader.Loader(made, head.schema))
        return loaders[0]

    try:
        with order.file.open("rb") as file:
            poured = restoring.pour(file, begin, newest_schema(), order.now)
        # A jump of ids must not look like more facts than may be kept.
        most = config.bus.max_backlog // 2
        sequences = restoring.sequences(poured, replaced, order.now, most)
        loaders[0].finish(sequences.given)
    except (Unusable, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Unusable(f"{order.file} can't be restored: {reason}") from None
    finally:
        for loader in loaders:
            loader.close()
    return poured, sequences


async def _opened(made: Path, config: Config, order: Order) -> SqliteStore:
    return await SqliteStore.open(made, max_queued=config.store.max_queued, clock=lambda: order.now)


async def _settle(store: Store, config: Config, order: Order) -> int:
    """What was under way becomes what was ordered; counters go that could not be counted on."""
    now_kafka = bool(config.bus.url)
    position = await (
        positions.stored(store, READER) if now_kafka else EmbeddedBus(store).position(READER)
    )
    if not position:  # they were counted on another bus: all that this one has will be counted
        await counters.wipe(store, None)
    policy = CallbackPolicy(
        states=config.webhooks.message_states, retry_for=config.webhooks.retry_for
    )
    return await in_flight.settle(store, order.in_flight, order.now, policy)
