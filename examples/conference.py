"""A conference line: who knows the PIN talks with all who are there.

    .venv/bin/python examples/conference.py [--pin 1234] [--moderator +447700900123]

Callers enter the PIN. Music plays until the moderator comes, whose calls need no PIN; the line
closes when the moderator hangs up. Events of the conference are printed as they come:

    .venv/bin/trunkline sim call --from +447700900456 --to +15550001000 --no-wait \
      --script '[{"wait": 3}, {"press": "1234"}, {"wait": 30}]'
    .venv/bin/trunkline sim call --from +447700900123 --to +15550001000 \
      --script '[{"tone": 440, "for": 10}, {"hangup": true}]'
"""

import sys

from app_server import App, Asked, calling, options
from send_sms import say
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse

ROOM = "the line"
EVENTS = "start end join leave"


class Line:
    """The app's answers; `moderator` is whose calls begin and end the conference."""

    def __init__(self, app: App, pin: str, moderator: str) -> None:
        self.app, self.pin, self.moderator = app, pin, moderator
        app.routes = {"/voice": self.voice, "/pin": self.enter, "/events": self.told}

    def voice(self, asked: Asked) -> VoiceResponse:
        """The moderator is known by the number; others are asked for the PIN."""
        if asked["From"] == self.moderator:
            return self._join(asked)
        response = VoiceResponse()
        gather = Gather(num_digits=len(self.pin), action=self.app.url("/pin"), timeout=10)
        gather.say("Enter your PIN.")
        response.append(gather)
        return response

    def enter(self, asked: Asked) -> VoiceResponse:
        """Whether the PIN is right."""
        if asked["Digits"] == self.pin:
            return self._join(asked)
        response = VoiceResponse()
        response.say("That is not right.")
        response.redirect(self.app.url("/voice"))
        return response

    def told(self, asked: Asked) -> None:
        """Something happened in the conference."""
        say(f"{asked['StatusCallbackEvent']} {asked.get('CallSid', '')}".strip())

    def _join(self, asked: Asked) -> VoiceResponse:
        is_moderator = asked["From"] == self.moderator
        response = VoiceResponse()
        dial = Dial()
        dial.conference(
            ROOM,
            start_conference_on_enter=is_moderator,
            end_conference_on_exit=is_moderator,
            beep=False,
            status_callback=self.app.url("/events"),
            status_callback_event=EVENTS,
        )
        response.append(dial)
        return response


def main() -> int:
    """Point the number at this app and serve until Ctrl-C."""
    parser = options(__doc__)
    parser.add_argument("--pin", default="1234")
    parser.add_argument("--moderator", default="+447700900123")
    given = parser.parse_args()
    app = App(given.port)
    Line(app, given.pin, given.moderator)
    number = app.answer_calls(given.number)
    script = {"wait": 3}, {"press": given.pin}, {"wait": 30}
    return app.serve(f"{number} is a conference line; call it:\n{calling(number, *script)}")


if __name__ == "__main__":
    sys.exit(main())
