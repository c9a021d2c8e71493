"""The foreign consumer's filter, which is written apart from the gateway's: both must agree."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gateway.bus.filter import Seen
from tests.chaos.foreign import FACTS, SUBMITS, Record, by_headers, by_ids, faults_of


def fact(number: int, after: int, cluster: str = "primary", partition: int = 0) -> Record:
    return record(cluster, partition, FACTS[0], {"v": 1, "id": number, "after": after})


def submit(epoch: int, offset: int, source: str = "primary", cluster: str = "primary") -> Record:
    value = {"v": 1, "id": f"{offset}"} if offset >= 0 else None
    return record(cluster, 0, SUBMITS, value, epoch=epoch, offset=offset, source=source)


def record(
    cluster: str,
    partition: int,
    topic: str,
    value: dict[str, object] | None,
    epoch: int = 1,
    offset: int = 0,
    source: str = "primary",
) -> Record:
    headers = {
        "schema": "1",
        "epoch": f"{epoch}",
        "cluster": source,
        "partition": f"{partition}",
        "offset": f"{offset}",
    }
    return Record(
        cluster=cluster,
        topic=topic,
        partition=partition,
        offset=0,
        at=0.0,
        headers=headers,
        value=value,
    )


def offsets(records: Sequence[Record]) -> list[int]:
    return [int(each.headers["offset"]) for each in records]


def test_a_fact_counts_once_over_clusters_and_places() -> None:
    records = [
        fact(1, 0),
        fact(3, 1),
        fact(3, 1),
        fact(3, 1, "secondary"),
        fact(9, 3, "secondary"),
        fact(3, 1, partition=1),
    ]
    assert by_ids(records) == [records[0], records[1], records[4], records[5]]


def test_the_mark_of_an_owner_is_no_fact() -> None:
    assert by_ids([record("primary", 0, FACTS[0], None, offset=-1)]) == []


def test_what_was_missed_is_taken_when_it_comes() -> None:
    late = fact(5, 3)
    assert by_ids([fact(3, 0), fact(9, 5), late, late])[2:] == [late]


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=40),
    st.sets(st.integers(1, 12), min_size=1),
)
def test_it_takes_what_the_gateway_takes(order: list[int], ids: set[int]) -> None:
    facts = sorted(ids)
    before = dict(zip(facts, [0, *facts], strict=False))
    records = [fact(number, before[number]) for number in order if number in ids]
    seen, taken = Seen(), []
    for each in records:
        assert each.value is not None
        if not seen.has(each.value["id"]):
            seen.add(each.value["after"], each.value["id"])
            taken.append(each)
    assert by_ids(records) == taken


def test_by_headers_nothing_counts_that_is_not_newer() -> None:
    records = [submit(1, 0), submit(1, 1), submit(1, 1), submit(1, 0), submit(1, 2)]
    assert offsets(by_headers(records)) == [0, 1, 2]


def test_by_headers_what_an_owner_before_the_mark_still_writes_does_not_count() -> None:
    records = [submit(1, 0), submit(2, -1), submit(1, 1), submit(2, 1)]
    assert [each.value for each in by_headers(records)] == [
        records[0].value,
        records[3].value,
    ]


def test_by_headers_each_cluster_is_read_on_its_own() -> None:
    records = [submit(1, 5), submit(1, 0, source="secondary"), submit(1, 0, cluster="secondary")]
    assert by_headers(records) == records


def test_headers_that_are_missing_and_other_versions_are_named() -> None:
    good, newer = fact(1, 0), fact(2, 1)
    assert newer.value is not None
    newer = record("primary", 0, FACTS[0], {**newer.value, "v": 2})
    bare = Record(
        cluster="primary", topic="t", partition=1, offset=2, at=0.0, headers={}, value=None
    )
    assert faults_of([good]) == []
    assert faults_of([newer, bare]) == [
        "primary trunkline.messages.clean/0/0 has version 2",
        "primary t/1/2 lacks the headers schema, epoch, cluster, partition, offset",
    ]
