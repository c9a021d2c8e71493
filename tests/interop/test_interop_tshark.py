"""tshark reads what we write: nothing malformed, as many submit_sm as segments."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartGateway
from tests.integration.gateway_process import (
    App,
    Carrier,
    carrier_config,
    text_in,
    wait_for_status,
)
from tests.interop.capture import (
    DELIVER_SM,
    DELIVER_SM_RESP,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    Capture,
)
from tests.interop.conftest import StartEsme, StartNode
from tests.interop.world import (
    CUSTOMER,
    HANDSET,
    NUMBER,
    PASSWORD,
    SYSTEM_ID,
    TEXTS,
    emoji_at_every_border,
)

pytestmark = pytest.mark.interop
BODIES = [*TEXTS.values(), emoji_at_every_border(1600)]
MAGIC = {
    "0001": "delivered",
    "0002": "undelivered",
    "0003": "failed",
    "0004": "sent",
    "0005": "delivered",
    "0006": "delivered",
    "0007": "delivered",
    "1234": "delivered",
}
StartCapture = Callable[..., Capture]


@pytest.fixture
def start_capture(tmp_path: Path) -> Iterator[StartCapture]:
    """Begins captures on ports."""
    started: list[Capture] = []

    def start(*ports: int) -> Capture:
        started.append(Capture(tmp_path, ports))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def carrier(tmp_path: Path) -> Iterator[Carrier]:
    """A simulated carrier; what it writes is judged as well."""
    carrier = Carrier(tmp_path, "--response-timeout", "1")
    carrier.start()
    yield carrier
    carrier.stop()


@pytest.mark.parametrize("long_message", ["udh8", "udh16", "sar"])
def test_every_segment_is_one_good_submit_sm(
    start_gateway: StartGateway,
    start_node: StartNode,
    start_capture: StartCapture,
    long_message: str,
) -> None:
    node = start_node("carrier.js", "text")
    port = node.wait("listening")[0]["port"]
    capture = start_capture(port)
    gateway = start_gateway(carrier_config(port, long_message=long_message))
    sent = [
        gateway.client().messages.create(to=HANDSET, from_=NUMBER, body=body) for body in BODIES
    ]
    for message in sent:
        wait_for_status(gateway, message.sid, ["delivered"])
    segments = sum(int(message.num_segments) for message in sent)
    assert segments > len(BODIES)
    node.wait("receipt_answered", segments)
    assert gateway.terminate() == 0

    seen = capture.commands_after_stop()
    assert capture.faults() == []
    assert seen[SUBMIT_SM] == seen[SUBMIT_SM_RESP] == segments
    assert seen[DELIVER_SM] == seen[DELIVER_SM_RESP] == segments


def test_the_magic_numbers_leave_nothing_malformed(
    start_gateway: StartGateway, carrier: Carrier, start_capture: StartCapture
) -> None:
    capture = start_capture(carrier.ports["smpp"])
    gateway = start_gateway(carrier.config(response_timeout="1s"))
    sids = {}
    for digits in MAGIC:
        message = gateway.client().messages.create(
            to=f"+44770090{digits}", from_=NUMBER, body="Two parts. " * 20
        )
        sids[message.sid] = MAGIC[digits]
    for sid, status in sids.items():
        wait_for_status(gateway, sid, [status])
    assert gateway.terminate() == 0

    seen = capture.commands_after_stop()
    assert capture.faults() == []
    assert seen[SUBMIT_SM] == len(carrier.lines("submit_sm")) > 2 * len(MAGIC)


def test_what_customers_get_is_well_formed(
    start_gateway: StartGateway, start_esme: StartEsme, start_capture: StartCapture, app: App
) -> None:
    gateway = start_gateway(CUSTOMER)
    capture = start_capture(gateway.ports["smpp"])
    esme = start_esme(gateway.ports["smpp"])
    esme.bind("transceiver", SYSTEM_ID, PASSWORD)
    submitted = sum(len(esme.submit(NUMBER, HANDSET, body)) for body in TEXTS.values())
    esme.ids(submitted)
    esme.wait("deliver_sm", submitted)
    parts = sum(text_in(gateway, HANDSET, NUMBER, body)["parts"] for body in BODIES)
    esme.wait("deliver_sm", submitted + parts)
    esme.client.unbind()
    assert gateway.terminate() == 0

    seen = capture.commands_after_stop()
    assert capture.faults() == []
    assert seen[SUBMIT_SM] == seen[SUBMIT_SM_RESP] == submitted
    assert seen[DELIVER_SM] == seen[DELIVER_SM_RESP] == submitted + parts


def test_a_fault_would_be_seen(start_capture: StartCapture, start_node: StartNode) -> None:
    """What the other tests rest on: a PDU that ends too early is reported."""
    port = start_node("carrier.js", "none").wait("listening")[0]["port"]
    capture = start_capture(port)
    with socket.create_connection(("127.0.0.1", port)) as wire:
        wire.sendall(bytes.fromhex("0000001400000004000000000000000100010134"))
    assert capture.commands_after_stop()[SUBMIT_SM] == 1
    assert len(capture.faults()) == 1
