"""Splitting: limits, borders, and that what is counted is what is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp import gsm
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.reassembly import join, part_of
from protocols.smpp.text import (
    Alphabet,
    Concatenation,
    Count,
    TextError,
    choose,
    count,
    explain,
    segments,
    split,
)

UDH8, UDH16 = Concatenation.UDH8, Concatenation.UDH16
SAR, PAYLOAD = Concatenation.SAR, Concatenation.PAYLOAD


@pytest.mark.parametrize(
    ("text", "alphabet"),
    [
        ("", Alphabet.GSM7),
        ("hello", Alphabet.GSM7),
        ("[€]", Alphabet.GSM7),
        ("Ωé", Alphabet.GSM7),
        ("tick `", Alphabet.UCS2),
        ("naïve", Alphabet.UCS2),
        ("hi 😀", Alphabet.UCS2),
    ],
)
def test_the_cheapest_alphabet_that_carries_the_text(text: str, alphabet: Alphabet) -> None:
    assert choose(text) is alphabet
    assert count(text).alphabet is alphabet


def test_other_alphabets_only_when_they_are_asked_for() -> None:
    assert choose("naïve", (Alphabet.LATIN1, Alphabet.UCS2)) is Alphabet.LATIN1
    assert choose("5 €", (Alphabet.LATIN1, Alphabet.UCS2)) is Alphabet.UCS2
    with pytest.raises(TextError, match="UCS-2 carries"):
        choose("5 €", (Alphabet.LATIN1, Alphabet.OCTETS))
    with pytest.raises(LocalProtocolError):
        segments("ж", Alphabet.GSM7)


@pytest.mark.parametrize(
    ("alphabet", "character", "concatenation", "alone", "in_parts"),
    [
        (Alphabet.GSM7, "a", UDH8, 160, 153),
        (Alphabet.GSM7, "a", UDH16, 160, 152),
        (Alphabet.GSM7, "a", SAR, 160, 153),
        (Alphabet.GSM7, "a", PAYLOAD, 160, 153),
        (Alphabet.UCS2, "я", UDH8, 70, 67),
        (Alphabet.UCS2, "я", UDH16, 70, 66),
        (Alphabet.UCS2, "я", SAR, 70, 67),
        (Alphabet.LATIN1, "ÿ", UDH8, 140, 134),
        (Alphabet.LATIN1, "ÿ", UDH16, 140, 133),
        (Alphabet.OCTETS, "ÿ", UDH8, 140, 134),
    ],
)
def test_limits(
    alphabet: Alphabet, character: str, concatenation: Concatenation, alone: int, in_parts: int
) -> None:
    def parts(length: int) -> int:
        return count(character * length, alphabet, concatenation).segments

    assert parts(alone) == 1
    assert parts(alone + 1) == 2
    assert parts(2 * in_parts) == 2
    assert parts(2 * in_parts + 1) == 3


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("a" * 161, [153, 8]),
        ("a" * 152 + "€" + "b" * 20, [152, 22]),
        ("a" * 151 + "€" + "b" * 20, [153, 20]),
        ("€" * 80, [160]),
        ("€" * 81, [152, 10]),
        ("я" * 66 + "😀" + "я" * 10, [66, 12]),
        ("я" * 65 + "😀" + "я" * 10, [67, 10]),
        ("😀" * 36, [66, 6]),
        ("я" * 66 + "e\u0301" + "я" * 10, [66, 12]),
        ("я" * 66 + "🇩🇪" + "я" * 10, [66, 14]),
        ("я" * 64 + "👩\u200d👩\u200d👧" + "я" * 10, [64, 18]),
        ("a" * 152 + "\r\n" + "b" * 20, [152, 22]),
        # Kept whole these would need a third part.
        ("я" * 66 + "😀" + "я" * 66, [66, 67, 1]),
        ("я" * 66 + "e\u0301" + "я" * 66, [67, 67]),
        ("я" * 67 + "🇩🇪" + "я" * 63, [67, 67]),
        ("я" * 65 + "🇩🇪" + "я" * 65, [67, 67]),
        # A cluster longer than a part is cut where it must.
        ("e" + "\u0301" * 80, [67, 14]),
    ],
)
def test_borders(text: str, lengths: list[int]) -> None:
    cut = split(text)
    width = 2 if cut.alphabet is Alphabet.UCS2 else 1
    assert [len(part) // width for part in cut.parts] == lengths
    assert "".join(cut.texts()) == text


def test_flags_stay_whole_while_that_is_free() -> None:
    assert split("🇩🇪" * 512).texts() == ("🇩🇪" * 16,) * 32
    # 16 flags a part would need 38 parts, 33 halves a part need 37.
    cut = split("🇩🇪" * 600)
    assert len(cut.parts) == count("🇩🇪" * 600).segments == 37
    assert sum(len(text) % 2 for text in cut.texts()) < 37
    assert "".join(cut.texts()) == "🇩🇪" * 600


def test_a_header_of_8_bits() -> None:
    first, second = segments("a" * 161, reference=0xAB)
    assert first.short_message == bytes.fromhex("050003ab0201") + b"a" * 153
    assert second.short_message == bytes.fromhex("050003ab0202") + b"a" * 8
    assert (first.number, first.total, first.esm_class, first.data_coding) == (1, 2, 0x40, 0)
    assert first.tlvs == ()


def test_a_header_of_16_bits() -> None:
    first, second = segments("я" * 71, concatenation=UDH16, reference=0xABCD)
    assert first.short_message == bytes.fromhex("060804abcd0201") + "я".encode("utf-16-be") * 66
    assert second.short_message[:7] == bytes.fromhex("060804abcd0202")
    assert (second.esm_class, second.data_coding) == (0x40, 8)


def test_sar_says_it_in_tlvs() -> None:
    first, second = segments("a" * 161, concatenation=SAR, reference=0xAB)
    assert (first.short_message, first.esm_class) == (b"a" * 153, 0)
    assert first.tlvs == ((0x020C, b"\x00\xab"), (0x020E, b"\x02"), (0x020F, b"\x01"))
    assert second.tlvs[2] == (0x020F, b"\x02")


def test_message_payload_goes_as_one_and_counts_as_many() -> None:
    (only,) = segments("a" * 161, concatenation=PAYLOAD)
    assert (only.short_message, only.tlvs) == (b"", ((0x0424, b"a" * 161),))
    assert count("a" * 161, concatenation=PAYLOAD).segments == 2
    (short,) = segments("a" * 160, concatenation=PAYLOAD)
    assert (short.short_message, short.tlvs) == (b"a" * 160, ())


def test_more_than_255_parts_are_refused_and_still_counted() -> None:
    assert len(segments("a" * 153 * 255)) == 255
    with pytest.raises(TextError, match="256 parts"):
        segments("a" * (153 * 255 + 1))
    assert count("a" * (153 * 255 + 1)).segments == 256
    with pytest.raises(TextError, match="65535"):
        segments("a" * 65536, concatenation=PAYLOAD)


def test_half_a_surrogate_pair_is_no_text() -> None:
    assert split("a\ud83d").texts() == ("a\ufffd",)
    assert split("\ud83d\ude00").texts() == ("😀",)
    assert count("\ud83d" * 71) == Count(Alphabet.UCS2, 2)
    assert len(segments("\ud83d" * 71)) == 2


TEXTS = st.one_of(
    st.text(max_size=400),
    st.text(alphabet=sorted(gsm.CHARACTERS), max_size=700),
    st.lists(
        st.sampled_from(["a", "я", "€", "😀", "🇩🇪", "e\u0301", "👩\u200d👧", "👍🏽", "\r\n", "한"]),
        max_size=250,
    ).map("".join),
)


@given(TEXTS, st.sampled_from([UDH8, UDH16, SAR]))
def test_what_is_split_joins_to_the_same_and_is_counted_right(
    text: str, concatenation: Concatenation
) -> None:
    sent = segments(text, concatenation=concatenation, reference=7)
    alphabet, counted = count(text, concatenation=concatenation)
    assert len(sent) == counted
    parts = []
    for segment in sent:
        header = segment.short_message[0] + 1 if segment.esm_class else 0
        data = segment.short_message[header:]
        room = 6 if concatenation is SAR and len(sent) > 1 else header
        if alphabet is Alphabet.GSM7:
            assert (len(data) * 7 + 7) // 8 + room <= 140
            assert not data.endswith(b"\x1b")
        else:
            assert len(data) + room <= 140
            data.decode("utf-16-be")  # a pair cut in two would raise
        found = part_of(
            esm_class=segment.esm_class,
            data_coding=segment.data_coding,
            payload=segment.short_message,
            tlvs=segment.tlvs,
            from_address="+1",
            to_address="+2",
            carrier="c",
        )
        if found is None:
            assert len(sent) == 1
            assert split(text).texts() == (text,)
        else:
            parts.append(found)
    assert not parts or join(reversed(parts)) == text


@given(TEXTS)
def test_no_cluster_rule_costs_a_segment(text: str) -> None:
    cut = split(text)
    room = 153 if cut.alphabet is Alphabet.GSM7 else 134
    octets = b"".join(cut.parts)
    if len(cut.parts) > 1:
        fewest, at = 0, 0
        while at < len(octets):
            end = min(at + room, len(octets))
            if end < len(octets) and cut.alphabet is Alphabet.GSM7:
                end -= octets[end - 1] == 0x1B
            elif end < len(octets) and 0xD8 <= octets[end - 2] <= 0xDB:
                end -= 2
            fewest, at = fewest + 1, end
        assert len(cut.parts) == fewest


def test_explain_says_why_and_where() -> None:
    told = explain("hi 😀 `" + "x" * 80)
    assert told.alphabet is Alphabet.UCS2
    assert told.why == "GSM-7 lacks '😀' (U+1F600) at character 4"
    assert [(one.character, one.index) for one in told.foreign] == [("😀", 3), ("`", 5)]
    assert (told.unit, told.units, told.units_per_segment) == ("UTF-16 units", 87, 67)
    assert told.characters == 86
    assert [(one.units, one.start, one.end) for one in told.segments] == [(67, 0, 66), (20, 66, 86)]
    assert "".join(one.text for one in told.segments) == "hi 😀 `" + "x" * 80


def test_explain_of_a_text_that_fits() -> None:
    told = explain("[ok]")
    assert (told.alphabet, told.data_coding, told.foreign) == (Alphabet.GSM7, 0, ())
    assert (told.unit, told.units, told.units_per_segment) == ("septets", 6, 160)
    assert told.why == "GSM-7 has every character of the text"
    assert explain("ok", Alphabet.LATIN1).why == "Latin-1 was asked for"
    assert explain("a\ud83d").foreign[0].code_point == "U+D83D"
