"""A voicemail: who is not answered is asked to leave a message, of which its owner gets a text.

    .venv/bin/python examples/voicemail.py [--owner +447700900486] [--number +15550001000]

The owner is called first, for ten seconds. Then `<Record>` beeps and takes a message, until `#`, or
silence, or half a minute. The number above is always busy; leave it a message, read the text:

    .venv/bin/trunkline sim call --from +447700900456 --to +15550001000 \
      --script '[{"wait": 6}, {"noise": 3}, {"press": "#"}, {"wait": 2}]'
    .venv/bin/trunkline sim inbox +447700900486
"""

import sys

from app_server import App, Asked, calling, options
from send_sms import say
from twilio.twiml.voice_response import Dial, VoiceResponse


class Voicemail:
    """The app's answers; `owner` is whose messages are taken, `number` what is called."""

    def __init__(self, app: App, owner: str) -> None:
        self.app, self.owner = app, owner
        self.number = ""
        app.routes = {
            "/voice": self.voice,
            "/after": self.after,
            "/left": self.left,
            "/recording": self.recording,
        }

    def voice(self, asked: Asked) -> VoiceResponse:
        """The owner is asked first."""
        response = VoiceResponse()
        dial = Dial(timeout=10, action=self.app.url("/after"), caller_id=self.number)
        dial.number(self.owner)
        response.append(dial)
        return response

    def after(self, asked: Asked) -> VoiceResponse:
        """Who was answered is done; anybody else leaves a message."""
        response = VoiceResponse()
        if asked["DialCallStatus"] == "completed":
            response.hangup()
            return response
        response.say("Nobody is there. Leave a message after the tone, and press hash.")
        response.record(
            max_length=30,
            timeout=5,
            finish_on_key="#",
            action=self.app.url("/left"),
            recording_status_callback=self.app.url("/recording"),
        )
        response.say("We heard nothing. Goodbye.")
        return response

    def left(self, asked: Asked) -> VoiceResponse:
        """The message is taken; its owner is told when it can be fetched."""
        say(f"{asked['CallSid']} left {asked['RecordingDuration']} s")
        with_sid = f"{asked['RecordingSid']} is from {asked['From']}"
        say(with_sid)
        response = VoiceResponse()
        response.say("Thank you. Goodbye.")
        return response

    def recording(self, asked: Asked) -> None:
        """It can be fetched: text the owner."""
        caller = self.app.client.calls(asked["CallSid"]).fetch().from_formatted
        self.app.client.messages.create(
            to=self.owner,
            from_=self.number,
            body=f"A message of {asked['RecordingDuration']} s from {caller}:"
            f" {asked['RecordingUrl']}.mp3",
        )


def main() -> int:
    """Point the number at this app and serve until Ctrl-C."""
    parser = options(__doc__)
    parser.add_argument("--owner", default="+447700900486")
    given = parser.parse_args()
    app = App(given.port)
    voicemail = Voicemail(app, given.owner)
    number = voicemail.number = app.answer_calls(given.number)
    script = {"wait": 6}, {"noise": 3}, {"press": "#"}, {"wait": 2}
    return app.serve(f"{number} takes messages; leave one:\n{calling(number, *script)}")


if __name__ == "__main__":
    sys.exit(main())
