"""G.722: its two bands, its predictors from packet to packet, and any cut into packets."""

import numpy as np
import pytest
from rtp_sound import frames, joined, snr, spectrum, tone, voice

from protocols.rtp import g722
from protocols.rtp.audio import Pcm
from protocols.rtp.formats import G722


def encoded(samples: np.ndarray, ptime: int = 20) -> list[bytes]:
    encode = g722.encoder(G722, ptime)
    return [encode.encode(frame) for frame in frames(samples, 16000, ptime)]


@pytest.mark.parametrize("hertz", [300, 3000, 5000, 6500])
def test_both_bands_are_heard(hertz: int) -> None:
    decode = g722.decoder(G722)
    heard = joined([decode.decode(payload) for payload in encoded(tone(16000, hertz, seconds=2))])
    levels = spectrum(heard, 16000)
    assert levels[hertz] == pytest.approx(0.0)
    assert max(db for at, db in levels.items() if abs(at - hertz) > 20) < -30


def test_the_cut_into_packets_makes_no_difference() -> None:
    said = voice(16000, seconds=0.6)
    whole = b"".join(encoded(said, 10))
    assert len(whole) == 4800
    for ptime in (20, 30, 40, 50, 60):
        assert b"".join(encoded(said, ptime)) == whole
    decode, other = g722.decoder(G722), g722.decoder(G722)
    at_once = joined([decode.decode(whole[at : at + 160]) for at in range(0, 4800, 160)])
    in_pieces = joined([other.decode(whole[at : at + 96]) for at in range(0, 4800, 96)])
    assert at_once.tolist() == in_pieces.tolist()


def test_state_goes_on_from_packet_to_packet() -> None:
    said = voice(16000)
    payloads = encoded(said)
    decode = g722.decoder(G722)
    going_on = joined([decode.decode(payload) for payload in payloads])
    anew = joined([g722.decoder(G722).decode(payload) for payload in payloads])
    assert snr(said, going_on, most_delay=40) > snr(said, anew, most_delay=40) + 6


def test_an_encoder_of_one_stream_knows_nothing_of_another() -> None:
    said = Pcm(rate=16000, samples=voice(16000)[:320])
    busy = g722.encoder(G722, 20)
    busy.encode(said)
    assert g722.encoder(G722, 20).encode(said) != busy.encode(said)
    assert g722.encoder(G722, 20).encode(said) == g722.encoder(G722, 20).encode(said)
