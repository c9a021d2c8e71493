"""Which requests are too large for UDP, and where TCP does not help (RFC 3261 §18.1.1).

A request over the limit is tried over TCP at the same place first. Where that was refused or
stayed silent, it goes over UDP after all, and that is remembered for some time: most peers that
speak UDP alone never answer over TCP, and each call would wait for it. Each try is a transaction of
its own, so that its Via and its retransmissions are right. A hop that is pinned to UDP is not
asked about here.
"""

from collections import OrderedDict
from typing import Final

import msgspec

from protocols.sip.transport import Hop, Transport

LARGEST: Final = 1300
"""Octets of a request that go over UDP wherever they go; the RFC's limit for an unknown MTU."""

REMEMBERED: Final = 600.0
"""Seconds for which a place without TCP is remembered."""

KEPT: Final = 1024


class Sizes:
    """What is known of places that take no large requests over TCP."""

    def __init__(self, *, largest: int = LARGEST, remembered: float = REMEMBERED) -> None:
        self._largest = largest
        self._remembered = remembered
        self._without: OrderedDict[tuple[str, int], float] = OrderedDict()

    def hops(self, hop: Hop, octets: int, now: float) -> tuple[Hop, ...]:
        """Where a request of so many octets is tried, in this order, instead of `hop`."""
        if hop.transport is not Transport.UDP or octets <= self._largest:
            return (hop,)
        until = self._without.get((hop.host, hop.port))
        if until is not None and now < until:
            return (hop,)
        return (msgspec.structs.replace(hop, transport=Transport.TCP), hop)

    def fail(self, hop: Hop, now: float) -> None:
        """A try over TCP was refused, or nothing came of it in a few seconds."""
        if hop.transport is Transport.TCP:
            self._without[hop.host, hop.port] = now + self._remembered
            self._without.move_to_end((hop.host, hop.port))
            while len(self._without) > KEPT:
                self._without.popitem(last=False)

    def succeed(self, hop: Hop) -> None:
        """It answered over TCP, whatever was remembered."""
        if hop.transport is Transport.TCP:
            self._without.pop((hop.host, hop.port), None)
