"""A foreign consumer of the clean topics: confluent_kafka, and the filter written a second time.

It shares no code with the gateway. What a fact's record says of itself (`after`, `id`) makes it
count once, over all clusters; what has no id in the store, a submit, counts by its headers, in
the cluster that it stands in.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

FACTS: Final = ("trunkline.messages.clean", "trunkline.calls.clean")
SUBMITS: Final = "trunkline.submit.clean"
_HEADERS: Final = ("schema", "epoch", "cluster", "partition", "offset")
_LOOK: Final = 0.5  # seconds
_AT_ONCE: Final = 5000
_ANSWERS_WITHIN: Final = 10.0  # seconds, of a broker


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it was read; `value` is None for one without, an owner's mark."""

    cluster: str
    topic: str
    partition: int
    offset: int
    at: float
    headers: Mapping[str, str]
    value: Mapping[str, Any] | None


class Reader:
    """Reads all partitions of some topics of one cluster, from the first record on."""

    def __init__(self, cluster: str, bootstrap: str, topics: Sequence[str]) -> None:
        self._cluster = cluster
        self._topics = topics
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "foreign",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
                "log_level": 0,
            }
        )
        self._assigned = False
        self.records: list[Record] = []

    def look(self, within: float) -> None:
        """Read on until there is nothing more, or for so many seconds. Blocks."""
        deadline = time.monotonic() + within
        if not self._assign():
            return
        while time.monotonic() < deadline:
            found = self._consumer.consume(_AT_ONCE, _LOOK)
            self.records += [self._record(each) for each in found if each.error() is None]
            if not found:
                return

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()

    def has(self, topics: Sequence[str]) -> bool:
        """Whether these topics are there. Blocks."""
        known = self._known()
        return all(topic in known and known[topic].partitions for topic in topics)

    def _known(self) -> Mapping[str, Any]:
        try:
            topics: Mapping[str, Any] = self._consumer.list_topics(timeout=_ANSWERS_WITHIN).topics
        except KafkaException:
            return {}
        return topics

    def _assign(self) -> bool:
        """Take all partitions, once the topics are there."""
        if self._assigned:
            return True
        if not self.has(self._topics):
            return False
        known = self._known()
        self._consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic in self._topics
                for partition in known[topic].partitions
            ]
        )
        self._assigned = True
        return True

    def _record(self, message: Any) -> Record:
        headers = {name: value.decode("ascii") for name, value in message.headers() or ()}
        value = message.value()
        return Record(
            cluster=self._cluster,
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
            at=message.timestamp()[1] / 1000,
            headers=headers,
            value=json.loads(value) if value else None,
        )


class _Ranges:
    """Ids that were had: above the first number of a pair, up to and with the second."""

    def __init__(self) -> None:
        self.pairs: list[tuple[int, int]] = []

    def take(self, after: int, number: int) -> bool:
        """Whether `number` is new; if so all above `after` and up to it was had from now on."""
        if any(low < number <= high for low, high in self.pairs):
            return False
        low, high = min(after, number - 1), number
        apart = []
        for pair in self.pairs:
            if pair[1] < low or pair[0] > high:
                apart.append(pair)
            else:
                low, high = min(low, pair[0]), max(high, pair[1])
        self.pairs = [*apart, (low, high)]
        return True


def by_ids(records: Iterable[Record]) -> list[Record]:
    """The facts that a consumer takes, each once, whatever cluster they stand in."""
    seen: defaultdict[tuple[str, int], _Ranges] = defaultdict(_Ranges)
    return [
        record
        for record in records
        if record.value is not None
        and seen[record.topic, record.partition].take(record.value["after"], record.value["id"])
    ]


def by_headers(records: Iterable[Record]) -> list[Record]:
    """The records of one cluster that are newer than what stood before them."""
    epochs: defaultdict[tuple[str, str, int], int] = defaultdict(int)
    seen: dict[tuple[str, str, int, str, str], int] = {}
    taken = []
    for record in records:
        place = (record.cluster, record.topic, record.partition)
        epoch, offset = int(record.headers["epoch"]), int(record.headers["offset"])
        if epoch < epochs[place]:
            continue
        epochs[place] = epoch
        source = (*place, record.headers["cluster"], record.headers["partition"])
        if offset <= seen.get(source, -1):
            continue
        seen[source] = offset
        taken.append(record)
    return taken


def faults_of(records: Iterable[Record]) -> list[str]:
    """What is not as it is documented of any record: headers, version."""
    faults = []
    for record in records:
        where = f"{record.cluster} {record.topic}/{record.partition}/{record.offset}"
        missing = [name for name in _HEADERS if name not in record.headers]
        if missing:
            faults.append(f"{where} lacks the headers {', '.join(missing)}")
        if record.value is not None and record.value.get("v") != 1:
            faults.append(f"{where} has version {record.value.get('v')}")
    return faults
