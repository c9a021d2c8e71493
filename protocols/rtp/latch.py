"""Whom a leg takes media from, and where it sends its own.

What SDP says of the peer's address is a claim, and behind a NAT it is wrong. So media is sent to
and taken from where packets really come from, the first one that is allowed to fix it: the latch.
Allowed are the address in SDP and any port of the host that signals, which is where media come
from behind a NAT, whatever SDP says; other sources only under `LatchPolicy.ANY`, and under
`LatchPolicy.NAMED` the address in SDP alone, which is sent to whatever it is. One latch holds
for an offer and its answer; another source gets it with a new offer, or after `silence`, and
then it has to go on with the stream or to show a stream of its own.

Nothing is sent to a private address that nobody was heard from, unless signalling itself came
from it: there the peer was heard.
"""

from enum import Enum, StrEnum
from functools import lru_cache
from ipaddress import IPv4Address
from math import inf
from typing import Final

from protocols.addresses import address_of, is_private
from protocols.rtp.events import Address
from protocols.rtp.packet import sequences_ahead
from protocols.rtp.reception import MAX_DROPOUT, MIN_SEQUENTIAL

SILENCE: Final = 2.0  # seconds without media after which another source may go on
LINGER: Final = 0.5  # seconds in which packets from before a new offer still come
_BROADCAST: Final = IPv4Address("255.255.255.255")


class LatchPolicy(StrEnum):
    """Who may send to a leg, as the config has it."""

    SIGNALLED = "signalled"
    ANY = "any"
    NAMED = "named"


class Verdict(Enum):
    """What became of a packet; the value is the sentence for a person."""

    ACCEPTED = "accepted"
    LATCHED = "accepted, and media goes there from now on"
    STRANGER = "neither the address in SDP nor the host that signals"
    LOCKED = "media is latched to another source, which is not silent"
    UNPROVEN = "a new stream that has not shown itself to be one"
    MALFORMED = "not a packet that can be read"
    UNASKED = "not a kind of packet that was agreed on"

    @property
    def is_accepted(self) -> bool:
        """Whether the packet is the peer's."""
        return self is Verdict.ACCEPTED or self is Verdict.LATCHED


@lru_cache(maxsize=1024)
def _is_nowhere(host: str) -> bool:
    """Whether SDP says with it that nothing is wanted, as in the old hold of RFC 3264 §8.4."""
    ip = address_of(host)
    return ip is not None and ip.is_unspecified


@lru_cache(maxsize=1024)
def _is_trusted(host: str, signalling: str) -> bool:
    """Whether media goes to a host of SDP before anything came from it."""
    ip = address_of(host)
    if ip is None or ip.is_multicast or ip == _BROADCAST:
        return False
    return ip == address_of(signalling) or not is_private(ip)


