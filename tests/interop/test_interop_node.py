"""The npm package smpp as a customer of our SMPP server, and as our carrier.

Faults of smpp 0.5.1 that the tests live with: it writes GSM 03.38 under data_coding 1, which is
IA5, swaps the single (0x24) and the locking (0x25) shift of national tables, and looks at the
lower half of data_coding alone.
"""

from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.integration.gateway_process import (
    App,
    carrier_config,
    handset,
    text_in,
    timeline,
    wait_for,
    wait_for_status,
)
from tests.interop.conftest import StartNode
from tests.interop.node_peer import NodePeer
from tests.interop.world import (
    CUSTOMER,
    EMOJI,
    HANDSET,
    NUMBER,
    PASSWORD,
    SYSTEM_ID,
    TEXTS,
    emoji_at_every_border,
    parts_of,
)
from tests.running import RunningGateway

pytestmark = pytest.mark.interop
INTERNATIONAL = {
    "source_addr_ton": 1,
    "source_addr_npi": 1,
    "dest_addr_ton": 1,
    "dest_addr_npi": 1,
}


@pytest.fixture
def carrier(start_node: StartNode) -> NodePeer:
    """A carrier that says in TLVs what became of a text."""
    return start_node("carrier.js", "tlv")


def gateway_of(
    start_gateway: StartGateway, carrier: NodePeer, config: str = "", **keys: object
) -> RunningGateway:
    """A gateway that is bound to `carrier`."""
    (listening,) = carrier.wait("listening")
    gateway = start_gateway(carrier_config(listening["port"], name="node", **keys) + config)
    carrier.wait("bound")
    return gateway


def send(gateway: RunningGateway, body: str, **more: str) -> Any:
    """Text the handset by REST."""
    return gateway.client().messages.create(to=HANDSET, from_=NUMBER, body=body, **more)


# -- as our carrier --------------------------------------------------------------------------


@pytest.mark.parametrize("body", TEXTS.values(), ids=TEXTS)
def test_a_text_is_rebuilt_and_has_as_many_parts_as_we_say(
    start_gateway: StartGateway, carrier: NodePeer, body: str
) -> None:
    gateway = gateway_of(start_gateway, carrier)
    message = send(gateway, body)
    wait_for_status(gateway, message.sid, ["delivered"])
    (text,) = carrier.wait("text")
    assert (text["from"], text["to"]) == (NUMBER.lstrip("+"), HANDSET.lstrip("+"))
    assert text["body"] == body
    submits = carrier.lines("submit_sm")
    assert len(submits) == len(text["contents"]) == int(message.num_segments)
    assert {each["registered_delivery"] for each in submits} == {1}


@pytest.mark.parametrize("long_message", ["udh8", "udh16", "sar", "payload"])
def test_an_emoji_across_every_border_stays_whole(
    start_gateway: StartGateway, carrier: NodePeer, long_message: str
) -> None:
    gateway = gateway_of(start_gateway, carrier, long_message=long_message)
    body = emoji_at_every_border(1600)
    assert len(body) == 1600
    message = send(gateway, body)
    wait_for_status(gateway, message.sid, ["delivered"])
    (text,) = carrier.wait("text")
    assert text["body"] == body
    submits = carrier.lines("submit_sm")
    if long_message == "payload":  # the carrier cuts it, we count what it will cost
        assert len(submits) == 1
    else:
        assert len(submits) == len(text["contents"]) == int(message.num_segments)
    if long_message == "udh8":
        assert int(message.num_segments) == parts_of(body)
        assert all(each.startswith(EMOJI) for each in text["contents"][1:])


@pytest.mark.parametrize("receipts", ["text", "tlv"])
def test_receipts_are_understood_and_answered(
    start_gateway: StartGateway, start_node: StartNode, app: App, receipts: str
) -> None:
    carrier = start_node("carrier.js", receipts)
    gateway = gateway_of(start_gateway, carrier)
    sids = [
        send(gateway, body, status_callback=app.url("/status")).sid
        for body in ("One", "Two parts. " * 20)
    ]
    for sid in sids:
        wait_for_status(gateway, sid, ["delivered"])
        wait_for(lambda s=sid: len(app.callbacks(s)) == 2, "both callbacks")
        told = [each["params"]["MessageStatus"] for each in app.callbacks(sid)]
        assert told == ["sent", "delivered"]
    answers = carrier.wait("receipt_answered", 3)
    assert [each["command_status"] for each in answers] == [0, 0, 0]


def test_the_timeline_shows_what_the_carrier_answered(
    start_gateway: StartGateway, carrier: NodePeer
) -> None:
    gateway = gateway_of(start_gateway, carrier)
    sid = send(gateway, "Traced").sid
    wait_for_status(gateway, sid, ["delivered"])
    (submit,) = carrier.lines("submit_sm")
    pdus = [each for each in timeline(gateway, sid)["events"] if each["type"] == "pdu"]
    assert [each["name"] for each in pdus] == ["submit_sm", "submit_sm_resp", "deliver_sm"]
    assert pdus[1]["fields"]["message_id"] == submit["id"]


