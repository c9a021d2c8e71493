"""Each process of each role is restarted in its turn, under load: nobody outside notices."""

import asyncio
import http.client
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from tests import postgres
from tests.integration.conftest import StartCarrier
from tests.integration.gateway_process import (
    LOOK_EVERY,
    NUMBER,
    WITHIN,
    App,
    get,
    wait_for,
    wait_for_status,
)
from tests.running import END_WITHIN, RunningGateway

pytestmark = [pytest.mark.waiting, pytest.mark.timeout(600)]
TO = "+447700900123"
ROLES = ("api", "smpp", "core")
PAUSE = 0.1  # seconds between two texts
DRAIN = 3.0  # seconds
BETWEEN = 20  # texts that are accepted between two restarts, at least


class Load:
    """Sends texts one after the other, each to the next api process that takes it."""

    def __init__(self, apis: list[RunningGateway], app: App) -> None:
        self._apis = apis
        self._callback = app.url("/status")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sids: list[str] = []
        self.refused: list[str] = []
        self.elsewhere = 0

    def start(self) -> None:
        self._thread.start()

    def go_on(self) -> None:
        """Wait until some more are accepted."""
        enough = len(self.sids) + BETWEEN
        wait_for(lambda: len(self.sids) >= enough, f"{enough} texts are accepted")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(PAUSE):
            number += 1
            self._send(number)

    def _send(self, number: int) -> None:
        """As a load balancer: where nobody listens, or who drains, is passed by."""
        for at in range(len(self._apis)):
            api = self._apis[(number + at) % len(self._apis)]
            try:
                self.sids.append(self._create(api, number))
                return
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code != 503:
                    self.refused.append(f"{number}: {error.code} {error.read()!r}")
                    return
                self.elsewhere += 1
        self.refused.append(f"{number}: nobody takes it")

    def _create(self, api: RunningGateway, number: int) -> str:
        form = urllib.parse.urlencode(
            {
                "To": TO,
                "From": NUMBER,
                "Body": f"text {number}",
                "StatusCallback": self._callback,
            }
        ).encode()
        path = f"/2010-04-01/Accounts/{api.account_sid}/Messages.json"
        request = urllib.request.Request(api.url + path, data=form)
        request.add_header("Authorization", authorization(api))
        # A text that was accepted without our hearing so is the same one when it is asked again.
        request.add_header("Idempotency-Key", f"rolling-{number}")
        with urllib.request.urlopen(request, timeout=WITHIN) as response:
            return str(json.load(response)["sid"])


@dataclass(frozen=True, kw_only=True)
class Processes:
    """By role, and the URL of the database that they share."""

    url: str
    by_role: dict[str, list[RunningGateway]]


