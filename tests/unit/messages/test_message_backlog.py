"""What does not fit into memory is read from the store, and nothing is passed over."""

from pathlib import Path
from typing import cast

import msgspec

from gateway.messages import records
from gateway.messages.backlog import Backlog
from gateway.messages.book import Book
from gateway.messages.flight import Flight
from gateway.model import Direction, Message, MessageStatus
from gateway.store.base import Query
from gateway.store.sqlite import SqliteStore


def message(number: int, status: MessageStatus = MessageStatus.QUEUED) -> Message:
    return Message(
        account_sid="AC1",
        sid=f"SM{number:032x}",
        direction=Direction.OUTBOUND_API,
        status=status,
        from_address="+15550001000",
        to_address="+15550002000",
        body="text",
        num_segments=1,
        parts=1,
        encoding="GSM-7",
        origin="rest",
        carrier="c",
        valid_until=1e12,
        date_created=1000.0 + number,
        date_updated=1000.0 + number,
    )


async def store_with(tmp_path: Path, count: int) -> SqliteStore:
    store = await SqliteStore.open(tmp_path / "db", max_queued=10_000, clock=lambda: 0.0)
    await store.commit([records.inserted(message(number)) for number in range(count)])
    return store


async def drained(backlog: Backlog, store: SqliteStore, book: Book) -> list[Flight]:
    flights: list[Flight] = []
    while backlog.spilling:
        flights += await backlog.read(store, book)
    return flights


async def test_a_new_process_reads_every_open_message_once(tmp_path: Path) -> None:
    store = await store_with(tmp_path, 1201)
    backlog = Backlog("c", 10_000)
    book = Book(10)
    found: list[Flight] = []
    while backlog.spilling:
        page = await backlog.read(store, book)
        for flight in page:
            book.keep(flight)
        found += page
    assert [flight.message.sid for flight in found] == [message(n).sid for n in range(1201)]
    await store.close()


async def test_over_the_limit_messages_wait_in_the_store(tmp_path: Path) -> None:
    store = await store_with(tmp_path, 0)
    book = Book(10)
    backlog = Backlog("c", 2)
    assert await drained(backlog, store, book) == []
    assert backlog.admits(0, 2000.0)
    assert backlog.admits(1, 2000.0)
    assert not backlog.admits(2, 2000.0)
    assert backlog.spilling
    assert not backlog.wants(2)
    assert backlog.wants(1)
    await store.commit([records.inserted(message(1000))])
    assert [flight.message.sid for flight in await drained(backlog, store, book)] == [
        message(1000).sid
    ]
    assert backlog.admits(0, 2001.0)
    await store.close()


class Slow:
    """A store whose reads end before something is accepted that they do not show."""

    def __init__(self, store: SqliteStore, backlog: Backlog) -> None:
        self._store = store
        self._backlog = backlog
        self.raced = False

    async def fetch(self, query: Query, *parameters: object) -> list[tuple[object, ...]]:
        rows = await self._store.fetch(query, *parameters)
        if not self.raced:
            self.raced = True
            await self._store.commit([records.inserted(message(7))])
            assert not self._backlog.admits(0, 1010.0)
        return rows


async def test_a_message_accepted_while_the_last_page_is_read_is_not_lost(tmp_path: Path) -> None:
    store = await store_with(tmp_path, 0)
    backlog = Backlog("c", 2)
    slow = Slow(store, backlog)
    found: list[Flight] = []
    while backlog.spilling:
        found += await backlog.read(cast(SqliteStore, slow), Book(10))
    assert slow.raced
    assert [flight.message.sid for flight in found] == [message(7).sid]
    await store.close()


async def test_a_message_that_was_tried_comes_with_its_parts(tmp_path: Path) -> None:
    store = await store_with(tmp_path, 0)
    tried = msgspec.structs.replace(message(1, MessageStatus.SENDING), attempt=1)
    await store.commit([records.inserted(tried)])
    found = await drained(Backlog("c", 10), store, Book(10))
    assert [flight.message for flight in found] == [tried]
    await store.close()
