"""A server for browsers, written for Twilio: it gives them Access Tokens and answers their calls.

    .venv/bin/python examples/token_server.py [--identity alice] [--port 0]

It makes an application of the account whose calls it answers, and a key that signs its tokens. Then
it prints where the softphone is: open it, dial nothing or a number, and hear the document. What a
page of your own asks:

    GET /token?identity=alice   {"identity": "alice", "token": "…"}   for Twilio.Device
    GET /turn                   {"ice_servers": […]}                  for connect and accept

Your own server gives a token to who has logged in and to nobody else: here, where only this machine
reaches it, whoever asks is who they say. Ctrl-C takes the key back, and its tokens with it.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from app_server import Answering, App, Asked
from send_sms import explained, say
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import VoiceGrant
from twilio.twiml.voice_response import VoiceResponse

NAME = "token_server.py"
TTL = 3600  # seconds


class Served(Answering):
    """The requests of pages beside those of the gateway."""

    server: "Tokens"

    def do_GET(self) -> None:
        """Give a token, or the servers that help to a path."""
        asked = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(asked.query).items()}
        route = {"/token": self.server.token, "/turn": self.server.turn}.get(asked.path)
        if route is None:
            self.send_error(404)
            return
        content = json.dumps(route(given)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Tokens(App):
    """The server, with its application and its key."""

    def __init__(self, port: int, identity: str) -> None:
        super().__init__(port)
        self.RequestHandlerClass = Served
        self.identity = identity
        self.routes = {"/voice": self.voice}
        with explained(self.gateway):
            known = self.client.applications.list(friendly_name=NAME, limit=1)
            found = known[0] if known else self.client.applications.create(friendly_name=NAME)
            found.update(voice_url=self.url("/voice"), voice_method="POST")
            numbers = self.client.incoming_phone_numbers.list(limit=1)
            self.key = self.client.new_keys.create(friendly_name=NAME)
        self.application = found.sid
        self.number = numbers[0].phone_number if numbers else ""

    def token(self, given: Mapping[str, str]) -> dict[str, str]:
        """A token for who asks, as any server makes one for Twilio."""
        identity = given.get("identity") or self.identity
        token = AccessToken(
            self.account_sid, self.key.sid, self.key.secret, identity=identity, ttl=TTL
        )
        token.add_grant(VoiceGrant(incoming_allow=True, outgoing_application_sid=self.application))
        return {"identity": identity, "token": token.to_jwt()}

    def turn(self, given: Mapping[str, str]) -> dict[str, object]:
        """What helps a browser to a path: nothing, unless the gateway has a [turn]."""
        return {"ice_servers": self.client.tokens.create(ttl=TTL).ice_servers}

    def voice(self, asked: Asked) -> VoiceResponse:
        """What a browser's call does: join it to whom it dialled, or greet it."""
        to = asked.get("To", "")
        say(f"{asked['CallSid']} {asked['From']} calls {to or 'nobody in particular'}")
        response = VoiceResponse()
        if to.startswith("client:"):
            response.dial(answer_on_bridge=True).client(to.removeprefix("client:"))
        elif to.startswith("+"):
            response.dial(caller_id=self.number, answer_on_bridge=True).number(to)
        else:
            response.say(f"Hello, {asked['From'].removeprefix('client:')}. You hear Trunkline.")
            response.gather(num_digits=1, timeout=10)
            response.redirect(self.url("/voice"))
        return response

    def forget(self) -> None:
        """Take the key back."""
        with explained(self.gateway):
            self.client.keys(self.key.sid).delete()


def main() -> int:
    """Say where the softphone is, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--identity", default="alice")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    app = Tokens(given.port, given.identity)
    token = app.token({})["token"]
    try:
        return app.serve(
            f"tokens: {app.url('/token')}?identity={given.identity}\n"
            f"softphone of {given.identity}: {app.gateway}/phone#{token}"
        )
    finally:
        app.forget()


if __name__ == "__main__":
    sys.exit(main())
