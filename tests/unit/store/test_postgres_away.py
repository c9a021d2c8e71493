"""PostgreSQL that goes away: what was acknowledged is there, what was refused is not."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import pytest

from gateway.store.base import Insert, Query, StoreUnavailable
from gateway.store.postgres import PostgresStore
from tests.ports import refusing_port
from tests.postgres import PostgresServer

META = Insert(table="meta", columns=("name", "value"))
NAMES = Query("names", "SELECT name FROM meta ORDER BY name")
LIMIT = 2.0  # seconds, instead of the forty that a statement has
UNREPLICATED = "SELECT count(*) FROM pg_sleep(0.01), pg_stat_activity WHERE wait_event = 'SyncRep'"
WAITING = "SELECT count(*) FROM pg_sleep(0.01), pg_locks WHERE NOT granted"
PATIENCE = 60.0  # seconds until a test fails that waits for something


Opened = Callable[..., Awaitable[PostgresStore]]


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens stores that end with the test."""
    stores: list[PostgresStore] = []

    async def open_one(url: str, writer: str = "w") -> PostgresStore:
        store = await PostgresStore.open(
            url, connections=4, max_queued=10_000, clock=time.time, writer=writer
        )
        stores.append(store)
        return store

    yield open_one
    for store in stores:
        await store.close()


async def names(store: PostgresStore) -> set[str]:
    return {name for (name,) in await store.fetch(NAMES)}


async def until_it_writes(store: PostgresStore) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await store.commit([(META, (f"probe {time.time()}", ""))])
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


