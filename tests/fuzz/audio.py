"""Invariant: whatever a stream brings, there is sound in time, and nobody else's.

- Any octets as a payload are PCM of at most 200 ms or none, and good packets after them are heard;
- any octets as comfort noise are a background within the scale or none;
- whatever is pushed into a playout buffer, each pull answers, and nothing is played twice;
- of an SRTP packet that was changed, nothing comes out.
"""

import random
from typing import Final

import numpy as np

from protocols.rtp import codecs
from protocols.rtp.audio import Pcm
from protocols.rtp.comfort import ComfortNoise, read, write
from protocols.rtp.formats import CN, FORMATS, Format
from protocols.rtp.jitter import Frame, Gap, JitterBuffer, JitterConfig, Squeeze
from protocols.rtp.srtp import Refusal, SrtpReceiver, SrtpSender, Suite, key_length

SPOKEN: Final = tuple(format for format in FORMATS if format is not CN)


def check_payloads(chance: random.Random, format: Format) -> None:
    decode = codecs.decoder(format)
    for _ in range(4):
        payload = chance.randbytes(chance.choice((0, 1, 2, 3, 80, 160, chance.randrange(1500))))
        assert format.ticks(payload) >= 0
        pcm = decode.decode(payload)
        assert pcm is None or 0 < len(pcm.samples) <= format.samples(200)
    noise = np.random.default_rng(chance.randrange(1 << 32))
    said = noise.integers(-9000, 9000, format.samples(20)).astype(np.int16)
    encode = codecs.encoder(format)
    for _ in range(2):
        heard = decode.decode(encode.encode(Pcm(rate=format.sample_rate, samples=said)))
        assert heard is not None and len(heard.samples) == len(said)


def check_comfort(chance: random.Random) -> None:
    payload = chance.randbytes(chance.randrange(20))
    comfort = read(payload)
    assert (comfort is None) == (payload == b"")
    if comfort is not None:
        assert read(write(comfort)) == comfort
        made = ComfortNoise(8000, np.random.default_rng(1))
        made.update(comfort)
        assert len(made.generate(160).samples) == 160


def check_playout(chance: random.Random) -> None:
    most = chance.randrange(2, 40)
    buffer = JitterBuffer(JitterConfig(packets=most), clock_rate=8000, ticks=160)
    now, pushed, played = 0.0, 0, set[int]()
    for _ in range(200):
        now += chance.choice((0.0, 0.02, 0.02, chance.random()))
        number = round(now / 0.02) + chance.choice(
            (0, 0, 1, -1, 3, -9, 400, chance.getrandbits(32))
        )
        frame = Frame(
            ssrc=chance.choice((1, 1, 1, 2)),
            sequence=number & 0xFFFF,
            timestamp=number * 160 & 0xFFFFFFFF,
            payload_type=chance.choice((0, 0, 0, 13)),
            marker=chance.random() < 0.1,
            ticks=chance.choice((160, 160, 0, 1, 70_000)),
            payload=b"%d" % pushed,
        )
        if chance.random() < 0.6:
            buffer.push(frame, now)
            pushed += 1
            continue
        match buffer.pull(now):
            case Frame() as one:
                new = {int(one.payload)}
            case Squeeze() as two:
                new = {int(two.first.payload), int(two.second.payload)}
            case Gap():
                new = set()
        assert not new & played and 20 <= buffer.ticks <= 1600 and len(buffer) <= most
        played |= new
    assert buffer.statistics.received == pushed >= buffer.statistics.played == len(played)


def check_srtp(chance: random.Random) -> None:
    suite = chance.choice(list(Suite))
    key = chance.randbytes(key_length(suite))
    sender, receiver = SrtpSender(suite, key), SrtpReceiver(suite, key)
    packet = b"\x80\x00" + chance.randbytes(10 + chance.randrange(200))
    protected = sender.protect(packet)
    assert isinstance(protected, bytes)
    changed = bytearray(protected)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    del changed[len(changed) - chance.choice((0, 0, 0, chance.randrange(len(changed)))) :]
    assert isinstance(receiver.unprotect(bytes(changed)), Refusal)
    assert isinstance(receiver.unprotect_rtcp(bytes(changed)), Refusal)
    assert receiver.unprotect(protected) == packet
    assert receiver.unprotect(protected) is Refusal.REPLAYED


def check(seed: int) -> None:
    """One try; the same for the same seed."""
    chance = random.Random(seed)
    check_payloads(chance, chance.choice(SPOKEN))
    check_comfort(chance)
    check_playout(chance)
    check_srtp(chance)
