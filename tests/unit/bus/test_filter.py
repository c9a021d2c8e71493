"""The reader's rule: each fact once, whoever copied it, how often, and into which cluster."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.bus.filter import Newer, Seen
from gateway.bus.records import Origin

# A partition's facts are some of the store's ids.
FACTS = st.lists(st.integers(1, 300), min_size=1, max_size=60, unique=True).map(sorted)


def chain(ids: list[int], floor: int = 0) -> list[tuple[int, int]]:
    """(after, id) of each, as the forwarder writes them when it begins above `floor`."""
    befores = [floor, *ids]
    return list(zip(befores, ids, strict=False))


@given(FACTS, st.data())
def test_each_fact_counts_once_whatever_comes_in_which_order(
    ids: list[int], data: st.DataObject
) -> None:
    """Copies, zombies and both clusters: any sequence in which each fact is at least once."""
    records = chain(ids)
    restarted = [
        record
        for start in data.draw(st.lists(st.sampled_from(ids), max_size=3))
        for record in chain([each for each in ids if each > start], start)
    ]
    shown = data.draw(st.permutations([*records, *restarted, *records[: len(records) // 2]]))
    seen = Seen()
    counted = []
    for after, fact_id in shown:
        if not seen.has(fact_id):
            seen.add(after, fact_id)
            counted.append(fact_id)
    assert sorted(counted) == ids
    assert seen.ranges == [(0, ids[-1])]


@given(FACTS, st.integers(0, 60))
def test_what_was_kept_durably_goes_on_as_if_nothing_had_been(ids: list[int], cut: int) -> None:
    one, other = Seen(), Seen()
    for after, fact_id in chain(ids)[:cut]:
        one.add(after, fact_id)
        other = Seen(other.ranges)
        other.add(after, fact_id)
    assert one.ranges == other.ranges
    assert [each for each in ids if not other.has(each)] == ids[cut:]


def test_in_order_it_is_one_range() -> None:
    seen = Seen()
    for after, fact_id in chain([3, 4, 9, 20], floor=2):
        assert seen.follows(after)
        seen.add(after, fact_id)
    assert seen.ranges == [(2, 20)] and seen.newest == 20


def test_a_gap_is_noticed_and_filled_later() -> None:
    seen = Seen()
    seen.add(0, 5)
    assert not seen.follows(7)
    seen.add(7, 9)
    assert seen.ranges == [(0, 5), (7, 9)]
    assert not seen.has(7) and seen.follows(5)
    seen.add(5, 7)
    assert seen.ranges == [(0, 9)]


def test_what_was_before_the_first_record_is_not_missed_and_not_had() -> None:
    seen = Seen([(100, 110)])
    assert seen.follows(40) and not seen.has(50)
    seen.add(40, 50)
    assert seen.ranges == [(40, 50), (100, 110)]


def test_the_ranges_are_bounded_and_the_newest_are_kept() -> None:
    seen = Seen()
    for each in range(1000):
        seen.add(each * 10, each * 10 + 1)
    assert len(seen.ranges) == 64
    assert seen.ranges[-1] == (9990, 9991) and seen.ranges[-2] == (9980, 9981)
    assert seen.has(1) and seen.has(5)


def test_a_record_that_claims_nonsense_claims_itself_alone() -> None:
    seen = Seen()
    seen.add(50, 7)
    assert seen.ranges == [(6, 7)]


def origin(epoch: int, offset: int, cluster: str = "primary") -> Origin:
    return Origin(epoch=epoch, cluster=cluster, partition=0, offset=offset)


def test_a_mark_is_never_newer_but_what_an_older_owner_writes_behind_it_is_not_either() -> None:
    newer = Newer()
    assert newer.takes(origin(1, 0))
    assert not newer.takes(origin(2, -1))
    assert not newer.takes(origin(1, 1))
    assert newer.takes(origin(2, 1))


def test_without_an_id_a_record_is_newer_by_its_epoch_and_offset() -> None:
    newer = Newer()
    assert [newer.takes(origin(5, each)) for each in (0, 1, 1, 0, 2)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert newer.takes(origin(6, 3))
    assert not newer.takes(origin(5, 4))  # one whose lease has passed
    assert newer.takes(origin(6, 4))
    assert newer.takes(origin(6, 0, "secondary"))


def test_what_was_newer_is_known_after_a_restart() -> None:
    before = Newer()
    before.takes(origin(6, 3))
    after = Newer(before.epoch, before.offsets)
    assert not after.takes(origin(6, 3)) and not after.takes(origin(5, 4))
    assert after.takes(origin(6, 4))
