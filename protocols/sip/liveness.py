"""When a connection has to be looked at, and whether it still lives: times, without a clock.

A connection ends when nothing passes, when a message does not come whole, when the peer does not
read, or when a pong that the peer is known to send stays away (RFC 5626 §4.4.1).
"""

from typing import Final

from protocols.sip.wire import Patience

NEVER: Final = float("inf")


_NO_PONG: Final = "a ping was not answered"


class Liveness:
    """The times of one connection; `apart` seconds lie between our pings, `NEVER` for none."""

    __slots__ = (
        "_active",
        "_apart",
        "_begun",
        "_blocked",
        "_heard",
        "_patience",
        "_pinged",
        "_ponged",
        "used",
    )

    def __init__(self, patience: Patience, now: float, *, apart: float) -> None:
        self._patience = patience
        self._apart = apart
        self._active = self._heard = now
        self._begun = self._blocked = self._pinged = NEVER
        self._ponged = False
        self.used = False
        """Set it when something is sent; it counts as sent when the connection is looked at."""

    def hear(self, now: float) -> None:
        """Octets came, and with them the end of what had begun."""
        self._begun = NEVER
        self._hear(now)

    def hear_part(self, now: float) -> None:
        """Octets came that end nothing."""
        self._begun = min(self._begun, now)
        self._hear(now)

    def _hear(self, now: float) -> None:
        self._active = self._heard = now
        self._ponged = self._ponged or self._pinged != NEVER
        self._pinged = NEVER

    def block(self, now: float) -> None:
        """The peer stopped reading."""
        self._blocked = now

    def unblock(self) -> None:
        """The peer reads again."""
        self._blocked = NEVER

    def wants_ping(self, now: float) -> bool:
        """Whether a ping is due; if so, it counts as sent."""
        if self._pinged != NEVER or now < self._heard + self._apart:
            return False
        self._pinged = now
        return True

    def due(self) -> float:
        """When to look again."""
        ping = self._heard + self._apart if self._pinged == NEVER else NEVER
        return min(ping, *(when for when, _ in self._ends()))

    def verdict(self, now: float) -> str:
        """Why the connection is to be ended; "" if it is not."""
        if self.used:
            self.used = False
            self._active = now
        if now >= self._pinged + self._patience.pong and not self._ponged:
            # It never answered one: it may not know pings at all (RFC 5626 §4.4.1 asks for them
            # where they were agreed on). That they are not even acknowledged the kernel tells.
            self._pinged = self._apart = NEVER
        return next((reason for when, reason in self._ends() if now >= when), "")

    def _ends(self) -> tuple[tuple[float, str], ...]:
        patience = self._patience
        return (
            (self._begun + patience.whole, "a message did not come whole in time"),
            (self._blocked + patience.read, "the peer does not read"),
            (self._pinged + patience.pong, _NO_PONG),
            (self._active + patience.idle, "nothing passed for too long"),
        )
