"""What was recorded so far: in its file, but for silence that is to be cut off."""

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.media.talk import Talker
from gateway.media.wav import WavFile
from protocols.rtp.audio import Samples

FRAMES: Final = 50  # a second: somebody speaks in a frame or does not
_LEFT: Final = 10  # frames of silence that are left at each end of what is trimmed


class Footage:
    """A file's sound, `rate` samples a second of each channel; with `trims` without its ends."""

    def __init__(self, file: WavFile, *, rate: int, trims: bool) -> None:
        self.file: Final = file
        self.frame: Final = rate // FRAMES
        """Samples of a channel in a frame."""
        self.frames = 0
        """How many there were, those among them that are cut off."""
        self.spoke = False
        self._trims = trims
        self._talker = Talker()
        self._spoke_until = 0
        self._lead: deque[bytes] = deque(maxlen=_LEFT)
        self._begin = 0  # the first frame that is in the file

    @property
    def quiet(self) -> int:
        """For how many frames nobody has spoken."""
        return self.frames - self._spoke_until

    def add(self, channels: Sequence[Samples]) -> None:
        """The next frames, of all channels."""
        count = len(channels[0]) // self.frame
        spoke = self.spoke
        self._listen(mixed(channels), count)
        octets = np.stack(channels, axis=1).astype("<i2").tobytes()
        if not self._trims or spoke:
            self.file.write(octets)
            return
        size = len(octets) // count if count else 0
        pieces = [octets[number * size : (number + 1) * size] for number in range(count)]
        if not self.spoke:
            self._lead.extend(pieces)
            return
        self._begin = self.frames - count - len(self._lead)
        self.file.write(b"".join((*self._lead, *pieces)))

    def _listen(self, samples: Samples, count: int) -> None:
        frames = samples.reshape(count, self.frame).astype(np.float32)
        for energy in np.einsum("ij,ij->i", frames, frames).tolist():
            self.frames += 1
            self._talker.hear(energy / self.frame)
            if self._talker.speaks:
                self.spoke = True
                self._spoke_until = self.frames - self._talker.quiet

    def close(self) -> float:
        """Close the file; how many seconds are in it."""
        end = self.frames
        if self._trims:
            end = min(end, self._spoke_until + _LEFT) if self.spoke else 0
        count = max(0, end - self._begin)
        self.file.close(count * self.frame)
        return count / FRAMES


def mixed(channels: Sequence[Samples]) -> Samples:
    """Several channels as one."""
    if len(channels) == 1:
        return channels[0]
    total = channels[0].astype(np.int32)
    for each in channels[1:]:
        total += each
    return np.clip(total, -32768, 32767).astype(np.int16)
