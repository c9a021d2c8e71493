"""TLVs as values, and the tables of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.constants import MEANINGS, CommandStatus, describe_status
from protocols.smpp.errors import LocalProtocolError, RemoteProtocolError
from protocols.smpp.tlv import TLVS, Tag, TlvType, check_tlv, decode_tlv, encode_tlv


@pytest.mark.parametrize(
    ("tag", "value", "octets"),
    [
        (Tag.USER_MESSAGE_REFERENCE, 0x1234, "1234"),
        (Tag.SAR_TOTAL_SEGMENTS, 255, "ff"),
        (Tag.QOS_TIME_TO_LIVE, 1, "00000001"),
        (Tag.MS_VALIDITY, 3, "03"),
        (Tag.MS_VALIDITY, 0x01020003, "01020003"),
        (Tag.ALERT_ON_MESSAGE_DELIVERY, 0, "00"),
        (Tag.RECEIPTED_MESSAGE_ID, "3f2", "33663200"),
        (Tag.RECEIPTED_MESSAGE_ID, "", "00"),
        (Tag.MESSAGE_PAYLOAD, b"\x00\xff", "00ff"),
        (Tag.NETWORK_ERROR_CODE, b"\x03\x00\x01", "030001"),
        (0x1403, b"vendor", "76656e646f72"),
    ],
)
def test_values_and_octets(tag: int, value: int | str | bytes, octets: str) -> None:
    assert encode_tlv(tag, value) == (tag, bytes.fromhex(octets))
    assert decode_tlv(tag, bytes.fromhex(octets)) == value


@pytest.mark.parametrize(
    ("tag", "octets", "value"),
    [
        (Tag.USER_MESSAGE_REFERENCE, "07", 7),
        (Tag.USER_MESSAGE_REFERENCE, "00000007", 7),
        (Tag.MESSAGE_STATE, "", 0),
        (Tag.RECEIPTED_MESSAGE_ID, "336632", "3f2"),
        (Tag.RECEIPTED_MESSAGE_ID, "33663200ff", "3f2"),
        (Tag.RECEIPTED_MESSAGE_ID, "", ""),
        (Tag.NETWORK_ERROR_CODE, "03", b"\x03"),
    ],
)
def test_what_peers_send_is_read(tag: int, octets: str, value: int | str | bytes) -> None:
    assert decode_tlv(tag, bytes.fromhex(octets)) == value


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        (Tag.SAR_TOTAL_SEGMENTS, 256, "sar_total_segments is an integer of 1 octets, not 256"),
        (Tag.SAR_TOTAL_SEGMENTS, -1, "not -1"),
        (Tag.SAR_TOTAL_SEGMENTS, "1", "is of type integer, not '1'"),
        (Tag.RECEIPTED_MESSAGE_ID, "x" * 65, "takes 1 to 65 octets and was given 66"),
        (Tag.RECEIPTED_MESSAGE_ID, "a\0b", "one NUL, at its end"),
        (Tag.RECEIPTED_MESSAGE_ID, "Ж", "carries Latin-1 only: 'Ж'"),
        (Tag.RECEIPTED_MESSAGE_ID, b"a", "is of type C-octet string, not b'a'"),
        (Tag.NETWORK_ERROR_CODE, b"ab", "takes 3 to 3 octets and was given 2: b'ab'"),
        (0x1403, 7, "TLV 0x1403 is of type octet string, not 7"),
        (0x1403, bytes(65536), "at most 65535"),
    ],
)
def test_refuses(tag: int, value: int | str | bytes, message: str) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        encode_tlv(tag, value)
    assert message in str(refused.value)


def test_every_tag_has_a_row_under_its_name() -> None:
    assert set(TLVS) == {int(tag) for tag in Tag}
    for tag in Tag:
        assert TLVS[tag].name == tag.name.lower()
        assert TLVS[tag].minimum <= TLVS[tag].maximum


@given(st.sampled_from(sorted(TLVS)), st.binary(max_size=70))
def test_decode_takes_anything(tag: int, octets: bytes) -> None:
    value = decode_tlv(tag, octets)
    kinds = {TlvType.INTEGER: int, TlvType.C_OCTET_STRING: str, TlvType.OCTET_STRING: bytes}
    assert isinstance(value, kinds[TLVS[tag].type])


@pytest.mark.parametrize("tag", [-1, 0x10000])
def test_tag_has_two_octets(tag: int) -> None:
    with pytest.raises(LocalProtocolError, match="two octets"):
        check_tlv(tag, b"")


def test_every_status_has_a_meaning() -> None:
    assert set(MEANINGS) == set(CommandStatus)
    assert describe_status(0x58) == (
        "ESME_RTHROTTLED (0x58): throttled: the allowed message rate was exceeded"
    )
    assert describe_status(0x400) == "0x400: not defined by SMPP, ask the peer what it means"


def test_remote_error_says_how_to_answer() -> None:
    error = RemoteProtocolError("why", status=0xC0, recoverable=True)
    assert (str(error), error.status, error.recoverable) == ("why", 0xC0, True)
