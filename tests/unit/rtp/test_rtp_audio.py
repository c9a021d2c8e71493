"""Levels of PCM, and every codec there and back: how much of the sound is left."""

import random

import numpy as np
import pytest
from rtp_sound import frames, joined, snr, tone, voice

from protocols.rtp import codecs
from protocols.rtp.audio import Pcm, level, rms, silence, to_int16
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import (
    CN,
    FORMATS,
    G722,
    L16_8000,
    L16_16000,
    L16_44100,
    OPUS,
    PCMA,
    PCMU,
    Format,
)

SPOKEN = tuple(format for format in FORMATS if format is not CN)


def test_the_level_of_a_full_square_is_0_and_of_a_full_sine_3() -> None:
    assert level(np.array([32767, -32768] * 80, dtype=np.int16)) == 0
    assert level(tone(8000, 1000, peak=32767)) == 3
    assert level(tone(8000, 1000, peak=3276.7)) == 23
    assert level(silence(8000, 160).samples) == 127
    assert level(silence(8000, 0).samples) == 127
    assert rms(np.full(9, -32768, dtype=np.int16)) == pytest.approx(32768)


def test_values_beyond_the_scale_stay_at_its_ends() -> None:
    values = np.array([40000.0, -40000.0, 0.5, 1.5, -2.6], dtype=np.float32)
    assert to_int16(values).tolist() == [32767, -32768, 0, 2, -3]


@pytest.mark.parametrize(
    ("format", "sound", "least", "most_delay"),
    [
        (PCMU, "tone", 36.0, 0),
        (PCMA, "tone", 36.0, 0),
        (G722, "tone", 30.0, 40),
        (OPUS, "tone", 14.0, 400),
        (PCMU, "voice", 35.0, 0),
        (PCMA, "voice", 35.0, 0),
        (G722, "voice", 20.0, 40),
    ],
)
def test_what_is_left_of_a_sound(format: Format, sound: str, least: float, most_delay: int) -> None:
    rate = format.sample_rate
    said = tone(rate, 1000) if sound == "tone" else voice(rate)
    encode, decode = codecs.encoder(format), codecs.decoder(format)
    heard = [decode.decode(encode.encode(frame)) for frame in frames(said, rate, 20)]
    assert all(pcm is not None and pcm.rate == rate for pcm in heard)
    assert snr(said, joined(heard), most_delay=most_delay) >= least


@pytest.mark.parametrize("format", [L16_8000, L16_16000, L16_44100])
def test_l16_is_the_samples_in_network_order(format: Format) -> None:
    said = voice(format.sample_rate)[: format.samples(20)]
    pcm = Pcm(rate=format.sample_rate, samples=said)
    payload = codecs.encoder(format).encode(pcm)
    assert payload == b"".join(int(sample).to_bytes(2, "big", signed=True) for sample in said)
    heard = codecs.decoder(format).decode(payload)
    assert heard.samples.tolist() == said.tolist()
    assert codecs.decoder(format).decode(payload[:-1]) is None


@pytest.mark.parametrize("format", SPOKEN, ids=lambda format: f"{format.name}-{format.clock_rate}")
def test_every_length_of_a_packet_goes_through(format: Format) -> None:
    for ptime in format.ptimes:
        said = voice(format.sample_rate, seconds=0.6)
        encode, decode = codecs.encoder(format, ptime), codecs.decoder(format)
        for frame in frames(said, format.sample_rate, ptime):
            payload = encode.encode(frame)
            assert format.ticks(payload) == format.clock_rate * ptime // 1000
            heard = decode.decode(payload)
            assert len(heard.samples) == format.samples(ptime)
            assert heard.seconds == pytest.approx(ptime / 1000)


@pytest.mark.parametrize("format", SPOKEN, ids=lambda format: f"{format.name}-{format.clock_rate}")
def test_another_rate_is_refused(format: Format) -> None:
    with pytest.raises(LocalProtocolError):
        codecs.encoder(format).encode(silence(12345, format.samples(20)))


@pytest.mark.parametrize("format", [G722, OPUS], ids=lambda format: format.name)
def test_a_frame_of_another_length_is_refused_where_packets_have_one(format: Format) -> None:
    encode = codecs.encoder(format)
    with pytest.raises(LocalProtocolError):
        encode.encode(silence(format.sample_rate, format.samples(10)))
    assert encode.encode(silence(format.sample_rate, format.samples(20)))


def test_what_has_no_codec_is_refused() -> None:
    for make in (codecs.decoder, codecs.encoder):
        with pytest.raises(LocalProtocolError):
            make(CN)
    with pytest.raises(LocalProtocolError):
        codecs.encoder(OPUS, 30)
    with pytest.raises(LocalProtocolError):
        codecs.encoder(PCMU, 25)


@pytest.mark.parametrize(
    ("format", "octets"),
    [(PCMU, 1600), (PCMA, 1600), (G722, 1600), (L16_8000, 3200), (L16_44100, 17640)],
)
def test_a_packet_of_more_than_200_ms_is_none(format: Format, octets: int) -> None:
    decode = codecs.decoder(format)
    assert decode.decode(bytes(octets)).seconds == pytest.approx(0.2)
    assert decode.decode(bytes(octets + 2)) is None


@pytest.mark.parametrize("format", SPOKEN, ids=lambda format: f"{format.name}-{format.clock_rate}")
def test_any_octets_are_audio_or_none_and_leave_the_decoder_whole(format: Format) -> None:
    chance = random.Random(11)
    decode = codecs.decoder(format)
    assert decode.decode(b"") is None
    assert decode.decode(bytes(65535)) is None
    for _ in range(300):
        pcm = decode.decode(chance.randbytes(chance.randrange(400)))
        assert pcm is None or 0 < len(pcm.samples) <= format.samples(200)
    said = tone(format.sample_rate, 1000)
    encode = codecs.encoder(format)
    heard = [decode.decode(encode.encode(frame)) for frame in frames(said, format.sample_rate, 20)]
    assert snr(said, joined(heard), most_delay=400) >= 14


@pytest.mark.parametrize("format", SPOKEN, ids=lambda format: f"{format.name}-{format.clock_rate}")
def test_samples_that_lie_apart_in_memory_are_encoded_as_others(format: Format) -> None:
    said = voice(format.sample_rate)[: format.samples(20)]
    apart = np.repeat(said, 2)[::2]
    once, again = codecs.encoder(format), codecs.encoder(format)
    expected = once.encode(Pcm(rate=format.sample_rate, samples=said))
    assert again.encode(Pcm(rate=format.sample_rate, samples=apart)) == expected
