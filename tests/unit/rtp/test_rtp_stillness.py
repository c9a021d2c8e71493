"""Packets in which nothing is heard, whatever was heard before."""

import numpy as np
import pytest

from protocols.rtp import codecs, stillness, tones
from protocols.rtp.audio import Pcm
from protocols.rtp.dtmf_sound import KeyListener
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.events import DigitEnded, DigitStarted
from protocols.rtp.formats import CN, FORMATS, G722, PCMU, Format

LEAST = 60  # of 32,768: 55 dB below the loudest


@pytest.mark.parametrize(
    ("format", "ptime"),
    [(each, ptime) for each in FORMATS if each is not CN for ptime in each.ptimes],
    ids=lambda each: each.name if isinstance(each, Format) else str(each),
)
def test_a_decoder_falls_silent(format: Format, ptime: int) -> None:
    encoder, decoder = codecs.encoder(format, ptime), codecs.decoder(format)
    count = format.samples(ptime)
    noise = np.random.default_rng(1).normal(0, 8000, (10, count)).clip(-32768, 32767)
    for frame in noise.astype(np.int16):
        decoder.decode(encoder.encode(Pcm(rate=encoder.rate, samples=frame)))
    payload = stillness.payload(format, ptime)
    assert format.ticks(payload) == format.clock_rate * ptime // 1000
    for number in range(20):
        pcm = decoder.decode(payload)
        assert pcm is not None and len(pcm.samples) == count
        if number * ptime >= 100:
            assert int(np.abs(pcm.samples.astype(int)).max()) < LEAST


@pytest.mark.parametrize("ptime", G722.ptimes)
def test_the_first_key_after_it_is_whole_in_g722(ptime: int) -> None:
    """Its decoder goes on from what it heard, and the key comes from an encoder that is new."""
    encoder, decoder = codecs.encoder(G722, 20), codecs.decoder(G722)
    listener = KeyListener(decoder.rate)
    tone = tones.render(tones.KEYS["1"], rate=encoder.rate, start=0, count=encoder.rate // 10)
    key = [
        encoder.encode(Pcm(rate=encoder.rate, samples=tone.samples[at : at + 320]))
        for at in range(0, len(tone.samples), 320)
    ]
    still = [stillness.payload(G722, ptime)] * 50
    for payload in (*still, *key, *still):
        pcm = decoder.decode(payload)
        assert pcm is not None
        listener.hear(pcm.samples)
    found = listener.next_event(), listener.next_event(), listener.next_event()
    assert found[0] == DigitStarted(digit="1") and found[2] is None
    assert isinstance(found[1], DigitEnded) and found[1].duration == pytest.approx(0.1, abs=0.02)


def test_it_is_made_once() -> None:
    assert stillness.payload(PCMU, 20) is stillness.payload(PCMU, 20)


@pytest.mark.parametrize(("format", "ptime"), [(CN, 20), (PCMU, 25)])
def test_there_is_none_of_what_is_no_packet(format: Format, ptime: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"{format.name} has no packet of {ptime} ms"):
        stillness.payload(format, ptime)
