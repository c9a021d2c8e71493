"""smpplib as a customer of our SMPP server."""

import pytest
from smpplib.exceptions import PDUError

from tests.conftest import StartGateway
from tests.integration.gateway_process import handset, text_in, wait_for
from tests.interop.conftest import StartEsme
from tests.interop.smpplib_peer import text_of
from tests.interop.world import (
    CUSTOMER,
    EMOJI,
    HANDSET,
    NUMBER,
    PASSWORD,
    SYSTEM_ID,
    TEXTS,
)
from tests.running import RunningGateway

pytestmark = pytest.mark.interop
BAD_PASSWORD, BAD_SYSTEM_ID = 0x0E, 0x0F


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(CUSTOMER)


@pytest.mark.parametrize("body", TEXTS.values(), ids=TEXTS)
def test_a_text_arrives_and_its_receipts_name_the_ids_that_we_gave(
    gateway: RunningGateway, start_esme: StartEsme, body: str
) -> None:
    esme = start_esme(gateway.ports["smpp"])
    bound = esme.bind("transceiver", SYSTEM_ID, PASSWORD)
    assert text_of(bound.system_id) == "trunkline"
    submitted = esme.submit(NUMBER, HANDSET, body)
    ids = esme.ids(len(submitted))
    assert [pdu.sequence for pdu in esme.wait("submit_sm_resp", len(ids))] == submitted
    assert len(set(ids)) == len(ids) and "" not in ids

    receipts = esme.wait("deliver_sm", len(ids))
    assert sorted(text_of(each.receipted_message_id) for each in receipts) == sorted(ids)
    for each in receipts:
        written = each.short_message.decode("ascii")
        assert written.startswith(f"id:{text_of(each.receipted_message_id)} ")
        assert "stat:DELIVRD" in written
        assert (each.esm_class, each.message_state) == (0x04, 2)
        assert text_of(each.source_addr) == HANDSET.lstrip("+")
        assert text_of(each.destination_addr) == NUMBER.lstrip("+")
    assert [(each["from"], each["body"]) for each in handset(gateway, HANDSET)] == [(NUMBER, body)]


@pytest.mark.parametrize(
    "body",
    ["a" * 152 + "€" + "b" * 20, "ж" * 66 + EMOJI + "ж" * 10, EMOJI * 36],
    ids=["escape pair", "surrogate pair", "many surrogate pairs"],
)
def test_what_smpplib_cuts_in_two_is_joined_before_it_is_read(
    gateway: RunningGateway, start_esme: StartEsme, body: str
) -> None:
    esme = start_esme(gateway.ports["smpp"])
    esme.bind("transceiver", SYSTEM_ID, PASSWORD)
    esme.ids(len(esme.submit(NUMBER, HANDSET, body)))
    esme.wait("deliver_sm", 2)
    assert [each["body"] for each in handset(gateway, HANDSET)] == [body]


def test_a_transmitter_sends_and_a_receiver_is_told(
    gateway: RunningGateway, start_esme: StartEsme
) -> None:
    sender, receiver = (start_esme(gateway.ports["smpp"]) for _ in range(2))
    sender.bind("transmitter", SYSTEM_ID, PASSWORD)
    receiver.bind("receiver", SYSTEM_ID, PASSWORD)
    sender.submit(NUMBER, HANDSET, "From the one")
    (message_id,) = sender.ids(1)
    (receipt,) = receiver.wait("deliver_sm")
    assert text_of(receipt.receipted_message_id) == message_id
    assert [pdu.command for pdu in sender.came] == ["submit_sm_resp"]


def test_receipts_wait_for_a_customer_that_is_away(
    gateway: RunningGateway, start_esme: StartEsme
) -> None:
    sender = start_esme(gateway.ports["smpp"])
    sender.bind("transmitter", SYSTEM_ID, PASSWORD)
    sender.submit(NUMBER, HANDSET, "Told later")
    (message_id,) = sender.ids(1)
    assert sender.client.unbind().command == "unbind_resp"
    message = gateway.client().messages
    wait_for(lambda: message(message_id).fetch().status == "delivered", "it is delivered")

    back = start_esme(gateway.ports["smpp"])
    back.bind("receiver", SYSTEM_ID, PASSWORD)
    (receipt,) = back.wait("deliver_sm")
    assert text_of(receipt.receipted_message_id) == message_id


@pytest.mark.parametrize("body", ["Back at you {€}", "Привет " * 30], ids=["alone", "long"])
def test_a_text_from_a_handset_is_brought_to_the_bind(
    gateway: RunningGateway, start_esme: StartEsme, body: str
) -> None:
    esme = start_esme(gateway.ports["smpp"])
    esme.bind("receiver", SYSTEM_ID, PASSWORD)
    count = text_in(gateway, HANDSET, NUMBER, body)["parts"]
    texts = esme.wait("deliver_sm", count)
    contents = {}
    for each in texts:
        assert text_of(each.source_addr) == HANDSET.lstrip("+")
        assert text_of(each.destination_addr) == NUMBER.lstrip("+")
        header = each.short_message[: each.short_message[0] + 1] if count > 1 else b""
        assert each.esm_class == (0x40 if count > 1 else 0)
        contents[header[-1:]] = each.short_message[len(header) :]
    joined = b"".join(contents[number] for number in sorted(contents))
    if count > 1:
        assert joined.decode("utf-16-be") == body
    else:
        assert joined == b"Back at you \x1b\x28\x1b\x65\x1b\x29"


def test_a_wrong_password_is_refused(gateway: RunningGateway, start_esme: StartEsme) -> None:
    esme = start_esme(gateway.ports["smpp"])
    with pytest.raises(PDUError) as refused:
        esme.bind("transceiver", SYSTEM_ID, "wrong")
    assert refused.value.args[1] == BAD_PASSWORD


def test_a_stranger_is_refused(gateway: RunningGateway, start_esme: StartEsme) -> None:
    esme = start_esme(gateway.ports["smpp"])
    with pytest.raises(PDUError) as refused:
        esme.bind("transceiver", "nobody", PASSWORD)
    assert refused.value.args[1] == BAD_SYSTEM_ID


def test_a_sender_that_is_not_the_customers_is_refused(
    gateway: RunningGateway, start_esme: StartEsme
) -> None:
    esme = start_esme(gateway.ports["smpp"])
    esme.bind("transceiver", SYSTEM_ID, PASSWORD)
    esme.submit("+15559998888", HANDSET, "Not mine")
    (response,) = esme.wait("submit_sm_resp")
    assert response.status == 0x0A
    assert handset(gateway, HANDSET) == []


def test_it_unbinds_and_binds_again(gateway: RunningGateway, start_esme: StartEsme) -> None:
    for _ in range(6):  # more often than a customer may be bound at once
        esme = start_esme(gateway.ports["smpp"])
        esme.bind("transceiver", SYSTEM_ID, PASSWORD)
        assert esme.client.unbind().command == "unbind_resp"
        esme.end()