class Watch:
    """What `/readyz` of a process says, until nobody listens there any more."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._port = gateway.ports["http"]
        self._thread = threading.Thread(target=self._run)
        self.said: list[tuple[int, str]] = []

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=WITHIN)
            try:
                connection.request("GET", "/readyz")
                response = connection.getresponse()
                self.said.append((response.status, json.load(response)["reason"]))
            except (OSError, http.client.HTTPException):
                return
            finally:
                connection.close()


@pytest.fixture
def processes(tmp_path: Path, start_carrier: StartCarrier) -> Iterator[Processes]:
    """Two processes of each role, on one PostgreSQL, with two carriers."""
    url = asyncio.run(postgres.fresh_database())
    carriers = {name: start_carrier("--receipt-delay", "0.3") for name in ("acme", "beta")}
    config = "".join(carrier.config(name=name) for name, carrier in carriers.items())
    config += '[[routes]]\nprefix = "*"\ncarriers = ["acme", "beta"]\nstrategy = "weighted"\n'
    config += "weights = [1, 1]\n"
    environ = {
        "TRUNKLINE_STORE__URL": url,
        "TRUNKLINE_DAEMON__LEASE": "10s",
        "TRUNKLINE_DAEMON__DRAIN": f"{DRAIN:g}s",
    }
    started: dict[str, list[RunningGateway]] = {}
    for role in ROLES:
        for number in range(2):
            home = tmp_path / f"{role}{number}"
            home.mkdir()
            serve = (sys.executable, "-m", "gateway", "serve", "--role", role)
            gateway = RunningGateway(home, config, environ, serve).start()
            started.setdefault(role, []).append(gateway)
    yield Processes(url=url, by_role=started)
    for gateway in (each for those in started.values() for each in those):
        gateway.kill()
    asyncio.run(postgres.drop_database(url))


def test_a_rolling_restart_of_each_role_under_load_loses_nothing(
    processes: Processes, app: App, tmp_path: Path
) -> None:
    api = processes.by_role["api"][0]
    for name in ("acme", "beta"):
        wait_for(lambda name=name: is_bound(api, name), f"{name} is bound")
    load = Load(processes.by_role["api"], app)
    load.start()
    try:
        for role in ROLES:
            for gateway in processes.by_role[role]:
                load.go_on()  # so that there is something under way
                asyncio.run(restart(gateway, processes.url))
    finally:
        load.stop()
    assert not load.refused
    assert len(load.sids) == len(set(load.sids)) >= 6 * BETWEEN
    for sid in load.sids:
        wait_for_status(api, sid, ["delivered"])
    every = {(sid, state) for sid in load.sids for state in ("sent", "delivered")}
    with suppress(AssertionError):  # what is missing is seen below
        wait_for(lambda: tokens_told(app).keys() >= every, "the app is told of each")
    tokens = tokens_told(app)
    assert tokens.keys() == every
    assert all(len(those) == 1 for those in tokens.values())
    sent = Counter(payloads_sent(tmp_path))
    assert len(sent) == len(load.sids)
    assert set(sent.values()) == {1}, "who is restarted in order sends no copies"


async def restart(gateway: RunningGateway, url: str) -> None:
    """SIGTERM and a new start: it ends well, says that it drains, and is ready again."""
    assert gateway.process is not None
    watch = Watch(gateway)
    watch.start()
    async with locked_leases(url):  # the last that a process writes: until then it drains
        gateway.process.send_signal(signal.SIGTERM)
        await until(lambda: (503, "draining") in watch.said)
    assert await asyncio.to_thread(ended, gateway) == 0, gateway.log.read_text()
    watch.join()
    assert set(watch.said) <= {(200, ""), (503, "draining")}
    await asyncio.to_thread(gateway.start)  # which waits until `/readyz` says 200


def ended(gateway: RunningGateway) -> int | None:
    """The exit status; None if it does not end when a person expects it to."""
    assert gateway.process is not None
    with suppress(subprocess.TimeoutExpired):
        return gateway.process.wait(END_WITHIN)
    return None


@asynccontextmanager
async def locked_leases(url: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE leases IN EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        done = holds()
        while not done:
            await asyncio.sleep(LOOK_EVERY)
            done = holds()


def is_bound(api: RunningGateway, name: str) -> bool:
    return bool(get(api, f"/v1/carriers/{name}")["state"] == "bound")


def tokens_told(app: App) -> dict[tuple[str, str], set[str]]:
    """By text and state, the tokens of the callbacks that tell of it."""
    tokens: dict[tuple[str, str], set[str]] = {}
    for line in app.lines():
        key = (line["params"]["MessageSid"], line["params"]["MessageStatus"])
        tokens.setdefault(key, set()).add(line["headers"]["I-Twilio-Idempotency-Token"])
    return tokens


def authorization(api: RunningGateway) -> str:
    return f"Basic {b64encode(f'{api.account_sid}:{api.auth_token}'.encode()).decode()}"


def payloads_sent(tmp_path: Path) -> list[str]:
    """What the carriers were handed, each time that they were."""
    ledgers = tmp_path.glob("carrier*/smsc.ledger")
    lines = [json.loads(line) for ledger in ledgers for line in ledger.read_text().splitlines()]
    return [line["payload"] for line in lines if line["event"] == "submit_sm"]
