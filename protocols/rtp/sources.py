"""The sources whose packets come in on one leg, each counted apart and all together.

A peer may change its SSRC at any time, and some send digits or comfort noise under one of their
own. The newest few are kept; of older ones only their counts.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from protocols.rtp.reception import Reception

MAX_SOURCES: Final = 8


class Totals(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Packets of all sources, counted as in `Reception`."""

    expected: int = 0
    received: int = 0
    missing: int = 0
    duplicated: int = 0
    reordered: int = 0
    misplaced: int = 0


_COUNTS: Final = Totals.__struct_fields__


class Sources:
    """Receptions by their SSRC; `current` is that of the packet that came last."""

    __slots__ = (
        "_earlier",
        "_kept",
        "current",
    )

    def __init__(self) -> None:
        self.current: Reception | None = None
        self._kept: dict[int, Reception] = {}
        self._earlier = Totals()

    def __iter__(self) -> Iterator[Reception]:
        return iter(self._kept.values())

    def __contains__(self, ssrc: int) -> bool:
        return ssrc in self._kept

    def get(self, ssrc: int) -> Reception | None:
        """The source of this SSRC, if it is kept."""
        return self._kept.get(ssrc)

    def switch(self, ssrc: int) -> Reception | None:
        """Go on with a source that is kept; None if this is another."""
        found = self._kept.pop(ssrc, None)
        if found is not None:
            self._kept[ssrc] = self.current = found  # the newest is the last
        return found

    def add(self, reception: Reception) -> None:
        """Begin with a source that is not kept; the one unheard for longest may go."""
        self._kept[reception.ssrc] = self.current = reception
        if len(self._kept) > MAX_SOURCES:
            gone = self._kept.pop(next(iter(self._kept)))
            self._earlier = _sum(self._earlier, gone)

    def totals(self) -> Totals:
        """Of all sources, those no longer kept as well."""
        totals = self._earlier
        for each in self:
            totals = _sum(totals, each)
        return totals


def _sum(totals: Totals, reception: Reception) -> Totals:
    return Totals(**{name: getattr(totals, name) + getattr(reception, name) for name in _COUNTS})
