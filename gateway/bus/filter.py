"""Which facts of a partition a reader has had: the rule by which each counts once.

A fact's `id` and the `after` in its record say that of the ids above `after` and up to `id` there
is one fact, this one, in its partition. That is a truth about the store's facts, whoever copied
the record, whence, how often, and into which cluster. So a reader keeps the ranges of ids that it
has had, per partition number, over all clusters together, and drops a record whose id is in one.
As facts come in order the ranges are one, nearly always.

What has no id in the store, a submit, is told by its headers instead: see `Newer`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.bus.records import Origin

Range = tuple[int, int]  # above the first, up to and with the second
_MAX_RANGES: Final = 64
_NOTHING: Final[Mapping[str, int]] = {}


class Seen:
    """The ranges of one partition, ascending, apart from each other."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._ranges: list[Range] = []
        for after, up_to in ranges:
            self.add(after, up_to)

    @property
    def ranges(self) -> list[Range]:
        """As they are kept durably."""
        return list(self._ranges)

    @property
    def newest(self) -> int:
        """The highest id that is known; 0 before the first."""
        return self._ranges[-1][1] if self._ranges else 0

    def has(self, fact_id: int) -> bool:
        """Whether the reader had the fact."""
        for after, up_to in reversed(self._ranges):
            if fact_id > after:
                return fact_id <= up_to
        return False

    def follows(self, after: int) -> bool:
        """Whether nothing is missing between what the reader had and a record with this `after`.

        What was there before the first record that it ever had is not missed.
        """
        if not self._ranges or after < self._ranges[0][0]:
            return True
        return any(low <= after <= up_to for low, up_to in reversed(self._ranges))

    def add(self, after: int, fact_id: int) -> None:
        """The reader has everything above `after` and up to `fact_id`."""
        after = min(after, fact_id - 1)
        ranges = self._ranges
        if ranges and ranges[-1][0] <= after <= ranges[-1][1]:
            if fact_id > ranges[-1][1]:
                ranges[-1] = (ranges[-1][0], fact_id)
            return
        merged: list[Range] = []
        low, high = after, fact_id
        for each in ranges:
            if each[1] < low or each[0] > high:
                merged.append(each)
            else:
                low, high = min(low, each[0]), max(high, each[1])
        merged.append((low, high))
        merged.sort()
        if len(merged) > _MAX_RANGES:  # the oldest gap will not be filled any more
            merged[:2] = [(merged[0][0], merged[1][1])]
        self._ranges = merged


class Newer:
    """For records without a fact's id: whether one of a partition is newer than what was seen.

    One is not whose epoch is lower than the highest that was seen, or whose offset is not above
    the last one (at first -1) that was read from the same partition of the same cluster. The mark
    of an owner, with the offset -1, never is, but its epoch is seen. Each cluster's copy of a
    partition is a log of its own, with a `Newer` of its own.
    """

    __slots__ = ("epoch", "offsets")

    def __init__(self, epoch: int = 0, offsets: Mapping[str, int] = _NOTHING) -> None:
        """What was seen, as it was kept durably: `epoch`, and `offsets` by cluster/partition."""
        self.epoch = epoch
        self.offsets = dict(offsets)

    def takes(self, origin: Origin) -> bool:
        """Whether it is newer; if so it is seen from now on."""
        if origin.epoch < self.epoch:
            return False
        self.epoch = origin.epoch  # of a mark too, which is never newer itself
        read_at = f"{origin.cluster}/{origin.partition}"
        if origin.offset <= self.offsets.get(read_at, -1):
            return False
        self.offsets[read_at] = origin.offset
        return True
