"""A clock that jumps an hour: texts go on, callbacks come once, a restart finds what was left."""

import asyncio
import json
import sys
import time
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import postgres
from tests.integration.conftest import StartApp, StartCarrier
from tests.integration.gateway_process import (
    NUMBER,
    ROOT,
    App,
    get,
    wait_for,
    wait_for_status,
)
from tests.integration.walk import tables
from tests.running import RunningGateway

pytestmark = pytest.mark.timeout(600)
TO = "+447700900123"
HOUR = 3600
LEASE = 8  # seconds
COMMAND = (sys.executable, "-m", "tests.integration.jumping_clock", "serve")


class Machine:
    """A gateway of one process, and the hand on its clock."""

    def __init__(self, home: Path, config: str, store: str) -> None:
        self._clock = home / "clock"
        environ = {"PYTHONPATH": str(ROOT), "TRUNKLINE_STORE__URL": store}
        self.gateway = RunningGateway(home, config, environ, COMMAND)
        self.place: str | Path = store or self.gateway.data / "trunkline.db"

    def jump(self, seconds: int) -> None:
        """The clock is off by so much from now on."""
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(self._clock)


@pytest.fixture
def app(start_app: StartApp, tmp_path: Path) -> App:
    """One that fails each third time, so that callbacks are tried again all the time."""
    rules = tmp_path / "rules.json"
    replies = [{}, {}, {"status": 500}] * 200
    rules.write_text(json.dumps([{"path": "*", "replies": replies}]))
    return start_app("--script", str(rules))


@pytest.fixture(params=["sqlite", "postgres"])
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, start_carrier: StartCarrier
) -> Iterator[Machine]:
    shared = request.param == "postgres"
    url = asyncio.run(postgres.fresh_database()) if shared else ""
    home = tmp_path / "home"
    home.mkdir()
    config = start_carrier("--receipt-delay", "0.3").config(tps=20, window=4)
    config += f'[daemon]\nlease = "{LEASE}s"\n'
    machine = Machine(home, config, url)
    yield machine
    machine.gateway.kill()
    if shared:
        asyncio.run(postgres.drop_database(url))


def send(machine: Machine, app: App, name: str) -> str:
    """The SID of the text that is known as `name`: the first time a new one."""
    gateway = machine.gateway
    form = {"To": TO, "From": NUMBER, "Body": name, "StatusCallback": app.url("/status")}
    path = f"/2010-04-01/Accounts/{gateway.account_sid}/Messages.json"
    data = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(gateway.url + path, data=data)
    credentials = f"{gateway.account_sid}:{gateway.auth_token}".encode()
    request.add_header("Authorization", f"Basic {b64encode(credentials).decode()}")
    request.add_header("Idempotency-Key", name)
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["sid"])


def told(app: App, sid: str) -> list[str]:
    """The states of which the app was told, each once."""
    return list(dict.fromkeys(each["params"]["MessageStatus"] for each in app.callbacks(sid)))


@pytest.mark.waiting
def test_texts_and_callbacks_go_on_whatever_the_clock_does(machine: Machine, app: App) -> None:
    machine.gateway.start()
    sids: dict[str, str] = {}
    for jump in (0, HOUR, 0, -HOUR, HOUR):
        new = {f"{len(sids) + at}": "" for at in range(16)}
        for at, name in enumerate(new):
            if at == len(new) // 2:
                machine.jump(jump)  # while some are under way, and some told in vain
            new[name] = send(machine, app, name)
        sids |= new
        for sid in new.values():
            wait_for_status(machine.gateway, sid, ["delivered"])
            wait_for(lambda sid=sid: len(told(app, sid)) == 2, f"its app is told at {jump}")
        assert {name: send(machine, app, name) for name in sids} == sids, "keys are known on"
    assert len(set(sids.values())) == len(sids)
    for sid in sids.values():
        assert told(app, sid) == ["sent", "delivered"]
        tokens = {each["headers"]["I-Twilio-Idempotency-Token"] for each in app.callbacks(sid)}
        assert len(tokens) == 2, "one for each state"
    assert get(machine.gateway, "/v1/carriers/acme")["state"] == "bound"
    assert machine.gateway.terminate() == 0


@pytest.mark.parametrize(("before", "after"), [(HOUR, 0), (0, HOUR)])
def test_a_start_at_another_hour_finds_what_was_left(
    machine: Machine, app: App, before: int, after: int
) -> None:
    machine.jump(before)
    machine.gateway.start()
    sids = [send(machine, app, f"text-{at}") for at in range(20)]
    machine.gateway.kill()
    machine.jump(after)
    machine.gateway.start()
    sids += [send(machine, app, f"later-{at}") for at in range(5)]
    for sid in sids:
        wait_for_status(machine.gateway, sid, ["delivered"])
        wait_for(lambda sid=sid: "delivered" in told(app, sid), "its app is told")
    assert hours(tables(machine.place)) >= 1
    assert machine.gateway.terminate() == 0


@pytest.mark.waiting
def test_a_clock_that_is_set_forward_again_and_again_ends_no_process(
    machine: Machine, app: App
) -> None:
    machine.gateway.start()
    began = time.monotonic()
    at = 0
    while time.monotonic() - began < LEASE:  # so between any two beats of its heart
        at += 1
        machine.jump(at * 60)
        get(machine.gateway, "/v1/carriers/acme")
    assert at * 60 > LEASE
    sid = send(machine, app, "after")
    wait_for_status(machine.gateway, sid, ["delivered"])
    assert "is silent" not in machine.gateway.log.read_text()
    assert machine.gateway.terminate() == 0


def hours(rows: dict[str, list[tuple[Any, ...]]]) -> int:
    """How many generations of jobs there are."""
    return sum(name.startswith("jobs_") for name in rows)
