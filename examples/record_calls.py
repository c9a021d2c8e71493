"""Call recording: both sides of a joined call by REST, fetched as WAV when it is over.

    .venv/bin/python examples/record_calls.py [--dial +447700900123] [--folder .]

Who calls is joined to `--dial` and recorded by REST, each side on a channel of its own. When the
call is over its recording is fetched into `--folder`, with the account's credentials, and removed
at the gateway:

    .venv/bin/trunkline sim call --from +447700900456 --to +15550001000 \
      --script '[{"tone": 550, "for": 3}, {"hangup": true}]'
"""

import sys
import urllib.request
from base64 import b64encode
from pathlib import Path

from app_server import App, Asked, calling, options
from send_sms import gateway, say
from twilio.twiml.voice_response import Dial, VoiceResponse


class Recorder:
    """The app's answers; `target` is whom callers are joined to, `folder` where recordings go."""

    def __init__(self, app: App, target: str, folder: Path) -> None:
        self.app, self.target, self.folder = app, target, folder
        self.number = ""
        app.routes = {
            "/voice": self.voice,
            "/status": self.status,
            "/recording": self.recording,
        }

    def voice(self, asked: Asked) -> VoiceResponse:
        """Join the call; the recording begins when both are there."""
        response = VoiceResponse()
        response.say("This call is recorded.")
        dial = Dial(caller_id=self.number, answer_on_bridge=True)
        dial.number(
            self.target, status_callback=self.app.url("/status"), status_callback_event="answered"
        )
        response.append(dial)
        return response

    def status(self, asked: Asked) -> None:
        """Who was called has answered: record, by REST."""
        recording = self.app.client.calls(asked["ParentCallSid"]).recordings.create(
            recording_channels="dual",
            recording_status_callback=self.app.url("/recording"),
            recording_status_callback_event=["completed"],
        )
        say(f"{recording.sid} began")

    def recording(self, asked: Asked) -> None:
        """It is whole: fetch it, and remove it there."""
        _, sid, token = gateway()
        proof = b64encode(f"{sid}:{token}".encode()).decode()
        request = urllib.request.Request(
            f"{asked['RecordingUrl']}.wav", headers={"Authorization": f"Basic {proof}"}
        )
        file = self.folder / f"{asked['RecordingSid']}.wav"
        with urllib.request.urlopen(request) as response:
            file.write_bytes(response.read())
        self.app.client.recordings(asked["RecordingSid"]).delete()
        say(f"{asked['RecordingDuration']} s are in {file}")


def main() -> int:
    """Point the number at this app and serve until Ctrl-C."""
    parser = options(__doc__)
    parser.add_argument("--dial", default="+447700900123")
    parser.add_argument("--folder", type=Path, default=Path())
    given = parser.parse_args()
    app = App(given.port)
    recorder = Recorder(app, given.dial, given.folder)
    number = recorder.number = app.answer_calls(given.number)
    script = {"tone": 550, "for": 3}, {"hangup": True}
    return app.serve(f"calls to {number} are recorded; make one:\n{calling(number, *script)}")


if __name__ == "__main__":
    sys.exit(main())
