"""One stream from the logs of two clusters: each fact once, those of a partition in order."""

import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus.merge import Item, Merge, Progress
from gateway.bus.records import FactValue

BOTH = ("primary", "secondary")
TOPIC = "trunkline.messages"
PARTITIONS = 2
PLACES = [(TOPIC, each) for each in range(PARTITIONS)]

Entry = tuple[int, int]  # (after, id)
Logs = dict[str, list[list[Entry]]]  # by cluster and partition


def value(after: int, fact_id: int) -> FactValue:
    return FactValue(
        v=1,
        id=fact_id,
        after=after,
        type="message.sent",
        account_sid="AC1",
        sid=f"SM{fact_id}",
        version=1,
        at=1.0,
        data=msgspec.Raw(b"{}"),
    )


def items(entries: Iterable[Entry], offset: int = 0) -> list[Item]:
    return [(offset + at + 1, value(*entry)) for at, entry in enumerate(entries)]


def merge(progress: Progress | None = None, clusters: tuple[str, ...] = BOTH) -> Merge:
    made = Merge(clusters, [TOPIC], PARTITIONS, progress or Progress())
    if progress is None:
        for cluster in clusters:
            made.found(cluster, dict.fromkeys(PLACES, 0))
    return made


def begun() -> Merge:
    """A reader of both clusters that has a fact of each partition, from the primary."""
    made = merge()
    for place in PLACES:
        made.feed("primary", place, items([(0, 1)]))
    assert taken(made) == []  # the secondary may have what comes before it
    for _ in range(2):
        made.silent("secondary")
    assert taken(made) == [1, 1]
    return made


def taken(found: Merge, most: int = 1000) -> list[int]:
    return [fact.id for fact in found.take(most)]


def test_one_cluster_alone_never_waits() -> None:
    found = merge(clusters=("primary",))
    found.feed("primary", PLACES[0], items([(0, 1), (1, 2), (59, 60), (57, 58)]))
    assert taken(found) == [1, 2, 60, 58]


def test_what_may_stand_before_it_in_the_other_cluster_is_waited_for() -> None:
    found = begun()
    found.feed("secondary", PLACES[0], items([(2, 3)]))
    assert taken(found) == []
    found.feed("primary", PLACES[0], items([(1, 2)], offset=1))
    assert taken(found) == [2, 3]


def test_a_cluster_that_has_nothing_new_is_not_waited_for() -> None:
    found = begun()
    found.feed("secondary", PLACES[0], items([(2, 3)]))
    assert taken(found) == []
    found.silent("primary")
    assert taken(found) == []  # that silence may be older than the record
    found.silent("primary")
    assert taken(found) == [3]


def test_a_cluster_that_is_away_is_not_waited_for_and_comes_later() -> None:
    found = begun()
    found.away("primary")
    found.feed("secondary", PLACES[0], items([(2, 3), (3, 4)]))
    assert taken(found) == [3, 4]
    found.feed("primary", PLACES[0], items([(1, 2), (2, 3)], offset=1))
    assert taken(found) == [2]


def test_of_two_that_wait_for_each_other_the_earlier_goes() -> None:
    found = begun()
    found.feed("primary", PLACES[0], items([(8, 9)], offset=1))
    found.feed("secondary", PLACES[0], items([(4, 5), (10, 11)]))
    assert taken(found) == [5, 9]
    assert taken(found) == []  # the primary may have what comes before it
    found.silent("primary")
    found.silent("primary")
    assert taken(found) == [11]


def test_one_partition_waits_for_no_other() -> None:
    found = begun()
    found.feed("primary", PLACES[0], items([(3, 4)], offset=1))
    found.feed("primary", PLACES[1], items([(1, 5)], offset=1))
    assert taken(found) == [5]


def test_what_is_of_no_use_is_passed_over() -> None:
    found = begun()
    found.feed("primary", PLACES[0], [(2, None), *items([(1, 2)], offset=2)])
    assert taken(found) == [2]
    assert found.offsets("primary")[PLACES[0]] == 3


