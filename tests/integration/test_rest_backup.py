"""`/v1/backup` and `trunkline backup`: who may have one, and what is not taken for one."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from rest_world import World, basic, new_account, rest_world
from typer.testing import CliRunner, Result

from gateway.api.app import build_app
from gateway.backup.file import MAGIC, End, Head, Rows, Table, Unusable, frames
from gateway.cli import app
from gateway.cli.client import GatewayError
from gateway.model import Account
from gateway.store.base import Row, Shape, Snapshot, StoreUnavailable

PATH = "/v1/backup"
WITHIN = 60.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


class HeldStore:
    """A store whose snapshots stop after the first page, until the test lets them fail."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.fails = asyncio.Event()
        self.ended = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        return self._snapshot()

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Any]:
        try:
            async with self._store.snapshot() as view:
                yield HeldView(view, self.fails)
        finally:
            self.ended.set()


class HeldView:
    def __init__(self, view: Snapshot, fails: asyncio.Event) -> None:
        self._view = view
        self._fails = fails
        self.schema, self.shapes, self.sequences = view.schema, view.shapes, view.sequences

    async def pages(self, shape: Shape) -> AsyncIterator[list[Row]]:
        if shape.table == "accounts":
            # Enough for some of it to be on its way.
            for _ in range(40):
                yield [(str(at) * 50,) * len(shape.columns) for at in range(1000)]
            await self._fails.wait()
            raise StoreUnavailable("the disk reported an error")
        async for page in self._view.pages(shape):
            yield page


@asynccontextmanager
async def holding(world: World) -> AsyncIterator[tuple[str, HeldStore]]:
    """The URL of a second face on the same gateway, whose store is a `HeldStore`."""
    store = HeldStore(world.services.store)
    runner = web.AppRunner(build_app(replace(world.services, store=store)), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", store
    finally:
        await runner.cleanup()


def headers(account: Account) -> dict[str, str]:
    return {"Authorization": basic(account.sid, account.auth_token)}


async def test_a_backup_is_everything_that_is_stored(world: World) -> None:
    status, content, sent = await world.ask("POST", PATH, world.main)
    assert status == 200
    assert sent["Content-Type"] == "application/vnd.trunkline.backup"
    head, *parts, end = frames(io.BytesIO(content))
    assert isinstance(head, Head) and isinstance(end, End)
    tables = {part.name: [] for part in parts if isinstance(part, Table)}
    name = ""
    for part in parts:
        match part:
            case Table():
                name = part.name
            case Rows():
                tables[name] += part.rows
    sids = {account.sid for account in (world.main, world.stranger, world.test)}
    assert {row[0] for row in tables["accounts"]} == sids
    assert end.rows["accounts"] == 3
    assert "carrier_states" not in tables
    assert not [row for row in tables["meta"] if row[0] == "schema_version"]


async def test_only_a_main_account_may_ask(world: World) -> None:
    accounts = world.services.accounts
    sub = await accounts.add_subaccount(world.main.sid, "Sub", 1.0)
    for account, expected in ((sub, 403), (world.test, 403), (None, 401)):
        status, body, _ = await world.ask("POST", PATH, account)
        assert status == expected, body
        assert MAGIC.decode() not in str(body)
    foreign = new_account("Foreign")
    assert (await world.ask("POST", PATH, foreign))[0] == 401
    assert (await world.ask("GET", PATH, world.main))[0] == 405


async def test_there_is_one_at_a_time(world: World) -> None:
    async with (
        holding(world) as (url, store),
        world.session.post(url + PATH, headers=headers(world.main)) as first,
    ):
        assert first.status == 200
        async with world.session.post(url + PATH, headers=headers(world.main)) as second:
            assert second.status == 429
        store.fails.set()
        with pytest.raises(aiohttp.ClientError):
            await first.read()
        await asyncio.wait_for(store.ended.wait(), WITHIN)


async def test_a_backup_that_fails_does_not_end_like_one_that_is_whole(world: World) -> None:
    async with (
        holding(world) as (url, store),
        world.session.post(url + PATH, headers=headers(world.main)) as response,
    ):
        got = await response.content.readexactly(len(MAGIC))
        assert got == MAGIC
        store.fails.set()
        with pytest.raises(aiohttp.ClientError):
            while got := await response.content.readany():
                pass


async def test_a_client_that_leaves_lets_the_next_one_in(world: World) -> None:
    async with holding(world) as (url, store):
        async with aiohttp.ClientSession() as session:
            response = await session.post(url + PATH, headers=headers(world.main))
            assert response.status == 200
            response.close()
        store.fails.set()
        await asyncio.wait_for(store.ended.wait(), WITHIN)
        async with world.session.post(url + PATH, headers=headers(world.main)) as second:
            assert second.status == 200


async def test_a_gateway_that_stops_ends_a_backup(world: World) -> None:
    async with holding(world) as (url, store):
        response = await world.session.post(url + PATH, headers=headers(world.main))
        assert response.status == 200
    await asyncio.wait_for(store.ended.wait(), WITHIN)
    with pytest.raises(aiohttp.ClientError):
        await response.read()


async def test_a_store_that_is_away_is_told(world: World) -> None:
    class Away(HeldStore):
        @asynccontextmanager
        async def _snapshot(self) -> AsyncIterator[Any]:
            raise StoreUnavailable("PostgreSQL at db: nothing answers there")
            yield

    runner = web.AppRunner(build_app(replace(world.services, store=Away(world.services.store))))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with world.session.post(url + PATH, headers=headers(world.main)) as response:
        assert response.status == 503
        assert "nothing answers there" in (await response.json())["message"]
    await runner.cleanup()


# -- the command ------------------------------------------------------------------------------


async def run(world: World, monkeypatch: pytest.MonkeyPatch, url: str, *arguments: str) -> Result:
    monkeypatch.setenv("TRUNKLINE_URL", url)
    monkeypatch.setenv("TRUNKLINE_ACCOUNT_SID", world.main.sid)
    monkeypatch.setenv("TRUNKLINE_AUTH_TOKEN", world.main.auth_token)
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def test_the_command_writes_a_file_for_its_owner_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "one.backup"
    result = await run(world, monkeypatch, world.url, "backup", str(file))
    assert result.exit_code == 0, result.exception
    assert "rows" in result.stdout and str(file) in result.stdout.replace("\n", "")
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open("rb") as opened:
        assert isinstance(list(frames(opened))[-1], End)
    before = file.read_bytes()
    result = await run(world, monkeypatch, world.url, "backup", str(file))
    assert isinstance(result.exception, GatewayError) and "there already" in str(result.exception)
    assert file.read_bytes() == before


async def test_the_command_keeps_nothing_of_a_backup_that_was_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "one.backup"
    async with holding(world) as (url, store):
        store.fails.set()
        result = await run(world, monkeypatch, url, "backup", str(file))
    assert isinstance(result.exception, GatewayError) and "cut" in str(result.exception)
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("one.backup*")))


async def test_a_restore_says_which_ways_there_are(tmp_path: Path) -> None:
    arguments = ("restore", str(tmp_path / "x"), "--in-flight", "forget", "--data", str(tmp_path))
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, GatewayError) and "resend, hold, fail" in str(error)


def test_the_magic_line_names_the_form() -> None:
    with pytest.raises(Unusable, match="no backup"):
        list(frames(io.BytesIO(b"TRUNKLINE BACKUP 2\n")))
