"""A gateway as a child of a test run, and REST to it without any SDK."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

__tracebackhide__ = True  # a failure is shown where the test asked

LOOK_EVERY: Final = 0.03  # seconds
_READY_WITHIN: Final = 60.0
_END_WITHIN: Final = 30.0
_ANSWER_WITHIN: Final = 60.0
_LOG_LINES: Final = 40

# Free ports, and no more to drain than a test run has.
_SETTINGS: Final = {
    "TRUNKLINE_HTTP__LISTEN": "127.0.0.1:0",
    "TRUNKLINE_SMPP__LISTEN": "127.0.0.1:0",
    "TRUNKLINE_SIP__UDP": '["127.0.0.1:0"]',
    "TRUNKLINE_SIP__TCP": "[]",
    "TRUNKLINE_DAEMON__DRAIN": "1s",
    # An app that went with its test is not asked again.
    "TRUNKLINE_WEBHOOKS__RETRY_FOR": "0s",
}

T = TypeVar("T")


class GatewayError(AssertionError):
    """The gateway refused something, or does not run; the text says what it said."""


def wait_for(found: Callable[[], T | None], within: float) -> T | None:
    """The first answer of `found` that is neither None nor empty; None if there is none in time."""
    deadline = time.monotonic() + within
    while not (value := found()):
        if time.monotonic() > deadline:
            return None
        time.sleep(LOOK_EVERY)
    return value


class Door:
    """REST of a gateway: `url`, and what proves who asks; `log` is what it prints."""

    def __init__(
        self, url: str, account_sid: str, auth_token: str, log: Path | None = None
    ) -> None:
        self.url = url
        self.log = log
        self.known_notes: frozenset[str] = frozenset()  # notifications of tests that are over
        self.account_sid = account_sid
        self.auth_token = auth_token
        self._proof = b64encode(f"{account_sid}:{auth_token}".encode()).decode()

    @property
    def account(self) -> str:
        """The path of the account's resources."""
        return f"/2010-04-01/Accounts/{self.account_sid}"

    def ask(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        content: object = None,
    ) -> Any:
        """What is answered, from JSON; `form` or `content` is sent. Raises `GatewayError`."""
        headers, body = {"Authorization": f"Basic {self._proof}"}, None
        if form is not None:
            body = urllib.parse.urlencode(form).encode()
        elif content is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_WITHIN) as response:
                answer = response.read()
        except urllib.error.HTTPError as refused:
            with refused:
                said = refused.read().decode("utf-8", "replace")
            raise GatewayError(f"{method} {path}: {refused.code} {said}") from None
        except OSError as error:
            raise GatewayError(f"{method} {path}: the gateway does not answer: {error}") from None
        return json.loads(answer) if answer else None


class GatewayProcess:
    """`trunkline serve` in `folder`, with its data there; `settings` are variables."""

    def __init__(self, folder: Path, config: Path | None, settings: Mapping[str, str]) -> None:
        self.data = folder / "var"
        self.log = folder / "gateway.log"
        self._folder = folder
        self._config = config
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TRUNKLINE_")}
        here = {"TRUNKLINE_DATA": str(self.data)}
        self._environ = {**inherited, **_SETTINGS, **here, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Door:
        """Start it and wait until it is ready. Raises `GatewayError` with what it printed."""
        command = [sys.executable, "-m", "gateway", "serve"]
        if self._config is not None:
            command += ["--config", str(self._config.absolute())]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        door = wait_for(self._ready, _READY_WITHIN)
        if door is None:
            self.stop()
            raise GatewayError(f"the gateway was not ready in time:\n{self.printed()}")
        return door

    def stop(self) -> None:
        """Ask it to end, and see to it."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def printed(self) -> str:
        """The last of what it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def _ready(self) -> Door | None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise GatewayError(f"the gateway ended at its start:\n{self.printed()}")
        try:
            ports = json.loads((self.data / "ports.json").read_text())
            url = f"http://127.0.0.1:{ports['http']}"
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                known = json.loads((self.data / "credentials.json").read_text())
        except urllib.error.HTTPError as not_yet:
            not_yet.close()
            return None
        except (OSError, ValueError):
            return None
        return Door(url, known["account_sid"], known["auth_token"], self.log)
