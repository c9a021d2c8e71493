"""SIGHUP takes what the file owns, and drops neither binds nor what was accepted."""

import base64
import json
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.conftest import StartGateway
from tests.integration.gateway_process import ROOT
from tests.running import RunningGateway

BEFORE = '[[carriers]]\nname = "one"\nkind = "simulated"\n'
AFTER = (
    BEFORE
    + """
[[carriers]]
name = "two"
kind = "simulated"

[[routes]]
prefix = "+44"
carriers = ["two"]

[[routes]]
prefix = ""
carriers = ["one"]

[[numbers]]
number = "+442071838750"

[[domains]]
name = "office.example"
users = [{ username = "alice", password = "secret" }]
"""
)


def get(gateway: RunningGateway, path: str) -> Any:
    token = base64.b64encode(f"{gateway.account_sid}:{gateway.auth_token}".encode()).decode()
    request = urllib.request.Request(
        gateway.url + path, headers={"Authorization": f"Basic {token}"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def wait_for(gateway: RunningGateway, said: str) -> None:
    deadline = time.monotonic() + 60
    while said not in gateway.log.read_text():
        assert time.monotonic() < deadline, gateway.log.read_text()
        time.sleep(0.02)


def reload(gateway: RunningGateway, config: str) -> None:
    assert gateway.process is not None
    (gateway.home / "trunkline.toml").write_text(config)
    gateway.process.send_signal(signal.SIGHUP)


def test_carriers_routes_and_numbers_are_taken(start_gateway: StartGateway) -> None:
    gateway = start_gateway(BEFORE)
    wait_for(gateway, "bound")
    bound_once = gateway.log.read_text().count(" bound ")
    reload(gateway, AFTER)
    wait_for(gateway, "the config file was reloaded")
    assert get(gateway, "/v1/route?to=%2B447700900123")["candidates"] == ["two"]
    assert get(gateway, "/v1/route?to=%2B15551230009")["candidates"] == ["one"]
    numbers = gateway.client().incoming_phone_numbers.list()
    assert "+442071838750" in [number.phone_number for number in numbers]
    [domain] = gateway.client().sip.domains.list()
    assert (domain.domain_name, domain.auth_type) == ("office.example", "CREDENTIAL_LIST")
    [users] = gateway.client().sip.credential_lists.list()
    [user] = gateway.client().sip.credential_lists(users.sid).credentials.list()
    assert user.username == "alice"
    sent = gateway.client().messages.create(
        to="+447700900123", from_="+442071838750", body="after the reload"
    )
    deadline = time.monotonic() + 60
    while gateway.client().messages(sent.sid).fetch().status != "delivered":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    log = gateway.log.read_text()
    assert log.count(" bound ") == bound_once + 1, "the first bind stayed up"
    assert "bind ended" not in log
    assert gateway.terminate() == 0


def test_a_file_that_is_wrong_changes_nothing(start_gateway: StartGateway) -> None:
    gateway = start_gateway(BEFORE)
    reload(gateway, AFTER.replace("carriers = [", "carirers = ["))
    wait_for(gateway, "the config stays as it was")
    assert "did you mean carriers" in gateway.log.read_text()
    assert get(gateway, "/v1/route?to=%2B447700900123")["candidates"] == ["one"]
    reload(gateway, BEFORE + '[http]\nlisten = "127.0.0.1:1"\n' + "[daemon]\ndrain = '1s'\n")
    wait_for(gateway, "needs a restart")
    wait_for(gateway, "sections=daemon")
    assert gateway.terminate() == 0


def test_a_signal_that_comes_while_it_starts_is_not_its_end(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.integration.slow_recovery", "serve")
    gateway = RunningGateway(tmp_path, BEFORE, {"PYTHONPATH": str(ROOT)}, command)

    def tell() -> None:
        while not (gateway.data / "trunkline.db").exists():  # then it has long begun
            time.sleep(0.01)
        assert gateway.process is not None
        (tmp_path / "trunkline.toml").write_text(AFTER)
        gateway.process.send_signal(signal.SIGHUP)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        gateway.start()
        teller.join()
        wait_for(gateway, "the config file was reloaded")
        assert get(gateway, "/v1/route?to=%2B447700900123")["candidates"] == ["two"]
        assert gateway.terminate() == 0
    finally:
        gateway.kill()
