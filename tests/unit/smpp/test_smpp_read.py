"""Reading PDUs: what is understood, what is forgiven, what is answered with an error."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.codec import Decoder, Frame, Malformed, encode, name_of, read_pdu
from protocols.smpp.pdu import (
    PDUS,
    BindTransmitter,
    CommandStatus,
    EnquireLink,
    QuerySm,
    SubmitSm,
    SubmitSmResp,
    tlv,
)
from tests.unit.smpp.smpp_vectors import EACH_PDU, octets_of, value_of, vectors

GOOD = vectors("good.toml")
INVALID = vectors("invalid.toml")
RESPONSE = 0x8000_0000


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def frames(*pieces: bytes, max_pdu: int = 65536) -> list[Frame | Malformed]:
    decoder = Decoder(max_pdu)
    found = []
    for piece in pieces:
        decoder.feed(piece)
        while (frame := decoder.next_frame()) is not None:
            found.append(frame)
    return found


def one_by_one(octets: bytes, max_pdu: int = 65536) -> list[Frame | Malformed]:
    return frames(*(octets[at : at + 1] for at in range(len(octets))), max_pdu=max_pdu)


@pytest.mark.parametrize("vector", GOOD, ids=named)
def test_good_vector(vector: dict[str, Any]) -> None:
    octets = octets_of(vector["octets"])
    expected = value_of(vector)
    assert frames(octets) == [
        Frame(
            command_id=expected.command_id,
            command_status=vector.get("command_status", 0),
            sequence_number=vector["sequence_number"],
            pdu=expected,
            octets=octets,
        )
    ]


@pytest.mark.parametrize("vector", INVALID, ids=named)
def test_invalid_vector(vector: dict[str, Any]) -> None:
    octets = octets_of(vector["octets"])
    (found,) = frames(octets)
    assert isinstance(found, Malformed)
    assert found.command_id == int.from_bytes(octets[4:8], "big")
    assert found.sequence_number == int.from_bytes(octets[12:16], "big")
    assert found.command_status == vector["command_status"]
    assert found.recoverable
    assert vector["reason"] in found.reason
    assert found.octets == octets


@pytest.mark.parametrize("vector", INVALID, ids=named)
def test_bad_pdu_costs_nothing_but_itself(vector: dict[str, Any]) -> None:
    octets = octets_of(vector["octets"])
    good = encode(EnquireLink(), sequence_number=9)
    bad, after = frames(octets + good)
    assert isinstance(bad, Malformed)
    assert isinstance(after, Frame)
    assert after.sequence_number == 9


@pytest.mark.parametrize("vector", GOOD + INVALID, ids=named)
def test_octet_by_octet_equals_whole(vector: dict[str, Any]) -> None:
    octets = octets_of(vector["octets"]) + octets_of(GOOD[0]["octets"])
    assert one_by_one(octets) == frames(octets)


@pytest.mark.parametrize("vector", GOOD, ids=named)
def test_nothing_before_the_last_octet(vector: dict[str, Any]) -> None:
    octets = octets_of(vector["octets"])
    for cut in range(len(octets)):
        assert frames(octets[:cut]) == []


@pytest.mark.parametrize("vector", GOOD, ids=named)
def test_cut_at_every_octet_with_the_length_made_right(vector: dict[str, Any]) -> None:
    """A response is always read as far as it goes; a request is read or refused, never a crash."""
    octets = octets_of(vector["octets"])
    response = octets[4] & 0x80
    refusals = {
        CommandStatus.ESME_RINVCMDLEN,
        CommandStatus.ESME_RINVMSGLEN,
        CommandStatus.ESME_RINVTLVSTREAM,
    }
    for cut in range(16, len(octets)):
        found = read_pdu(struct.pack(">I", cut) + octets[4:cut])
        assert found.sequence_number == vector["sequence_number"]
        if isinstance(found, Frame):
            assert found.pdu.command_id == value_of(vector).command_id
        else:
            assert not response
            assert found.command_status in refusals
            assert f"of {cut} octets" in found.reason


@pytest.mark.parametrize("name", EACH_PDU)
@given(data=st.data())
def test_round_trip(name: str, data: st.DataObject) -> None:
    sent = data.draw(EACH_PDU[name])
    number = data.draw(st.integers(1, 0x7FFF_FFFF))
    octets = encode(sent, sequence_number=number)
    assert read_pdu(octets) == Frame(
        command_id=sent.command_id,
        command_status=0,
        sequence_number=number,
        pdu=sent,
        octets=octets,
    )


@pytest.mark.parametrize("command_id", [i for i in PDUS if i & RESPONSE])
def test_every_response_is_read_from_its_header_alone(command_id: int) -> None:
    found = read_pdu(struct.pack(">IIII", 16, command_id, 8, 77))
    assert isinstance(found, Frame)
    assert found.pdu == PDUS[command_id]()
    assert (found.command_status, found.sequence_number) == (8, 77)


def test_last_c_octet_string_of_a_request_may_lack_its_nul() -> None:
    whole = encode(BindTransmitter(system_id="a", address_range="44"), sequence_number=1)
    found = read_pdu(struct.pack(">I", len(whole) - 1) + whole[4:-1])
    assert isinstance(found, Frame)
    assert found.pdu == BindTransmitter(system_id="a", address_range="44")


def test_only_the_last_c_octet_string_may_lack_its_nul() -> None:
    body = b"id\0\0\0" + b"4477"
    found = read_pdu(struct.pack(">IIII", 16 + len(body), 3, 0, 1) + body)
    assert isinstance(found, Frame)
    assert found.pdu == QuerySm(message_id="id", source_addr="4477")
    body = b"id"
    found = read_pdu(struct.pack(">IIII", 16 + len(body), 3, 0, 1) + body)
    assert isinstance(found, Malformed)


@pytest.mark.parametrize("number", [0, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
def test_any_sequence_number_is_read(number: int) -> None:
    found = read_pdu(struct.pack(">IIII", 16, 0x15, 0, number))
    assert isinstance(found, Frame)
    assert found.sequence_number == number


@pytest.mark.parametrize("length", [0, 1, 4, 15])
def test_length_below_a_header_ends_the_stream(length: int) -> None:
    octets = struct.pack(">IIII", length, 4, 0, 1) + encode(EnquireLink(), sequence_number=1)
    (found,) = frames(octets)
    assert found == Malformed(
        command_id=0,
        sequence_number=0,
        command_status=CommandStatus.ESME_RINVCMDLEN,
        recoverable=False,
        reason=f"command_length is {length}; a PDU has 16 to 65536 octets",
        octets=octets[:4],
    )
    assert one_by_one(octets) == [found]


@pytest.mark.parametrize("length", [201, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_length_beyond_the_bound_ends_the_stream(length: int) -> None:
    octets = struct.pack(">IIII", length, 4, 0, 17) + bytes(500)
    (found,) = frames(octets, max_pdu=200)
    assert isinstance(found, Malformed)
    assert not found.recoverable
    assert found.sequence_number == 17
    assert f"command_length is {length}" in found.reason
    assert "16 to 200" in found.reason
    assert one_by_one(octets, max_pdu=200) == [found]


def test_pdu_of_exactly_the_bound_is_read() -> None:
    octets = encode(SubmitSm(tlvs=((0x0424, bytes(147)),)), sequence_number=1)
    assert len(octets) == 200 - 16
    octets = encode(SubmitSm(tlvs=((0x0424, bytes(163)),)), sequence_number=1)
    assert len(octets) == 200
    (found,) = frames(octets, max_pdu=200)
    assert isinstance(found, Frame)
    (found,) = frames(octets, max_pdu=199)
    assert isinstance(found, Malformed)


def test_first_octets_of_another_protocol_end_the_stream() -> None:
    (found,) = frames(b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(found, Malformed)
    assert not found.recoverable


def test_long_pdu_octet_by_octet_takes_no_longer_than_a_short_one() -> None:
    long = encode(SubmitSm(tlvs=((0x0424, bytes(60_000)),)), sequence_number=1)
    (found,) = one_by_one(long)
    assert isinstance(found, Frame)
    assert tlv(found.pdu, 0x0424) == bytes(60_000)


@given(
    st.lists(st.sampled_from([*GOOD, *INVALID]), min_size=1, max_size=6),
    st.lists(st.integers(1, 60), min_size=1),
)
def test_any_cutting_gives_the_same(chosen: list[dict[str, Any]], sizes: list[int]) -> None:
    stream = b"".join(octets_of(vector["octets"]) for vector in chosen)
    pieces, at = [], 0
    while at < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
    assert frames(*pieces) == frames(stream)
    assert len(frames(stream)) == len(chosen)


def test_feeding_nothing_changes_nothing() -> None:
    assert frames(b"", encode(EnquireLink(), sequence_number=1)[:8], b"") == []


def test_read_pdu_takes_one_whole_pdu() -> None:
    octets = encode(EnquireLink(), sequence_number=1)
    for wrong in (b"", octets[:15], octets + b"\0"):
        with pytest.raises(ValueError, match="not one PDU"):
            read_pdu(wrong)


def test_names() -> None:
    assert name_of(4) == "submit_sm"
    assert name_of(0x1234) == "0x00001234"


def test_tlv_finds_the_first_of_its_tag() -> None:
    pdu = SubmitSmResp(tlvs=((5, b"a"), (6, b"b"), (5, b"c")))
    assert tlv(pdu, 5) == b"a"
    assert tlv(pdu, 7) is None