def test_a_position_is_that_of_what_was_taken_and_not_of_what_was_read() -> None:
    found = begun()
    found.feed("primary", PLACES[0], items([(1, 2), (2, 3), (3, 4)], offset=1))
    assert taken(found, most=2) == [2, 3]
    assert found.offsets("primary")[PLACES[0]] == 3
    assert found.waiting("primary") == 1
    again = merge(found.progress())
    again.feed("primary", PLACES[0], items([(1, 2), (2, 3), (3, 4)], offset=1))
    assert taken(again) == [4]


def test_what_a_cluster_that_is_not_configured_had_is_kept() -> None:
    progress = begun().progress()
    alone = Merge(("secondary",), [TOPIC], PARTITIONS, progress)
    assert alone.progress().offsets["primary"] == progress.offsets["primary"]


@pytest.mark.parametrize("partitions", [1, 3])
def test_another_number_of_partitions_is_no_crash(partitions: int) -> None:
    other = Merge(BOTH, [TOPIC], partitions, begun().progress())
    assert len(other.offsets("primary")) == partitions


class World:
    """Facts that are written into one cluster and then the other, with copies, and one reader."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.logs: Logs = {cluster: [[] for _ in PLACES] for cluster in BOTH}
        self.written: list[list[Entry]] = [[] for _ in PLACES]
        self.active = "primary"
        self.next_id = 1
        self.read: dict[str, list[int]] = {cluster: [0] * PARTITIONS for cluster in BOTH}
        self.merge = merge()
        self.given: list[list[int]] = [[] for _ in PLACES]

    def write(self) -> None:
        partition = self.chance.randrange(PARTITIONS)
        before = self.written[partition][-1][1] if self.written[partition] else 0
        self.next_id += self.chance.randint(1, 3)
        entry = (self.chance.choice([before, max(before, self.next_id - 1)]), self.next_id)
        self.written[partition].append(entry)
        self.logs[self.active][partition].append(entry)

    def copy(self) -> None:
        """Somebody whose lease has passed, or who lost his notes, writes some again."""
        partition = self.chance.randrange(PARTITIONS)
        written = self.written[partition]
        start = self.chance.randrange(len(written) + 1)
        log = self.logs[self.chance.choice(BOTH)][partition]
        log.extend(written[start : start + self.chance.randint(1, 4)])

    def switch(self) -> None:
        self.active = self.chance.choice(BOTH)

    def look(self, cluster: str) -> None:
        quiet = True
        for partition, log in enumerate(self.logs[cluster]):
            at = self.read[cluster][partition]
            some = log[at : at + self.chance.randint(1, 5)]
            if some:
                quiet = False
                self.read[cluster][partition] += len(some)
                self.merge.feed(cluster, PLACES[partition], items(some, at))
        if quiet:
            self.merge.silent(cluster)

    def take(self) -> None:
        where = {fact_id: at for at, entries in enumerate(self.written) for _, fact_id in entries}
        for fact_id in taken(self.merge, self.chance.randint(1, 5)):
            self.given[where[fact_id]].append(fact_id)

    def restart(self) -> None:
        """The reader ends and goes on from its position."""
        self.merge = merge(self.merge.progress())
        for cluster in BOTH:
            offsets = self.merge.offsets(cluster)
            self.read[cluster] = [offsets[place] for place in PLACES]

    def run(self, steps: int) -> None:
        deeds = [self.write, self.write, self.copy, self.switch, self.take, self.take, self.restart]
        for _ in range(steps):
            self.chance.choice(deeds)()
            self.look(self.chance.choice(BOTH))
        for _ in range(steps * 4):
            for cluster in BOTH:
                self.look(cluster)
            self.take()


@given(st.integers(0, 2**32))
def test_each_fact_is_given_once_and_in_order_through_any_history(seed: int) -> None:
    world = World(seed)
    world.run(60)
    for written, had in zip(world.written, world.given, strict=True):
        assert had == [fact_id for _, fact_id in written]
