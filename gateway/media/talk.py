"""Who speaks: told from how loud each frame is, against how loud it is when nobody speaks.

The background is the quietest that was heard of late. Speech is what stands well over it for a
few frames, and lasts until it was quiet for longer than a pause between words.
"""

from typing import Final

from protocols.rtp.audio import amplitude

_LEAST: Final = amplitude(46) ** 2  # below that nobody speaks, however quiet it is around
_LOUDEST_FLOOR: Final = amplitude(50) ** 2  # a background that is louder is no background
_OVER: Final = 6.0  # times the background's energy: 8 dB
_RISE: Final = 1.01  # of the background, for each frame that is louder
_BEGINS: Final = 3  # loud frames, less the quiet ones between them
ENDS: Final = 30  # quiet frames after which it is over


class Talker:
    """One source; `speaks` is whether it does."""

    __slots__ = ("_floor", "_loud", "_quiet", "speaks")

    def __init__(self) -> None:
        self.speaks = False
        self._floor = _LOUDEST_FLOOR
        self._loud = 0
        self._quiet = 0

    @property
    def quiet(self) -> int:
        """How many frames ago it was loud."""
        return self._quiet

    def hear(self, energy: float) -> bool:
        """Take the mean square of the next frame of 20 ms; whether `speaks` changed with it."""
        floor = self._floor
        self._floor = max(1.0, min(energy, floor * _RISE, _LOUDEST_FLOOR))
        if energy > _LEAST and energy > floor * _OVER:
            self._quiet = 0
            self._loud += 1
            if self.speaks or self._loud < _BEGINS:
                return False
            self.speaks = True
            return True
        self._loud = max(0, self._loud - 1) if not self.speaks else 0
        self._quiet += 1
        if not self.speaks or self._quiet < ENDS:
            return False
        self.speaks = False
        return True
