"""The life of `trunkline serve`: it gets ready, drains, ends in time, and goes on where it was."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from twilio.base.exceptions import TwilioRestException

from tests.conftest import StartGateway
from tests.integration.conftest import StartApp, StartCarrier
from tests.integration.gateway_process import (
    NUMBER,
    ROOT,
    App,
    carrier_config,
    handset,
    status_of,
    wait_for,
    wait_for_status,
)
from tests.ports import free_port
from tests.running import END_WITHIN, RunningGateway, children_of

TO = "+447700900123"
UNANSWERED = "+447700900007"  # the carrier answers after the response timeout of 10 s
AT_ONCE = 40.0  # seconds: nothing of a drain of 60
PATIENT = '[daemon]\ndrain = "60s"\n'


def send(gateway: RunningGateway, to: str = TO, body: str = "Hello", callback: str = "") -> str:
    """Text a number; the SID."""
    extra = {"status_callback": callback} if callback else {}
    return str(gateway.client().messages.create(to=to, from_=NUMBER, body=body, **extra).sid)


def is_ready(gateway: RunningGateway) -> bool:
    """Whether a load balancer would send it traffic."""
    try:
        with urllib.request.urlopen(f"{gateway.url}/readyz", timeout=30) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


@pytest.mark.waiting
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_gateway_at_once(
    start_gateway: StartGateway, number: signal.Signals
) -> None:
    gateway = start_gateway(PATIENT)
    began = time.monotonic()
    assert gateway.terminate(number) == 0
    assert time.monotonic() - began < AT_ONCE
    assert not (gateway.data / "ports.json").exists()  # nobody is to ask there
    log = gateway.log.read_text()
    assert "Traceback" not in log
    assert "no bind" not in log  # the simulated carrier ends after its binds


@pytest.mark.waiting
def test_what_is_in_flight_has_until_the_drain_ends_and_goes_on_after_the_restart(
    start_gateway: StartGateway, start_carrier: StartCarrier, start_app: StartApp, tmp_path: Path
) -> None:
    gateway = start_gateway(start_carrier("--receipt-delay", "0.1").config())
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"path": "*", "replies": [{"delay": 60}, {}]}]))
    app = start_app("--script", str(rules))
    in_flight = send(gateway, UNANSWERED)
    untold = send(gateway, callback=app.url("/status"))
    wait_for(lambda: app.lines(), "a callback hangs at the app")
    wait_for_status(gateway, in_flight, ["sending"])

    began = time.monotonic()
    assert gateway.terminate() == 0
    assert 4.0 < time.monotonic() - began < END_WITHIN
    assert "Traceback" not in gateway.log.read_text()

    gateway.start()
    wait_for_status(gateway, in_flight, ["delivered"])
    told = wait_for(
        lambda: [each for each in app.callbacks(untold)[1:] if each["params"]], "it is told again"
    )
    tokens = [each["headers"]["I-Twilio-Idempotency-Token"] for each in app.callbacks(untold)]
    assert told[0]["params"]["MessageStatus"] == "sent"
    assert tokens[0] == tokens[1]


@pytest.mark.waiting
def test_while_it_drains_it_is_not_ready_and_a_second_signal_ends_it_at_once(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway(PATIENT)
    process = gateway.process
    assert process is not None and is_ready(gateway)
    sid = send(gateway, UNANSWERED)
    wait_for_status(gateway, sid, ["sending"])
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "draining" in gateway.log.read_text(), "it says that it drains")
    wait_for(lambda: not is_ready(gateway), "it is not ready any more")
    with pytest.raises(urllib.error.HTTPError) as unready:
        urllib.request.urlopen(f"{gateway.url}/readyz", timeout=30)
    assert unready.value.status == 503
    assert b"draining" in unready.value.read()
    with pytest.raises(TwilioRestException) as refused:
        gateway.client().messages.create(to=UNANSWERED, from_="+15550001000", body="too late")
    assert refused.value.status == 503
    assert process.poll() is None

    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(END_WITHIN) != 0
    assert time.monotonic() - began < AT_ONCE


def test_a_second_process_is_told_who_holds_the_data_folder(
    running_gateway: RunningGateway, app: App
) -> None:
    gateway = running_gateway
    assert gateway.process is not None
    # The ports are taken as well, which is no news: one thing is wrong.
    address = gateway.url.removeprefix("http://")
    second = RunningGateway(gateway.home, environ={"TRUNKLINE_HTTP__LISTEN": address})
    with pytest.raises(AssertionError, match="ended at its start") as refused:
        second.start()
    assert second.process is not None and second.process.returncode == 1
    assert f"in use by process {gateway.process.pid} on" in str(refused.value)
    assert "is taken by another program" not in str(refused.value)
    assert "Traceback" not in str(refused.value)
    # `second` shares the folder, and with it the file of the ports; the first has its own.
    wait_for_status(gateway, send(gateway), ["delivered"])


@pytest.mark.parametrize("section", ["http", "smpp"])
def test_a_taken_port_is_told_before_anything_is_started(tmp_path: Path, section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        gateway = RunningGateway(
            tmp_path, environ={f"TRUNKLINE_{section.upper()}__LISTEN": address}
        )
        with pytest.raises(AssertionError, match="ended at its start") as refused:
            gateway.start()
    assert gateway.process is not None and gateway.process.returncode == 1
    assert f"trunkline: [{section}] listen {address} is taken" in str(refused.value)
    assert "Traceback" not in str(refused.value)
    assert not list(gateway.data.glob("simulator-*"))


def test_what_was_queued_leaves_after_the_restart(
    start_gateway: StartGateway, start_carrier: StartCarrier, app: App
) -> None:
    port = free_port()
    gateway = start_gateway(carrier_config(port))
    sids = [send(gateway, body=f"text {n}", callback=app.url("/status")) for n in range(5)]
    assert {status_of(gateway, sid) for sid in sids} == {"queued"}
    assert gateway.terminate() == 0

    carrier = start_carrier("--port", str(port))
    gateway.start()
    for sid in sids:
        wait_for_status(gateway, sid, ["delivered"])
        wait_for(lambda s=sid: len(app.callbacks(s)) == 2, "its callbacks")
    assert sorted(line["body"] for line in carrier.lines("text")) == [f"text {n}" for n in range(5)]


def test_the_simulated_carrier_ends_with_a_gateway_that_is_killed(
    running_gateway: RunningGateway,
) -> None:
    process = running_gateway.process
    assert process is not None
    children = children_of(process.pid)
    assert any(b"sims" in Path(f"/proc/{each}/cmdline").read_bytes() for each in children)
    running_gateway.kill()
    wait_for(lambda: not any(map(is_running, children)), "the simulator ends")


def is_running(pid: int) -> bool:
    """Whether the process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_handsets_and_texts_survive_a_restart_of_the_gateway_alone(
    start_gateway: StartGateway, start_carrier: StartCarrier
) -> None:
    carrier = start_carrier()
    gateway = start_gateway(carrier.config())
    sid = send(gateway)
    wait_for_status(gateway, sid, ["delivered"])
    account = gateway.account_sid
    assert gateway.terminate() == 0
    gateway.start()
    assert gateway.account_sid == account
    assert status_of(gateway, sid) == "delivered"
    assert len(carrier.lines("submit_sm")) == 1


BAD = """
[http]
listn = "127.0.0.1:0"
[messages]
max_body = "many"
[[carriers]]
name = "acme"
kind = "smpp"
port = 70000
"""


@pytest.mark.parametrize("name", ["serve", "check"])
def test_a_bad_config_is_refused_with_everything_that_is_wrong(tmp_path: Path, name: str) -> None:
    (tmp_path / "trunkline.toml").write_text(BAD)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", name],
        cwd=tmp_path,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    for words in ("listn", "listen", "max_body", "many"):
        assert words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "var").exists()


def test_the_first_start_keeps_its_credentials_to_itself(running_gateway: RunningGateway) -> None:
    path = running_gateway.data / "credentials.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert running_gateway.auth_token not in running_gateway.log.read_text()
    assert handset(running_gateway, TO) == []
