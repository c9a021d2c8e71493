"""The message ids that a simulated carrier gives out, in the forms that real carriers use.

A carrier may write the same id differently in the response and in the receipt: both are made from
one number here, so that they belong together for whoever reads both as a number.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID

# An odd factor makes the multiplication reversible modulo 2**128: different numbers, different ids.
_SPREAD: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835


class IdForm(StrEnum):
    """How a message id is written."""

    DECIMAL = "decimal"
    PADDED = "padded"  # decimal with zeros in front, 20 digits
    HEX = "hex"
    UPPER_HEX = "upper-hex"
    MIXED = "mixed"  # hexadecimal, upper and lower case in turn
    UUID = "uuid"


class IdPlace(StrEnum):
    """Where a receipt carries the message id: its text (appendix B), receipted_message_id."""

    BOTH = "both"
    TEXT = "text"
    TLV = "tlv"


class MessageIds:
    """Numbers that no other message of this carrier has: `first`, and one more each time."""

    def __init__(self, first: int) -> None:
        self._next = first

    @classmethod
    def since(cls, now: float) -> "MessageIds":
        """Ids that an earlier run can't have given out; `now` in seconds since the epoch.

        Holds while fewer than a million messages a second are taken.
        """
        return cls(int(now * 1_000_000))

    def next(self) -> int:
        """The next number."""
        number = self._next
        self._next = number + 1
        return number


def written(number: int, form: IdForm) -> str:
    """The id of `number` in `form`; at most 36 characters (SMPP 3.4, 5.2.23 allows 64)."""
    match form:
        case IdForm.DECIMAL:
            return str(number)
        case IdForm.PADDED:
            return f"{number:020d}"
        case IdForm.HEX:
            return f"{number:x}"
        case IdForm.UPPER_HEX:
            return f"{number:X}"
        case IdForm.MIXED:
            digits = f"{number:x}"
            return "".join(d.upper() if i % 2 else d for i, d in enumerate(digits))
        case IdForm.UUID:
            return str(UUID(int=number * _SPREAD % (1 << 128)))
