"""Sound files of strangers, and what only says that it is one."""

import random
import struct
from pathlib import Path

import pytest

from gateway.speech.decoding import Undecodable, decode
from gateway.speech.wav import TooLong
from gateway.speech.wire import Clip, Gap
from tests.unit.speech.speech_world import encoded, read, strongest, tone


@pytest.mark.parametrize(
    ("form", "codec", "rate", "kept", "layout"),
    [
        ("wav", "pcm_s16le", 8000, 8000, "mono"),
        ("wav", "pcm_s16le", 44100, 16000, "stereo"),
        ("wav", "pcm_mulaw", 8000, 8000, "mono"),
        ("wav", "pcm_alaw", 8000, 8000, "mono"),
        ("wav", "pcm_f32le", 48000, 16000, "mono"),
        ("wav", "adpcm_ima_wav", 16000, 16000, "mono"),
        ("mp3", "libmp3lame", 44100, 16000, "stereo"),
        ("mp3", "libmp3lame", 8000, 8000, "mono"),
        ("ogg", "vorbis", 44100, 16000, "stereo"),
        ("ogg", "libopus", 48000, 16000, "mono"),
        ("flac", "flac", 22050, 16000, "mono"),
        ("aiff", "pcm_s16be", 22050, 16000, "mono"),
        ("au", "pcm_mulaw", 8000, 8000, "mono"),
    ],
)
def test_what_is_played(
    tmp_path: Path, form: str, codec: str, rate: int, kept: int, layout: str
) -> None:
    path = encoded(tmp_path / "in", tone(440, 1.0, rate), rate, form, codec, layout)
    seconds = decode([Clip(path=str(path))], tmp_path / "out.wav")
    assert seconds == pytest.approx(1.0, abs=0.1)
    assert read(tmp_path / "out.wav")[0] == kept
    assert strongest(tmp_path / "out.wav") == pytest.approx(440, abs=3)


@pytest.mark.parametrize(
    ("kind", "form", "codec", "rate"),
    [("mulaw", "mulaw", "pcm_mulaw", 8000), ("pcm24000", "s16le", "pcm_s16le", 24000)],
)
def test_what_has_no_header_is_what_it_is_said_to_be(
    tmp_path: Path, kind: str, form: str, codec: str, rate: int
) -> None:
    path = encoded(tmp_path / "in", tone(440, 1.0, rate), rate, form, codec)
    assert decode([Clip(path=str(path), kind=kind)], tmp_path / "out.wav") == pytest.approx(1.0)
    assert strongest(tmp_path / "out.wav") == pytest.approx(440, abs=2)
    with pytest.raises(Undecodable):
        decode([Clip(path=str(path))], tmp_path / "other.wav")


def test_a_file_of_gsm_frames(tmp_path: Path) -> None:
    frame = b"\xd0" + bytes(32)  # 20 ms; nothing here writes others
    (tmp_path / "in").write_bytes(frame * 50)
    seconds = decode([Clip(path=str(tmp_path / "in"), kind="gsm")], tmp_path / "out.wav")
    assert seconds == pytest.approx(1.0)


def test_pieces_and_silence_one_after_the_other(tmp_path: Path) -> None:
    one = encoded(tmp_path / "1", tone(440, 0.5, 24000), 24000, "wav", "pcm_s16le")
    two = encoded(tmp_path / "2", tone(880, 0.5, 8000), 8000, "wav", "pcm_s16le")
    pieces = [Clip(path=str(one)), Gap(seconds=0.25), Clip(path=str(two))]
    assert decode(pieces, tmp_path / "out.wav") == pytest.approx(1.25, abs=0.01)
    rate, samples = read(tmp_path / "out.wav")
    assert rate == 16000
    assert not samples[8200:11800].any()
    assert samples[12400:].any()


def test_what_breaks_off_is_heard_up_to_there(tmp_path: Path) -> None:
    path = encoded(tmp_path / "in", tone(440, 2.0, 8000), 8000, "mp3", "libmp3lame")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0.5 < decode([Clip(path=str(path))], tmp_path / "out.wav") < 1.5


def test_a_file_that_says_that_it_is_longer_than_it_is(tmp_path: Path) -> None:
    path = encoded(tmp_path / "in", tone(440, 0.5, 8000), 8000, "wav", "pcm_s16le")
    octets = bytearray(path.read_bytes())
    at = octets.index(b"data") + 4
    octets[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)  # as who writes into a pipe has to
    path.write_bytes(octets)
    assert decode([Clip(path=str(path))], tmp_path / "out.wav") == pytest.approx(0.5, abs=0.01)


# Formats of FFmpeg that name other files or URLs, under names of sounds.
_PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
_HOSTILE = {
    "empty": b"",
    "one octet": b"\xff",
    "text": b"<html>not found</html>",
    "a playlist": _PLAYLIST,
    "a list to concatenate": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "a playlist in WAV's head": b"RIFF\x24\x00\x00\x00WAVE" + _PLAYLIST,
    "a playlist in an ID3 tag": b"ID3\x04\x00\x00\x00\x00\x00\x7f" + _PLAYLIST,
    "half a head": b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\x7f",
    "no rate": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\0\0\0\0\0\0\0\0\2\0\x10\0"
    b"data\4\0\0\0abcd",
    "a form of nobody's": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x11\x5e\1\0\x40\x1f\0\0"
    b"\x80\x3e\0\0\2\0\x10\0data\4\0\0\0abcd",
    "721,428,288 Hz": b".snd\0\0\0\x20\0\0\6\x40\0\0\0\1\x2b\0\x1f\x40\0\0\0\1" + bytes(1608),
    "65,535 channels": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\xff\xff\x40\x1f\0\0\0\0\0\0\2\0\x10\0"
    b"data\4\0\0\0abcd",
    "no sound": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0"
    b"data\0\0\0\0",
    "a video": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "an Ogg page of nothing": b"OggS\0\2" + bytes(20) + b"\1\xff" + b"\xff" * 255,
}


@pytest.mark.parametrize("octets", _HOSTILE.values(), ids=_HOSTILE.keys())
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_no_sound_is_refused(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "in").write_bytes(octets)
    with pytest.raises(Undecodable):
        decode([Clip(path=str(tmp_path / "in"))], tmp_path / "out.wav")


@pytest.mark.parametrize(
    ("form", "codec", "rate"),
    [
        ("wav", "pcm_s16le", 8000),
        ("mp3", "libmp3lame", 44100),
        ("ogg", "libopus", 48000),
        ("flac", "flac", 44100),
        ("aiff", "pcm_s16be", 8000),
    ],
)
def test_broken_octets_break_nothing_else(tmp_path: Path, form: str, codec: str, rate: int) -> None:
    whole = encoded(tmp_path / "in", tone(440, 0.3, rate), rate, form, codec).read_bytes()
    chance = random.Random(form)
    for number in range(20):
        octets = bytearray(whole)
        for _ in range(chance.choice((1, 4, 64))):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        (tmp_path / "in").write_bytes(octets)
        try:
            seconds = decode([Clip(path=str(tmp_path / "in"))], tmp_path / f"{number}.wav")
        except (Undecodable, TooLong):
            continue
        assert seconds > 0
