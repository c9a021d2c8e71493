"""How fast a carrier may be fed: a token bucket over PDUs, and the pauses it asks for.

Carriers count each submit_sm, not each message, so a token is a PDU. The bucket holds a tenth of
a second's worth: what leaves within any one second stays within a tenth of `tps`, and a batch
still fills several slots of the window. Time is an argument (seconds, of one clock).
"""

import math
from typing import Final

BURST: Final = 0.1  # seconds of traffic that the bucket holds

# After ESME_RTHROTTLED or ESME_RMSGQFUL nothing leaves for this long, doubled at each refusal of
# what was sent after the last pause.
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 3.2

# SMPP v5.0, 4.8.4.18 congestion_state: the share of the rate that is used from this value on.
# 80-89 is "nearing congestion", 90-100 "congested"; all below is the load that an SMSC is for.
CONGESTION_SHARES: Final = ((90, 0.1), (80, 0.5), (0, 1.0))
CONGESTION_KEPT: Final = 5.0  # seconds after which a congestion_state is forgotten


class Throttle:
    """A token bucket of `tps` PDUs per second (0 is unlimited) that can be paused."""

    def __init__(self, tps: float, now: float) -> None:
        """Start with a full bucket at `now`; `tps` is 0 or more PDUs per second."""
        self._tps = tps
        self._size = max(1.0, tps * BURST)
        self._tokens = self._size
        self._filled_at = now
        self._paused_at = -math.inf
        self._paused_until = -math.inf
        self._pause = 0.0
        self._share = 1.0
        self._share_until = -math.inf

    @property
    def tps(self) -> float:
        """PDUs per second as configured; 0 is unlimited."""
        return self._tps

    @property
    def paused_until(self) -> float:
        """The end of the last pause; `-inf` if there was none."""
        return self._paused_until

    def share(self, now: float) -> float:
        """The part of its rate and window that the carrier's congestion_state leaves, 0 to 1."""
        return self._share if now < self._share_until else 1.0

    def available(self, now: float) -> float:
        """How many PDUs `take` would grant; infinite when unlimited. A part of one counts none."""
        if now < self._paused_until:
            return 0.0
        if not self._tps:
            return math.inf
        self._fill(now)
        return float(math.floor(self._tokens + 1e-9))  # a token that rounding left short counts

    def take(self, n: int, now: float) -> int:
        """Take up to `n` tokens; return how many were granted."""
        granted = min(n, self.available(now))
        if self._tps:
            self._tokens -= granted
        return int(granted)

    def ready_at(self, now: float) -> float:
        """When at least one PDU may leave; `now` if one may leave at once."""
        start = max(now, self._paused_until)
        if not self._tps:
            return start
        self._fill(now)
        missing = 1.0 - 1e-9 - self._tokens
        if missing <= 0:
            return start
        return max(start, now + missing / (self._tps * self.share(now)))

    def pause(self, until: float) -> None:
        """Grant nothing before `until`; a longer pause that runs already stays."""
        self._paused_until = max(self._paused_until, until)

    def change(self, tps: float, now: float) -> None:
        """Go on at `tps` PDUs per second; pauses stay."""
        if self._tps:
            self._fill(now)
        self._tps = tps
        self._size = max(1.0, tps * BURST)
        self._tokens = min(self._tokens, self._size)
        self._filled_at = now

    def refused(self, sent_at: float, now: float) -> None:
        """The carrier refused a PDU of `sent_at` as too many: pause, longer than the last time.

        A full window is refused at once; what was sent before the pause began says nothing new.
        """
        if sent_at < self._paused_at:
            return
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
        self._paused_at = now
        self.pause(now + self._pause)

    def accepted(self, sent_at: float) -> None:
        """The carrier took a PDU of `sent_at`: the next pause is a short one again."""
        if self._pause and sent_at >= self._paused_at:
            self._pause = 0.0

    def congested(self, congestion_state: int, now: float) -> None:
        """The carrier reported its `congestion_state` (0-100): use the share that this leaves."""
        if self._tps:
            self._fill(now)
        self._share = next(
            (share for least, share in CONGESTION_SHARES if congestion_state >= least), 1.0
        )
        self._share_until = now + CONGESTION_KEPT

    def _fill(self, now: float) -> None:
        elapsed = now - self._filled_at
        self._filled_at = now
        if elapsed > 0:  # a clock that was set back fills nothing and costs nothing
            grown = self._tokens + elapsed * self._tps * self.share(now)
            self._tokens = min(self._size, grown)
