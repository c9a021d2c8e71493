"""Writing PDUs: octets checked by smpplib and by hand, and everything that is refused."""

from types import SimpleNamespace
from typing import Any

import pytest
import smpplib.consts
import smpplib.smpp

from protocols.smpp.codec import encode, fields_of
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.fields import Integer, ReadSource, WriteSource
from protocols.smpp.pdu import (
    BIND_RESPONSES,
    PDUS,
    AlertNotification,
    Bind,
    BindReceiver,
    BindReceiverResp,
    BindTransceiver,
    BindTransmitter,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    encode_tlv,
)
from tests.unit.smpp.smpp_vectors import changed, octets_of, value_of, vectors

# Vectors that say what is forgiven on reading are not what we write.
BENT = (
    "header only",
    "without a body",
    "no body",
    "lacks its NUL",
    "garbage",
    "does not count",
    "not there",
    "padding",
    "longer than 21",
    "cut behind",
    "behind its header",
    "one given twice",
)
STRAIGHT = [
    vector for vector in vectors("good.toml") if not any(bent in vector["name"] for bent in BENT)
]
TEXT = SubmitSm(
    service_type="CMT",
    source_addr_ton=5,
    source_addr="Trunkline",
    dest_addr_ton=1,
    dest_addr_npi=1,
    destination_addr="447700900123",
    esm_class=0x40,
    protocol_id=1,
    priority_flag=2,
    schedule_delivery_time="261120193800041+",
    validity_period="000001000000000R",
    registered_delivery=1,
    replace_if_present_flag=1,
    data_coding=8,
    sm_default_msg_id=3,
    short_message=b"\x05\x00\x03\x07\x02\x01hello",
    tlvs=(
        encode_tlv(0x0204, 0x1234),
        encode_tlv(0x020C, 7),
        encode_tlv(0x020E, 2),
        encode_tlv(0x020F, 1),
    ),
)


@pytest.mark.parametrize("vector", STRAIGHT, ids=lambda vector: str(vector["name"]))
def test_writes_the_vector(vector: dict[str, Any]) -> None:
    octets = encode(
        value_of(vector),
        sequence_number=vector["sequence_number"],
        command_status=vector.get("command_status", 0),
    )
    assert octets.hex() == octets_of(vector["octets"]).hex()


def test_there_are_vectors_of_every_pdu() -> None:
    assert {value_of(vector).command_id for vector in STRAIGHT} == {
        pdu.command_id for pdu in PDUS.values()
    }


def by_smpplib(name: str, pdu: Pdu, command_status: int = 0, **extra: Any) -> str:
    """The octets that smpplib writes for the same fields, with sequence_number 7."""
    fields = {field: getattr(pdu, field) for field in fields_of(type(pdu))}
    client = SimpleNamespace(sequence=7, next_sequence=lambda: 7)
    made = smpplib.smpp.make_pdu(name, client=client, **fields, **extra)
    made.sequence = 7
    made.status = command_status
    return str(made.generate().hex())


@pytest.mark.parametrize(
    ("name", "pdu"),
    [
        ("bind_receiver", BindReceiver(system_id="me", password="secret", system_type="VMS")),
        ("bind_transmitter", BindTransmitter(system_id="me", addr_ton=1, addr_npi=1)),
        ("bind_transceiver", BindTransceiver(system_id="me", address_range="^44")),
        ("submit_sm", changed(TEXT, tlvs=())),
        ("deliver_sm", DeliverSm(source_addr="447700900123", esm_class=4, short_message=b"id:1")),
        ("submit_sm_resp", SubmitSmResp(message_id="3f2a")),
        ("data_sm", DataSm(source_addr="1", destination_addr="2", data_coding=3)),
        ("data_sm_resp", DataSmResp(message_id="3f2a")),
        ("query_sm", QuerySm(message_id="3f2a", source_addr_ton=1, source_addr="44")),
        ("unbind", Unbind()),
        ("unbind_resp", UnbindResp()),
        ("enquire_link", EnquireLink()),
        ("enquire_link_resp", EnquireLinkResp()),
        ("generic_nack", GenericNack()),
    ],
)
def test_smpplib_writes_the_same(name: str, pdu: Pdu) -> None:
    assert encode(pdu, sequence_number=7).hex() == by_smpplib(name, pdu)


