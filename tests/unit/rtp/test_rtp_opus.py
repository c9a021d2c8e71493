"""Opus by libopus: speech stays speech, packets are as SDP promised, stereo becomes mono."""

import av
import numpy as np
import pytest
from rtp_sound import frames, joined, snr, spectrum, tone, voice

from protocols.rtp import opus
from protocols.rtp.audio import rms
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.formats import OPUS, OPUS_WITH_FEC, Format
from protocols.rtp.opus import OpusConfig


def packets(samples: np.ndarray, config: OpusConfig = opus.SPEECH) -> list[bytes]:
    encode = opus.encoder(OPUS, 20, config)
    return [encode.encode(frame) for frame in frames(samples, 48000, 20)]


def decoded(payloads: list[bytes]) -> np.ndarray:
    decode = opus.decoder(OPUS)
    return joined([decode.decode(payload) for payload in payloads])


def test_a_voice_keeps_its_harmonics() -> None:
    """Opus shifts phases below 300 Hz, so it is levels that are compared, harmonic by harmonic."""
    said = voice(48000, seconds=2)
    heard = decoded(packets(said))
    before, after = spectrum(said, 48000), spectrum(heard, 48000)
    wrong = [abs(after[hertz] - before[hertz]) for hertz in range(240, 3001, 120)]
    assert np.mean(wrong) < 2
    assert max(wrong) < 6


def test_more_bits_leave_more() -> None:
    said = tone(48000, 1000)
    assert snr(said, decoded(packets(said, OpusConfig(bit_rate=64_000))), most_delay=400) > 25


@pytest.mark.parametrize("bit_rate", [24_000, 32_000, 64_000])
def test_the_bit_rate_is_held(bit_rate: int) -> None:
    sent = packets(voice(48000, seconds=2), OpusConfig(bit_rate=bit_rate))
    assert 8 * sum(map(len, sent)) / 2 == pytest.approx(bit_rate, rel=0.15)


def test_fec_goes_along_only_where_a_loss_is_expected() -> None:
    """RFC 6716 §4.2.3: after the TOC of one SILK frame in mono, a bit for voice, one for FEC."""

    def with_fec(config: OpusConfig) -> int:
        sent = packets(voice(48000, seconds=1), config)
        assert all(payload[0] >> 3 < 16 and payload[0] & 7 == 0 for payload in sent)
        return sum(payload[1] >> 6 & 1 for payload in sent)

    assert with_fec(OpusConfig(bit_rate=20_000)) == 0
    assert with_fec(OpusConfig(bit_rate=20_000, loss=20)) > 25


def test_a_format_says_whether_fec_goes_along() -> None:
    def with_fec(format: Format) -> int:
        encode = opus.encoder(format, 20)
        sent = [encode.encode(each) for each in frames(voice(48000, seconds=1), 48000, 20)]
        return sum(payload[1] >> 6 & 1 for payload in sent if payload[0] >> 3 < 16)

    assert with_fec(OPUS) == 0
    assert with_fec(OPUS_WITH_FEC) > 25


def test_dtx_is_off() -> None:
    assert len(packets(np.zeros(48000, dtype=np.int16))) == 50
    assert all(len(payload) > 2 for payload in packets(np.zeros(48000, dtype=np.int16))[:3])


def test_stereo_is_heard_as_one_channel() -> None:
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = 48000, "stereo", "s16"
    left, right = tone(48000, 500, peak=6000), tone(48000, 1500, peak=6000)
    both = np.stack([left, right], axis=1).reshape(1, -1)
    payloads = []
    for at in range(0, both.shape[1], 1920):
        piece = np.ascontiguousarray(both[:, at : at + 1920])
        frame = av.AudioFrame.from_ndarray(piece, "s16", "stereo")
        frame.sample_rate = 48000
        payloads += [bytes(packet) for packet in context.encode(frame)]
    assert payloads[5][0] & 4  # a stereo packet (RFC 6716 §3.1)
    heard = decoded(payloads)
    levels = spectrum(heard, 48000)
    assert levels[500] > -3 and levels[1500] > -3
    assert rms(heard[9600:]) == pytest.approx(3000, rel=0.15)


def test_lengths_that_opus_has_not_are_refused() -> None:
    with pytest.raises(LocalProtocolError):
        opus.encoder(OPUS, 50)


def test_a_lost_packet_costs_the_next_ones_little() -> None:
    said = voice(48000)
    sent = packets(said)
    whole = decoded(sent)
    without = decoded(sent[:20] + sent[21:])
    assert snr(whole[-9600:], without[-9600:]) > 15
