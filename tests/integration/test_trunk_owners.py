"""Several processes with the role voice on one PostgreSQL: each trunk is registered by one."""

import asyncio
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests import postgres
from tests.integration.gateway_process import command, get, steer, wait_for
from tests.running import RunningGateway

TAKEN_OVER_WITHIN = 60.0  # seconds; the machine may be slow
NAMES = ("acme", "beta")
LISTENS = {
    "TRUNKLINE_SIP__UDP": '["127.0.0.1:0"]',
    "TRUNKLINE_SIP__TCP": "[]",
    "TRUNKLINE_MEDIA__WORKERS": "1",
    "TRUNKLINE_DAEMON__LEASE": "4s",
}
CARRIER = """
[[domains]]
name = "carrier.example"
users = [{ username = "acme", password = "secret" }, { username = "beta", password = "secret" }]
"""
TRUNK = """
[[carriers]]
name = "{name}"
kind = "sip"
uri = "sip:127.0.0.1:{port}"
domain = "carrier.example"
register = true
username = "{name}"
password = "secret"
emergency = []
options_interval = "1s"
"""
_COPIED = ("via", "from", "to", "call-id", "cseq")
Start = Callable[..., RunningGateway]


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway at whose domain ours registers."""
    home = tmp_path / "carrier"
    home.mkdir()
    gateway = RunningGateway(home, CARRIER, LISTENS)
    yield gateway.start()
    gateway.kill()


@pytest.fixture
def start_role(tmp_path: Path, carrier: RunningGateway) -> Iterator[Start]:
    """Starts processes with a role on one store; all have trunks to the carrier."""
    url = asyncio.run(postgres.fresh_database())
    started: list[RunningGateway] = []
    port = str(carrier.ports["sip_udp"])
    config = "".join(TRUNK.replace("{name}", name).replace("{port}", port) for name in NAMES)

    def start(role: str) -> RunningGateway:
        home = tmp_path / f"{role}{len(started)}"
        home.mkdir()
        command = (sys.executable, "-m", "gateway", "serve", "--role", role)
        environ = {**LISTENS, "TRUNKLINE_STORE__URL": url}
        started.append(RunningGateway(home, config, environ, command))
        return started[-1].start()

    yield start
    for each in started:
        each.kill()
    asyncio.run(postgres.drop_database(url))


def registered_at(carrier: RunningGateway) -> dict[str, list[int]]:
    """The ports of ours that each trunk is registered with."""
    found: dict[str, list[int]] = {name: [] for name in NAMES}
    for each in get(carrier, "/v1/registrations")["registrations"]:
        port = int(each["source"].rpartition(":")[2])
        found[each["aor"].partition("@")[0]].append(port)
    return found


def registration(gateway: RunningGateway, name: str) -> Any:
    trunk = get(gateway, f"/v1/carriers/{name}")["trunk"]
    return trunk and trunk["registration"]


def is_registered(gateway: RunningGateway, name: str) -> bool:
    stands = registration(gateway, name)
    return bool(stands) and stands["state"] == "registered"


def test_a_trunk_is_shown_and_steered_by_a_process_that_has_none(
    start_role: Start, carrier: RunningGateway
) -> None:
    api = start_role("api")
    reason = get(api, "/v1/carriers/acme")["reason"]
    assert reason == "no process with the role voice serves it"
    start_role("voice")
    for name in NAMES:
        wait_for(lambda name=name: is_registered(api, name), f"{name} is registered")
    assert get(api, "/v1/carriers/acme")["state"] == "bound"
    shown = command(api, "carriers", "show", "acme").stdout
    assert f"registered at sip:127.0.0.1:{carrier.ports['sip_udp']}" in shown
    assert f"sip:127.0.0.1:{carrier.ports['sip_udp']} up" in shown
    assert steer(api, "acme", "drain")["state"] == "draining"
    wait_for(lambda: not registered_at(carrier)["acme"], "the registration is taken back")
    assert steer(api, "acme", "resume")["state"] != "draining"
    wait_for(lambda: registered_at(carrier)["acme"], "it registers again")


@pytest.mark.waiting
def test_trunks_are_spread_and_taken_over_from_one_that_died(
    start_role: Start, carrier: RunningGateway
) -> None:
    api, one = start_role("api"), start_role("voice")
    ours = one.ports["sip_udp"]
    wait_for(
        lambda: registered_at(carrier) == {name: [ours] for name in NAMES},
        "one process registers all",
    )
    other = start_role("voice")
    theirs = other.ports["sip_udp"]

    def shared() -> bool:
        found = sorted(port for ports in registered_at(carrier).values() for port in ports)
        return found == sorted((ours, theirs))

    wait_for(shared, "each registers one, which the other has taken back")
    steer(api, "beta", "pause")
    for gateway in (one, other):
        # Calls go by both from both, so both know what was ordered.
        assert wait_for(lambda gateway=gateway: paused(gateway, "beta"), "both have paused it")
    one.kill()
    wait_for(
        lambda: all(theirs in ports for ports in registered_at(carrier).values()),
        "the other registers both",
        within=TAKEN_OVER_WITHIN,
    )
    wait_for(
        lambda: all(is_registered(api, name) for name in NAMES),
        "and says so",
        within=TAKEN_OVER_WITHIN,
    )


def paused(gateway: RunningGateway, name: str) -> bool:
    """Whether a process places no calls by a trunk."""
    with urllib.request.urlopen(gateway.url + "/metrics", timeout=30) as response:
        page = response.read().decode()
    return f'trunkline_trunk_state{{carrier="{name}",state="paused"}} 1.0' in page


class Busy(threading.Thread):
    """A SIP peer that is busy; `calls` are the Call-IDs of those who called."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.calls: list[str] = []

    def run(self) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                self._answer(*self._socket.recvfrom(65_536))

    def _answer(self, octets: bytes, place: tuple[str, int]) -> None:
        # the port may have been another test's: its peers' last RTCP comes here too
        if octets.startswith(b"INVITE "):
            lines = octets.decode().split("\r\n")[1:]
            copied = [each for each in lines if each.partition(":")[0].lower() in _COPIED]
            self.calls.append(next(each for each in copied if each.lower().startswith("call-id")))
            answer = ("SIP/2.0 486 Busy Here", *copied, "Content-Length: 0", "", "")
            self._socket.sendto("\r\n".join(answer).encode(), place)

    def close(self) -> None:
        self._socket.close()


def test_a_call_that_one_process_promises_is_made_by_one_that_carries_calls(
    start_role: Start,
) -> None:
    peer = Busy()
    peer.start()
    api = start_role("api")
    made = api.client().calls.create(
        to=f"sip:bob@127.0.0.1:{peer.port}", from_="+15550001000", twiml="<Response/>"
    )
    assert made.status == "queued"
    assert peer.calls == []
    start_role("voice")
    start_role("voice")

    def over() -> bool:
        return bool(api.client().calls(made.sid).fetch().status == "busy")

    wait_for(over, "it is made")
    assert len(set(peer.calls)) == 1
    peer.close()
