"""Sinks of the config, of a gateway that is killed: each fact comes, and is known by its id."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from tests.integration.conftest import StartCarrier
from tests.integration.gateway_process import NUMBER, get, wait_for, wait_for_status
from tests.integration.test_roles import get_text
from tests.running import RunningGateway

TO = "+447700900123"


class Receiving:
    """A receiver of facts: answers with `status`, keeps what it took and how it was signed."""

    def __init__(self) -> None:
        self.status = 503
        self.asked = 0
        self.facts: list[dict[str, Any]] = []
        self.posts: list[tuple[str, str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/facts"

    def ids(self) -> set[int]:
        return {each["id"] for each in self.facts}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiving = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status = receiving.status
                receiving.asked += 1
                if status == 200:
                    receiving.facts += map(json.loads, body.splitlines())
                    signature = self.headers["X-Twilio-Signature"]
                    receiving.posts.append((self.path, body, signature))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Keep quiet."""

        return Handler


@pytest.fixture
def receiving() -> Iterator[Receiving]:
    found = Receiving()
    yield found
    found.close()


def in_files(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in sorted(folder.glob("*.ndjson"))
        for line in file.read_text().splitlines()
    ]


def test_every_fact_comes_to_every_sink_that_wants_it(
    tmp_path: Path, start_carrier: StartCarrier, receiving: Receiving
) -> None:
    folder = tmp_path / "all facts"
    config = start_carrier("--receipt-delay", "0.1").config() + (
        f'[[sinks]]\nname = "files"\nurl = "file://{str(folder).replace(" ", "%20")}"\n'
        f'[[sinks]]\nname = "crm"\nurl = "{receiving.url}"\n'
        'types = ["message.delivered", "account.*"]\n'
    )
    home = tmp_path / "gateway"
    home.mkdir()
    gateway = RunningGateway(home, config, {}, (sys.executable, "-m", "gateway", "serve"))
    gateway.start()
    try:
        sids = send(gateway, 10)
        wait_for(lambda: receiving.asked >= 2, "the receiver is tried again")
        assert not receiving.facts
        assert 'trunkline_sink_away{sink="crm"} 1.0' in get_text(gateway, "/metrics")
        gateway.kill()
        receiving.status = 200
        gateway.start()
        sids += send(gateway, 10)
        wait_for(lambda: behind(gateway) == {"sink:crm": 0, "sink:files": 0}, "all was read")
        wanted = {(sid, "message.delivered") for sid in sids} | {
            (gateway.account_sid, "account.created")
        }
        got = {(each["sid"], each["type"]) for each in receiving.facts}
        assert wanted <= got and {kind for _, kind in got} == {
            "message.delivered",
            "account.created",
        }
        for path, body, signature in receiving.posts:
            url = receiving.url.removesuffix("/facts") + path
            assert RequestValidator(gateway.auth_token).validate(url, body, signature)
        written = in_files(folder)
        assert receiving.ids() <= {each["id"] for each in written}
        delivered = {each["sid"] for each in written if each["type"] == "message.delivered"}
        assert delivered == set(sids)
        numbers = sorted({each["id"] for each in written})
        assert numbers == list(range(1, numbers[-1] + 1)), "of all types, without a gap"
        assert gateway.terminate() == 0
    finally:
        gateway.kill()


def send(gateway: RunningGateway, count: int) -> list[str]:
    create = gateway.client().messages.create
    sids = [create(to=TO, from_=NUMBER, body=f"text {at}").sid for at in range(count)]
    for sid in sids:
        wait_for_status(gateway, sid, ["delivered"])
    return sids


def behind(gateway: RunningGateway) -> dict[str, int]:
    readers = get(gateway, "/v1/bus")["readers"]
    return {each["name"]: each["behind"] for each in readers if each["name"].startswith("sink:")}
