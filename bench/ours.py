"""Trunkline as `bench/sms.py` starts it: default configuration, one SMPP carrier, window 100."""

import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from processes import Process

ACCOUNT, TOKEN = "AC" + "0" * 32, "0" * 32
_CONFIG = """
[http]
listen = "127.0.0.1:0"

[smpp]
listen = ""

[webhooks]
message_states = "{states}"

[[carriers]]
name = "sink"
kind = "smpp"
host = "127.0.0.1"
port = {port}
system_id = "bench"
password = "bench"
window = 100
"""


class Ours:
    """A running gateway."""

    name = "trunkline, SQLite, fsync"

    def __init__(self, process: Process, port: int) -> None:
        self._process = process
        self._port = port

    def load(self, peers: Any) -> list[str]:
        callback = quote(f"http://127.0.0.1:{peers.receiver.stats()['port']}/status", safe="")
        body = f"To=%2B15551230009&From=%2B15550001000&Body=msg+@N@&StatusCallback={callback}"
        return [
            "--port",
            str(self._port),
            "--path",
            f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json",
            "--user",
            f"{ACCOUNT}:{TOKEN}",
            "--body",
            body,
        ]

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu(self) -> float:
        return self._process.cpu()

    def memory(self) -> float:
        return self._process.memory()

    def end(self) -> None:
        self._process.end()


def start(
    folder: Path, peers: Any, callbacks: int, launcher: tuple[str, ...] = ("-m", "gateway")
) -> Ours:
    config, data = folder / "trunkline.toml", folder / "data"
    states = "all" if callbacks == 2 else "final"
    config.write_text(_CONFIG.format(port=peers.sink.stats()["port"], states=states))
    process = Process(
        [sys.executable, *launcher, "serve", "--config", str(config), "--data", str(data)],
        log=folder / "trunkline.log",
        environ={"TRUNKLINE_ACCOUNT_SID": ACCOUNT, "TRUNKLINE_AUTH_TOKEN": TOKEN},
    )
    return Ours(process, wait_until_ready(process, data / "ports.json", folder / "trunkline.log"))


def wait_until_ready(process: Process, ports: Path, log: Path) -> int:
    """Where the gateway listens, once it takes traffic; `ports` is the file that it writes."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.running():
        if ports.exists():
            port: int = json.loads(ports.read_text())["http"]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                return port
            except OSError:
                pass
        time.sleep(0.1)
    raise SystemExit("the gateway did not start:\n" + log.read_text())
