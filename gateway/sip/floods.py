"""How many requests that prove nothing each place may send before it is turned away unread.

A challenge costs us more than it costs who asks for it, and a guess of a password more still. So
each place has a bucket of tokens: a request takes one, a right password gives back what it and its
challenge took. Phones that know their passwords never empty it, however many share an address.
"""

from collections import OrderedDict
from functools import lru_cache
from typing import Final

import msgspec

from protocols.sip.sockets.addresses import peer_of

_SPENT: Final = 2.0  # by a request that proves something: itself, and the one that was challenged


class FloodLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Of each place: `rate` requests a second, `burst` at once. `places` are told apart."""

    rate: float = 50.0
    burst: float = 500.0
    places: int = 10_000


class Floods:
    """The buckets; a place is an IPv4 address or a /64. Those not seen for longest are forgotten.

    `now` is in seconds of any clock; one that goes back fills no bucket.
    """

    def __init__(self, limits: FloodLimits = FloodLimits()) -> None:  # noqa: B008  # immutable
        self._limits = limits
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when

    def __len__(self) -> int:
        return len(self._buckets)

    def admits(self, address: str, now: float) -> bool:
        """Whether a request from `address`, an IP address, may be looked at; it is counted."""
        place, limits = _place(address), self._limits
        tokens, at = self._buckets.get(place, (limits.burst, now))
        tokens = min(limits.burst, tokens + max(0.0, now - at) * limits.rate)
        allowed = tokens >= 1.0
        self._buckets[place] = (tokens - 1.0 if allowed else tokens, now)
        self._buckets.move_to_end(place)
        if len(self._buckets) > limits.places:
            self._buckets.popitem(last=False)
        return allowed

    def proved(self, address: str) -> None:
        """The request that was admitted last from there shows that it may be sent."""
        place = _place(address)
        known = self._buckets.get(place)
        if known is not None:
            tokens, at = known
            self._buckets[place] = (min(self._limits.burst, tokens + _SPENT), at)


@lru_cache(maxsize=4096)
def _place(address: str) -> str:
    return peer_of(address)
