"""A menu: `<Gather>` with `<Play>` and `<Say>`, then `<Dial>` with a recording, or an announcement.

    .venv/bin/python examples/ivr.py [--agent +447700900123] [--chime URL]

Who calls hears the menu: 1 says when the office is open, 2 joins the caller to the agent and
records both sides, each on a channel of its own. Call it from a simulated phone that presses 2:

    .venv/bin/trunkline sim call --from +447700900456 --to +15550001000 \
      --script '[{"wait": 3}, {"press": "2"}, {"expect": "tone:440"}, {"hangup": true}]'
"""

import sys

from app_server import App, Asked, calling, options
from send_sms import say
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse

EVENTS = "initiated ringing answered completed"


class Menu:
    """The app's answers; `agent` is whom callers are joined to, `chime` the URL of a sound."""

    def __init__(self, app: App, agent: str, chime: str) -> None:
        self.app, self.agent, self.chime = app, agent, chime
        self.number = ""
        app.routes = {
            "/voice": self.voice,
            "/chosen": self.chosen,
            "/over": self.over,
            "/status": self.status,
            "/recording": self.recording,
        }

    def voice(self, asked: Asked) -> VoiceResponse:
        """The menu, twice; then the call ends."""
        response = VoiceResponse()
        for _ in range(2):
            gather = Gather(num_digits=1, action=self.app.url("/chosen"), timeout=4)
            if self.chime:
                gather.play(self.chime)
            gather.say("For our opening hours, press 1. To speak with us, press 2.")
            response.append(gather)
        response.say("Goodbye.")
        return response

    def chosen(self, asked: Asked) -> VoiceResponse:
        """What the key means."""
        say(f"{asked['CallSid']} {asked['From']} pressed {asked['Digits']}")
        response = VoiceResponse()
        match asked["Digits"]:
            case "1":
                response.say("We are open from 9 to 18, Monday to Friday.")
            case "2":
                dial = Dial(
                    action=self.app.url("/over"),
                    caller_id=self.number,
                    record="record-from-answer-dual",
                    recording_status_callback=self.app.url("/recording"),
                )
                dial.number(
                    self.agent,
                    status_callback=self.app.url("/status"),
                    status_callback_event=EVENTS,
                )
                response.append(dial)
            case _:
                response.redirect(self.app.url("/voice"))
        return response

    def over(self, asked: Asked) -> VoiceResponse:
        """The agent is gone, or did not come."""
        say(f"{asked['CallSid']} the dial came to: {asked['DialCallStatus']}")
        response = VoiceResponse()
        response.hangup()
        return response

    def status(self, asked: Asked) -> None:
        """The call to the agent is one step further."""
        say(f"{asked['CallSid']} {asked['To']} is {asked['CallStatus']}")

    def recording(self, asked: Asked) -> None:
        """What was recorded can be fetched."""
        say(
            f"{asked['RecordingSid']} has {asked['RecordingChannels']} channels of"
            f" {asked['RecordingDuration']} s: {asked['RecordingUrl']}.wav",
        )


def main() -> int:
    """Point the number at this app and serve until Ctrl-C."""
    parser = options(__doc__)
    parser.add_argument("--agent", default="+447700900123")
    parser.add_argument("--chime", default="", help="URL of a sound that comes before the menu")
    given = parser.parse_args()
    app = App(given.port)
    menu = Menu(app, given.agent, given.chime)
    menu.number = app.answer_calls(given.number)
    script = {"wait": 3}, {"press": "2"}, {"expect": "tone:440"}, {"hangup": True}
    return app.serve(f"{menu.number} has a menu; call it:\n{calling(menu.number, *script)}")


if __name__ == "__main__":
    sys.exit(main())
