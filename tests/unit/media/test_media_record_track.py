"""Where packets are laid in time, and how what was recorded gets to its file."""

import random
import stat
import threading
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from gateway.media.track import Track
from gateway.media.wav import SLOW, DiskNow, DiskThread, WavFile
from protocols.rtp import codecs, formats
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.packet import HEADER

BATCH = 0.8
LATE = 0.2
LOUD = codecs.encoder(formats.PCMU).encode(
    Pcm(rate=8000, samples=np.full(160, 8000, dtype=np.int16))
)
QUIET = b"\xff" * 160


def packet(number: int, ticks: int, payload: bytes, *, ssrc: int = 1, kind: int = 0) -> bytes:
    return HEADER.pack(0x80, kind, number & 0xFFFF, ticks & 0xFFFF_FFFF, ssrc) + payload


def laid(
    packets: Iterable[tuple[bytes, float]], seconds: float, *, origin: float = 100.0
) -> Samples:
    """What a track has after so many seconds, read as a recorder does; times are since `origin`."""
    track = Track(8000, origin)
    track.speak({0: formats.PCMU, 8: formats.PCMA, 9: formats.G722})
    parts, until = [], BATCH
    for octets, at in packets:
        while at > until:
            parts.append(track.read(round((until - LATE) * 8000)))
            until += BATCH
        track.take(octets, origin + at)
    parts.append(track.read(round(seconds * 8000)))
    return np.concatenate(parts)


def begins(samples: Samples) -> list[float]:
    """When it gets loud, in seconds."""
    is_loud = np.abs(samples) > 1000
    edges = np.flatnonzero(np.diff(is_loud.astype(np.int8), prepend=0) == 1)
    return [float(each) / 8000 for each in edges]


@pytest.mark.parametrize("drift", [-300e-6, 300e-6])
def test_an_hour_of_another_clock_is_no_further_off_than_a_packet(drift: float) -> None:
    """Loud once a minute by the clock on the wall; packets of 200 ms, and some jitter."""
    chance = random.Random(3)
    step = 0.2 * (1 + drift)
    sent, said = [], []
    for number in range(int(3600 / step)):
        at = number * step
        is_loud = at % 60 < step
        if is_loud:
            said.append(at + 0.01)
        payload = (LOUD if is_loud else QUIET) * 10
        sent.append((packet(number, number * 1600, payload), at + 0.01 + chance.random() * 0.02))
    found = begins(laid(sent, 3600.0))
    assert len(found) == len(said) == 60
    assert max(abs(each - at) for each, at in zip(found, said, strict=True)) < 0.02


def test_what_the_network_delays_is_not_heard() -> None:
    """All but a few packets come late, by as much as is waited for; all are where they were."""
    chance = random.Random(5)
    sent = []
    for number in range(200):
        late = 0.0 if number % 7 == 0 else chance.random() * 0.15
        sent.append((packet(number, number * 160, LOUD), number * 0.02 + late))
    sent.sort(key=lambda each: each[1])
    samples = laid(sent, 4.0)
    assert (np.abs(samples) > 1000).all()


def test_what_comes_too_late_is_silence() -> None:
    sent = [(packet(each, each * 160, LOUD), each * 0.02) for each in range(100)]
    octets, _ = sent.pop(10)
    sent.append((octets, 1.99))
    samples = laid(sent, 2.0)
    assert (samples[1600:1760] == 0).all()
    assert np.count_nonzero(np.abs(samples) > 1000) == 99 * 160


def test_another_source_and_another_time_are_laid_where_they_come() -> None:
    sent = [(packet(each, each * 160, LOUD), each * 0.02) for each in range(10)]
    sent += [(packet(each, 7 + each * 160, LOUD, ssrc=2), 0.5 + each * 0.02) for each in range(10)]
    jumped = 1 << 31
    sent += [
        (packet(each, jumped + each * 160, LOUD, ssrc=2), 1.0 + each * 0.02) for each in range(10)
    ]
    sent += [(packet(each, 9 + each * 160, LOUD, ssrc=1), 3.0 + each * 0.02) for each in range(10)]
    samples = laid(sent, 4.0)
    assert begins(samples) == pytest.approx([0.0, 0.5, 1.0, 3.0], abs=0.001)
    assert np.count_nonzero(np.abs(samples) > 1000) == 40 * 160


