"""A gateway on PostgreSQL and a real broker: what it tells, and what it is told, over Kafka."""

import asyncio
import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tests import postgres
from tests.integration.conftest import start_carrier  # noqa: F401
from tests.integration.gateway_process import NUMBER, get, wait_for, wait_for_status
from tests.interop import kcat_peer
from tests.kafka_cluster import KafkaCluster
from tests.running import RunningGateway

pytestmark = [pytest.mark.interop, pytest.mark.realtime]
TO = "+447700900123"
ROLES = ("api", "smpp", "core")


@pytest.fixture
def gateways(
    tmp_path: Path,
    kafka: KafkaCluster,
    start_carrier: Any,  # noqa: F811
) -> Iterator[dict[str, RunningGateway]]:
    """A process for each role, on one store and one cluster."""
    url = asyncio.run(postgres.fresh_database())
    config = start_carrier("--receipt-delay", "0.1").config()
    environ = {
        "TRUNKLINE_STORE__URL": url,
        "TRUNKLINE_BUS__URL": f"kafka://{kafka.bootstrap}",
        "TRUNKLINE_BUS__PARTITIONS": "2",
        "TRUNKLINE_BUS__SUBMIT": "true",
    }
    started: dict[str, RunningGateway] = {}
    for role in ROLES:
        home = tmp_path / role
        home.mkdir()
        command = (sys.executable, "-m", "gateway", "serve", "--role", role)
        started[role] = RunningGateway(home, config, environ, command)
        started[role].start()
    yield started
    for gateway in started.values():
        gateway.kill()
    asyncio.run(postgres.drop_database(url))


def submit(kafka: KafkaCluster, *records: dict[str, Any]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all"})
    for record in records:
        producer.produce("trunkline.submit", json.dumps(record), key=record["id"])
    assert producer.flush(60) == 0


def messages(gateway: RunningGateway) -> list[dict[str, Any]]:
    path = f"/2010-04-01/Accounts/{gateway.account_sid}/Messages.json?PageSize=1000"
    found: list[dict[str, Any]] = get(gateway, path)["messages"]
    return found


def test_what_happens_stands_in_the_clean_topic_once_and_is_counted(
    gateways: dict[str, RunningGateway], kafka: KafkaCluster
) -> None:
    api = gateways["api"]
    wait_for(lambda: get(api, "/v1/carriers/acme")["state"] == "bound", "the carrier is bound")
    sids = [
        api.client().messages.create(to=TO, from_=NUMBER, body=f"text {at}").sid for at in range(20)
    ]
    for sid in sids:
        wait_for_status(api, sid, ["delivered"])

    def told() -> list[tuple[str, str]]:
        records = kcat_peer.read(kafka.bootstrap, "trunkline.messages.clean")
        values = [json.loads(each.value) for each in records if each.value]
        return [(each["sid"], each["type"]) for each in values if each["sid"] in sids]

    wanted = Counter(
        (sid, f"message.{state}") for sid in sids for state in ("queued", "sent", "delivered")
    )
    wait_for(lambda: len(told()) >= len(wanted), "all of it is in the clean topic", 60.0)
    assert Counter(told()) == wanted
    for sid in sids:
        assert [kind for each, kind in told() if each == sid] == [
            f"message.{state}" for state in ("queued", "sent", "delivered")
        ]
    assert not any(
        "text" in str(each.value)
        for each in kcat_peer.read(kafka.bootstrap, "trunkline.messages.clean")
    )

    def counted() -> bool:
        body = json.dumps(get(api, "/v1/tracking"))
        return "delivered" in body and "20" in body

    wait_for(counted, "tracking counts it", 60.0)


def test_a_submit_is_accepted_once_as_rest_would(
    gateways: dict[str, RunningGateway], kafka: KafkaCluster
) -> None:
    api = gateways["api"]
    wait_for(lambda: get(api, "/v1/carriers/acme")["state"] == "bound", "the carrier is bound")
    wanted = {
        "v": 1,
        "id": uuid.uuid4().hex,
        "account_sid": api.account_sid,
        "to": TO,
        "from": NUMBER,
        "body": "over Kafka",
    }
    nobody = {**wanted, "id": uuid.uuid4().hex, "account_sid": "AC" + "0" * 32}
    submit(kafka, wanted, wanted, nobody, {**wanted, "id": uuid.uuid4().hex, "to": "nonsense"})
    submit(kafka, wanted)
    last = {**wanted, "id": uuid.uuid4().hex, "body": "the last"}
    submit(kafka, last)
    wait_for(
        lambda: {each["body"] for each in messages(api)} == {"over Kafka", "the last"},
        "both are accepted",
        60.0,
    )
    for each in messages(api):
        wait_for_status(api, each["sid"], ["delivered"])
    assert sorted(each["body"] for each in messages(api)) == ["over Kafka", "the last"]
