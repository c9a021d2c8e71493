"""A reminder by text and by call: the call is repeated until somebody confirms it with a key.

    .venv/bin/python examples/reminder.py [--to +447700900123] [--about "your visit at 10"]

The text goes out first, then a call that REST makes. Who answers hears what it is about and
presses 1 to confirm; who does not is called again, at most `--tries` times, and each call's end
is told by a status callback. What the simulated phone does with it is said beforehand:

    curl -u "$SID:$TOKEN" -X PUT http://127.0.0.1:8080/sim/phones/%2B447700900123 \
      -d '{"answer_after": 1, "script": [{"wait": 2}, {"press": "1"}, {"wait": 5}]}'
"""

import argparse
import queue
import sys
import threading

from app_server import App, Asked
from send_sms import explained, say
from twilio.twiml.voice_response import Gather, VoiceResponse

CALL_TAKES = 120  # seconds, at the most
ENDED = {"completed", "busy", "no-answer", "failed", "canceled"}


class Reminder:
    """The app's answers; `states` gets how far each call is."""

    def __init__(self, app: App, about: str) -> None:
        self.app, self.about = app, about
        self.confirmed: set[str] = set()
        self.states: queue.Queue[Asked] = queue.Queue()
        app.routes = {"/voice": self.voice, "/key": self.key, "/status": self.states.put}

    def voice(self, asked: Asked) -> VoiceResponse:
        """Say what it is about, and wait for a key."""
        response = VoiceResponse()
        gather = Gather(num_digits=1, action=self.app.url("/key"), timeout=5)
        gather.say(f"This is a reminder of {self.about}. Press 1 to confirm.", loop=2)
        response.append(gather)
        return response

    def key(self, asked: Asked) -> VoiceResponse:
        """A key was pressed."""
        response = VoiceResponse()
        if asked["Digits"] == "1":
            self.confirmed.add(asked["CallSid"])
            response.say("Thank you. Goodbye.")
        else:
            response.redirect(self.app.url("/voice"))
        return response

    def remind(self, to: str, from_: str, tries: int) -> bool:
        """Text, then call until it is confirmed."""
        client = self.app.client
        client.messages.create(to=to, from_=from_, body=f"A reminder of {self.about}.")
        say(f"{to} has it as a text; press 1 there to confirm it when called")
        for _ in range(tries):
            call = client.calls.create(
                to=to,
                from_=from_,
                url=self.app.url("/voice"),
                status_callback=self.app.url("/status"),
                status_callback_event=["ringing", "answered", "completed"],
                timeout=20,
            )
            say(f"{call.sid} calls {to}")
            outcome = self.outcome()
            confirmed = call.sid in self.confirmed
            say(f"{call.sid} {outcome}{', confirmed' if confirmed else ''}")
            if confirmed:
                return True
        return False

    def outcome(self) -> str:
        """How the call that is up ended, saying how far it is until then."""
        while True:
            asked = self.states.get(timeout=CALL_TAKES)
            if asked["CallStatus"] in ENDED:
                return asked["CallStatus"]
            say(f"{asked['CallSid']} {asked['CallStatus']}")


def main() -> int:
    """Remind somebody; the exit status is 0 if they confirmed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", default="+447700900123")
    parser.add_argument("--from", dest="from_", default="+15550001000")
    parser.add_argument("--about", default="your visit tomorrow at 10")
    parser.add_argument("--tries", type=int, default=2)
    given = parser.parse_args()
    app = App()
    threading.Thread(target=app.serve_forever, daemon=True).start()
    try:
        with explained(app.gateway):
            confirmed = Reminder(app, given.about).remind(given.to, given.from_, given.tries)
    finally:
        app.shutdown()
        app.server_close()
    return 0 if confirmed else 1


if __name__ == "__main__":
    sys.exit(main())
