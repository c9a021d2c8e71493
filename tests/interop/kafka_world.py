"""A gateway of three processes on PostgreSQL and a Kafka of its own, for real brokers."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests import postgres
from tests.integration.gateway_process import NUMBER, get, wait_for, wait_for_status
from tests.integration.walk import counters
from tests.interop import kcat_peer
from tests.kafka_cluster import KafkaCluster
from tests.running import RunningGateway

TO = "+447700900123"
WITHIN = 90.0  # seconds; brokers and gateways share two cores
PARTITIONS = 2
ROLES = ("api", "smpp", "core")


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes by role, what they stand on."""

    gateways: Mapping[str, RunningGateway]
    kafka: KafkaCluster
    url: str  # of the database

    @property
    def api(self) -> RunningGateway:
        return self.gateways["api"]

    def log(self, role: str = "core") -> str:
        return self.gateways[role].log.read_text()

    def send(self, count: int, body: str = "text") -> list[str]:
        """Texts that were delivered; their SIDs."""
        wait_for(lambda: get(self.api, "/v1/carriers/acme")["state"] == "bound", "it is bound")
        create = self.api.client().messages.create
        sids = [create(to=TO, from_=NUMBER, body=f"{body} {at}").sid for at in range(count)]
        for sid in sids:
            wait_for_status(self.api, sid, ["delivered"])
        return sids

    def counted(self) -> Counter[str]:
        """What tracking has counted, by metric."""
        return Counter({metric: value for _, _, metric, value in counters(self.url)})

    def write(self, topic: str, *values: bytes | None, key: str = "SM1") -> None:
        """Each value into each partition, by a producer that is not ours."""
        self.wait_for_topic(topic)
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "acks": "all"})
        for value in values:
            for partition in range(PARTITIONS):
                producer.produce(topic, value, key=key, partition=partition)
        assert producer.flush(60) == 0

    def submit(self, *records: dict[str, Any]) -> None:
        """Records with their ids as keys."""
        self.wait_for_topic("trunkline.submit")
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap, "acks": "all"})
        for record in records:
            producer.produce("trunkline.submit", json.dumps(record), key=record["id"])
        assert producer.flush(60) == 0

    def wait_for_topic(self, topic: str) -> None:
        """Until the gateways have made it: who writes before makes one of another size."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        wait_for(lambda: topic in admin.list_topics(timeout=10).topics, f"there is {topic}", WITHIN)

    def values(self, topic: str) -> list[str]:
        """All that stands in the topic, but for the marks of dedup."""
        return [each.value for each in kcat_peer.read(self.kafka.bootstrap, topic) if each.value]


def asked(world: World, identity: str, body: str, **changed: Any) -> dict[str, Any]:
    """A text to send, as a record."""
    return {
        "v": 1,
        "id": identity,
        "account_sid": world.api.account_sid,
        "to": TO,
        "from": NUMBER,
        "body": body,
        **changed,
    }


@contextmanager
def kafka_world(
    folder: Path, kafka: KafkaCluster, config: str, environ: Mapping[str, str] | None = None
) -> Iterator[World]:
    """Everything started; ended with the context."""
    url = asyncio.run(postgres.fresh_database())
    given = {
        "TRUNKLINE_STORE__URL": url,
        "TRUNKLINE_BUS__URL": f"kafka://{kafka.bootstrap}",
        "TRUNKLINE_BUS__PARTITIONS": str(PARTITIONS),
        "TRUNKLINE_BUS__SUBMIT": "true",
        **(environ or {}),
    }
    started: dict[str, RunningGateway] = {}
    try:
        for role in ROLES:
            home = folder / role
            home.mkdir()
            command = (sys.executable, "-m", "gateway", "serve", "--role", role)
            started[role] = RunningGateway(home, config, given, command).start()
        yield World(gateways=started, kafka=kafka, url=url)
    finally:
        for gateway in started.values():
            gateway.kill()
        asyncio.run(postgres.drop_database(url))
