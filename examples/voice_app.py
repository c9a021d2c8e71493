"""An app that answers calls, written for Twilio: whoever calls is joined by `<Dial>`.

    .venv/bin/python examples/voice_app.py [--dial +447700900123] [--port 0]

It makes itself the answer to the account's first number (its `voice_url`), then waits. `--dial` is
whom callers are joined to, a number or a SIP user. Call the number from a simulated phone, see
what the call came to and what the phone heard:

    .venv/bin/trunkline sim call --from +447700900456 --to +15550001000 \
      --script '[{"expect": "tone:440", "within": 10}, {"hangup": true}]'
    .venv/bin/trunkline calls list
    .venv/bin/trunkline sim calls +447700900456

A SIP domain that has this app as its `voice_url` gets a small telephone exchange: its users call
each other by name, and numbers as the account's number. Calls for help are numbers too.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from send_sms import explained, gateway, listening, say
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import Dial, VoiceResponse

EVENTS = "initiated ringing answered completed"
NUMBER = re.compile(r"\+[0-9]{6,15}|112|911|999")


class App(ThreadingHTTPServer):
    """The app's server; `token` is what requests are signed with, `number` whose calls it takes.

    Who calls that number is joined to `target`.
    """

    def __init__(self, port: int, token: str, target: str) -> None:
        with listening(port):
            super().__init__(("127.0.0.1", port), Asked)
        self.validator = RequestValidator(token)
        self.target = target
        self.number = ""

    def url(self, path: str) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def voice(self, asked: Mapping[str, str]) -> str:
        """What is done with a call: join it."""
        say(f"{asked['CallSid']} {asked['From']} calls {asked['To']}")
        response = VoiceResponse()
        dial = Dial(action=self.url("/over"), answer_on_bridge=True)
        self._call(dial, self.target if asked["To"] == self.number else dialled(asked["To"]))
        response.append(dial)
        return str(response)

    def _call(self, dial: Dial, target: str) -> None:
        told = {"status_callback": self.url("/status"), "status_callback_event": EVENTS}
        if NUMBER.fullmatch(target):
            # A carrier wants a number that is ours, whoever calls.
            dial.attrs["callerId"] = self.number
            dial.number(target, **told)
        else:
            dial.sip(target, **told)

    def over(self, asked: Mapping[str, str]) -> str:
        """What is done when who was called is gone: nothing more, the call ends."""
        say(f"{asked['CallSid']} the dial came to: {asked['DialCallStatus']}")
        response = VoiceResponse()
        response.hangup()
        return str(response)

    def status(self, asked: Mapping[str, str]) -> str:
        """Who was called is one step further."""
        after = f" after {asked['CallDuration']} s" if "CallDuration" in asked else ""
        say(f"{asked['CallSid']} {asked['To']} is {asked['CallStatus']}{after}")
        return ""


class Asked(BaseHTTPRequestHandler):
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
        answers = {
            "/voice": self.server.voice,
            "/over": self.server.over,
            "/status": self.server.status,
        }
        answer = answers.get(self.path)
        if answer is None:
            self.send_error(404)
            return
        content = answer(parameters).encode()
        self.send_response(200 if content else 204)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: what matters is printed by `App`."""


def dialled(to: str) -> str:
    """Whom a user of a SIP domain wants: sip:+447700900123@pbx.example is a number's phone."""
    user = to.removeprefix("sip:").partition("@")[0]
    return user if NUMBER.fullmatch(user) else to


def main() -> int:
    """Point the number at this app and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dial", default="+447700900123")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()

    url, sid, token = gateway()
    client = Client(sid, token)
    client.api.base_url = url
    app = App(options.port, token, options.dial)
    with explained(url):
        numbers = client.incoming_phone_numbers.list(limit=1)
        if not numbers:
            sys.exit("the account has no number; make one: [[numbers]] in the gateway's config")
        number = numbers[0].update(voice_url=app.url("/voice"), voice_method="POST")
    app.number = number.phone_number
    say(f"who calls {app.number} is joined to {app.target} by {app.url('/voice')}")
    say(f"call: .venv/bin/trunkline sim call --from +447700900456 --to {app.number}")
    try:
        app.serve_forever()
    except KeyboardInterrupt:
        app.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
