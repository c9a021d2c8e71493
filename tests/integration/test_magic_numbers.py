"""The numbers that a person can try by hand: how each ends, in both settings of `on_uncertain`."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.integration.gateway_process import (
    NUMBER,
    App,
    handset,
    timeline,
    wait_for,
    wait_for_status,
)
from tests.running import RunningGateway

CONFIG = """
[[carriers]]
name = "simulated"
kind = "simulated"
response_timeout = "4s"
on_uncertain = "{on_uncertain}"
"""
SENT_THEN_DELIVERED = ["sent", "delivered"]


@dataclass(frozen=True)
class End:
    """How a text ends; `copies` are what may arrive, `submits` the submit_sm, at the most."""

    status: str
    error_code: int | None
    callbacks: list[str]
    copies: range
    submits: int


def once(status: str, error_code: int | None, callbacks: list[str], copies: int = 1) -> End:
    """An end with one submit_sm."""
    return End(status, error_code, callbacks, range(copies, copies + 1), 1)


DELIVERED = once("delivered", None, SENT_THEN_DELIVERED)
ENDS = {
    "0001": End("delivered", None, SENT_THEN_DELIVERED, range(1, 2), 3),
    "0002": once("undelivered", 30003, ["sent", "undelivered"], 0),
    "0003": once("failed", 30005, ["failed"], 0),
    "0004": once("sent", None, ["sent"]),
    "0005": DELIVERED,
    "1234": DELIVERED,
}
TWICE = End("delivered", None, SENT_THEN_DELIVERED, range(1, 3), 2)
UNCERTAIN = {
    "resend": {"0006": TWICE, "0007": TWICE},
    "hold": {"0006": DELIVERED, "0007": DELIVERED},
}


@pytest.mark.parametrize("on_uncertain", ["resend", "hold"])
def test_every_magic_number_ends_as_promised(
    start_gateway: StartGateway, app: App, on_uncertain: str
) -> None:
    gateway = start_gateway(CONFIG.format(on_uncertain=on_uncertain))
    ends = ENDS | UNCERTAIN[on_uncertain]
    # A bind that drops makes everything on it uncertain, so 0006 has it for itself.
    together = [digits for digits in ends if digits != "0006"]
    sids = {digits: send(gateway, app, digits) for digits in together}
    wait_for_ends(gateway, app, sids, ends)
    sids["0006"] = send(gateway, app, "0006")
    wait_for_ends(gateway, app, {"0006": sids["0006"]}, ends)

    for digits, sid in sids.items():
        check(gateway, app, digits, sid, ends[digits])


def send(gateway: RunningGateway, app: App, digits: str) -> str:
    """Text the number; its SID."""
    message = gateway.client().messages.create(
        to=f"+44770090{digits}",
        from_=NUMBER,
        body=f"To {digits}",
        status_callback=app.url(f"/{digits}"),
    )
    return str(message.sid)


def wait_for_ends(
    gateway: RunningGateway, app: App, sids: dict[str, str], ends: dict[str, End]
) -> None:
    """Wait until each is in its state and was told of it."""
    for digits, sid in sids.items():
        end = ends[digits]
        wait_for_status(gateway, sid, [end.status])
        wait_for(lambda s=sid, e=end: len(app.callbacks(s)) >= len(e.callbacks), "its callbacks")


def check(gateway: RunningGateway, app: App, digits: str, sid: str, end: End) -> None:
    """All that a person can see of one text."""
    message = gateway.client().messages(sid).fetch()
    assert (digits, message.status, message.error_code) == (digits, end.status, end.error_code)
    told = [each["params"] for each in app.callbacks(sid)]
    assert (digits, [each["MessageStatus"] for each in told]) == (digits, end.callbacks)
    last = None if end.error_code is None else str(end.error_code)
    assert (digits, told[-1].get("ErrorCode")) == (digits, last)
    arrived = handset(gateway, f"+44770090{digits}")
    assert len(arrived) in end.copies, digits
    assert {each["body"] for each in arrived} <= {f"To {digits}"}
    assert (digits, len(submits(timeline(gateway, sid)))) == (digits, end.submits)


def submits(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The submit_sm of a timeline."""
    return [each for each in found["events"] if each.get("name") == "submit_sm"]


def test_a_receipt_that_comes_before_the_response_waits_for_it(
    start_gateway: StartGateway, app: App
) -> None:
    gateway = start_gateway(CONFIG.format(on_uncertain="resend"))
    sid = send(gateway, app, "0005")

    def answered() -> list[str] | None:
        events = timeline(gateway, sid)["events"]
        names = [each["name"] for each in events if each["type"] == "pdu"]
        return names if "submit_sm_resp" in names else None

    names = wait_for(answered, "the response is in the timeline")
    assert names == ["submit_sm", "deliver_sm", "submit_sm_resp"]
    wait_for(lambda: len(app.callbacks(sid)) >= 2, "its callbacks")
    assert [each["params"]["MessageStatus"] for each in app.callbacks(sid)] == SENT_THEN_DELIVERED
    wait_for_status(gateway, sid, ["delivered"])
