"""SIDs: two capitals and 32 lower-case hex digits, of which the first twelve are milliseconds.

Twilio's shape; that they begin with the time lets every index over them grow at its end and
lets a list be paged by SID alone. The other twenty digits are random, so a SID can't be guessed.
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

_SHAPE = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


def new_sid(prefix: str, now: float) -> str:
    """A fresh SID of the kind `prefix`, made at `now` (seconds since the epoch)."""
    return f"{prefix}{int(now * 1000):012x}{os.urandom(10).hex()}"


def is_sid(text: str, prefix: str) -> bool:
    """Whether `text` has the shape of a SID of the kind `prefix`."""
    return text.startswith(prefix) and _SHAPE.fullmatch(text) is not None
