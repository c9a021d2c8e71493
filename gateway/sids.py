"""SIDs: two capitals and 32 lower-case hex digits, of which the first twelve are milliseconds.

Twilio's shape. That they begin with the time lets every index over them grow at its end and a
list be paged by SID alone; four digits of a counter keep the SIDs of one process in the order
in which they were made; sixteen random ones keep them from being guessed.
"""

import os
import re

ACCOUNT = "AC"
SMS = "SM"
MMS = "MM"
CALL = "CA"
PHONE_NUMBER = "PN"
RECORDING = "RE"
NOTIFICATION = "NO"
JOB = "JB"
ORDER = "OR"
REQUEST = "RQ"
EVENT = "EV"
DELIVERY = "DE"
SIP_DOMAIN = "SD"
CREDENTIAL_LIST = "CL"
CREDENTIAL = "CR"
ACCESS_LIST = "AL"
IP_ADDRESS = "IP"
APPLICATION = "AP"
CONFERENCE = "CF"
QUEUE = "QU"
USER_MESSAGE = "KX"
SUBSCRIPTION = "ZY"
KEY = "SK"

_SHAPE = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
_COUNTER_BITS = 16
_AT_ONCE = 512  # throws


class _Clock:
    """The last (millisecond, counter) given out, as one number that only grows."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def tick(self, now: float) -> int:
        self.last = max(self.last + 1, int(now * 1000) << _COUNTER_BITS)
        return self.last


class Dice:
    """Random hex digits, so many at a time.

    The kernel is asked for many at once: each call to it gives the interpreter's lock to another
    thread, and who makes an SID is mostly an event loop that would have to wait for it.
    """

    __slots__ = ("_digits", "_unused")

    def __init__(self, digits: int) -> None:
        """`digits` is even."""
        self._digits = digits
        self._unused: list[str] = []
        os.register_at_fork(after_in_child=self._unused.clear)

    def throw(self) -> str:
        """Digits that nobody can guess."""
        while True:
            try:
                return self._unused.pop()
            except IndexError:
                each = self._digits
                digits = os.urandom(each // 2 * _AT_ONCE).hex()
                self._unused += [digits[at : at + each] for at in range(0, len(digits), each)]


_clock = _Clock()
_dice = Dice(16)


def new_sid(prefix: str, now: float) -> str:
    """A fresh SID of the kind `prefix`, made at `now` (seconds since the epoch).

    Greater than every SID of that prefix that this process made before.
    """
    return f"{prefix}{_clock.tick(now):016x}{_dice.throw()}"


def first_sid(prefix: str, at: float) -> str:
    """What no SID of the kind `prefix` made at `at` or later comes before."""
    return f"{prefix}{max(0, int(at * 1000)) << _COUNTER_BITS:016x}"


def is_sid(text: str, prefix: str) -> bool:
    """Whether `text` has the shape of a SID of the kind `prefix`."""
    return text.startswith(prefix) and _SHAPE.fullmatch(text) is not None


def made_at(sid: str) -> float:
    """When a SID of ours was made, in seconds since the epoch."""
    return (int(sid[2:18], 16) >> _COUNTER_BITS) / 1000
