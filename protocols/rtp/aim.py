"""Where a leg's media go when something else than their packets says so, such as ICE.

It stands where a latch does. Who sends is no question here: whoever aims has keys for SRTP, and
a packet that they open is the peer's wherever it comes from.
"""

from typing import Final

from protocols.rtp.events import Address
from protocols.rtp.latch import Verdict

_ACCEPTED: Final = Verdict.ACCEPTED


class Aim:
    """A `Latch` that takes all and goes where it is told to, nowhere at first."""

    __slots__ = ("goes_to", "locked", "source")

    def __init__(self) -> None:
        self.goes_to: Address | None = None
        self.locked: Address | None = None
        self.source: Address | None = None

    def at(self, address: Address | None) -> None:
        """Media go there from now on; None for nowhere."""
        self.goes_to = self.locked = self.source = address

    def reoffered(self, *, address: Address | None, signalling: str, now: float) -> None:
        """What descriptions say is no matter."""

    def destination(self) -> Address | None:
        """Where to send to now; None if nothing may be sent."""
        return self.goes_to

    def heard(self, ssrc: int, sequence: int, now: float) -> None:
        """As a latch has it."""

    def admits(self, source: Address) -> bool:
        """Everybody who has the key."""
        return True

    def packet(self, source: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """The same."""
        return _ACCEPTED