def test_a_text_from_a_handset_comes_in(start_gateway: StartGateway, carrier: NodePeer) -> None:
    gateway = gateway_of(start_gateway, carrier)
    addresses = {"source_addr": HANDSET.lstrip("+"), "destination_addr": NUMBER.lstrip("+")}
    pdu = {**INTERNATIONAL, **addresses}
    carrier.tell(do="deliver", pdu=pdu, message="Hi {€} there")
    # Out of their order, the second alphabet, a reference of 16 bits.
    parts = {1: "Привет ", 2: f"мир {EMOJI}"}
    for number in (2, 1):
        udh = f"060804123402{number:02x}"
        carrier.tell(do="deliver", pdu={**pdu, "data_coding": 8}, udh=udh, message=parts[number])
    answers = carrier.wait("delivered", 3)
    assert [each["command_status"] for each in answers] == [0, 0, 0]
    came = gateway.client().messages.list(to=NUMBER)
    assert sorted(each.body for each in came) == ["Hi {€} there", f"Привет мир {EMOJI}"]
    assert {(each.from_, each.direction, each.status) for each in came} == {
        (HANDSET, "inbound", "received")
    }


def test_we_unbind_when_we_end(start_gateway: StartGateway, carrier: NodePeer) -> None:
    gateway = gateway_of(start_gateway, carrier)
    assert gateway.terminate() == 0
    carrier.wait("unbound")
    assert carrier.lines("error") == []


# -- as our customer -------------------------------------------------------------------------


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(CUSTOMER)


def bound(start_node: StartNode, gateway: RunningGateway, kind: str = "transceiver") -> NodePeer:
    """A customer that is bound."""
    esme = start_node("esme.js", str(gateway.ports["smpp"]))
    pdu = {"system_id": SYSTEM_ID, "password": PASSWORD}
    esme.tell(do="request", name=f"bind_{kind}", pdu=pdu)
    (answer,) = esme.wait("answered")
    assert (answer["command_status"], answer["system_id"]) == (0, "trunkline")
    return esme


def submit_sm(body: str, **more: object) -> dict[str, object]:
    """A submit_sm of the customer to the handset, with a receipt."""
    return {
        **INTERNATIONAL,
        "source_addr": NUMBER.lstrip("+"),
        "destination_addr": HANDSET.lstrip("+"),
        "registered_delivery": 1,
        "short_message": body,
        **more,
    }


@pytest.mark.parametrize("body", ["Hello {€}", "Привет 👋"], ids=["gsm", "ucs-2"])
def test_a_customers_text_arrives_and_its_receipt_comes(
    gateway: RunningGateway, start_node: StartNode, body: str
) -> None:
    esme = bound(start_node, gateway)
    pdu = submit_sm(body, user_message_reference=4711)
    esme.tell(do="request", name="submit_sm", pdu=pdu)
    answer = esme.wait("answered", 2)[1]
    assert answer["command_status"] == 0 and answer["id"]
    (receipt,) = esme.wait("receipt")
    assert (receipt["id"], receipt["message_state"]) == (answer["id"], 2)
    assert (receipt["from"], receipt["to"]) == (HANDSET.lstrip("+"), NUMBER.lstrip("+"))
    assert receipt["reference"] == 4711
    assert f"id:{answer['id']} " in receipt["said"] and "stat:DELIVRD" in receipt["said"]
    assert [each["body"] for each in handset(gateway, HANDSET)] == [body]

    esme.tell(do="request", name="query_sm", pdu={"message_id": answer["id"], **pdu})
    queried = esme.wait("answered", 3)[2]
    assert (queried["command_status"], queried["message_state"]) == (0, 2)


def test_a_customers_long_text_has_a_receipt_for_each_part(
    gateway: RunningGateway, start_node: StartNode
) -> None:
    esme = bound(start_node, gateway)
    parts = ["ж" * 67, "ш" * 67, "щ!"]
    for number, part in enumerate(parts, 1):
        pdu = submit_sm("", data_coding=8)
        esme.tell(do="submit_part", pdu=pdu, udh=f"050003a103{number:02x}", message=part)
    answers = esme.wait("answered", 4)[1:]
    assert [each["command_status"] for each in answers] == [0, 0, 0]
    receipts = esme.wait("receipt", 3)
    assert {each["id"] for each in receipts} == {each["id"] for each in answers}
    assert [each["body"] for each in handset(gateway, HANDSET)] == ["".join(parts)]


@pytest.mark.parametrize("body", ["Short {€}", emoji_at_every_border(300)], ids=["alone", "long"])
def test_a_text_to_a_customers_number_is_rebuilt_at_its_bind(
    gateway: RunningGateway, start_node: StartNode, body: str
) -> None:
    esme = bound(start_node, gateway, "receiver")
    text_in(gateway, HANDSET, NUMBER, body)
    (text,) = esme.wait("text")
    assert (text["from"], text["to"]) == (HANDSET.lstrip("+"), NUMBER.lstrip("+"))
    assert text["body"] == body


def test_a_customer_that_unbinds_is_let_go(gateway: RunningGateway, start_node: StartNode) -> None:
    esme = bound(start_node, gateway)
    esme.tell(do="request", name="enquire_link")
    esme.tell(do="request", name="unbind")
    answers = esme.wait("answered", 3)[1:]
    assert [each["command_status"] for each in answers] == [0, 0]
    esme.wait("closed")


def test_a_customer_with_a_wrong_password_is_refused(
    gateway: RunningGateway, start_node: StartNode
) -> None:
    esme = start_node("esme.js", str(gateway.ports["smpp"]))
    pdu = {"system_id": SYSTEM_ID, "password": "wrong"}
    esme.tell(do="request", name="bind_transceiver", pdu=pdu)
    (answer,) = esme.wait("answered")
    assert answer["command_status"] == 0x0E
