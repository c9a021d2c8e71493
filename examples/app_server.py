"""What the examples that answer calls share: a small server that takes nothing unsigned.

An app of your own would use the framework of its choice; `App` is here so that the examples need
none. `answer_calls` makes an app the answer to a number of the account.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from send_sms import explained, gateway, listening, say
from twilio.request_validator import RequestValidator
from twilio.rest import Client

Asked = Mapping[str, str]
"""The parameters of a request."""


class App(ThreadingHTTPServer):
    """The server; `routes` says who answers a path with TwiML, or with nothing."""

    def __init__(self, port: int = 0) -> None:
        self.gateway, self.account_sid, token = gateway()
        self.client = Client(self.account_sid, token)
        self.client.api.base_url = self.gateway
        self.validator = RequestValidator(token)
        self.routes: dict[str, Callable[[Asked], object]] = {}
        with listening(port):
            super().__init__(("127.0.0.1", port), Answering)

    def url(self, path: str) -> str:
        """Where a path is asked."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def answer_calls(self, number: str = "") -> str:
        """Have calls to `number`, or to the account's first one, answered by /voice; gives it."""
        with explained(self.gateway):
            found = self.client.incoming_phone_numbers.list(phone_number=number or None, limit=1)
            if not found:
                sys.exit(f"the account has no number {number}; make one: [[numbers]] in its config")
            found[0].update(voice_url=self.url("/voice"), voice_method="POST")
        return str(found[0].phone_number)

    def serve(self, saying: str) -> int:
        """Say what can be tried, and serve until Ctrl-C."""
        say(saying)
        try:
            self.serve_forever()
        except KeyboardInterrupt:
            self.server_close()
        return 0


class Answering(BaseHTTPRequestHandler):
    """One request of the gateway's."""

    server: App

    def do_POST(self) -> None:
        """Check the signature, answer with what the path says."""
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        parameters = dict(parse_qsl(form, keep_blank_values=True))
        signature = self.headers.get("X-Twilio-Signature", "")
        if not self.server.validator.validate(self.server.url(self.path), parameters, signature):
            self.send_error(403)
            return
        route = self.server.routes.get(self.path)
        if route is None:
            self.send_error(404)
            return
        content = str(route(parameters) or "").encode()
        self.send_response(200 if content else 204)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(content)))
        with suppress(BrokenPipeError):  # whose call ended meanwhile waits for nothing
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: what matters is printed by the app."""


def options(doc: str | None) -> argparse.ArgumentParser:
    """The options that all these examples have."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", default="", help="of the account; default: its first")
    parser.add_argument("--port", type=int, default=0)
    return parser


def calling(number: str, *script: Mapping[str, object]) -> str:
    """The command that calls a number from a simulated phone."""
    return (
        f".venv/bin/trunkline sim call --from +447700900456 --to {number}"
        f" --script '{json.dumps(script)}'"
    )
