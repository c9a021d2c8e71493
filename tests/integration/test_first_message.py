"""The first text of a person with Twilio's own SDK: queued, sent, delivered, and told so."""

from twilio.request_validator import RequestValidator

from tests.integration.gateway_process import (
    NUMBER,
    App,
    handset,
    timeline,
    wait_for,
    wait_for_status,
)
from tests.running import RunningGateway

TO = "+447700900123"


def test_a_text_is_queued_then_sent_then_delivered(running_gateway: RunningGateway) -> None:
    client = running_gateway.client()
    message = client.messages.create(to=TO, from_=NUMBER, body="Hello from the SDK")
    assert (message.status, message.direction, message.num_segments) == (
        "queued",
        "outbound-api",
        "1",
    )
    wait_for_status(running_gateway, message.sid, ["delivered"])
    events = [each["type"] for each in timeline(running_gateway, message.sid)["events"]]
    states = [each for each in events if each.startswith("message.")]
    assert states == ["message.queued", "message.sent", "message.delivered"]

    fetched = client.messages(message.sid).fetch()
    assert (fetched.status, fetched.error_code) == ("delivered", None)
    assert fetched.date_sent is not None
    assert [text["body"] for text in handset(running_gateway, TO)] == ["Hello from the SDK"]


def test_two_callbacks_come_in_order_with_a_signature_that_the_sdk_accepts(
    running_gateway: RunningGateway, app: App
) -> None:
    url = app.url("/status?shop=7")
    message = running_gateway.client().messages.create(
        to=TO, from_=NUMBER, body="Signed", status_callback=url
    )
    wait_for_status(running_gateway, message.sid, ["delivered"])
    wait_for(lambda: len(app.callbacks(message.sid)) >= 2, "two callbacks")
    # A text after it: were there a third callback about the first, it would have come before.
    later = running_gateway.client().messages.create(
        to=TO, from_=NUMBER, body="Later", status_callback=url
    )
    wait_for(lambda: len(app.callbacks(later.sid)) >= 2, "the callbacks of the later text")

    told = app.callbacks(message.sid)
    assert [each["params"]["MessageStatus"] for each in told] == ["sent", "delivered"]
    validator = RequestValidator(running_gateway.auth_token)
    for each in told:
        assert validator.validate(each["url"], each["params"], each["signature"])
        assert not validator.validate(each["url"] + "&x=1", each["params"], each["signature"])
        assert each["params"]["AccountSid"] == running_gateway.account_sid
        assert (each["params"]["From"], each["params"]["To"]) == (NUMBER, TO)
    tokens = {each["headers"]["I-Twilio-Idempotency-Token"] for each in told}
    assert len(tokens) == 2


def test_the_timeline_has_every_step_and_the_decoded_pdus(
    running_gateway: RunningGateway, app: App
) -> None:
    message = running_gateway.client().messages.create(
        to=TO, from_=NUMBER, body="Traced", status_callback=app.url("/status")
    )
    wait_for(lambda: len(app.callbacks(message.sid)) == 2, "two callbacks")

    def whole() -> list[dict[str, object]] | None:
        events = timeline(running_gateway, message.sid)["events"]
        ended = [each for each in events if each.get("state") == "succeeded"]
        return events if len(ended) == 2 else None

    events = wait_for(whole, "both callbacks in the timeline")
    pdus = [(each["direction"], each["name"]) for each in events if each["type"] == "pdu"]
    assert pdus == [("out", "submit_sm"), ("in", "submit_sm_resp"), ("in", "deliver_sm")]
    submit = next(each for each in events if each.get("name") == "submit_sm")
    assert submit["fields"]["short_message"] == b"Traced".hex()
    assert submit["fields"]["destination_addr"] == TO.lstrip("+")
    kinds = [each["type"] for each in events if str(each["type"]).startswith("message.")]
    assert kinds == ["message.queued", "message.sent", "message.delivered"]