class Latch:
    """One stream's latch; RTCP on a port of its own has another, with a `silence` that fits it.

    `address` is that of SDP, with the host 0.0.0.0 or the port 0 if the peer wants nothing now,
    None while it has said nothing; `signalling` the host that its signalling comes from. Both are
    IP addresses as text: whoever finds a name in SDP resolves it first. Times are in seconds.
    """

    __slots__ = (
        "_address",
        "_agreed",
        "_candidate",
        "_heard",
        "_held",
        "_host",
        "_ip",
        "_lingering",
        "_proof",
        "_sequence",
        "_silence",
        "_ssrc",
        "_told",
        "_trusted",
        "goes_to",
        "locked",
        "policy",
        "source",
    )

    def __init__(
        self,
        *,
        address: Address | None,
        signalling: str,
        now: float,
        policy: LatchPolicy = LatchPolicy.SIGNALLED,
        silence: float = SILENCE,
    ) -> None:
        self.policy = policy
        self.source: Address | None = None  # what media is latched to
        self.locked: Address | None = None  # the same, unless another source may latch now
        self.goes_to: Address | None = None  # see `destination`
        self._silence = silence
        self._ssrc = -1
        self._sequence = -1  # of the newest packet; RTCP has none
        self._heard = -inf
        self._candidate: tuple[Address, int, int] | None = None  # with its SSRC and next number
        self._proof = 0  # packets of the candidate in sequence
        self._agreed: Address | None = None  # the last address in SDP that was no hold
        self._lingering: Address | None = None
        self._tell(address, signalling, now)

    def _tell(self, address: Address | None, signalling: str, now: float) -> None:
        self._host = address_of(signalling)
        self._told = now
        self.locked = None
        self._candidate = None
        self._ip = self._address = None
        self._trusted = False
        self._held = address is None or address[1] == 0 or _is_nowhere(address[0])
        if address is not None and not self._held:
            host = address[0]
            self._ip = address_of(host)
            self._address = self._agreed = address
            self._trusted = _is_trusted(
                host, host if self.policy is LatchPolicy.NAMED else signalling
            )
        self._aim()

    def reoffered(self, *, address: Address | None, signalling: str, now: float) -> None:
        """A new offer and its answer are agreed on: the next source that is allowed latches.

        If the peer holds or named its old address again, media stays where it was until then. If
        it named another, media goes there as far as it may; what was sent from the old one and is
        still on its way is taken, and latches nothing.
        """
        agreed, host = self._agreed, self._host
        self._tell(address, signalling, now)
        self._lingering = None
        if not self._held and (address != agreed or self._host != host):
            self._lingering, self.source = self.source, None
            self._aim()

    def _aim(self) -> None:
        if self._held:
            self.goes_to = None
        elif self.source is not None:
            self.goes_to = self.source
        else:
            self.goes_to = self._address if self._trusted else None

    def destination(self) -> Address | None:
        """Where to send to now; None if nothing may be sent."""
        return self.goes_to

    def heard(self, ssrc: int, sequence: int, now: float) -> None:
        """What came last from `locked`, whose packets need not be judged one by one."""
        self._ssrc = ssrc
        self._sequence = sequence
        self._heard = now

    def admits(self, source: Address) -> bool:
        """Whether a packet without a number, RTCP on the port of RTP, is the peer's."""
        if source == self.source:
            return True
        return self.locked is None and self._is_allowed(source)

    def packet(self, source: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """Judge a packet by where it came from; `sequence` is -1 for RTCP."""
        if source == self.locked:
            self.heard(ssrc, sequence, now)
            return Verdict.ACCEPTED
        if self.locked is None:
            return self._first(source, ssrc, sequence, now)
        return self._another(source, ssrc, sequence, now)

    def _first(self, source: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """None is latched to, or a new offer allows for another."""
        if source == self._address or source == self.source:
            return self._latch(source, ssrc, sequence, now)
        if source == self._lingering and now - self._told < LINGER:
            return Verdict.ACCEPTED
        if self._is_allowed(source):
            return self._latch(source, ssrc, sequence, now)
        if self.policy is not LatchPolicy.ANY:
            return Verdict.STRANGER
        return self._prove(source, ssrc, sequence, now)

    def _another(self, source: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """Media is latched to another source than this one."""
        if source == self._address:  # it is what SDP said, and latched elsewhere by its absence
            return self._latch(source, ssrc, sequence, now)
        allowed = self._is_allowed(source)
        if not allowed and self.policy is not LatchPolicy.ANY:
            return Verdict.STRANGER
        if now - self._heard < self._silence:
            return Verdict.LOCKED
        if self._continues(ssrc, sequence):
            return self._latch(source, ssrc, sequence, now)
        return self._prove(source, ssrc, sequence, now) if allowed else Verdict.STRANGER

    def _is_allowed(self, source: Address) -> bool:
        if source == self._address:
            return True
        host = address_of(source[0])
        if host is None or self.policy is LatchPolicy.NAMED:
            return False
        if self._address is not None and (host, source[1]) == (self._ip, self._address[1]):
            return True
        return host == self._host

    def _continues(self, ssrc: int, sequence: int) -> bool:
        """Whether a packet goes on with the stream that fell silent."""
        if ssrc != self._ssrc:
            return False
        return sequence < 0 or 0 < sequences_ahead(sequence, self._sequence) < MAX_DROPOUT

    def _prove(self, source: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        """Latch when enough packets came in sequence from there."""
        following = -1 if sequence < 0 else (sequence + 1) & 0xFFFF
        goes_on = self._candidate == (source, ssrc, sequence)
        self._proof = self._proof + 1 if goes_on else 1
        self._candidate = (source, ssrc, following)
        if self._proof < MIN_SEQUENTIAL:
            return Verdict.UNPROVEN
        return self._latch(source, ssrc, sequence, now)

    def _latch(self, source: Address, ssrc: int, sequence: int, now: float) -> Verdict:
        before = self.source
        self.source = self.locked = source
        self._candidate = self._lingering = None
        self.heard(ssrc, sequence, now)
        self._aim()
        return Verdict.ACCEPTED if source == before else Verdict.LATCHED
