"""Sound files of strangers to PCM, by PyAV. Runs in a workshop's process and nowhere else.

What a file is follows from its first octets, and FFmpeg is given a file that is open, and told
which format to read it as: so none of its formats that name other files or URLs, such as playlists,
is ever tried.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import av

from gateway.speech.wav import WavFile
from gateway.speech.wire import HEADLESS, RATES, Clip, Gap

_PEEK: Final = 16
_RATES: Final = (4000, 192_000)
_CHANNELS: Final = 8
_CODECS: Final = ("pcm_", "adpcm_", "mp3", "mp2", "vorbis", "opus", "flac", "gsm")


class Undecodable(Exception):
    """A file that is no sound, or none that is read here."""


def decode(pieces: Iterable[Clip | Gap], target: Path) -> float:
    """Write all of `pieces` to a WAV file; how many seconds it has.

    `Undecodable` and `TooLong` if it can't be.
    """
    pieces = tuple(pieces)
    with contextlib.ExitStack() as stack:
        sounds = (each for each in pieces if isinstance(each, Clip))
        clips = {each.path: stack.enter_context(_Opened(each)) for each in sounds}
        most = max((each.rate for each in clips.values()), default=RATES[0])
        rate = RATES[0] if most <= RATES[0] else RATES[1]
        written = stack.enter_context(WavFile(target, rate))
        for piece in pieces:
            if isinstance(piece, Gap):
                written.silence(piece.seconds)
                continue
            before = written.seconds
            for octets in clips[piece.path].pcm(rate):
                written.write(octets)
            if written.seconds == before:
                raise Undecodable("there is no sound in it")
    return written.seconds


class _Opened:
    """A file whose format is known."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "_Opened":
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(Path(self._clip.path).open("rb"))
            head = file.read(_PEEK)
            file.seek(0)
            name, options = _format(head, self._clip.kind)
            try:
                self._container: Any = stack.enter_context(
                    av.open(file, mode="r", format=name, options=options)
                )
            except (av.FFmpegError, ValueError) as error:
                raise Undecodable(f"it can't be read as {name}: {error}") from None
            self._stream = _stream(self._container)
            self.rate: int = self._stream.codec_context.sample_rate
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def pcm(self, rate: int) -> Iterator[bytes]:
        """The sound at `rate`, up to where it can be read."""
        resampler = av.AudioResampler("s16", "mono", rate)
        try:
            for frame in self._container.decode(self._stream):
                yield from map(_octets, resampler.resample(frame))
        except (av.FFmpegError, ValueError):
            pass  # what is broken in its middle is heard up to there
        with contextlib.suppress(av.FFmpegError, ValueError):
            yield from map(_octets, resampler.resample(None))


def _octets(frame: Any) -> bytes:
    return bytes(frame.planes[0])[: frame.samples * 2]


def _format(head: bytes, kind: str) -> tuple[str, dict[str, str]]:
    """FFmpeg's name for what begins with `head`, and what it has to be told."""
    if kind in ("", "mulaw", "gsm"):
        if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
            return "wav", {}
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return "aiff", {}
        for magic, name in ((b"OggS", "ogg"), (b"fLaC", "flac"), (b".snd", "au"), (b"ID3", "mp3")):
            if head.startswith(magic):
                return name, {}
        # The sync word of an MPEG frame, of layer III or II (ISO 11172-3 2.4.1.3).
        first = int.from_bytes(head[:2])
        if not kind and first & 0xFFE0 == 0xFFE0 and first & 0x0006:
            return "mp3", {}
    if kind in HEADLESS:
        name, rate = HEADLESS[kind]
        return name, {} if kind == "gsm" else {"sample_rate": str(rate)}
    raise Undecodable("it is none of WAV, MP3, Ogg, AIFF, AU and FLAC")


def _stream(container: Any) -> Any:
    if not container.streams.audio:
        raise Undecodable("there is no sound in it")
    stream = container.streams.audio[0]
    codec = stream.codec_context
    if codec is None:
        raise Undecodable("its sound is in a form that nobody knows")
    if not codec.name.startswith(_CODECS):
        raise Undecodable(f"its sound is {codec.name}, which is not read here")
    # Filters for rates of nobody take seconds to make.
    if not (_RATES[0] <= codec.sample_rate <= _RATES[1] and 0 < codec.channels <= _CHANNELS):
        found = f"{codec.sample_rate} samples a second in {codec.channels} channels"
        raise Undecodable(f"it has {found}, which is not read here")
    return stream
