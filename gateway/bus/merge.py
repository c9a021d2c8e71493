"""One stream of facts from the clean topics of one cluster or two; pure, the caller reads.

While a cluster is away dedup writes to the other, so a partition's facts stand partly here and
partly there. `Merge` gives each fact once (`filter`), and holds one back while an earlier one of
its partition may still stand unread in the other cluster: until that comes, or the other is
silent. A cluster that is away holds nobody back; what stood in it unread comes when it is back.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from gateway.bus.filter import Range, Seen
from gateway.bus.records import FactValue, fact_of
from gateway.store.base import Fact

Place = tuple[str, int]  # (topic, partition)
BEGIN: Final = -2  # as an offset: the oldest that is kept

Item = tuple[int, FactValue | None]  # with the offset of the next one; None is of no use
_Kept = TypeVar("_Kept")


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a reader has come: offsets by cluster and topic, ranges of ids by topic.

    The lists are by partition. It is the position of the bus, written as JSON.
    """

    offsets: dict[str, dict[str, list[int]]] = {}
    seen: dict[str, list[list[Range]]] = {}


class _Log:
    """What was read of one partition of one cluster and waits to be taken."""

    __slots__ = ("cluster", "held_since", "items")

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.items: deque[Item] = deque()
        self.held_since: dict[str, int] | None = None  # the silences of the others at that time


class Merge:
    """The logs of one reader. `feed` what was read, `take` what may be given."""

    def __init__(
        self,
        clusters: Sequence[str],
        topics: Sequence[str],
        partitions: int,
        progress: Progress,
    ) -> None:
        """Go on from `progress`; what it does not name begins at the oldest that is kept."""
        self._offsets = {
            cluster: {topic: _list_of(offsets.get(topic), partitions, BEGIN) for topic in topics}
            for cluster in clusters
            for offsets in (progress.offsets.get(cluster, {}),)
        }
        self._elsewhere = {  # of clusters that are not configured now, but may be again
            cluster: offsets
            for cluster, offsets in progress.offsets.items()
            if cluster not in self._offsets
        }
        self._seen = {
            topic: [Seen(each) for each in _list_of(progress.seen.get(topic), partitions, [])]
            for topic in topics
        }
        self._logs: dict[Place, dict[str, _Log]] = {
            (topic, partition): {cluster: _Log(cluster) for cluster in clusters}
            for topic in topics
            for partition in range(partitions)
        }
        self._filled: dict[Place, None] = {}  # the places where something waits
        self._waiting = dict.fromkeys(clusters, 0)
        self._silences = dict.fromkeys(clusters, 0)
        self._away: set[str] = set()

    # -- what happened

    def feed(self, cluster: str, place: Place, items: Sequence[Item]) -> None:
        """Records of one partition of the cluster were read, one after the other."""
        self._away.discard(cluster)
        self._logs[place][cluster].items.extend(items)
        self._filled[place] = None
        self._waiting[cluster] += len(items)

    def silent(self, cluster: str) -> None:
        """The cluster answered that it has nothing new."""
        self._away.discard(cluster)
        self._silences[cluster] += 1

    def away(self, cluster: str) -> None:
        """The cluster does not answer."""
        self._away.add(cluster)

    def found(self, cluster: str, offsets: Mapping[Place, int]) -> None:
        """Where the cluster's logs really begin for this reader."""
        for (topic, partition), offset in offsets.items():
            self._offsets[cluster][topic][partition] = offset

    # -- what follows from it

    def waiting(self, cluster: str) -> int:
        """How many records of the cluster wait here: the caller reads no more while it is many."""
        return self._waiting[cluster]

    def offsets(self, cluster: str) -> dict[Place, int]:
        """From where each log of the cluster is to be read on."""
        return {
            (topic, partition): offset
            for topic, offsets in self._offsets[cluster].items()
            for partition, offset in enumerate(offsets)
        }

    def progress(self) -> Progress:
        """After everything that was taken."""
        return Progress(
            offsets={
                **self._elsewhere,
                **{
                    cluster: {topic: list(offsets) for topic, offsets in topics.items()}
                    for cluster, topics in self._offsets.items()
                },
            },
            seen={topic: [each.ranges for each in seen] for topic, seen in self._seen.items()},
        )

    def take(self, most: int) -> list[Fact]:
        """Up to `most` facts that may be given now, those of one partition in their order."""
        facts: list[Fact] = []
        for place in tuple(self._filled):
            if len(facts) == most:
                break
            self._take(place, facts, most)
            if not any(log.items for log in self._logs[place].values()):
                del self._filled[place]
        return facts

    def _take(self, place: Place, facts: list[Fact], most: int) -> None:
        logs = [log for log in self._logs[place].values() if log.items]
        while logs and len(facts) < most:
            moved = False
            for log in logs:
                moved |= self._drain(place, log, facts, most)
            logs = [log for log in logs if log.items]
            if not moved:
                break

    def _drain(self, place: Place, log: _Log, facts: list[Fact], most: int) -> bool:
        """Take from one log while it may go on; whether it could."""
        topic, partition = place
        items, cluster = log.items, log.cluster
        seen, offsets = self._seen[topic][partition], self._offsets[cluster][topic]
        before = len(items)
        while items and len(facts) < most:
            following, value = items[0]
            if value is not None and not seen.has(value.id):
                known = seen.newest and seen.follows(value.after)
                if not known and not self._may_go(place, log, value.id):
                    break
                seen.add(value.after, value.id)
                facts.append(fact_of(value))
            items.popleft()
            offsets[partition] = following
            log.held_since = None
        self._waiting[cluster] -= before - len(items)
        return len(items) < before

    def _may_go(self, place: Place, log: _Log, fact_id: int) -> bool:
        """Whether the other clusters have nothing that could come before this fact."""
        if log.held_since is None:
            log.held_since = dict(self._silences)
        return all(
            other is log
            or (other.items and self._comes_later(place, other, fact_id))
            or other.cluster in self._away
            # Its first silence may have begun before that record was written: see the second.
            or (
                not other.items
                and self._silences[other.cluster] >= log.held_since[other.cluster] + 2
            )
            for other in self._logs[place].values()
        )

    def _comes_later(self, place: Place, other: _Log, fact_id: int) -> bool:
        """Whether the other log waits too, with the same fact or a later one."""
        value = other.items[0][1]
        seen = self._seen[place[0]][place[1]]
        return (
            value is not None
            and value.id >= fact_id
            and not seen.has(value.id)
            and not (seen.newest and seen.follows(value.after))
        )


def _list_of(found: Sequence[_Kept] | None, partitions: int, missing: _Kept) -> list[_Kept]:
    kept = list(found or ())[:partitions]
    return kept + [missing] * (partitions - len(kept))
