"""A text from a handset, the app's TwiML answer, and the answer on the handset."""

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from twilio.request_validator import RequestValidator

from tests.integration.conftest import StartApp
from tests.integration.gateway_process import (
    NUMBER,
    command,
    handset,
    text_in,
    timeline,
    wait_for,
    wait_for_status,
)
from tests.running import RunningGateway

HANDSET = "+447700900456"


def answered_by(gateway: RunningGateway, url: str) -> None:
    """Texts to the account's number are answered by `url`."""
    number = gateway.client().incoming_phone_numbers.list(limit=1)[0]
    number.update(sms_url=url, sms_method="POST")


def test_the_answer_of_the_app_arrives_and_is_threaded(
    running_gateway: RunningGateway, start_app: StartApp
) -> None:
    gateway = running_gateway
    app = start_app("--reply", "You said {Body}")
    answered_by(gateway, app.url("/sms"))

    sent = text_in(gateway, HANDSET, NUMBER, "Are you <open>? 👋")
    assert (sent["from"], sent["to"], sent["parts"]) == (HANDSET, NUMBER, 1)
    arrived = wait_for(lambda: handset(gateway, HANDSET), "the answer is on the handset")
    assert [(each["from"], each["body"]) for each in arrived] == [
        (NUMBER, "You said Are you <open>? 👋")
    ]

    (asked,) = app.lines()
    params = asked["params"]
    assert (params["From"], params["To"], params["Body"]) == (HANDSET, NUMBER, "Are you <open>? 👋")
    assert (params["NumMedia"], params["NumSegments"]) == ("0", "1")
    validator = RequestValidator(gateway.auth_token)
    assert validator.validate(asked["url"], params, asked["signature"])

    inbound = params["MessageSid"]
    (reply,) = timeline(gateway, inbound)["replies"]
    wait_for_status(gateway, reply, ["delivered"])
    assert gateway.client().messages(reply).fetch().direction == "outbound-reply"
    assert gateway.client().messages(inbound).fetch().status == "received"

    shown = command(gateway, "messages", "show", inbound)
    assert shown.returncode == 0, shown.stderr
    assert inbound in shown.stdout and reply in shown.stdout
    assert "deliver_sm" in shown.stdout and "submit_sm" in shown.stdout
    assert f"answers {inbound}" in command(gateway, "messages", "show", reply).stdout


def test_a_long_text_from_a_handset_is_one_text_for_the_app(
    running_gateway: RunningGateway, start_app: StartApp
) -> None:
    gateway = running_gateway
    app = start_app()
    answered_by(gateway, app.url("/sms"))
    body = "Привет, 👩‍👩‍👧 " * 20
    assert text_in(gateway, HANDSET, NUMBER, body)["parts"] > 2
    (asked,) = wait_for(app.lines, "the app is asked")
    assert asked["params"]["Body"] == body
    inbound = gateway.client().messages(asked["params"]["MessageSid"]).fetch()
    assert (inbound.body, inbound.direction) == (body, "inbound")
    assert timeline(gateway, inbound.sid)["replies"] == []


def test_an_app_that_fails_leaves_a_notification_and_its_fallback_answers(
    running_gateway: RunningGateway, start_app: StartApp, tmp_path: Path
) -> None:
    gateway = running_gateway
    rules = [
        {"path": "/sms", "replies": [{"status": 500}]},
        {"path": "/fallback", "replies": [{"message": "Sorry: {ErrorCode}"}]},
    ]
    script = tmp_path / "rules.json"
    script.write_text(json.dumps(rules))
    app = start_app("--script", str(script))
    number = gateway.client().incoming_phone_numbers.list(limit=1)[0]
    number.update(sms_url=app.url("/sms"), sms_fallback_url=app.url("/fallback"))

    text_in(gateway, HANDSET, NUMBER, "Hello?")
    arrived = wait_for(lambda: handset(gateway, HANDSET), "the fallback's answer")
    assert [each["body"] for each in arrived] == ["Sorry: 11200"]
    assert [line["path"] for line in app.lines()] == ["/sms", "/fallback"]
    inbound = app.lines()[0]["params"]["MessageSid"]
    events = timeline(gateway, inbound)["events"]
    (noted,) = [each for each in events if each["type"] == "notification.created"]
    assert (noted["error_code"], noted["url"]) == (11200, app.url("/sms"))
    assert "500" in noted["message"]
    assert f"message={noted['message']}" in command(gateway, "messages", "show", inbound).stdout


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        ({"body": "<Response><Message>", "content_type": "text/xml"}, 12100, "can't be used"),
        (None, 11202, "could not be asked"),
    ],
    ids=["bad document", "nobody listens"],
)
def test_a_text_that_the_app_gives_no_document_for_says_why(
    running_gateway: RunningGateway,
    start_app: StartApp,
    tmp_path: Path,
    reply: dict[str, str] | None,
    code: int,
    said: str,
) -> None:
    gateway = running_gateway
    script = tmp_path / "rules.json"
    script.write_text(json.dumps([{"path": "/sms", "replies": [reply or {}]}]))
    app = start_app("--script", str(script))
    answered_by(gateway, app.url("/sms"))
    if reply is None:
        app.stop()
    text_in(gateway, HANDSET, NUMBER, "Hello?")
    (inbound,) = gateway.client().messages.list(from_=HANDSET)

    def ended() -> list[dict[str, Any]]:
        events = timeline(gateway, str(inbound.sid))["events"]
        return [each for each in events if each.get("state") == "discarded"]

    (job,) = wait_for(ended, "the job ends")
    assert said in job["note"]
    assert f"(error {code})" in job["note"]


def test_a_text_to_a_number_that_nobody_has_is_refused(running_gateway: RunningGateway) -> None:
    with pytest.raises(HTTPError) as refused:
        text_in(running_gateway, HANDSET, "+15550009999", "Anybody?")
    with refused.value as answer:
        assert answer.code == 502
        assert json.load(answer)["command_status"] == 0x0B
