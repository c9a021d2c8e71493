"""Which jobs stay in the store alone: where memory has no room, and from where to read on.

An endpoint over its share falls *behind*: its jobs, new ones too, are then only counted on to be
in the store, and are read from there in the order of their places when there is room again.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

Place = tuple[int, str]  # of a job in the store: its generation and its id, in the order of time
END: Final[Place] = (2**62, "")

_RESERVED: Final = 16  # jobs that each endpoint may have when the whole is full


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs in memory: of one endpoint, and of all (beyond which each still gets a few)."""

    per_endpoint: int = 2_000
    total: int = 100_000


class _Gap(msgspec.Struct):
    """Read on after the place `after`; `missed` is the lowest that came since the last page."""

    after: Place
    missed: Place | None = None


class Backlog:
    """Pure bookkeeping."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._gaps: dict[str, _Gap] = {}

    def __len__(self) -> int:
        return len(self._gaps)

    def __contains__(self, endpoint: str) -> bool:
        return endpoint in self._gaps

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._gaps))

    def room(self, held: int, total: int) -> int:
        """How many more jobs of an endpoint that has `held` may come in, `total` being in."""
        own = self._bounds.per_endpoint - held
        reserved = min(_RESERVED, self._bounds.per_endpoint) - held
        return max(0, reserved, min(own, self._bounds.total - total))

    def wants(self, held: int, total: int) -> bool:
        """Whether an endpoint that is behind has enough room to read a page."""
        room = self.room(held, total)
        return room > 0 and room >= held

    def takes(self, endpoint: str, held: int, total: int) -> bool:
        """Whether a job may come into memory; if not it is to be left."""
        return endpoint not in self._gaps and self.room(held, total) > 0

    def leave(self, endpoint: str, place: Place) -> None:
        """A job is left to be read."""
        gap = self._gaps.get(endpoint)
        if gap is None:
            self._gaps[endpoint] = _Gap(_before(place))
        elif gap.missed is None or place < gap.missed:
            gap.missed = place

    def forget(self, chosen: Callable[[str], object]) -> None:
        """Nothing of the endpoints that are `chosen` is to be read any more."""
        for endpoint in filter(chosen, list(self._gaps)):
            del self._gaps[endpoint]

    def begin(self, endpoint: str) -> Place:
        """Where the next page of `endpoint` starts (exclusive)."""
        gap = self._gaps[endpoint]
        if gap.missed is not None:
            gap.after = min(gap.after, _before(gap.missed))
            gap.missed = None
        return gap.after

    def missed(self, endpoint: str) -> Place:
        """The lowest place that came since the page was begun: what is behind it comes after it."""
        gap = self._gaps.get(endpoint)
        return END if gap is None or gap.missed is None else gap.missed

    def end(self, endpoint: str, last: Place | None) -> None:
        """A page was read up to `last`, or to the end (None): what came meanwhile is next."""
        gap = self._gaps.get(endpoint)
        if gap is None:
            return
        if last is None and gap.missed is None:
            del self._gaps[endpoint]
            return
        candidates = [last] if last is not None else []
        if gap.missed is not None:
            candidates.append(_before(gap.missed))
        gap.after = min(candidates)


class Lately:
    """The keys of the last jobs that were read from the store.

    A row can be read as soon as it is durable, before its commit has told whoever made it: what
    is offered then has been taken in, and may even have ended.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._keys: dict[str, None] = {}  # in the order of their reading

    def add(self, key: str) -> None:
        """It was read."""
        self._keys[key] = None
        if len(self._keys) > self._most:
            del self._keys[next(iter(self._keys))]

    def take(self, key: str) -> bool:
        """Whether it was read; nobody asks twice."""
        found = key in self._keys
        self._keys.pop(key, None)
        return found


def _before(place: Place) -> Place:
    generation, job_id = place
    return generation, job_id[:-1]
