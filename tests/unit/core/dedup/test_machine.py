"""The table of dedup, without a disk or a broker."""

from typing import Any

import pytest

from gateway.bus import records, topics
from gateway.bus.records import Incoming, Origin, encode, headers_of, origin_of
from gateway.core.dedup.identity import SIZE, identify
from gateway.core.dedup.machine import Chunk, Machine, Outrun
from gateway.core.dedup.state import State
from tests.unit.core.dedup.dedup_world import fact

EPOCH = 4
MACHINE = Machine(identify=identify(topics.MESSAGES), partition=3, epoch=EPOCH)
NOW = 5.25


def value(number: int) -> bytes:
    found = encode(fact(number), number - 1)
    assert isinstance(found, bytes)
    return found


def read(offset: int, value: bytes | None, headers: records.Headers | None = None) -> Incoming:
    return Incoming(offset=offset, timestamp_ms=7000, key=b"k", value=value, headers=headers or [])


def written(offset: int, number: int, origin: Origin) -> Incoming:
    return read(offset, value(number), headers_of(origin))


def origin(offset: int, cluster: str = "primary", epoch: int = EPOCH) -> Origin:
    return Origin(epoch=epoch, cluster=cluster, partition=3, offset=offset)


def key(number: int) -> bytes:
    found = identify(topics.MESSAGES)(value(number))
    assert isinstance(found, tuple)
    return found[0]


def decide(*chunks: Chunk, known: tuple[int, ...] = (), state: State | None = None):
    return MACHINE.decide(
        chunks,
        MACHINE.identities(chunks),
        {key(number) for number in known},
        state or State(),
        NOW,
    )


def chunk(*numbers: int, cluster: str = "primary", first: int = 10) -> Chunk:
    return Chunk(
        cluster=cluster,
        records=[read(first + at, value(number)) for at, number in enumerate(numbers)],
    )


def test_what_is_new_is_published_with_where_it_was_read_and_who_writes_it() -> None:
    decision = decide(chunk(1, 2))
    assert [each.value for each in decision.publish] == [value(1), value(2)]
    assert [origin_of(each.headers) for each in decision.publish] == [origin(10), origin(11)]
    assert [name for name, _ in decision.publish[0].headers] == [
        "schema",
        "epoch",
        "cluster",
        "partition",
        "offset",
    ]
    assert {each.timestamp_ms for each in decision.publish} == {5250}
    assert decision.publish[0].key == b"k"
    assert decision.keys == [key(1), key(2)]
    assert decision.inputs == {"primary": 12}
    assert decision.highest == 2


def test_what_the_index_knows_and_what_comes_twice_in_a_batch_is_not_published() -> None:
    decision = decide(chunk(1, 2, 2, 3), chunk(3, 1, 4, cluster="secondary"), known=(1,))
    assert decision.keys == [key(2), key(3), key(4)]
    assert decision.duplicates == 4
    assert decision.inputs == {"primary": 14, "secondary": 13}
    assert decision.highest == 4


def test_the_version_that_a_record_says_it_has_is_kept_if_it_is_one() -> None:
    said = [b"2", b"1", b"x", b"1" * 10]
    records_ = [read(at, value(at + 1), [("schema", each)]) for at, each in enumerate(said)]
    decision = decide(Chunk(cluster="primary", records=records_))
    assert [each.headers[0] for each in decision.publish] == [
        ("schema", each) for each in (b"2", b"1", b"1", b"1")
    ]


def test_poison_is_named_and_the_input_goes_on_behind_it() -> None:
    records_ = [read(5, b"{"), read(6, None), read(7, value(1)), read(8, b'"' + b"x" * 800_000)]
    decision = decide(Chunk(cluster="primary", records=records_))
    assert [each.offset for each in decision.poison] == [5, 6, 8]
    assert decision.keys == [key(1)]
    assert decision.inputs == {"primary": 9}


def without_value(*names: str) -> Any:
    """Headers as a library gives them that a stranger wrote without a value."""
    return [(name, None) for name in names]


def test_a_header_without_a_value_is_as_none() -> None:
    records_ = [read(5, value(1), without_value("schema", "base", "epoch"))]
    decision = decide(Chunk(cluster="primary", records=records_))
    assert [each.headers[0] for each in decision.publish] == [("schema", b"1")]
    copied = decision.publish[0].headers
    others = [without_value("epoch"), [*copied, *without_value("base")], [("base", b"9" * 9999)]]
    found = [read(at, value(1), each) for at, each in enumerate([*others, [*copied, *others[2]]])]
    for name in ("epoch", "cluster", "partition", "offset"):
        assert origin_of([*copied, *without_value(name)]) is None
    state = MACHINE.absorb(found, State(), "primary").state
    assert (state.inputs, state.bases) == ({"primary": 6}, {"primary": 0})


