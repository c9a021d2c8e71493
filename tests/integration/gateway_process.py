"""What stands around a gateway process in tests: simulators as children, and ways to wait.

Gateways and simulators meet over sockets only. Nothing here sleeps for luck: a condition is
looked at until it holds, or until a limit that no healthy machine needs.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from tests.running import NO_AUTHORITIES, RunningGateway

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "+15550001000"  # what the first start gives the account
FINAL = frozenset({"delivered", "undelivered", "failed", "canceled"})
WITHIN = 60.0  # seconds
LOOK_EVERY = 0.02

T = TypeVar("T")


def wait_for(found: Callable[[], T | None], what: str, within: float = WITHIN) -> T:
    """The first answer of `found` that is neither None nor empty."""
    deadline = time.monotonic() + within
    while not (value := found()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(LOOK_EVERY)
    return value


class Simulator:
    """`python -m sims NAME …` as a child, with a ledger in `folder`."""

    def __init__(self, folder: Path, name: str, *options: str) -> None:
        self.ledger = folder / f"{name}.ledger"
        self._ready = folder / f"{name}.ready"
        self._log = folder / f"{name}.log"
        self._command = [
            *(sys.executable, "-m", "sims", name),
            *("--ready-file", str(self._ready), "--ledger", str(self.ledger)),
            *("--parent-pid", str(os.getpid())),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.ports: dict[str, int] = {}

    def start(self) -> "Simulator":
        """Start it and wait until it listens."""
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**os.environ, **NO_AUTHORITIES},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._process = process

        def listens() -> bool:
            assert process.poll() is None, f"a simulator ended:\n{self._log.read_text()}"
            return self._ready.exists()

        wait_for(listens, f"{self._ready} is written")
        self.ports = json.loads(self._ready.read_text())
        return self

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it wrote down, or only the lines of one `event`; a line under way is left out."""
        if not self.ledger.exists():
            return []
        whole = self.ledger.read_text().rpartition("\n")[0]
        found = [json.loads(line) for line in whole.splitlines()]
        return [line for line in found if event is None or line.get("event") == event]

    def stop(self) -> None:
        """End it, by force if it does not go."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Carrier(Simulator):
    """A simulated carrier that the gateway reaches as it reaches any: by host and port."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder, "smsc", *options)

    def config(self, **keys: object) -> str:
        """Its table in the config file, with more `keys`."""
        return carrier_config(self.ports["smpp"], **keys)


class App(Simulator):
    """A customer's app: takes callbacks, answers texts."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder, "webapp", *options)

    def url(self, path: str) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.ports['http']}{path}"

    def callbacks(self, sid: str) -> list[dict[str, Any]]:
        """The requests about one message, oldest first."""
        return [line for line in self.lines() if line["params"].get("MessageSid") == sid]


def carrier_config(port: int, **keys: object) -> str:
    """A table of a carrier on this machine; values are written as JSON, which TOML reads."""
    given = {"name": "acme", "kind": "smpp", "system_id": "trunkline", "port": port, **keys}
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())
    return f"[[carriers]]\n{lines}"


def status_of(gateway: RunningGateway, sid: str) -> str:
    """The state of a message as REST tells it."""
    status = get(gateway, f"/2010-04-01/Accounts/{gateway.account_sid}/Messages/{sid}.json")
    return str(status["status"])


def wait_for_status(
    gateway: RunningGateway, sid: str, wanted: Sequence[str] = (), within: float = WITHIN
) -> str:
    """The first state of the message that is in `wanted` (default: a final one)."""
    states = wanted or FINAL
    seen = ""

    def reached() -> str | None:
        nonlocal seen
        seen = status_of(gateway, sid)
        return seen if seen in states else None

    try:
        return wait_for(reached, f"{sid} is {' or '.join(states)}", within)
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {seen}\n{gateway.log.read_text()}") from None


def timeline(gateway: RunningGateway, sid: str) -> dict[str, Any]:
    """All that is known of a message."""
    found: dict[str, Any] = get(gateway, f"/v1/messages/{sid}/timeline")
    return found


def handset(gateway: RunningGateway, number: str) -> list[dict[str, Any]]:
    """What arrived on a handset of the gateway's own simulated carrier."""
    found: list[dict[str, Any]] = get(gateway, f"/sim/handsets/{quote(number)}/messages")
    return found


def text_in(gateway: RunningGateway, number: str, to: str, body: str) -> dict[str, Any]:
    """Text in from a handset; returns when the gateway has answered for every part."""
    path = f"/sim/handsets/{quote(number)}/messages"
    content = json.dumps({"to": to, "body": body}).encode()
    request = request_of(gateway, path, content)
    request.add_header("Content-Type", "application/json")
    return _json(request)


def get(gateway: RunningGateway, path: str) -> Any:
    """The JSON at `path`, asked as the main account."""
    return _json(request_of(gateway, path))


def steer(gateway: RunningGateway, carrier: str, command: str) -> Any:
    """What POST /v1/carriers/<carrier>/<command> answers."""
    return _json(request_of(gateway, f"/v1/carriers/{carrier}/{command}", b""))


def request_of(
    gateway: RunningGateway, path: str, content: bytes | None = None
) -> urllib.request.Request:
    request = urllib.request.Request(gateway.url + path, data=content)
    credentials = f"{gateway.account_sid}:{gateway.auth_token}".encode()
    request.add_header("Authorization", f"Basic {b64encode(credentials).decode()}")
    return request


def _json(request: urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=WITHIN) as response:
        return json.load(response)


def command(gateway: RunningGateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of `trunkline`, run where the gateway was started."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=gateway.home,
        env={**inherited, "TRUNKLINE_DATA": str(gateway.data), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