class Proxy:
    """Between the store and the server; it can cut a connection at a COMMIT, or refuse all."""

    def __init__(self, port: int) -> None:
        self.port: int
        self._server_port = port
        self._server: asyncio.Server
        self._served: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        # Once: "before" or "after" the server gets the next COMMIT; or "meanwhile", and the server
        # gets it when it is `released`; or "silent": it is done, and nobody is told anything.
        self.cut = ""
        self.refuses = False
        self.has_cut = asyncio.Event()
        self.released = asyncio.Event()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    def hang_up(self) -> None:
        """Cut all connections to clients; the server is not told."""
        for client in self._clients:
            client.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._served.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.close()
            return
        self._clients.add(writer)
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            await asyncio.gather(
                self._forth(reader, back_writer, writer), self._back(back_reader, writer)
            )
        finally:
            self._clients.discard(writer)
            writer.close()
            back_writer.close()

    async def _forth(
        self,
        reader: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        while data := await _read(reader):
            if self.cut == "before" and b"COMMIT\0" in data:
                self.cut = ""
                self.has_cut.set()
                client.close()
                break
            if self.cut == "meanwhile" and b"COMMIT\0" in data:
                self.cut = ""
                self.has_cut.set()
                client.close()
                await self.released.wait()
            if self.cut in _ANSWERS and b"COMMIT\0" in data:
                self.cut = _ANSWERS[self.cut]
            server.write(data)
        server.close()

    async def _back(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await _read(reader):
            if self.cut == "answer":
                self.cut = ""
                self.has_cut.set()
                break
            if self.cut == "no answer":
                self.cut = ""
                self.has_cut.set()
                await asyncio.Event().wait()
            client.write(data)
        client.close()


_ANSWERS = {"after": "answer", "silent": "no answer"}


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that these tests may kill."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def database(server: PostgresServer) -> str:
    name = f"t{time.time_ns()}"
    server.execute(f"CREATE DATABASE {name}")
    return name


@pytest.fixture
async def proxy(server: PostgresServer) -> AsyncIterator[Proxy]:
    proxy = Proxy(server.port)
    await proxy.start()
    yield proxy
    await proxy.close()


@pytest.fixture
def behind(proxy: Proxy, database: str, opened: Opened) -> Opened:
    """Opens the store whose server is behind the proxy."""
    return partial(opened, f"postgresql://postgres@127.0.0.1:{proxy.port}/{database}")


@pytest.mark.waiting
@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_connection_lost_at_the_commit_fails_nobody(
    proxy: Proxy, cut: str, behind: Opened
) -> None:
    store = await behind()
    await store.commit([(META, ("first", ""))])
    proxy.cut = cut
    futures = [store.commit([(META, (f"n{at}", ""))]) for at in range(10)]
    await asyncio.gather(*futures)  # written once: a second time would be a conflict
    assert proxy.has_cut.is_set()
    assert await names(store) == {"first"} | {f"n{at}" for at in range(10)}


@pytest.mark.waiting
@pytest.mark.parametrize("token", ["never there", "swept away", "there"])
async def test_a_commit_that_the_server_is_still_at_is_waited_for(
    server: PostgresServer,
    database: str,
    proxy: Proxy,
    token: str,
    behind: Opened,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.store.postgres_link._LOCK_TIMEOUT", "25s")
    store = await behind()
    if token != "never there":
        await store.commit([(META, ("first", ""))])
    beside = await asyncpg.connect(server.url(database))
    try:
        if token == "swept away":
            await beside.execute("DELETE FROM commit_tokens")
        proxy.cut = "meanwhile"
        futures = [store.commit([(META, (f"n{at}", ""))]) for at in range(10)]
        async with asyncio.timeout(PATIENCE):
            await proxy.has_cut.wait()
            while not await beside.fetchval(WAITING):
                assert not futures[0].done()
        proxy.released.set()
        await asyncio.gather(*futures)  # written once: a second time would be a conflict
    finally:
        await beside.close()
    assert await names(store) >= {f"n{at}" for at in range(10)}


@pytest.mark.waiting
async def test_what_became_of_a_commit_is_told_when_the_server_is_back(
    database: str, proxy: Proxy, behind: Opened
) -> None:
    store = await behind()
    proxy.cut = "after"
    unknown = store.commit([(META, ("unknown", ""))])
    proxy.refuses = True
    await proxy.has_cut.wait()
    await until(lambda: bool(store.stats().trouble))
    with pytest.raises(
        StoreUnavailable, match=rf"127\.0\.0\.1:{proxy.port}/{database}: the connection was"
    ):
        await store.commit([(META, ("refused", ""))])
    assert not unknown.done()
    proxy.refuses = False
    async with asyncio.timeout(PATIENCE):
        await unknown
    await until_it_writes(store)
    assert {name for name in await names(store) if " " not in name} == {"unknown"}
    assert store.stats().trouble == ""


@pytest.mark.waiting
async def test_a_store_that_is_closed_before_it_knows_says_so(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, behind: Opened
) -> None:
    monkeypatch.setattr("gateway.store.postgres_queue._CLOSE_WITHIN", 0.2)
    store = await behind()
    proxy.cut = "after"
    unknown = store.commit([(META, ("unknown", ""))])
    proxy.refuses = True
    await proxy.has_cut.wait()
    await store.close()
    error = unknown.exception()
    assert "closed before" in str(error) and not isinstance(error, StoreUnavailable)


@pytest.mark.waiting
@pytest.mark.parametrize("lost", [False, True], ids=["connected", "connection lost"])
async def test_a_commit_is_not_durable_before_the_replica_has_it(
    server: PostgresServer,
    database: str,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    behind: Opened,
    lost: bool,
) -> None:
    """However long that takes: the server takes an end of the wait for a commit."""
    monkeypatch.setattr("gateway.store.postgres_link.ANSWER_WITHIN", LIMIT)
    monkeypatch.setattr("gateway.store.postgres_link._LOCK_TIMEOUT", "200ms")
    monkeypatch.setattr("gateway.store.postgres_outcome._LOOK_EVERY", 0.2)
    store = await behind()
    await store.commit([(META, ("first", ""))])
    beside = await asyncpg.connect(server.url(database))
    try:
        async with no_replica(server, beside):
            waits = store.commit([(META, ("waits", ""))])
            async with asyncio.timeout(PATIENCE):
                while not await beside.fetchval(UNREPLICATED):
                    assert not waits.done()
                if lost:
                    proxy.hang_up()
                beyond = time.monotonic() + 2 * LIMIT
                while time.monotonic() < beyond:
                    await until(lambda: "replica" in store.stats().trouble)
                    queued = store.commit([(META, ("refused", ""))])
                    with pytest.raises(StoreUnavailable, match="no replica confirms"):
                        await queued
            assert not waits.done() and await beside.fetchval(UNREPLICATED) == 1
            assert await names(store) == {"first"}
        async with asyncio.timeout(PATIENCE):
            await waits
    finally:
        await beside.close()
    await until_it_writes(store)
    assert {name for name in await names(store) if " " not in name} == {"first", "waits"}


@asynccontextmanager
async def no_replica(
    server: PostgresServer, beside: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[None]:
    """Inside of it commits wait for a replica that is not there."""
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.execute("SELECT pg_reload_conf()")
    try:
        async with asyncio.timeout(PATIENCE):
            while not await a_commit_waits(server, beside):
                pass
        yield
    finally:
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.execute("SELECT pg_reload_conf()")


async def a_commit_waits(
    server: PostgresServer, beside: "asyncpg.Connection[asyncpg.Record]"
) -> bool:
    """Whether one does already: the server takes its new setting up a moment after it is told."""
    probe = await asyncpg.connect(server.url("postgres"))
    try:
        commit = asyncio.ensure_future(
            probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')")
        )
        while not commit.done() and not await beside.fetchval(UNREPLICATED):
            pass
        waited = not commit.done()
        await beside.execute("SELECT pg_cancel_backend($1)", probe.get_server_pid())
        await commit
    finally:
        await probe.close()
    return waited


@pytest.mark.waiting
async def test_a_commit_on_a_connection_that_went_silent_is_looked_up(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, behind: Opened
) -> None:
    monkeypatch.setattr("gateway.store.postgres_outcome._LOOK_EVERY", 0.2)
    store = await behind()
    await store.commit([(META, ("first", ""))])
    proxy.cut = "silent"
    async with asyncio.timeout(PATIENCE):
        await store.commit([(META, ("n1", ""))])
    assert proxy.has_cut.is_set()
    assert await names(store) == {"first", "n1"}


@pytest.mark.waiting
async def test_kills_of_the_server_lose_nothing_and_refuse_truly(
    server: PostgresServer, database: str, opened: Opened
) -> None:
    store = await opened(server.url(database, over="tcp"))
    acknowledged: set[str] = set()
    refused: set[str] = set()
    stop = asyncio.Event()

    async def work(name: str) -> None:
        at = 0
        while not stop.is_set():
            at += 1
            try:
                await store.commit([(META, (f"{name}-{at}", "x" * 100))])
                acknowledged.add(f"{name}-{at}")
            except StoreUnavailable as error:
                assert "127.0.0.1" in str(error), error
                refused.add(f"{name}-{at}")
                await asyncio.sleep(0.002)

    working = [asyncio.create_task(work(f"w{at}")) for at in range(20)]
    for _ in range(4):
        enough = len(acknowledged) + 200
        await until(lambda enough=enough: len(acknowledged) >= enough)
        await asyncio.to_thread(server.kill)
        await until(lambda: bool(store.stats().trouble))
        await asyncio.to_thread(server.restart)
    await until_it_writes(store)
    stop.set()
    await asyncio.gather(*working)
    there = {name for name in await names(store) if " " not in name}
    assert refused
    assert there == acknowledged
    assert not there & refused


@pytest.mark.waiting
async def test_a_standby_that_is_promoted_takes_over(opened: Opened) -> None:
    primary = PostgresServer()
    primary.start()
    standby = await asyncio.to_thread(primary.standby)
    standby.start()
    try:
        url = f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{primary.port}/postgres"
        store = await opened(url)
        heard = store.watch("jobs")
        acknowledged = {f"n{at}" for at in range(100)}
        await asyncio.gather(*(store.commit([(META, (name, ""))]) for name in acknowledged))
        await asyncio.to_thread(primary.kill)
        with pytest.raises(StoreUnavailable):
            await store.commit([(META, ("refused", ""))])
        with pytest.raises(StoreUnavailable):
            await names(store)
        await asyncio.to_thread(standby.promote)
        await until_it_writes(store)
        assert {name for name in await names(store) if " " not in name} == acknowledged
        async with asyncio.timeout(PATIENCE):
            await heard.wait()  # whoever watches is told to look after the connection was away
    finally:
        standby.remove()
        primary.remove()


@pytest.mark.waiting
async def test_a_server_that_takes_no_writes_is_away(
    server: PostgresServer, database: str, opened: Opened
) -> None:
    store = await opened(server.url(database))
    server.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    )
    await until(lambda: bool(store.stats().trouble))
    with pytest.raises(StoreUnavailable, match="no server there takes writes: promote a standby"):
        await store.commit([(META, ("refused", ""))])
    server.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    await until_it_writes(store)
    assert "refused" not in await names(store)


@pytest.mark.waiting
async def test_connections_that_an_operator_ends_are_replaced(
    server: PostgresServer, database: str, opened: Opened
) -> None:
    store = await opened(server.url(database))
    member = await store.renew("w", 600.0)
    for turn in range(5):
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        await store.commit([(META, (f"n{turn}", ""))], member)
        assert f"n{turn}" in await names(store)
        member = await store.renew("w", 600.0)
        assert await store.facts_after(0, 10) == []


@pytest.mark.waiting
async def test_what_is_wrong_is_told_with_what_to_do(
    server: PostgresServer, opened: Opened
) -> None:
    with pytest.raises(StoreUnavailable, match="nowhere: the database is not there: make it with"):
        await opened(server.url("nowhere"))
    with refusing_port(socket.SOCK_STREAM) as port:
        closed = f"postgresql://postgres:secret@127.0.0.1:{port}/postgres"
        with pytest.raises(StoreUnavailable, match="nothing answers there: start it, or") as caught:
            await opened(closed)
    assert "secret" not in str(caught.value)
    for url in (
        "mysql://127.0.0.1/postgres",
        "postgresql://postgres:sec#ret@127.0.0.1/postgres",
        "postgresql://postgres:sec/ret@127.0.0.1/postgres",
        "postgresql://postgres:sec?ret@127.0.0.1/postgres",
        "postgresql://postgres@[sec/ret",
    ):
        with pytest.raises(StoreUnavailable, match="the URL is wrong: correct") as caught:
            await opened(url)
        assert "sec" not in str(caught.value) and caught.value.__suppress_context__
    hba = server.execute("SHOW hba_file")
    server.execute("CREATE ROLE guest LOGIN PASSWORD 'right'")
    rules = "VALUES ('local all all trust'), ('host all guest 127.0.0.1/32 scram-sha-256')"
    server.execute(f"COPY ({rules}) TO '{hba}'")
    server.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(PATIENCE):
        while True:  # until the server has read it
            try:
                await opened(f"postgresql://guest:wrong@127.0.0.1:{server.port}/postgres")
            except StoreUnavailable as error:
                if "refused the password: correct the one in [store] url" in str(error):
                    assert "wrong" not in str(error)
                    break
            await asyncio.sleep(0.05)
    with pytest.raises(StoreUnavailable, match="the role may not do this: make it the owner"):
        await opened(f"postgresql://guest:right@127.0.0.1:{server.port}/postgres")


@pytest.mark.waiting
@pytest.mark.parametrize("where", ["between statements", "in a COPY"])
async def test_a_burial_does_not_wait_for_who_stands_still(
    server: PostgresServer, database: str, opened: Opened, where: str
) -> None:
    store = await opened(server.url(database), "alive")
    stopped = await store.renew("stopped", 600.0)
    still = await asyncpg.connect(
        server.url(database), server_settings={"application_name": "trunkline:stopped"}
    )
    copying: asyncio.Task[object] | None = None
    try:
        await still.execute("BEGIN; SELECT FROM leases WHERE name = 'member:stopped' FOR KEY SHARE")
        if where == "in a COPY":
            copying = asyncio.create_task(still.copy_to_table("meta", source=_nothing_for_long()))
            await asyncio.sleep(0.1)
        began = time.monotonic()
        assert await store.bury("stopped") == ["stopped"]
        assert time.monotonic() - began < PATIENCE / 2
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await (still.execute("COMMIT") if copying is None else copying)
    finally:
        still.terminate()
    assert stopped.name not in {lease.name for lease in await store.leases()}


async def _nothing_for_long() -> AsyncIterator[bytes]:
    yield b"late\t1\n"
    await asyncio.sleep(5.0)
    yield b"later\t1\n"
