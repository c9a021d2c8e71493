"""Customers who bind over SMPP: what they submit is accepted as over REST, and they are told.

The customer is `python -m sims esme`, which is built on smpplib and shares no code with us.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.integration.conftest import StartCarrier
from tests.integration.gateway_process import (
    ROOT,
    Carrier,
    get,
    text_in,
    wait_for,
    wait_for_status,
)
from tests.running import RunningGateway

SENDER = "+442071838750"
TO = "+447700900123"
LONG = "Ünïcode ✓ in parts, " * 12
CONFIG = f"""
[[numbers]]
number = "{SENDER}"

[[customers]]
system_id = "shop"
password = "secret"
senders = ["{SENDER}"]
"""


def run_customer(
    gateway: RunningGateway, *options: str, password: str = "secret"
) -> tuple[int, list[dict[str, Any]]]:
    """One life of the customer: bind, do what `options` say, unbind; exit status and events."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sims", "esme", "--port", str(gateway.ports["smpp"])),
            *("--system-id", "shop", "--password", password),
            *options,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr, f"{done.stderr}{gateway.log.read_text()}"
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def customer(gateway: RunningGateway, *options: str) -> list[dict[str, Any]]:
    """The events of a life in which every submit_sm was accepted."""
    status, events = run_customer(gateway, *options)
    assert status == 0, f"{events}{gateway.log.read_text()}"
    return events


def only(events: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The events of one kind."""
    return [event for event in events if event["event"] == kind]


def submit(to: str, body: str, *options: str) -> tuple[str, ...]:
    """The options that send a text from the customer's number."""
    return ("--from", SENDER, "--to", to, "--body", body, *options)


def messages(gateway: RunningGateway) -> list[Any]:
    """All messages of the account, oldest first."""
    return list(reversed(gateway.client().messages.list()))


@pytest.fixture
def gateway(start_gateway: StartGateway, carrier: Carrier) -> RunningGateway:
    return start_gateway(carrier.config() + CONFIG)


@pytest.fixture
def carrier(start_carrier: StartCarrier) -> Carrier:
    return start_carrier("--receipt-delay", "0.3")


def test_short_and_long_texts_are_accepted_and_each_submit_sm_gets_its_receipt(
    gateway: RunningGateway, carrier: Carrier
) -> None:
    events = customer(gateway, *submit(TO, "Short {n}", "--count", "3", "--wait", "20"))
    ids = [each["message_id"] for each in only(events, "response")]
    assert len(set(ids)) == 3
    assert sorted(each["message_id"] for each in only(events, "receipt")) == sorted(ids)
    assert {each["message_state"] for each in only(events, "receipt")} == {2}
    assert all("stat:DELIVRD" in each["text"] for each in only(events, "receipt"))

    events = customer(gateway, *submit(TO, LONG, "--wait", "20"))
    ids = [each["message_id"] for each in only(events, "response")]
    assert len(ids) == 4 == len(set(ids))
    assert sorted(each["message_id"] for each in only(events, "receipt")) == sorted(ids)

    bodies = ["Short 1", "Short 2", "Short 3", LONG]
    assert [line["body"] for line in carrier.lines("text")] == bodies
    found = messages(gateway)
    assert [each.body for each in found] == bodies
    assert {(each.status, each.from_, each.to) for each in found} == {("delivered", SENDER, TO)}


def test_what_cannot_be_delivered_is_told_with_its_state(gateway: RunningGateway) -> None:
    events = customer(gateway, *submit("+447700900002", "To nobody", "--wait", "20"))
    (receipt,) = only(events, "receipt")
    assert receipt["message_state"] == 5
    assert "stat:UNDELIV" in receipt["text"]


def test_receipts_wait_while_the_customer_is_away_and_the_gateway_restarts(
    gateway: RunningGateway,
) -> None:
    events = customer(gateway, *submit(TO, "Later", "--wait", "0"))
    (answer,) = only(events, "response")
    assert only(events, "receipt") == []
    wait_for(lambda: [m for m in messages(gateway) if m.status == "delivered"], "it is delivered")
    assert gateway.terminate() == 0
    gateway.start()

    later = customer(gateway, "--wait", "5")
    assert [each["message_id"] for each in only(later, "receipt")] == [answer["message_id"]]
    assert only(customer(gateway, "--wait", "1"), "receipt") == []


def test_texts_to_a_number_of_the_customer_wait_for_its_bind(
    start_gateway: StartGateway,
) -> None:
    gateway = start_gateway(CONFIG)
    text_in(gateway, TO, SENDER, "For the shop")
    text_in(gateway, TO, SENDER, LONG)
    texts = only(customer(gateway, "--wait", "5"), "text")
    assert {(each["from"], each["to"]) for each in texts} == {(TO.lstrip("+"), SENDER.lstrip("+"))}
    assert sorted(each["body"] for each in texts) == sorted(["For the shop", LONG])
    assert [each.direction for each in messages(gateway)] == ["inbound", "inbound"]


def test_a_wrong_password_or_sender_is_refused(gateway: RunningGateway) -> None:
    status, events = run_customer(gateway, password="wrong")
    assert (status, [each["event"] for each in events]) == (1, ["refused"])

    stranger = ("--from", "+15557654321", "--to", TO, "--body", "Not mine", "--wait", "1")
    status, events = run_customer(gateway, *stranger)
    (answer,) = only(events, "response")
    assert status == 1
    assert answer["command_status"] == 0x0A  # ESME_RINVSRCADR
    assert messages(gateway) == []


def test_the_same_text_over_rest_and_over_smpp_becomes_the_same_message(
    gateway: RunningGateway,
) -> None:
    over_rest = gateway.client().messages.create(to=TO, from_=SENDER, body=LONG)
    customer(gateway, *submit(TO, LONG, "--wait", "20"))
    wait_for_status(gateway, over_rest.sid, ["delivered"])
    path = f"/2010-04-01/Accounts/{gateway.account_sid}/Messages.json"
    first, second = get(gateway, path)["messages"]
    for name in ("body", "num_segments", "from", "to", "status", "direction", "error_code"):
        assert first[name] == second[name], name
