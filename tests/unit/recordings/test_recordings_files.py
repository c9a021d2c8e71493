"""The files of recordings: whose they are, and what is readable of one that nobody closed."""

import struct
import wave
from pathlib import Path

import pytest

from gateway.recordings.files import MP3, WAV, Files, mended, sound_of

RATE = 8000


def wav(path: Path, frames: int, *, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"\x01\x02" * channels * frames)
    return path


def test_nobody_else_may_read_a_recording(tmp_path: Path) -> None:
    files = Files(tmp_path)
    path = files.begin("AC1", "RE1")
    assert path == tmp_path / "recordings" / "AC1" / "RE1.wav"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_every_form_of_a_recording_goes_with_it(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.begin("AC1", "RE1")
    forms = [WAV, MP3, f".1{WAV}", f".1{MP3}"]
    for suffix in forms[1:]:
        files.path("AC1", "RE1", suffix).write_bytes(b"x")
    other = files.begin("AC1", "RE2")
    files.remove("AC1", "RE1")
    files.remove("AC1", "RE1")  # there is none any more
    assert not any(files.path("AC1", "RE1", suffix).exists() for suffix in forms)
    assert other.exists()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_that_was_not_closed_is_as_long_as_what_was_written(
    tmp_path: Path, channels: int
) -> None:
    path = wav(tmp_path / "a.wav", RATE, channels=channels)
    whole = path.read_bytes()
    # A head that says nothing yet, and half a sample at the end: what a kill leaves.
    path.write_bytes(whole[:4] + bytes(4) + whole[8:40] + bytes(4) + whole[44:] + b"\x01")
    found = mended(path)
    assert found is not None and found.seconds == 1.0
    assert path.read_bytes() == whole
    with wave.open(str(path)) as file:
        assert (file.getnframes(), file.getnchannels()) == (RATE, channels)


def test_a_head_that_promises_more_than_there_is_is_not_believed(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", RATE)
    path.write_bytes(path.read_bytes()[: 44 + RATE])
    found = sound_of(path)
    assert found is not None and found.seconds == 0.5


FMT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0AVI " + FMT + b"data\4\0\0\0abcd",
        b"RIFF\0\0\0\0WAVEdata\4\0\0\0abcd",
        b"RIFF\0\0\0\0WAVEfmt \2\0\0\0\1\0data\4\0\0\0abcd",
        b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\xff" + b"\xff" * 60,
        b"RIFF\0\0\0\0WAVE" + FMT.replace(b"\x10\0", b"\x10\0", 1)[:-2] + b"\x08\0data\4\0\0\0abcd",
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 400 + FMT + b"data\4\0\0\0abcd",
    ],
    ids=range(9),
)
def test_what_is_no_sound_of_ours_is_none(tmp_path: Path, octets: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(octets)
    assert sound_of(path) is None
    assert mended(path) is None
    assert path.read_bytes() == octets


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert sound_of(tmp_path / "a.wav") is None
    assert mended(tmp_path / "a.wav") is None
