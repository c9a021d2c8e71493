"""Receipts as carriers write them, and the identifiers in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.constants import MessageState
from protocols.smpp.receipt import (
    FINAL,
    STAT,
    Receipt,
    date_text,
    id_candidates,
    id_key,
    parse,
    render,
)

S = MessageState
RECEIPT, INTERMEDIATE = 0x04, 0x20
APPENDIX_B = (
    b"id:0123456789 sub:001 dlvrd:001 submit date:2611201937 done date:2611201938"
    b" stat:DELIVRD err:000 text:Hello there"
)


def read(text: bytes, *tlvs: tuple[int, bytes], esm_class: int = RECEIPT) -> Receipt:
    receipt = parse(text, 0, tlvs, esm_class)
    assert receipt is not None
    return receipt


def test_appendix_b() -> None:
    assert read(APPENDIX_B) == Receipt(
        message_id="0123456789",
        state=S.DELIVERED,
        err="000",
        submit_date="2611201937",
        done_date="2611201938",
        sub="001",
        dlvrd="001",
        text="Hello there",
    )


@pytest.mark.parametrize(
    ("text", "message_id", "state", "err"),
    [
        (
            b"ID:9 SUB:001 DLVRD:000 SUBMIT DATE:1 DONE DATE:2 STAT:UNDELIV ERR:010",
            "9",
            S.UNDELIVERABLE,
            "010",
        ),
        (b"stat:DELIVRD id:abc err:0", "abc", S.DELIVERED, "0"),
        (b"id: 77  stat: EXPIRED  err: 5", "77", S.EXPIRED, "5"),
        (b"id=77 stat=REJECTD error=12", "77", S.REJECTED, "12"),
        (b"id:77,stat:DELIVRD,err:000", "77", S.DELIVERED, "000"),
        (b"message_id:77\r\nstatus:Delivered\r\nerror code:3", "77", S.DELIVERED, "3"),
        (b"msgid:77 state:2", "77", S.DELIVERED, ""),
        (b"id:77 submitdate:1 donedate:2 stat:UNDELIVRD err:1", "77", S.UNDELIVERABLE, "1"),
        (
            b"id:550e8400-e29b-41d4-a716-446655440000 stat:ACCEPTD",
            "550e8400-e29b-41d4-a716-446655440000",
            S.ACCEPTED,
            "",
        ),
        (b'id:"77" stat:"ENROUTE"', "77", S.ENROUTE, ""),
        (b"id:a:b stat:DELETED err:", "a:b", S.DELETED, ""),
        (b"id:77 stat:FAILED err:1", "77", S.UNDELIVERABLE, "1"),
        (b"id:77 stat:BUFFERED", "77", S.ENROUTE, ""),
        (b"id:77 stat:SCHEDULED", "77", S.SCHEDULED, ""),
        (b"id:77 stat:SKIPPED", "77", S.SKIPPED, ""),
        (b"id:77 stat:whatever", "77", S.UNKNOWN, ""),
        (b"id:77 stat:DELIVRD err:000\0", "77", S.DELIVERED, "000"),
        (b"id:77 err:1 text:id:66 stat:DELIVRD", "77", S.UNKNOWN, "1"),
        (b"no receipt at all", "", S.UNKNOWN, ""),
        (b"", "", S.UNKNOWN, ""),
    ],
)
def test_vendors_forms(text: bytes, message_id: str, state: MessageState, err: str) -> None:
    receipt = read(text)
    assert (receipt.message_id, receipt.state, receipt.err) == (message_id, state, err)


def test_the_text_of_a_message_says_nothing_of_it() -> None:
    receipt = read(APPENDIX_B.replace(b"Hello there", b"id:1 stat:UNDELIV err:9"))
    assert (receipt.message_id, receipt.state, receipt.err) == ("0123456789", S.DELIVERED, "000")


def test_tlvs_are_preferred() -> None:
    receipt = read(
        APPENDIX_B,
        (0x001E, b"ABC\0"),
        (0x0427, b"\x05"),
        (0x0423, b"\x03\x00\x0d"),
        (0x0204, b"\x01\x02"),
    )
    assert (receipt.message_id, receipt.state) == ("ABC", S.UNDELIVERABLE)
    assert (receipt.network_type, receipt.network_error_code) == (3, 13)
    assert receipt.user_message_reference == 0x0102
    assert receipt.done_date == "2611201938"


@pytest.mark.parametrize(
    ("value", "message_id"),
    [
        (b"ABC", "ABC"),
        (b"ABC\0junk", "ABC"),
        (b"\0", "0123456789"),
        (b"", "0123456789"),
        (b" 7 ", "7"),
    ],
)
def test_a_mis_sized_id_tlv(value: bytes, message_id: str) -> None:
    assert read(APPENDIX_B, (0x001E, value)).message_id == message_id


def test_a_state_that_smpp_does_not_know_leaves_the_text_to_say_it() -> None:
    assert read(APPENDIX_B, (0x0427, b"\x63")).state is S.DELIVERED
    assert read(APPENDIX_B, (0x0427, b"")).state is S.DELIVERED
    assert read(APPENDIX_B, (0x0427, b"\x00\x03")).state is S.EXPIRED


def test_a_bare_network_error_code_is_passed_over() -> None:
    receipt = read(APPENDIX_B, (0x0423, b"\x03"))
    assert (receipt.network_type, receipt.network_error_code) == (-1, -1)


def test_tlvs_alone_are_enough() -> None:
    tlvs = ((0x001E, b"7\0"), (0x0427, b"\x02"))
    assert read(b"", *tlvs).message_id == "7"
    assert read(b"", *tlvs, esm_class=0).state is S.DELIVERED


def test_message_payload_is_read_too() -> None:
    assert read(b"", (0x0424, APPENDIX_B)).message_id == "0123456789"


def test_what_anybody_can_type_is_no_receipt() -> None:
    assert parse(APPENDIX_B, 0, (), 0x00) is None
    assert parse(APPENDIX_B, 0, ((0x001E, b"7\0"),), 0x00) is None
    tlvs = ((0x001E, b"7\0"), (0x0427, b"\x02"))
    assert parse(APPENDIX_B, 0, tlvs, 0x08) is None  # an acknowledgement by the handset


def test_ucs2_and_a_header() -> None:
    text = APPENDIX_B.decode().encode("utf-16-be")
    receipt = parse(text, 8, (), RECEIPT)
    assert receipt is not None and receipt.message_id == "0123456789"
    receipt = parse(b"\x05\x00\x03\x01\x02\x01" + APPENDIX_B, 0, (), RECEIPT | 0x40)
    assert receipt is not None and receipt.message_id == "0123456789"


def test_ascii_under_data_coding_8() -> None:
    receipt = parse(APPENDIX_B, 8, (), RECEIPT)
    assert receipt is not None and receipt.state is S.DELIVERED


@pytest.mark.parametrize("state", list(S))
def test_which_states_are_final(state: MessageState) -> None:
    receipt = read(b"id:1", (0x0427, bytes((state,))))
    assert receipt.is_final == (state in FINAL)
    assert receipt.is_final == (state not in (S.SCHEDULED, S.ENROUTE, S.ACCEPTED))
    assert not read(b"id:1", (0x0427, bytes((state,))), esm_class=INTERMEDIATE).is_final


@pytest.mark.parametrize("state", list(S))
def test_what_is_rendered_is_read(state: MessageState) -> None:
    receipt = Receipt(
        message_id="SM0123",
        state=state,
        err="001",
        submit_date="2611201937",
        done_date="2611201938",
        sub="001",
        dlvrd="000",
        text="Hello",
    )
    assert read(render(receipt)) == receipt
    assert len(STAT[state]) == 7


def test_widths() -> None:
    receipt = Receipt(
        message_id="1",
        state=S.DELIVERED,
        err="7",
        sub="1",
        dlvrd="1",
        submit_date="2611201937",
        done_date="2611201938",
        text="Grüße " + "x" * 30,
    )
    assert render(receipt) == (
        b"id:1 sub:001 dlvrd:001 submit date:2611201937 done date:2611201938"
        b" stat:DELIVRD err:007 text:Gr??e xxxxxxxxxxxxxx"
    )
    empty = render(Receipt(message_id="1", state=S.UNKNOWN))
    assert b"submit date:0000000000 done date:0000000000 stat:UNKNOWN err:000 text:" in empty


def test_dates() -> None:
    assert date_text(0.0) == "7001010000"
    assert date_text(1_795_203_420.0) == "2611201937"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("ABC", "abc"),
        ("000ABC", "abc"),
        ("0xABC", "abc"),
        ("0000", "0"),
        ("0", "0"),
        (" 12 ", "12"),
        ("", ""),
        ("a-b", "a-b"),
        ("550E8400-E29B-41D4-A716-446655440000", "550e8400e29b41d4a716446655440000"),
        ("{050E8400-e29b-41d4-a716-446655440000}", "50e8400e29b41d4a716446655440000"),
        ("050E8400-e29b-41d4-a716-446655440000", "50e8400e29b41d4a716446655440000"),
    ],
)
def test_keys(given: str, key: str) -> None:
    assert id_key(given) == key


@pytest.mark.parametrize(
    ("stored", "receipted"),
    [
        ("12345", "12345"),
        ("3039", "12345"),  # hex in the response, decimal in the receipt
        ("12345", "3039"),  # and the reverse
        ("0x3039", "12345"),
        ("00003039", "0000012345"),
        ("ABCDEF", "abcdef"),
        ("ABCDEF", "11259375"),
        ("11259375", "00ABCDEF"),
        ("0000012345", "12345"),
        ("550E8400-E29B-41D4-A716-446655440000", "550e8400e29b41d4a716446655440000"),
        ("SM0a", "sm0A"),
        ("msg/77", "MSG/77"),
    ],
)
def test_a_receipt_finds_its_message(stored: str, receipted: str) -> None:
    assert id_key(stored) in id_candidates(receipted)


def test_the_id_as_it_is_comes_first() -> None:
    assert id_candidates("123") == ("123", "7b", "291")
    assert id_candidates("0") == ("0",)
    assert id_candidates("xyz") == ("xyz",)
    assert id_candidates("") == ()
    assert id_candidates("9" * 5000) == ("9" * 5000,)
    assert id_candidates("\u0663\u00b2") == ("\u0663\u00b2",)


@given(st.integers(0, 2**64 - 1), st.booleans(), st.integers(0, 6))
def test_every_number_in_either_base(number: int, upper: bool, zeros: int) -> None:
    digits = f"{number:X}" if upper else f"{number:x}"
    assert id_key("0" * zeros + digits) in id_candidates(str(number))
    assert id_key(str(number)) in id_candidates("0" * zeros + digits)


@given(
    st.binary(max_size=300),
    st.integers(0, 255),
    st.lists(
        st.tuples(
            st.sampled_from([0x1E, 0x0204, 0x0423, 0x0424, 0x0427, 0x1403]), st.binary(max_size=70)
        )
    ),
    st.integers(0, 255),
)
def test_reading_never_fails(
    payload: bytes, data_coding: int, tlvs: list[tuple[int, bytes]], esm_class: int
) -> None:
    receipt = parse(payload, data_coding, tlvs, esm_class)
    assert (receipt is not None) or esm_class & 0x3C not in (0x04, 0x20)
    if receipt is not None:
        render(receipt)
        id_candidates(receipt.message_id)
