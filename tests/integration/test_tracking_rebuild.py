"""Counters are made again from the facts, by whichever process counts; what a text said is gone."""

import asyncio
import json
import sqlite3
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from tests import postgres
from tests.integration.conftest import StartCarrier
from tests.integration.gateway_process import (
    NUMBER,
    App,
    command,
    get,
    wait_for,
    wait_for_status,
)
from tests.integration.walk import counters, holders, tables
from tests.running import RunningGateway

TO = "+447700900123"
SECRET = "Pelikan-4711"
ROLES = {"sqlite": ("all",), "postgres": ("api", "smpp", "core")}


@dataclass(frozen=True, kw_only=True)
class Running:
    """A gateway of one process or several, and where its store is."""

    api: RunningGateway
    place: str | Path


@pytest.fixture(params=ROLES)
def running(
    request: pytest.FixtureRequest, tmp_path: Path, start_carrier: StartCarrier, app: App
) -> Iterator[Running]:
    shared = request.param == "postgres"
    url = asyncio.run(postgres.fresh_database()) if shared else ""
    config = start_carrier("--receipt-delay", "0.1").config() + number_of(app)
    started: list[RunningGateway] = []
    for role in ROLES[request.param]:
        home = tmp_path / role
        home.mkdir()
        serve = (sys.executable, "-m", "gateway", "serve", "--role", role)
        started.append(RunningGateway(home, config, {"TRUNKLINE_STORE__URL": url}, serve))
        started[-1].start()
    yield Running(api=started[0], place=url or started[0].data / "trunkline.db")
    for each in started:
        each.kill()
    if shared:
        asyncio.run(postgres.drop_database(url))


def number_of(app: App) -> str:
    return f'[[numbers]]\nnumber = "{NUMBER}"\nsms_url = "{app.url("/sms")}"\n'


def work(running: Running, app: App, texts: int) -> list[str]:
    """Texts that were delivered, and their apps told; their SIDs."""
    wait_for(lambda: get(running.api, "/v1/carriers/acme")["state"] == "bound", "it is bound")
    create = running.api.client().messages.create
    sids = [
        create(to=TO, from_=NUMBER, body=f"{SECRET} {at}", status_callback=app.url("/status")).sid
        for at in range(texts)
    ]
    for sid in sids:
        wait_for_status(running.api, sid, ["delivered"])
        wait_for(lambda sid=sid: len(app.callbacks(sid)) == 2, "its app was told")
    return sids


def all_read(running: Running) -> bool:
    readers = {each["name"]: each["behind"] for each in get(running.api, "/v1/bus")["readers"]}
    return readers.get("tracking") == 0


def spoil(place: str | Path) -> None:
    """A table that went wrong."""
    sql = "UPDATE tracking_counters SET value = value + 1000"
    if isinstance(place, Path):
        connection = sqlite3.connect(place, timeout=30)
        with connection:
            connection.execute(sql)
        connection.close()
    else:
        asyncio.run(_execute(place, sql))


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


def test_what_is_rebuilt_equals_what_was_counted(running: Running, app: App) -> None:
    work(running, app, 10)
    wait_for(lambda: all_read(running), "all facts are counted")
    original = counters(running.place)
    assert {metric: value for _, _, metric, value in original}["message.delivered"] == 10
    spoil(running.place)
    assert counters(running.place) != original
    done = command(running.api, "tracking", "rebuild", "--yes")
    assert done.returncode == 0, done.stderr
    assert "are counted again" in done.stdout
    wait_for(lambda: counters(running.place) == original, "the counters are as they were")
    more = work(running, app, 2)
    assert len(more) == 2
    wait_for(lambda: all_read(running), "it goes on counting")
    again = {metric: value for _, _, metric, value in counters(running.place)}
    assert again["message.delivered"] == 12


def test_what_was_redacted_or_deleted_stands_in_no_table(
    running: Running, app: App, tmp_path: Path
) -> None:
    one, other, *_ = work(running, app, 2)
    client = running.api.client()
    inbound = text_from_handset(running, tmp_path)
    wait_for(lambda: all_read(running), "all facts are counted")
    where = holders(running.place, SECRET)
    assert "messages" in where or any(name.startswith("messages_") for name in where)
    assert not where & {"facts", "tracking_counters", "idempotency_keys", "meta"}
    client.messages(one).update(body="")
    client.messages(other).delete()
    client.messages(inbound).update(body="")
    rows = tables(running.place)
    assert any(rows[name] for name in rows if name.startswith("facts"))
    assert holders(running.place, SECRET) == set()


def text_from_handset(running: Running, tmp_path: Path) -> str:
    """The SID of a text that came in through the carrier."""
    ports = json.loads(next(tmp_path.glob("carrier*/smsc.ready")).read_text())
    request = urllib.request.Request(
        f"http://127.0.0.1:{ports['control']}/sim/handsets/{quote(TO)}/messages",
        data=json.dumps({"to": NUMBER, "body": SECRET}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 201
    path = f"/2010-04-01/Accounts/{running.api.account_sid}/Messages.json?To={quote(NUMBER)}"

    def found() -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = get(running.api, path)["messages"]
        return messages

    (message,) = wait_for(found, "the text came in")
    return str(message["sid"])