def test_timestamps_go_past_their_end() -> None:
    first = (1 << 32) - 50 * 160
    sent = [(packet(each, first + each * 160, LOUD), each * 0.02) for each in range(100)]
    assert (np.abs(laid(sent, 2.0)) > 1000).all()


def test_a_packet_that_comes_twice_is_there_once() -> None:
    sent = [
        (packet(each // 2, each // 2 * 160, LOUD), each // 2 * 0.02 + 0.001 * (each % 2))
        for each in range(100)
    ]
    assert np.count_nonzero(np.abs(laid(sent, 1.5)) > 1000) == 50 * 160


def test_noise_for_packets_harms_nothing() -> None:
    chance = random.Random(11)
    sent = []
    for number in range(3000):
        octets = bytes((0x80 | chance.randrange(64), chance.choice((0, 8, 9, 77))))
        octets += chance.randbytes(10 + chance.randrange(300))
        sent.append((octets, number * 0.002))
    assert len(laid(sent, 6.0)) == 48_000


def test_a_source_that_sends_no_time_costs_no_memory() -> None:
    """Each packet says that it is of half a second later than the one before."""
    track = Track(8000, 0.0)
    track.speak({0: formats.PCMU})
    for number in range(5000):
        track.take(packet(number, number * 3999, LOUD), number * 0.0001)
    track.read(0)
    assert track.held < 8000 * 4


# Files


def read(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        return file.readframes(file.getnframes())


def test_a_file_grows_and_is_cut_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"x" * 1000)
    path.chmod(0o644)
    file = WavFile(str(path), rate=8000, channels=2, disk=DiskNow())
    assert read(path) == b""
    file.write(b"abcd" * 10)
    file.write(b"efgh" * 10)
    assert read(path) == b"abcd" * 10 + b"efgh" * 10
    assert file.frames == 20
    file.close(15)
    assert file.is_closed
    assert read(path) == b"abcd" * 10 + b"efgh" * 5
    assert path.stat().st_size == 44 + 60
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"whole")
    (tmp_path / "a.wav").symlink_to(tmp_path / "other")
    file = WavFile(str(tmp_path / "a.wav"), rate=8000, channels=1, disk=DiskNow())
    file.write(b"ab")
    file.close(1)
    assert file.is_broken
    assert file.is_closed
    assert (tmp_path / "other").read_bytes() == b"whole"


def test_a_slow_disk_costs_sound_and_not_memory(tmp_path: Path) -> None:
    """What does not fit is silent; what comes later is where it belongs."""
    disk = DiskThread(most=100)
    held, through = threading.Event(), threading.Event()

    def hold() -> None:
        held.wait(60)

    disk.do(hold)
    path = tmp_path / "a.wav"
    file = WavFile(str(path), rate=8000, channels=1, disk=disk)
    file.write(b"aa" * 40)
    file.write(b"bb" * 40)
    assert file.fault == SLOW
    held.set()
    disk.do(through.set)  # the file may be longer before its room is free again
    assert through.wait(60)
    file.write(b"cc" * 40)
    file.close(120)
    disk.close()
    assert file.is_closed
    assert read(path) == b"aa" * 40 + bytes(80) + b"cc" * 40


def test_all_that_waits_is_written_before_the_disk_is_closed(tmp_path: Path) -> None:
    disk = DiskThread()
    names = [str(tmp_path / f"{each}.wav") for each in range(20)]
    opened = [WavFile(each, rate=8000, channels=1, disk=disk) for each in names]
    for _ in range(10):
        for file in opened:
            file.write(b"ab" * 100)
    for file in opened:
        file.close(1000)
    disk.close()
    assert all(file.is_closed and not file.fault for file in opened)
    assert {read(Path(each)) for each in names} == {b"ab" * 1000}
    assert len(list(tmp_path.iterdir())) == 20
