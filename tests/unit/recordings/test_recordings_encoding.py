"""A recording as MP3 and as one channel: what was said is what is heard."""

import asyncio
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.children import environment
from gateway.recordings import encoding
from gateway.recordings.encoding import Encoder, Form, Unplayable
from gateway.recordings.files import MP3, WAV, Files

RATE = 8000
TONES = (440.0, 1000.0)
LOUD = 8000


def heard(samples: NDArray[np.int16], rate: int = RATE) -> set[int]:
    """The tones that stand out of a second, in tens of Hz."""
    part = samples[rate // 2 : rate // 2 + rate].astype(float)
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
    return {round(at / 10) * 10 for at in np.flatnonzero(spectrum > spectrum.max() / 4).tolist()}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """One with two channels, `RE2`, with a tone in each, and one with one, `RE1`."""
    files = Files(tmp_path)
    times = np.arange(2 * RATE) / RATE
    sides = [(np.sin(2 * np.pi * tone * times) * LOUD).astype("<i2") for tone in TONES]
    for sid, samples in (("RE2", np.stack(sides, axis=1)), ("RE1", sides[0][:, np.newaxis])):
        with wave.open(str(files.begin("AC1", sid)), "wb") as file:
            file.setparams((samples.shape[1], 2, RATE, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
    return files


def samples_of(path: Path) -> list[NDArray[np.int16]]:
    """The channels of a file."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        count = container.streams.audio[0].layout.nb_channels
    whole = np.concatenate(frames, axis=1)
    if whole.shape[0] == 1 and count > 1:
        whole = whole.reshape(-1, count).T
    if whole.dtype != np.int16:
        whole = (whole * 32767).astype(np.int16)
    return list(whole)


@pytest.mark.parametrize(
    ("sid", "form", "tones"),
    [
        ("RE2", Form(suffix=WAV), [{440}, {1000}]),
        ("RE2", Form(suffix=WAV, channels=2), [{440}, {1000}]),
        ("RE2", Form(suffix=WAV, channels=1), [{440, 1000}]),
        ("RE2", Form(suffix=MP3), [{440}, {1000}]),
        ("RE2", Form(suffix=MP3, channels=1), [{440, 1000}]),
        ("RE1", Form(suffix=WAV), [{440}]),
        ("RE1", Form(suffix=MP3, channels=1), [{440}]),
    ],
)
async def test_each_form_sounds_as_what_was_recorded(
    files: Files, sid: str, form: Form, tones: list[set[int]]
) -> None:
    path = await Encoder(files).file("AC1", sid, form)
    assert path.suffix == form.suffix and path.stat().st_mode & 0o777 == 0o600
    assert [heard(channel) for channel in samples_of(path)] == tones


async def test_a_form_is_made_once_and_leaves_nothing_beside(files: Files) -> None:
    encoder, form = Encoder(files), Form(suffix=MP3)
    (path, again) = await asyncio.gather(*(encoder.file("AC1", "RE1", form) for _ in range(2)))
    made = path.stat().st_mtime_ns
    assert again == path == await encoder.file("AC1", "RE1", form)
    assert path.stat().st_mtime_ns == made
    assert {each.name for each in path.parent.iterdir()} == {"RE1.wav", "RE2.wav", "RE1.mp3"}


async def test_what_there_is_not_can_not_be_had(files: Files) -> None:
    encoder = Encoder(files)
    with pytest.raises(Unplayable, match="one channel"):
        await encoder.file("AC1", "RE1", Form(suffix=WAV, channels=2))
    with pytest.raises(Unplayable, match="not here"):
        await encoder.file("AC1", "RE9", Form(suffix=WAV))


async def test_one_that_takes_too_long_is_given_up(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "DEADLINE", 0.001)
    with pytest.raises(Unplayable, match="took longer"):
        await Encoder(files).file("AC1", "RE1", Form(suffix=MP3))
    assert {each.name for each in files.path("AC1", "RE1").parent.iterdir()} == {
        "RE1.wav",
        "RE2.wav",
    }


async def test_an_account_has_one_at_a_time_made(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str]] = []
    go, full = asyncio.Event(), asyncio.Event()

    async def convert(source: Path, target: Path, suffix: str, channels: int) -> None:
        made.append((source.parent.name, source.stem))
        if len(made) == encoding.MOST:
            full.set()
        await go.wait()

    monkeypatch.setattr(encoding, "_convert", convert)
    other = files.begin("AC2", "RE3")
    other.write_bytes(files.path("AC1", "RE1").read_bytes())
    encoder, form = Encoder(files), Form(suffix=MP3)
    wanted = [("AC1", "RE1"), ("AC1", "RE2"), ("AC2", "RE3")]
    making = [asyncio.create_task(encoder.file(*each, form)) for each in wanted]
    async with asyncio.timeout(60):
        await full.wait()
    assert set(made) == {("AC1", "RE1"), ("AC2", "RE3")}
    go.set()
    await asyncio.gather(*making)
    assert len(made) == 3


def test_what_is_started_for_strangers_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_AUTH_TOKEN", "secret")
    monkeypatch.setenv("LANG", "C")
    given = environment()
    assert "secret" not in given.values()
    assert given["LANG"] == "C"