def test_a_record_at_which_the_program_fails_is_poison_and_its_neighbours_are_copied() -> None:
    def fails(octets: bytes | None) -> Any:
        if octets == value(2):
            raise RuntimeError("nobody foresaw it")
        return identify(topics.MESSAGES)(octets)

    machine = Machine(identify=fails, partition=3, epoch=EPOCH)
    strange: Any = [("schema", 7)]
    records_ = [*chunk(1, 2).records, read(12, value(3), strange), read(13, value(4))]
    chunks = [Chunk(cluster="primary", records=records_)]
    decision = machine.decide(chunks, machine.identities(chunks), set(), State(), NOW)
    assert [each.value for each in decision.publish] == [value(1), value(4)]
    assert decision.keys == [key(1), key(4)]
    assert [each.offset for each in decision.poison] == [11, 12]
    assert "nobody foresaw it" in decision.poison[0].reason
    assert decision.inputs == {"primary": 14}
    assert (decision.duplicates, decision.highest) == (0, 4)
    copy = written(0, 2, origin(11))
    assert machine.absorb([copy], State(), "primary").keys == []


def test_marks_go_on_where_they_were_when_a_topic_was_made_anew() -> None:
    decision = decide(chunk(1, first=0), state=State(bases={"primary": 500}))
    assert origin_of(decision.publish[0].headers) == origin(500)
    assert decision.inputs == {"primary": 501}
    copy = read(0, decision.publish[0].value, decision.publish[0].headers)
    known = MACHINE.absorb([copy], State(), "primary").state
    assert (known.inputs, known.bases) == ({"primary": 501}, {"primary": 500})
    late = written(1, 2, origin(499))  # of the topic before, as a batch that was under way
    known = MACHINE.absorb([late], known, "primary").state
    assert (known.inputs, known.bases) == ({"primary": 501}, {"primary": 500})
    known = MACHINE.absorb([copy, late], State(), "primary").state
    assert known.bases == {"primary": 500}


def test_a_mark_carries_nothing_but_the_epoch() -> None:
    mark = MACHINE.mark("primary", NOW)
    assert (mark.key, mark.value, mark.timestamp_ms) == (None, b"", 5250)
    assert origin_of(mark.headers) == origin(-1)


def test_what_stands_in_the_clean_topic_is_taken_over_with_the_time_it_was_written() -> None:
    records_ = [
        written(20, 1, origin(10)),
        written(21, 2, origin(4, "secondary")),
        written(22, 3, origin(12)),
    ]
    absorbed = MACHINE.absorb(records_, State(), "primary")
    assert absorbed.keys == [(7, [key(1), key(2), key(3)])]
    assert absorbed.state == State(
        inputs={"primary": 13, "secondary": 5},
        bases={"primary": 0, "secondary": 0},
        outputs={"primary": 23},
        epochs={"primary": EPOCH},
        highest=3,
    )


def test_what_was_written_under_an_older_epoch_behind_a_mark_is_not_taken_over() -> None:
    mark = MACHINE.mark("primary", NOW)
    records_ = [
        written(20, 1, origin(10, epoch=1)),
        read(21, mark.value, mark.headers),
        written(22, 2, origin(11, epoch=1)),
        read(23, value(3)),  # none of ours wrote it
    ]
    absorbed = MACHINE.absorb(records_, State(), "primary")
    assert absorbed.keys == [(7, [key(1)])]
    assert absorbed.state.inputs == {"primary": 11}
    assert absorbed.state.outputs == {"primary": 24}


def test_a_newer_epoch_ends_an_owner() -> None:
    with pytest.raises(Outrun):
        MACHINE.absorb([written(0, 1, origin(0, epoch=EPOCH + 1))], State(), "primary")


def test_what_was_found_meanwhile_is_not_published_again() -> None:
    decision = decide(chunk(1, 2, 3)).without(frozenset({key(1), key(2)}))
    assert decision.keys == [key(3)]
    assert [each.value for each in decision.publish] == [value(3)]
    assert decision.inputs == {"primary": 13}


@pytest.mark.parametrize(
    "other",
    [{"sid": "SM" + "1" * 32}, {"version": 3}, {"type": "message.failed"}, {"id": 8}],
)
def test_a_fact_is_told_by_sid_version_type_and_id(other: dict[str, object]) -> None:
    of = identify(topics.MESSAGES)
    first = encode(fact(7), 0)
    again = encode(fact(7), 5)  # as it is sent when another one is its predecessor
    changed = encode(fact(**{"number": other.pop("id", 7), **other}), 0)
    assert isinstance(first, bytes) and isinstance(again, bytes) and isinstance(changed, bytes)
    assert of(first) == of(again) != of(changed)
    found = of(first)
    assert isinstance(found, tuple) and len(found[0]) == SIZE


def test_a_submit_is_told_by_account_and_id_and_the_rest_of_it_may_be_wrong() -> None:
    of = identify(topics.SUBMIT)
    one = of(b'{"v":1,"id":"b c","account_sid":"a","to":7}')
    assert isinstance(one, tuple) and one[1] == 0
    assert one == of(b'{"account_sid":"a","id":"b c","v":1,"body":"another"}')
    assert one != of(b'{"v":1,"id":"c","account_sid":"a b"}')
    for poison in (b'{"v":1,"id":7,"account_sid":"a"}', b'{"v":1,"id":"x"}', b"null", None):
        assert not isinstance(of(poison), tuple)
