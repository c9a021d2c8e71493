"""A gateway that is lost and goes on from its backup, on the store it had or on a greater one."""

import asyncio
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres
from tests.conftest import StartGateway
from tests.integration.conftest import StartApp, StartCarrier
from tests.integration.gateway_process import (
    FINAL,
    NUMBER,
    ROOT,
    App,
    Carrier,
    command,
    status_of,
    steer,
    wait_for,
    wait_for_status,
)
from tests.running import RunningGateway

TO = "+447700900123"
BEFORE = 40  # texts accepted before the backup


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """[store] url of the gateway that goes on."""
    if request.param == "sqlite":
        yield ""
        return
    url = asyncio.run(postgres.empty_database())
    yield url
    asyncio.run(postgres.drop_database(url))


def back_up(gateway: RunningGateway, file: Path) -> Path:
    done = command(gateway, "backup", str(file))
    assert done.returncode == 0, done.stderr
    return file


def restored(
    folder: Path, file: Path, config: str, store_url: str, in_flight: str = "resend"
) -> RunningGateway:
    """A gateway in a new folder that has what the file holds; not started yet."""
    folder.mkdir()
    environ = {"TRUNKLINE_STORE__URL": store_url} if store_url else {}
    gateway = RunningGateway(folder, config, environ)
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "restore", str(file), "--in-flight", in_flight],
        cwd=folder,
        env={**gateway.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return gateway


class Load:
    """Sends texts until `stop`, one after the other; `accepted` are those with a 201."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._client = gateway.client()
        self._stop = threading.Event()
        self.accepted: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            sent = self._client.messages.create(to=TO, from_=NUMBER, body="Hello")
            self.accepted.append(str(sent.sid))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_what_was_accepted_before_the_backup_reaches_its_end(
    start_gateway: StartGateway, start_carrier: StartCarrier, tmp_path: Path, store_url: str
) -> None:
    carrier = start_carrier("--receipt-delay", "0.1")
    config = carrier.config(tps=30)  # so that some wait and some are under way
    gateway = start_gateway(config)
    load = Load(gateway)
    wait_for(lambda: len(load.accepted) >= BEFORE, "the load runs")
    before = list(load.accepted)
    file = back_up(gateway, tmp_path / "file")
    wait_for(lambda: len(load.accepted) > len(before) + 10, "the load went on")
    load.stop()
    gateway.kill()
    following = restored(tmp_path / "following", file, config, store_url)
    following.start()
    try:
        assert following.account_sid == gateway.account_sid
        for sid in before:  # a receipt that came after the backup does not come again
            wait_for_status(following, sid, ["sent", "delivered"])
    finally:
        following.kill()


def test_texts_that_may_have_left_are_not_sent_again_when_they_are_held(
    start_gateway: StartGateway, start_carrier: StartCarrier, tmp_path: Path, store_url: str
) -> None:
    carrier = start_carrier("--receipt-delay", "0.1")
    config = carrier.config(tps=2, window=1)
    gateway = start_gateway(config)
    client = gateway.client()
    sent = [
        str(client.messages.create(to=f"{TO}{at}", from_=NUMBER, body="Hello").sid)
        for at in range(10)
    ]
    steer(gateway, "acme", "pause")  # so that most of them wait, however long the backup takes
    file = back_up(gateway, tmp_path / "file")
    under_way = [sid for sid in sent if status_of(gateway, sid) not in FINAL]
    steer(gateway, "acme", "resume")
    for sid in sent:
        wait_for_status(gateway, sid, ["delivered"])
    gateway.kill()
    count = len(carrier.lines("submit_sm"))
    following = restored(tmp_path / "following", file, config, store_url, "hold")
    following.start()
    try:
        steer(following, "acme", "resume")  # what the backup says of it holds here too
        fresh = following.client().messages.create(to="+447700900999", from_=NUMBER, body="New")
        wait_for_status(following, str(fresh.sid), ["delivered"])
        assert len(carrier.lines("submit_sm")) == count + 1
        statuses = {status_of(following, sid) for sid in under_way}
        assert "sending" in statuses and "queued" not in statuses
    finally:
        following.kill()


def test_callbacks_that_were_due_are_tried_again_with_their_tokens(
    start_gateway: StartGateway,
    start_carrier: StartCarrier,
    start_app: StartApp,
    tmp_path: Path,
    store_url: str,
) -> None:
    script = tmp_path / "script"
    script.write_text('[{"path": "/status", "replies": [{"status": 503}]}]')
    app = start_app("--script", str(script))
    config = start_carrier("--receipt-delay", "0.1").config()
    gateway = start_gateway(config)
    callback = app.url("/status")
    sent = gateway.client().messages.create(
        to=TO, from_=NUMBER, body="Hello", status_callback=callback
    )
    sid = str(sent.sid)
    wait_for_status(gateway, sid, ["delivered"])
    wait_for(lambda: len(tokens(app, sid)) == 2, "both callbacks were tried")
    file = back_up(gateway, tmp_path / "file")
    gateway.kill()
    tried = tokens(app, sid)
    take_everything(app)
    done = len(app.callbacks(sid))
    following = restored(tmp_path / "following", file, config, store_url)
    following.start()
    try:
        wait_for(lambda: len(app.callbacks(sid)) >= done + 2, "they are tried again")
        assert tokens(app, sid) == tried
    finally:
        following.kill()


def tokens(app: App, sid: str) -> set[str]:
    return {line["headers"]["I-Twilio-Idempotency-Token"] for line in app.callbacks(sid)}


def take_everything(app: App) -> None:
    request = urllib.request.Request(app.url("/script"), data=b"[]", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def test_texts_that_are_failed_are_told_to_the_app(
    start_gateway: StartGateway,
    carrier_that_is_away: str,
    app: App,
    tmp_path: Path,
    store_url: str,
) -> None:
    gateway = start_gateway(carrier_that_is_away)
    sent = gateway.client().messages.create(
        to=TO, from_=NUMBER, body="Hello", status_callback=app.url("/status")
    )
    file = back_up(gateway, tmp_path / "file")
    gateway.kill()
    following = restored(tmp_path / "following", file, carrier_that_is_away, store_url, "fail")
    following.start()
    try:
        (told,) = wait_for(lambda: app.callbacks(str(sent.sid)), "the app is told")
        assert told["params"]["MessageStatus"] == "failed"
        assert told["params"]["ErrorCode"] == "30008"
    finally:
        following.kill()


@pytest.fixture
def carrier_that_is_away(start_carrier: StartCarrier) -> str:
    carrier: Carrier = start_carrier()
    carrier.stop()
    return carrier.config()


def test_what_an_ended_gateway_left_is_backed_up_whole(
    start_gateway: StartGateway, start_carrier: StartCarrier, tmp_path: Path, store_url: str
) -> None:
    config = start_carrier("--receipt-delay", "0.1").config()
    gateway = start_gateway(config)
    create = gateway.client().messages.create
    sids = [create(to=TO, from_=NUMBER, body="Hello").sid for _ in range(5)]
    assert gateway.terminate() == 0
    made = command(gateway, "backup", str(tmp_path / "whole.backup"))
    assert made.returncode == 0 and "No gateway runs on" in made.stdout, made.stderr
    other = restored(tmp_path / "other", tmp_path / "whole.backup", config, store_url)
    other.start()
    try:
        for sid in sids:
            wait_for_status(other, sid, ["delivered"])
    finally:
        other.kill()


def test_a_restore_beside_a_running_gateway_is_refused(
    start_gateway: StartGateway, tmp_path: Path
) -> None:
    gateway = start_gateway()
    file = back_up(gateway, tmp_path / "file")
    done = command(gateway, "restore", str(file), "--replace")
    assert done.returncode == 1
    assert "in use by process" in done.stderr
    gateway.client().messages.create(to=TO, from_=NUMBER, body="it goes on")
