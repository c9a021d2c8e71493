"""The customer's client writes and reads texts with code of its own."""

import pytest

from sims.esme import decoded, encoded

GSM, UCS2, UDHI = 0, 8, 0x40


@pytest.mark.parametrize(
    ("text", "data_coding", "sizes"),
    [
        ("hello", GSM, [5]),
        ("a" * 160, GSM, [160]),
        ("a" * 161, GSM, [153, 8]),
        ("a" * 152 + "\u20ac" + "b" * 20, GSM, [152, 22]),  # no escape pair is cut
        ("\u0416" * 70, UCS2, [140]),
        ("\u0416" * 66 + "\U0001f600" + "x" * 10, UCS2, [132, 24]),  # no surrogate pair is cut
        ("back`tick", UCS2, [18]),  # not in the default alphabet, whatever smpplib's table says
    ],
)
def test_texts_are_cut_between_characters(text: str, data_coding: int, sizes: list[int]) -> None:
    parts, coding, esm_class = encoded(text, 300)
    header = 6 if esm_class == UDHI else 0
    assert (coding, [len(part) - header for part in parts]) == (data_coding, sizes)
    assert (esm_class == UDHI) == (len(parts) > 1)
    if header:
        headers = [bytes((5, 0, 3, 300 & 0xFF, len(parts), n + 1)) for n in range(len(parts))]
        assert [part[:6] for part in parts] == headers
    assert decoded(b"".join(part[header:] for part in parts), coding) == text


def test_what_smpplib_has_wrong_is_read_right() -> None:
    assert decoded(b"\x5f\x1b\x0a\x00", GSM) == "\u00a7\f@"
    assert decoded(b"\xe9", 3) == "\u00e9"
