"""After a kill the callbacks of a message go on in their order, however slow the start is."""

import json
import sys
from pathlib import Path

from tests.integration.conftest import StartApp, StartCarrier
from tests.integration.gateway_process import NUMBER, ROOT, wait_for
from tests.running import RunningGateway

COMMAND = (sys.executable, "-m", "tests.integration.slow_recovery", "serve")


def test_a_receipt_at_the_start_waits_for_the_callback_that_the_last_run_left(
    start_carrier: StartCarrier, start_app: StartApp, tmp_path: Path
) -> None:
    carrier = start_carrier("--receipt-delay", "1.0")
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps([{"path": "*", "replies": [{"delay": 60}, {}]}]))
    app = start_app("--script", str(rules))
    home = tmp_path / "gateway"
    home.mkdir()
    gateway = RunningGateway(home, carrier.config(), {"PYTHONPATH": str(ROOT)}, COMMAND)
    try:
        gateway.start()
        message = gateway.client().messages.create(
            to="+447700900123", from_=NUMBER, body="Hello", status_callback=app.url("/status")
        )
        wait_for(app.lines, "the app is told of `sent`, and hangs")
        gateway.kill()
        gateway.start()
        told = wait_for(
            lambda: app.callbacks(message.sid)[2:] and app.callbacks(message.sid), "it is told on"
        )
    finally:
        gateway.kill()
    assert [each["params"]["MessageStatus"] for each in told] == ["sent", "sent", "delivered"]
    tokens = [each["headers"]["I-Twilio-Idempotency-Token"] for each in told]
    assert tokens[0] == tokens[1] != tokens[2]
