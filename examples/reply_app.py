"""An app that answers texts, written for Twilio: TwiML from the official helper library.

    .venv/bin/python examples/reply_app.py

It makes itself the answer to the account's first number (its `sms_url`), then waits. Text it
from a simulated handset and see the answer arrive:

    .venv/bin/trunkline sim text --from +447700900123 --to +15550001000 --body "Are you open?"
    .venv/bin/trunkline sim inbox +447700900123
"""

import argparse
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from send_sms import explained, gateway, listening, say
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.messaging_response import MessagingResponse


class App(ThreadingHTTPServer):
    """The app's server; `token` is what requests are signed with."""

    def __init__(self, port: int, token: str) -> None:
        with listening(port):
            super().__init__(("127.0.0.1", port), Inbound)
        self.validator = RequestValidator(token)

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.server_address[1]}/sms"


class Inbound(BaseHTTPRequestHandler):
    """One inbound text."""

    server: App

    def do_POST(self) -> None:
        """Answer with TwiML, if the request is from the gateway."""
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        parameters = dict(parse_qsl(form, keep_blank_values=True))
        signature = self.headers.get("X-Twilio-Signature", "")
        if not self.server.validator.validate(self.server.url, parameters, signature):
            self.send_error(403)
            return
        say(f"{parameters['From']}: {parameters['Body']}")
        response = MessagingResponse()
        response.message(answer(parameters["Body"]))
        content = str(response).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: what matters is printed by `do_POST`."""


def answer(body: str) -> str:
    """What the app says to a text."""
    if "open" in body.lower():
        return "We are open from 9 to 18, Monday to Friday."
    return f"You said: {body}"


def main() -> int:
    """Point the number at this app and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()

    url, sid, token = gateway()
    client = Client(sid, token)
    client.api.base_url = url
    app = App(options.port, token)
    with explained(url):
        numbers = client.incoming_phone_numbers.list(limit=1)
        if not numbers:
            sys.exit("the account has no number; make one: [[numbers]] in the gateway's config")
        number = numbers[0].update(sms_url=app.url, sms_method="POST")
    say(f"texts to {number.phone_number} are answered at {app.url}")
    try:
        app.serve_forever()
    except KeyboardInterrupt:
        app.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
