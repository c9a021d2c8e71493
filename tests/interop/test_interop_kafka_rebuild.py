"""What is made of the facts in Kafka can be thrown away; what a text said is in none of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.integration.conftest import StartCarrier, start_carrier
from tests.integration.gateway_process import command, wait_for
from tests.integration.walk import counters, holders
from tests.interop.kafka_world import WITHIN, World, asked, kafka_world
from tests.kafka_cluster import KafkaCluster

__all__ = ["start_carrier"]  # a fixture of the integration tests
pytestmark = [pytest.mark.interop, pytest.mark.realtime, pytest.mark.timeout(400)]
SECRET = "Pelikan-4711"
FACTS = ("trunkline.messages", "trunkline.messages.clean", "trunkline.calls.clean")


@pytest.fixture
def world(tmp_path: Path, start_carrier: StartCarrier) -> Iterator[World]:
    config = start_carrier("--receipt-delay", "0.1").config()
    with KafkaCluster.start(tmp_path) as kafka, kafka_world(tmp_path, kafka, config) as world:
        yield world


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(sql)
    await connection.close()


def test_what_is_rebuilt_from_kafka_equals_what_was_counted(world: World) -> None:
    world.send(20)
    wait_for(lambda: world.counted()["message.delivered"] == 20, "all is counted", WITHIN)
    original = counters(world.url)
    asyncio.run(execute(world.url, "UPDATE tracking_counters SET value = value + 1000"))
    asyncio.run(execute(world.url, "DELETE FROM facts"))  # so it is Kafka's that are counted
    done = command(world.api, "tracking", "rebuild", "--yes")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: counters(world.url) == original, "the counters are as they were", WITHIN)
    world.send(5)
    wait_for(lambda: world.counted()["message.delivered"] == 25, "it goes on counting", WITHIN)


def test_what_was_redacted_or_deleted_stands_in_no_table_and_no_topic_of_facts(
    world: World,
) -> None:
    one, other = world.send(2, SECRET)
    world.submit(asked(world, "s1", SECRET), asked(world, "s2", SECRET, to="nobody"))
    wait_for(lambda: world.counted()["message.delivered"] == 3, "all is counted", WITHIN)
    wait_for(lambda: world.counted()["submit.refused"] == 1, "the refused one too", WITHIN)
    client = world.api.client()
    sids = {each.sid for each in client.messages.list()}
    assert len(sids) == 3
    for sid in sids - {other}:
        client.messages(sid).update(body="")
    client.messages(other).delete()
    assert one in sids
    wait_for(lambda: world.counted()["message.deleted"] == 1, "it is told", WITHIN)
    wait_for(lambda: world.counted()["message.redacted"] == 2, "it is told", WITHIN)
    assert holders(world.url, SECRET) == set()
    for topic in FACTS:
        assert not [value for value in world.values(topic) if SECRET in value], topic
    assert len(world.values("trunkline.messages.clean")) > 10
    # Those of submits have it for a day, as docs/operations.md says.
    assert [value for value in world.values("trunkline.submit") if SECRET in value]
