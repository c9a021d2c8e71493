"""The timers of a session by their names in v5.0 §2.7, and its other bounds.

session_init and response belong to one moment each and are plain deadlines in `session` and
`window`; enquire_link and inactivity run as long as the bind stands and live here.
"""

from enum import Enum
from math import inf

import msgspec

from protocols.smpp.codec import MAX_PDU
from protocols.smpp.constants import InterfaceVersion


class SessionConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Timers by their names in v5.0 §2.7, in seconds, and bounds.

    `enquire_link_interval` is the silence after which we ask, `enquire_link_timeout` the further
    silence after which the link counts as dead; `inactivity_timeout` the time without messages
    after which we unbind; 0 turns either off. `window` is how many of our requests may wait for
    a response, `late_memory` how many that timed out are remembered for a late one, `max_pdu`
    the longest PDU that is read, in octets.
    """

    session_init_timeout: float = 5.0
    enquire_link_interval: float = 30.0
    enquire_link_timeout: float = 10.0
    inactivity_timeout: float = 0.0
    response_timeout: float = 10.0
    window: int = 10
    late_memory: int = 1000
    max_pdu: int = MAX_PDU
    interface_version: int = InterfaceVersion.V3_4
    first_sequence_number: int = 1


class Due(Enum):
    """Which of the two timers of a bind expired."""

    INACTIVITY = "inactivity"
    ENQUIRE = "enquire_link: ask the peer"
    DEAD = "enquire_link: it did not answer"


class BindTimers:
    """enquire_link and inactivity; they run between `start` and `stop`."""

    def __init__(self, config: SessionConfig) -> None:
        self._interval = config.enquire_link_interval or inf
        self._timeout = config.enquire_link_timeout
        self._inactivity = config.inactivity_timeout or inf
        self._probe_deadline = inf
        self._received_at = inf  # when the peer was last heard
        self._active_at = inf  # when a message or its response last passed, either way

    def start(self, now: float) -> None:
        """The session is bound."""
        self._received_at = self._active_at = now

    def stop(self) -> None:
        """It is not any more."""
        self._received_at = self._active_at = self._probe_deadline = inf

    def heard(self, now: float) -> None:
        """Octets came: whoever speaks is alive, whether it answers enquire_link or not."""
        if self._received_at < inf:
            self._received_at = now
            self._probe_deadline = inf

    def used(self, now: float) -> None:
        """A message or its response passed, either way."""
        if self._active_at < inf:
            self._active_at = now

    def asked(self, now: float) -> None:
        """We sent enquire_link."""
        self._probe_deadline = now + self._timeout

    def deadline(self) -> float:
        """When either expires; infinity for never."""
        return min(self._link_deadline(), self._active_at + self._inactivity)

    def due(self, now: float) -> Due | None:
        """What expired by `now`, the more serious first."""
        if self._probe_deadline <= now:
            return Due.DEAD
        if self._active_at + self._inactivity <= now:
            return Due.INACTIVITY
        return Due.ENQUIRE if self._link_deadline() <= now else None

    def _link_deadline(self) -> float:
        probing = self._probe_deadline < inf
        return self._probe_deadline if probing else self._received_at + self._interval
