"""Topics: which fact goes where, and that partitions are those of Kafka's own clients."""

import pytest

from gateway.bus.topics import CALLS, MESSAGES, SUBMIT, clean, partition_of, topic_of, topics
from gateway.events import FactType
from gateway.sections import Bus

# (key, murmur2 of Kafka's Java client, from its own tests)
JAVA = [
    ("21", -973932308),
    ("foobar", -790332482),
    ("a-little-bit-long-string", -985981536),
    ("a-little-bit-longer-string", -1486304829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
]


@pytest.mark.parametrize(("key", "murmur"), JAVA)
def test_a_partition_is_the_one_that_kafkas_own_clients_take(key: str, murmur: int) -> None:
    assert partition_of(key, 16) == (murmur & 0x7FFFFFFF) % 16


def test_every_fact_has_a_topic() -> None:
    assert {topic_of(kind) for kind in FactType} <= {MESSAGES, CALLS}
    assert topic_of("call.completed") == CALLS
    assert topic_of("track.page") == topic_of("made.tomorrow") == MESSAGES


def test_each_topic_has_a_clean_one_that_keeps_as_long() -> None:
    found = {topic.name: topic for topic in topics(Bus(partitions=7, submit=True))}
    assert len(found) == 7
    assert {topic.partitions for topic in found.values()} == {7}
    for name in (MESSAGES, CALLS):
        assert found[name].retention == found[clean(name)].retention == 7 * 86400
    assert found[SUBMIT].retention == found[clean(SUBMIT)].retention == 86400


def test_what_is_not_taken_in_has_no_topic() -> None:
    assert SUBMIT not in {topic.name for topic in topics(Bus(submit=False))}
