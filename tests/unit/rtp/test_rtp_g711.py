"""G.711, code by code, against the decision values of the recommendation's tables."""

import sys
import warnings
from bisect import bisect_right
from itertools import accumulate

import numpy as np
import pytest

from protocols.rtp import codecs, g711
from protocols.rtp.audio import Pcm
from protocols.rtp.formats import PCMA, PCMU, Format

EVERY = np.arange(-32768, 32768).astype(np.int16)

# G.711 tables 1a and 2a: the decision values of the positive half, in the law's own units (A-law
# 4096 to the overload point, mu-law 8159), which are 8 and 4 units of 16 bits.
ALAW = [0, *accumulate([2] * 32 + [step for part in range(6) for step in [4 << part] * 16])]
ULAW = [0, *accumulate([1] + [2] * 15 + [step for part in range(7) for step in [4 << part] * 16])]


def test_the_tables_end_where_the_recommendation_says() -> None:
    assert (len(ALAW), ALAW[-1], ALAW[112]) == (129, 4096, 2048)
    assert (len(ULAW), ULAW[-1], ULAW[112]) == (129, 8159, 4063)


def expected_code(law: str, sample: int) -> int:
    magnitude = ~sample if sample < 0 else sample
    if law == "PCMA":
        return (bisect_right(ALAW, magnitude >> 3) - 1) ^ (0x55 if sample < 0 else 0xD5)
    number = min(bisect_right(ULAW, magnitude >> 2) - 1, 127)
    return (0x7F if sample < 0 else 0xFF) - number


def expected_value(law: str, code: int) -> int:
    if law == "PCMA":
        number = (code ^ 0x55) & 0x7F
        value = (ALAW[number] + ALAW[number + 1]) * 4
        return value if code & 0x80 else -value
    number = ~code & 0x7F
    value = (ULAW[number] + ULAW[number + 1]) * 2 if number else 0
    return value if code & 0x80 else -value


@pytest.mark.parametrize("format", [PCMU, PCMA], ids=lambda format: format.name)
def test_every_code_has_its_value(format: Format) -> None:
    payload = bytes(range(256))
    decode = codecs.decoder(format)
    heard = np.concatenate(
        [decode.decode(payload[:128]).samples, decode.decode(payload[128:]).samples]
    )
    assert heard.tolist() == [expected_value(format.name, code) for code in range(256)]


@pytest.mark.parametrize("format", [PCMU, PCMA], ids=lambda format: format.name)
def test_every_sample_has_its_code(format: Format) -> None:
    made = codecs.encoder(format).encode(Pcm(rate=8000, samples=EVERY))
    assert made == bytes(expected_code(format.name, sample) for sample in EVERY.tolist())


if sys.version_info < (3, 13):  # the last Python with audioop is 3.12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop

    @pytest.mark.parametrize(
        ("format", "encode", "decode"),
        [(PCMU, audioop.lin2ulaw, audioop.ulaw2lin), (PCMA, audioop.lin2alaw, audioop.alaw2lin)],
        ids=["PCMU", "PCMA"],
    )
    def test_as_another_implementation_has_it(format: Format, encode, decode) -> None:
        """audioop has mu-law's negative borders one sample off, so half is compared."""
        positive = EVERY[EVERY >= 0]
        made = codecs.encoder(format).encode(Pcm(rate=8000, samples=positive))
        assert made == encode(positive.tobytes(), 2)
        payload = bytes(range(256))
        ours = codecs.decoder(format).decode(payload).samples
        assert ours.tobytes() == decode(payload, 2)


def test_one_law_becomes_the_other_by_value() -> None:
    ulaw = bytes(range(256))
    assert g711.ulaw_to_alaw(ulaw) == bytes(
        expected_code("PCMA", expected_value("PCMU", code)) for code in range(256)
    )
    assert g711.alaw_to_ulaw(ulaw) == bytes(
        expected_code("PCMU", expected_value("PCMA", code)) for code in range(256)
    )


def test_a_code_that_went_to_the_other_law_and_back_is_next_to_itself() -> None:
    for there, back, law in (
        (g711.ulaw_to_alaw, g711.alaw_to_ulaw, "PCMU"),
        (g711.alaw_to_ulaw, g711.ulaw_to_alaw, "PCMA"),
    ):
        for code in range(256):
            (returned,) = back(there(bytes([code])))
            twist = 0x55 if law == "PCMA" else 0x7F
            assert (returned ^ code) & 0x80 == 0 or code == 0x7F  # mu-law's negative zero
            assert abs(((returned ^ twist) & 0x7F) - ((code ^ twist) & 0x7F)) <= 1
