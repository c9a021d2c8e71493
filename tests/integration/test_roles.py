"""Several processes on one PostgreSQL: each text, callback and carrier has one owner among them."""

import asyncio
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException

from tests import postgres
from tests.integration.conftest import StartCarrier
from tests.integration.gateway_process import (
    NUMBER,
    App,
    command,
    get,
    status_of,
    steer,
    wait_for,
    wait_for_status,
)
from tests.running import RunningGateway

TO = "+447700900123"
TAKEN_OVER_WITHIN = 60.0  # seconds; the machine may be slow
SHORT = {"TRUNKLINE_DAEMON__LEASE": "4s"}
Start = Callable[..., RunningGateway]


@pytest.fixture
def start_role(tmp_path: Path) -> Iterator[Start]:
    """Starts processes with some roles on one store."""
    url = asyncio.run(postgres.fresh_database())
    started: list[RunningGateway] = []

    def start(role: str, config: str, **environ: str) -> RunningGateway:
        home = tmp_path / f"{role}{len(started)}"
        home.mkdir()
        command = (sys.executable, "-m", "gateway", "serve", "--role", role)
        environ = {"TRUNKLINE_STORE__URL": url, **environ}
        started.append(RunningGateway(home, config, environ, command))
        return started[-1].start()

    yield start
    for each in started:
        each.kill()
    asyncio.run(postgres.drop_database(url))


def carrier_state(gateway: RunningGateway, name: str = "acme") -> str:
    return str(get(gateway, f"/v1/carriers/{name}")["state"])


def send(gateway: RunningGateway, body: str = "Hello", **options: Any) -> Any:
    return gateway.client().messages.create(to=TO, from_=NUMBER, body=body, **options)


def test_a_text_goes_through_three_processes_and_its_app_is_told_in_order(
    start_role: Start, start_carrier: StartCarrier, app: App
) -> None:
    config = start_carrier().config()
    api = start_role("api", config)
    start_role("smpp", config)
    start_role("core", config)
    wait_for(lambda: carrier_state(api) == "bound", "the carrier is bound")
    message = send(api, status_callback=app.url("/status"))
    assert message.status == "queued"
    wait_for_status(api, message.sid, ["delivered"])
    told = wait_for(lambda: len(app.callbacks(message.sid)) >= 2 and app.callbacks(message.sid), "")
    assert [each["params"]["MessageStatus"] for each in told] == ["sent", "delivered"]


def test_all_processes_have_one_main_account_and_one_first_number(
    start_role: Start, start_carrier: StartCarrier
) -> None:
    config = start_carrier().config()
    one, other = start_role("api", config), start_role("all", config)
    assert one.credentials == other.credentials
    path = f"/2010-04-01/Accounts/{one.account_sid}/IncomingPhoneNumbers.json"
    for gateway in (one, other):
        numbers = get(gateway, path)["incoming_phone_numbers"]
        assert [each["phone_number"] for each in numbers] == [NUMBER]


@pytest.mark.waiting
def test_a_killed_owner_is_followed_by_another_and_nothing_is_lost(
    start_role: Start, start_carrier: StartCarrier
) -> None:
    carrier = start_carrier("--receipt-delay", "0.1")
    config = carrier.config()
    api = start_role("api", config, **SHORT)
    owner = start_role("smpp", config, **SHORT)
    wait_for(lambda: carrier_state(api) == "bound", "the carrier is bound")
    start_role("smpp", config, **SHORT)
    before = [send(api, f"before {at}") for at in range(20)]
    owner.kill()
    after = [send(api, f"after {at}") for at in range(20)]
    for message in (*before, *after):
        wait_for_status(api, message.sid, ["delivered"], within=TAKEN_OVER_WITHIN)