def test_smpplib_writes_the_same_tlvs() -> None:
    theirs = by_smpplib(
        "submit_sm",
        TEXT,
        user_message_reference=0x1234,
        sar_msg_ref_num=7,
        sar_total_segments=2,
        sar_segment_seqnum=1,
    )
    ours = encode(TEXT, sequence_number=7).hex()
    assert sorted(split_tlvs(ours)) == sorted(split_tlvs(theirs))
    assert ours[: -4 * 10] == theirs[: len(ours) - 4 * 10]


def split_tlvs(octets: str) -> list[str]:
    """The four TLVs at the end of `TEXT`, as hex: of 2, 2, 1 and 1 octets, in any order."""
    found, rest = [], octets[-(6 + 6 + 5 + 5) * 2 :]
    while rest:
        size = 8 + 2 * int(rest[4:8], 16)
        found.append(rest[:size])
        rest = rest[size:]
    return found


@pytest.mark.parametrize(
    ("pdu", "message"),
    [
        (SubmitSm(source_addr="x" * 21), "submit_sm.source_addr takes at most 20 octets"),
        (SubmitSm(source_addr="x" * 21), "was given 21: 'xxxxxxxxxxxxxxxxxxxxx'"),
        (SubmitSm(destination_addr="44\x0077"), "submit_sm.destination_addr must not contain NUL"),
        (SubmitSm(source_addr="Ж"), "submit_sm.source_addr carries Latin-1 only: 'Ж'"),
        (SubmitSm(service_type="CELLUL"), "service_type takes at most 5 octets"),
        (SubmitSm(short_message=bytes(255)), "takes at most 254 octets and was given 255"),
        (SubmitSm(short_message=bytes(255)), "message_payload"),
        (SubmitSm(esm_class=256), "submit_sm.esm_class is an integer of 1 octet(s), not 256"),
        (SubmitSm(data_coding=-1), "submit_sm.data_coding is an integer of 1 octet(s), not -1"),
        (SubmitSm(validity_period="000001"), "is empty or a time of 16 characters"),
        (SubmitSm(schedule_delivery_time="x" * 17), "takes at most 16 octets"),
        (
            SubmitSm(short_message=b"a", tlvs=((0x0424, b"b"),)),
            "submit_sm has both short_message and TLV message_payload",
        ),
        (DeliverSm(source_addr="1" * 21), "deliver_sm.source_addr takes at most 20"),
        (DataSm(source_addr="1" * 65), "data_sm.source_addr takes at most 64"),
        (BindTransmitter(system_id="x" * 16), "bind_transmitter.system_id takes at most 15"),
        (BindReceiver(system_type="x" * 13), "bind_receiver.system_type takes at most 12"),
        (BindTransceiver(address_range="x" * 41), "address_range takes at most 40"),
        (BindReceiverResp(system_id="x" * 16), "bind_receiver_resp.system_id takes at most 15"),
        (AlertNotification(esme_addr="x" * 65), "esme_addr takes at most 64"),
        (SubmitSmResp(message_id="x" * 65), "submit_sm_resp.message_id takes at most 64"),
        (DeliverSmResp(message_id="x" * 65), "deliver_sm_resp.message_id takes at most 64"),
        (QuerySmResp(final_date="x"), "query_sm_resp.final_date is empty or a time"),
        (SubmitSm(tlvs=((0x0204, b"\0"),)), "user_message_reference (0x0204) takes 2 to 2 octets"),
        (SubmitSm(tlvs=((0x001E, b"id"),)), "one NUL, at its end"),
        (SubmitSm(tlvs=((0x001E, b"i\0d\0"),)), "one NUL, at its end"),
        (SubmitSm(tlvs=((0x10000, b""),)), "tag 0x10000 does not fit"),
        (SubmitSm(tlvs=((0x1403, bytes(65536)),)), "a TLV carries at most 65535"),
    ],
)
def test_refuses(pdu: Pdu, message: str) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        encode(pdu, sequence_number=1)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source_addr": 44}, "submit_sm.source_addr is a str, not 44"),
        ({"short_message": "text"}, "submit_sm.short_message is bytes, not 'text'"),
        ({"esm_class": None}, "submit_sm.esm_class is an integer of 1 octet(s), not None"),
        ({"tlvs": ((5, None),)}, "can't be written"),
    ],
)
def test_refuses_values_of_another_type(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        encode(SubmitSm(**fields), sequence_number=1)
    assert message in str(refused.value)


@pytest.mark.parametrize("pdu", [BindReceiver(password="geheim123"), Outbind(password="geheim123")])
def test_no_error_shows_a_password(pdu: Pdu) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        encode(pdu, sequence_number=1)
    assert "password takes at most 8 octets and was given 9" in str(refused.value)
    assert "geheim" not in str(refused.value)
    assert "geheim" not in repr(pdu)


@pytest.mark.parametrize("number", [0, -1, 0x8000_0000])
def test_request_numbers_are_1_to_7fffffff(number: int) -> None:
    with pytest.raises(LocalProtocolError, match="enquire_link: sequence_number is 1 to"):
        encode(EnquireLink(), sequence_number=number)


@pytest.mark.parametrize("number", [0, 0x8000_0000, 0xFFFF_FFFF])
def test_response_repeats_any_number(number: int) -> None:
    octets = encode(EnquireLinkResp(), sequence_number=number)
    assert octets[12:] == number.to_bytes(4, "big")


@pytest.mark.parametrize("number", [-1, 0x1_0000_0000])
def test_response_numbers_have_four_octets(number: int) -> None:
    with pytest.raises(LocalProtocolError, match="sequence_number is 0 to 0xffffffff"):
        encode(EnquireLinkResp(), sequence_number=number)


@pytest.mark.parametrize("status", [-1, 0x1_0000_0000])
def test_status_has_four_octets(status: int) -> None:
    with pytest.raises(LocalProtocolError, match="command_status is an integer of 4 octets"):
        encode(SubmitSmResp(message_id="a"), sequence_number=1, command_status=status)


@pytest.mark.parametrize("command_id", [i for i in PDUS if i & 0x8000_0000])
def test_error_without_content_is_a_header(command_id: int) -> None:
    octets = encode(PDUS[command_id](), sequence_number=1, command_status=8)
    assert octets.hex() == f"00000010{command_id:08x}0000000800000001"


def test_limits_themselves_are_written() -> None:
    pdu = SubmitSm(
        service_type="x" * 5,
        source_addr="ÿ" * 20,
        destination_addr="1" * 20,
        short_message=bytes(254),
        esm_class=255,
    )
    assert len(encode(pdu, sequence_number=1)) == 16 + 6 + 2 + 21 + 2 + 21 + 3 + 2 + 4 + 1 + 254


def test_bind_responses_match_their_requests() -> None:
    for command_id, response in BIND_RESPONSES.items():
        assert issubclass(PDUS[command_id], Bind)
        assert PDUS[command_id | 0x8000_0000] is response


def test_integers_of_more_octets_compile() -> None:
    """No PDU here has one; submit_multi's and broadcast's relatives do."""
    field = Integer(size=4)
    written = WriteSource()
    field.write_source("n", written)
    octets = eval(written.body(), {"p": SimpleNamespace(n=0x01020304)})
    assert octets == b"\x01\x02\x03\x04"
    source = ReadSource(16)
    expression = field.read_source("n", source)
    scope = {"b": bytes(16) + octets, "end": 20, "from_bytes": int.from_bytes}
    exec("\n".join(source.lines), scope)
    assert eval(expression, scope) == 0x01020304
    with pytest.raises(ValueError):
        exec("\n".join(source.lines), {**scope, "end": 19})
    assert field.read(octets, 0) == (0x01020304, 4)
