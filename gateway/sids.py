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
PHONE_NUMBER = "PN"
NOTIFICATION = "NO"
JOB = "JB"
REQUEST = "RQ"
EVENT = "EV"
DELIVERY = "DE"

_SHAPE = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
_COUNTER_BITS = 16


class _Clock:
    """The last (millisecond, counter) given out, as one number that only grows."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0

    def tick(self, now: float) -> int:
        self.last = max(self.last + 1, int(now * 1000) << _COUNTER_BITS)
        return self.last


_clock = _Clock()


def new_sid(prefix: str, now: float) -> str:
    """A fresh SID of the kind `prefix`, made at `now` (seconds since the epoch).

    Greater than every SID of that prefix that this process made before.
    """
    return f"{prefix}{_clock.tick(now):016x}{os.urandom(8).hex()}"


def first_sid(prefix: str, at: float) -> str:
    """What no SID of the kind `prefix` made at `at` or later comes before."""
    return f"{prefix}{max(0, int(at * 1000)) << _COUNTER_BITS:016x}"


def is_sid(text: str, prefix: str) -> bool:
    """Whether `text` has the shape of a SID of the kind `prefix`."""
    return text.startswith(prefix) and _SHAPE.fullmatch(text) is not None


def made_at(sid: str) -> float:
    """When a SID of ours was made, in seconds since the epoch."""
    return (int(sid[2:18], 16) >> _COUNTER_BITS) / 1000
