"""Kannel as a customer of our SMPP server."""

from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.integration.gateway_process import App, handset, text_in, wait_for
from tests.interop.conftest import StartKannel
from tests.interop.world import CUSTOMER, EMOJI, HANDSET, NUMBER, TEXTS
from tests.running import RunningGateway

pytestmark = pytest.mark.interop
DELIVERED, ACCEPTED, REFUSED = "1", "8", "16"  # Kannel's own words for what a DLR says


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(CUSTOMER)


def told(app: App, path: str, kind: str) -> list[dict[str, Any]]:
    """The DLRs of one kind that were told at `path`."""
    return [line for line in app.lines() if line["path"] == path and line["params"]["type"] == kind]


def test_texts_arrive_and_each_part_has_its_receipt(
    gateway: RunningGateway, start_kannel: StartKannel, app: App
) -> None:
    kannel = start_kannel(gateway.ports["smpp"], app.url("/in"))
    numbers = {name: f"+44770090{4560 + n}" for n, name in enumerate(TEXTS)}
    for n, (name, body) in enumerate(TEXTS.items()):
        kannel.send(numbers[name], body, app.url(f"/dlr{n}"))
    for n, (name, body) in enumerate(TEXTS.items()):
        arrived = wait_for(lambda to=numbers[name]: handset(gateway, to), f"{name} arrives")
        assert [(each["from"], each["body"]) for each in arrived] == [(NUMBER, body)]
        wait_for(lambda n=n: told(app, f"/dlr{n}", DELIVERED), f"the receipt of {name}")
        assert told(app, f"/dlr{n}", ACCEPTED)
        assert not told(app, f"/dlr{n}", REFUSED)


def test_a_pair_that_kannel_cuts_is_joined_before_it_is_read(
    gateway: RunningGateway, start_kannel: StartKannel, app: App
) -> None:
    kannel = start_kannel(gateway.ports["smpp"], app.url("/in"))
    body = "ж" * 66 + EMOJI + "ж" * 10
    kannel.send(HANDSET, body, app.url("/dlr"))
    arrived = wait_for(lambda: handset(gateway, HANDSET), "it arrives")
    assert [each["body"] for each in arrived] == [body]


def test_an_undeliverable_text_is_told_as_that(
    gateway: RunningGateway, start_kannel: StartKannel, app: App
) -> None:
    kannel = start_kannel(gateway.ports["smpp"], app.url("/in"))
    kannel.send("+447700900002", "Nobody there", app.url("/dlr"))
    (failed,) = wait_for(lambda: told(app, "/dlr", "2"), "the receipt")
    assert "stat:UNDELIV" in failed["params"]["answer"]


@pytest.mark.parametrize("body", ["Back at you {€}", "Привет, " * 30 + "!"], ids=["alone", "long"])
def test_a_text_from_a_handset_comes_to_its_service(
    gateway: RunningGateway, start_kannel: StartKannel, app: App, body: str
) -> None:
    start_kannel(gateway.ports["smpp"], app.url("/in"))
    text_in(gateway, HANDSET, NUMBER, body)
    (asked,) = wait_for(app.lines, "the service is asked")
    assert asked["path"] == "/in"
    assert asked["params"]["text"] == body
    assert asked["params"]["from"].lstrip("+") == HANDSET.lstrip("+")
    assert asked["params"]["to"].lstrip("+") == NUMBER.lstrip("+")
