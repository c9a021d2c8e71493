"""The topics: their names, how long they keep, which fact goes where and into which partition.

A topic is two. What is sent goes to the raw one, where a record may stand twice; dedup copies
each once to the clean one, and that is what readers read. A record's partition follows from its
key by the hash that Kafka's own clients use, so the facts of one SID stand in one partition; the
number of partitions is fixed, because what is known of a partition is of no use in another.
"""

from functools import lru_cache
from typing import Final

import msgspec
from aiokafka.partitioner import murmur2

from gateway.sections import Bus

MESSAGES: Final = "trunkline.messages"
CALLS: Final = "trunkline.calls"
SUBMIT: Final = "trunkline.submit"
PROBE: Final = "trunkline.probe"  # written to, and never read, to know whether a cluster is well

_CLEAN: Final = ".clean"
_HOUR: Final = 3600.0
_DAY: Final = 24 * _HOUR
_POSITIVE: Final = 0x7FFFFFFF  # Kafka's clients clear the sign

# How the type of a fact begins, and its topic; what is not named here goes to MESSAGES.
_TOPIC_OF: Final[tuple[tuple[str, str], ...]] = tuple(
    (each, CALLS) for each in ("call.", "recording.", "conference.", "participant.", "queue.")
)

FACT_TOPICS: Final = (MESSAGES, CALLS)


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it should be; `retention` in seconds."""

    name: str
    partitions: int
    replication: int
    retention: float


# (name, retention in seconds, what stands in it), for the raw topic and its clean one alike.
KINDS: Final[tuple[tuple[str, float, str], ...]] = (
    (MESSAGES, 7 * _DAY, "facts about texts, accounts, numbers and domains, and events of sources"),
    (CALLS, 7 * _DAY, "facts about calls, their recordings, conferences and queues"),
    (SUBMIT, _DAY, "texts to send, from producers of yours"),
)


def clean(topic: str) -> str:
    """The clean topic of the raw one `topic`."""
    return topic + _CLEAN


def topic_of(fact_type: str) -> str:
    """The raw topic for facts of this type."""
    for beginning, topic in _TOPIC_OF:
        if fact_type.startswith(beginning):
            return topic
    return MESSAGES


def raw_topics(bus: Bus) -> tuple[str, ...]:
    """The raw topics that this configuration uses; dedup stands behind each."""
    return (*FACT_TOPICS, SUBMIT) if bus.submit else FACT_TOPICS


def topics(bus: Bus) -> tuple[Topic, ...]:
    """Every topic that this configuration uses."""
    used = raw_topics(bus)
    kept = {
        name: retention for raw, retention, _ in KINDS if raw in used for name in (raw, clean(raw))
    }
    return tuple(
        Topic(
            name=name,
            partitions=bus.partitions,
            replication=bus.replication,
            retention=retention,
        )
        for name, retention in (kept | {PROBE: _HOUR}).items()
    )


@lru_cache(maxsize=65536)
def partition_of(key: str, partitions: int) -> int:
    """The partition of a record with this key. Facts of one SID come close together: cached."""
    return int(murmur2(key.encode()) & _POSITIVE) % partitions
