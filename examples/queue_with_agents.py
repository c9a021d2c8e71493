"""A queue: callers wait and hear how many are before them; agents call in and take them in turn.

    .venv/bin/python examples/queue_with_agents.py [--agents +447700900123,+447700900124]

An agent calls the same number and gets who waited longest, then the next one, until nobody waits.
What a caller's wait came to is printed when it ends. Agents call once a caller is said to wait:

    .venv/bin/trunkline sim call --from +447700900456 --to +15550001000 --no-wait \
      --script '[{"expect": "tone:440", "within": 60}, {"hangup": true}]'
    sleep 3
    .venv/bin/trunkline sim call --from +447700900123 --to +15550001000 \
      --script '[{"wait": 2}, {"tone": 440, "for": 5}, {"hangup": true}]'
"""

import sys

from app_server import App, Asked, calling, options
from send_sms import say
from twilio.twiml.voice_response import Dial, VoiceResponse

QUEUE = "support"


class Desk:
    """The app's answers; `agents` are the numbers whose calls take who waits."""

    def __init__(self, app: App, agents: frozenset[str]) -> None:
        self.app, self.agents = app, agents
        app.routes = {
            "/voice": self.voice,
            "/wait": self.wait,
            "/greeting": self.greeting,
            "/left": self.left,
            "/next": self.next,
        }

    def voice(self, asked: Asked) -> VoiceResponse:
        """Agents take somebody, others wait."""
        if asked["From"] in self.agents:
            return self._serve()
        response = VoiceResponse()
        response.say("Welcome.")
        response.enqueue(QUEUE, wait_url=self.app.url("/wait"), action=self.app.url("/left"))
        return response

    def wait(self, asked: Asked) -> VoiceResponse:
        """What is heard while waiting, again and again."""
        say(f"{asked['CallSid']} waits at position {asked['QueuePosition']}")
        response = VoiceResponse()
        response.say(f"You are number {asked['QueuePosition']}.")
        response.pause(length=8)
        return response

    def greeting(self, asked: Asked) -> VoiceResponse:
        """What who waited hears before the agent."""
        response = VoiceResponse()
        response.say("You are being connected.")
        return response

    def left(self, asked: Asked) -> VoiceResponse:
        """The wait is over, and what followed it."""
        waited = f"after {asked['QueueTime']} s"
        say(f"{asked['CallSid']} left the queue: {asked['QueueResult']} {waited}")
        response = VoiceResponse()
        response.hangup()
        return response

    def next(self, asked: Asked) -> VoiceResponse:
        """An agent is done with somebody, or nobody waited."""
        if asked.get("QueueResult") == "bridged":
            return self._serve()
        response = VoiceResponse()
        response.say("Nobody waits.")
        return response

    def _serve(self) -> VoiceResponse:
        response = VoiceResponse()
        dial = Dial(action=self.app.url("/next"), timeout=3)
        dial.queue(QUEUE, url=self.app.url("/greeting"))
        response.append(dial)
        return response


def main() -> int:
    """Point the number at this app and serve until Ctrl-C."""
    parser = options(__doc__)
    parser.add_argument("--agents", default="+447700900123,+447700900124", help="their numbers")
    given = parser.parse_args()
    app = App(given.port)
    Desk(app, frozenset(given.agents.split(",")))
    number = app.answer_calls(given.number)
    script = {"expect": "tone:440", "within": 60}, {"hangup": True}
    return app.serve(f"{number} has a queue; wait in it:\n{calling(number, *script)}")


if __name__ == "__main__":
    sys.exit(main())
