"""A gateway as a child process, as a person starts it: for tests from the outside.

Ports are free ones, the data folder is the test's; what the gateway prints goes to a file there.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READY_WITHIN = 120.0
END_WITHIN = 60.0  # after SIGTERM; the drain is 5 s, and the machine may be slow


# What has no calls needs no media workers, and takes no port that others want.
NO_CALLS = {"TRUNKLINE_SIP__UDP": "[]", "TRUNKLINE_SIP__TCP": "[]"}


# Nobody that a test meets is vouched for by the authorities that the system knows, and each start
# would read them twice.
NO_AUTHORITIES = {"SSL_CERT_FILE": os.devnull}


class RunningGateway:
    """`trunkline serve` with `config` (TOML) in the folder `home`."""

    def __init__(
        self,
        home: Path,
        config: str = "",
        environ: Mapping[str, str] | None = None,
        command: tuple[str, ...] = (sys.executable, "-m", "gateway", "serve"),
    ) -> None:
        self.home = home
        self.data = home / "var"
        self.log = home / "gateway.log"
        (home / "trunkline.toml").write_text(config)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
        self.environ = {
            **inherited,
            **NO_AUTHORITIES,
            "TRUNKLINE_DATA": str(self.data),
            "TRUNKLINE_HTTP__LISTEN": "127.0.0.1:0",
            "TRUNKLINE_SMPP__LISTEN": "127.0.0.1:0",
            **NO_CALLS,
            **(environ or {}),
        }
        self._command = command
        self.process: subprocess.Popen[bytes] | None = None
        self.ports: dict[str, int] = {}
        self.credentials: dict[str, str] = {}

    def start(self) -> "RunningGateway":
        """Start it and wait until it is ready; fails with its output if it ends before."""
        (self.data / "ports.json").unlink(missing_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.home,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + READY_WITHIN
        while not self._is_ready():
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended at its start:\n{self.log.read_text()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the gateway was not ready:\n{self.log.read_text()}")
            time.sleep(0.02)
        self.credentials = json.loads((self.data / "credentials.json").read_text())
        return self

    def _is_ready(self) -> bool:
        try:
            self.ports = json.loads((self.data / "ports.json").read_text())
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=30) as response:
                return bool(response.status == 200)
        except urllib.error.HTTPError as not_yet:
            not_yet.close()
            return False
        except (OSError, ValueError):
            return False

    @property
    def url(self) -> str:
        """Where REST is served."""
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def account_sid(self) -> str:
        """The main account."""
        return self.credentials["account_sid"]

    @property
    def auth_token(self) -> str:
        """Its token."""
        return self.credentials["auth_token"]

    def client(self) -> Any:
        """The official SDK, with nothing set but its base URL."""
        from twilio.rest import Client

        client = Client(self.account_sid, self.auth_token)
        client.api.base_url = self.url
        return client

    def terminate(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit status. Fails if it does not."""
        assert self.process is not None
        self.process.send_signal(sent)
        try:
            return self.process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()
            text = self.log.read_text()
            raise AssertionError(f"it did not end within {END_WITHIN} s:\n{text}") from None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started: of a gateway, its media workers and its store's writer."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(pid: int) -> list[int]:
    """The media workers of the gateway `pid`."""
    return [
        each
        for each in children_of(pid)
        if b"gateway.media.worker" in Path(f"/proc/{each}/cmdline").read_bytes().split(b"\0")
    ]