@pytest.mark.waiting
def test_an_owner_that_was_stopped_for_too_long_writes_nothing_more_and_ends(
    start_role: Start, start_carrier: StartCarrier
) -> None:
    config = start_carrier("--receipt-delay", "0.1").config()
    api = start_role("api", config, **SHORT)
    owner = start_role("smpp", config, **SHORT)
    wait_for(lambda: carrier_state(api) == "bound", "the carrier is bound")
    other = start_role("smpp", config, **SHORT)
    assert owner.process is not None
    os.kill(owner.process.pid, signal.SIGSTOP)
    meanwhile = [send(api, f"meanwhile {at}") for at in range(10)]
    for message in meanwhile:
        wait_for_status(api, message.sid, ["delivered"], within=TAKEN_OVER_WITHIN)
    os.kill(owner.process.pid, signal.SIGCONT)
    assert owner.process.wait(30) == 75
    assert "others took over" in owner.log.read_text()
    last = send(api, "after all")
    wait_for_status(api, last.sid, ["delivered"])
    assert other.process is not None and other.process.poll() is None


def test_carriers_are_spread_and_move_when_a_process_goes_in_order(
    start_role: Start, start_carrier: StartCarrier
) -> None:
    carriers = {name: start_carrier("--receipt-delay", "0.1") for name in ("acme", "beta")}
    config = "".join(carrier.config(name=name) for name, carrier in carriers.items())
    api = start_role("api", config)
    one = start_role("smpp", config)
    for name in ("acme", "beta"):
        wait_for(lambda name=name: carrier_state(api, name) == "bound", f"{name} is bound")
    other = start_role("smpp", config)

    def served(gateway: RunningGateway) -> int:
        metrics = get_text(gateway, "/metrics")
        return sum(
            line.endswith(" 1.0") and 'state="bound"' in line
            for line in metrics.splitlines()
            if line.startswith("trunkline_carrier_state")
        )

    wait_for(lambda: (served(one), served(other)) == (1, 1), "each has one carrier")
    messages = [send(api, f"text {at}") for at in range(10)]
    assert one.terminate() == 0
    wait_for(lambda: served(other) == 2, "the other has both carriers")
    for message in messages:
        wait_for_status(api, message.sid, ["delivered"])
    seen = [line for carrier in carriers.values() for line in carrier.lines("submit_sm")]
    assert len(seen) == len(messages), "a carrier that is handed over in order sees no copies"


def test_what_one_process_is_told_another_does(
    start_role: Start, start_carrier: StartCarrier
) -> None:
    carrier = start_carrier("--receipt-delay", "0.1")
    config = carrier.config()
    api = start_role("api", config)
    start_role("smpp", config)
    wait_for(lambda: carrier_state(api) == "bound", "the carrier is bound")
    assert steer(api, "acme", "pause")["state"] == "paused"
    assert refusal(api) == 21612, "a paused carrier takes nothing new"
    assert steer(api, "acme", "resume")["state"] == "bound"
    sent = send(api, "a secret")
    wait_for_status(api, sent.sid, ["delivered"])
    api.client().messages(sent.sid).update(body="")
    assert api.client().messages(sent.sid).fetch().body == ""


def test_a_process_wants_only_the_ports_of_its_roles(
    start_role: Start, start_carrier: StartCarrier
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        core = start_role("core", start_carrier().config(), TRUNKLINE_SMPP__LISTEN=taken)
        assert set(core.ports) == {"http"}
        answer = command(core, "messages", "list")
        assert answer.returncode == 1 and "this process has no role api" in answer.stderr


def test_a_text_that_waits_at_another_process_can_be_canceled(
    start_role: Start, start_carrier: StartCarrier
) -> None:
    carrier = start_carrier()
    config = carrier.config(tps=1, window=1)
    api = start_role("api", config)
    start_role("smpp", config)
    wait_for(lambda: carrier_state(api) == "bound", "the carrier is bound")
    sent = [send(api, f"text {at}") for at in range(6)]
    last = sent[-1]
    canceled = api.client().messages(last.sid).update(status="canceled")
    assert canceled.status == "canceled"
    wait_for_status(api, sent[-2].sid, ["delivered"])
    assert status_of(api, last.sid) == "canceled"
    assert len(carrier.lines("submit_sm")) == 5


def get_text(gateway: RunningGateway, path: str) -> str:
    with urllib.request.urlopen(gateway.url + path, timeout=30) as response:
        return str(response.read().decode())


def refusal(gateway: RunningGateway) -> int:
    """The error code with which a text is refused; 0 if it is taken."""
    try:
        send(gateway)
    except TwilioRestException as error:
        return int(error.code)
    return 0
