"""Send a text with Twilio's own SDK and print what becomes of it: queued, sent, delivered.

    .venv/bin/python examples/send_sms.py [--to +447700900123] [--body "Hello"]

Nothing of the SDK is changed but its base URL. Status callbacks come to a small server in this
process, which checks their signatures as an app would, with the SDK's `RequestValidator`.
"""

import argparse
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl

from requests.exceptions import ConnectionError as NotConnected
from twilio.base.exceptions import TwilioException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

DATA = Path(os.environ.get("TRUNKLINE_DATA", "var"))
FINAL = {"delivered", "undelivered", "failed"}


def gateway() -> tuple[str, str, str]:
    """URL, account SID and token: from the environment, else from the gateway's data folder."""
    url = os.environ.get("TRUNKLINE_URL")
    sid, token = os.environ.get("TRUNKLINE_ACCOUNT_SID"), os.environ.get("TRUNKLINE_AUTH_TOKEN")
    try:
        if not url:
            url = f"http://127.0.0.1:{json.loads((DATA / 'ports.json').read_text())['http']}"
        if not (sid and token):
            known = json.loads((DATA / "credentials.json").read_text())
            sid, token = known["account_sid"], known["auth_token"]
    except FileNotFoundError as missing:
        sys.exit(f"{missing.filename} is not there; start a gateway first: make run")
    return url, sid, token


@contextmanager
def explained(url: str) -> Iterator[None]:
    """What goes wrong at the gateway, in one sentence."""
    try:
        yield
    except NotConnected:
        sys.exit(f"no gateway answers at {url}; start one first: make run")
    except TwilioException as refusal:
        sys.exit(f"the gateway refused: {getattr(refusal, 'msg', refusal)}")


@contextmanager
def listening(port: int) -> Iterator[None]:
    """What goes wrong with a port, in one sentence."""
    try:
        yield
    except OSError as error:
        sys.exit(f"port {port} can't be had: {error.strerror}; choose another with --port")


def say(line: str) -> None:
    """Print a line whole, whichever threads say others."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class CallbackServer(ThreadingHTTPServer):
    """Takes status callbacks; each valid one goes to `received`, the others are answered 403."""

    def __init__(self, token: str) -> None:
        super().__init__(("127.0.0.1", 0), Callback)
        self.validator = RequestValidator(token)
        self.received: queue.Queue[Mapping[str, str]] = queue.Queue()

    @property
    def url(self) -> str:
        """Where it listens, as the gateway is told."""
        return f"http://127.0.0.1:{self.server_address[1]}/status"


class Callback(BaseHTTPRequestHandler):
    """One status callback."""

    server: CallbackServer

    def do_POST(self) -> None:
        """Check the signature, keep the parameters."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        parameters = dict(parse_qsl(body, keep_blank_values=True))
        signature = self.headers.get("X-Twilio-Signature", "")
        if self.server.validator.validate(self.server.url, parameters, signature):
            self.send_response(204)
            self.server.received.put(parameters)
        else:
            self.send_response(403)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: what matters is printed by `main`."""


def main() -> int:
    """Send, wait for the last callback, say how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", default="+447700900123")
    parser.add_argument("--from", dest="from_", default="+15550001000")
    parser.add_argument("--body", default="Hello from Trunkline 👋")
    options = parser.parse_args()

    url, sid, token = gateway()
    client = Client(sid, token)
    client.api.base_url = url

    callbacks = CallbackServer(token)
    threading.Thread(target=callbacks.serve_forever, daemon=True).start()
    began = time.monotonic()
    with explained(url):
        message = client.messages.create(
            to=options.to, from_=options.from_, body=options.body, status_callback=callbacks.url
        )
    print(f"{message.sid} created: {message.status}, {message.num_segments} segment(s)")

    status = message.status
    while status not in FINAL:
        try:
            told = callbacks.received.get(timeout=30)
        except queue.Empty:
            print("no callback came for 30 s; see: trunkline messages show", message.sid)
            return 1
        status = told["MessageStatus"]
        error = f" (error {told['ErrorCode']})" if "ErrorCode" in told else ""
        after = time.monotonic() - began
        print(f"{told['MessageSid']} {status}{error} after {after:.2f} s, signature valid")
    callbacks.shutdown()
    callbacks.server_close()
    return 0 if status == "delivered" else 1


if __name__ == "__main__":
    sys.exit(main())
