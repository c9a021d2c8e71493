"""A gateway on PostgreSQL and a real broker: what it tells, and what it is told, over Kafka."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import StartCarrier, start_carrier
from tests.integration.gateway_process import get, wait_for, wait_for_status
from tests.interop.kafka_world import WITHIN, World, asked, kafka_world
from tests.kafka_cluster import KafkaCluster

__all__ = ["start_carrier"]  # a fixture of the integration tests
pytestmark = [pytest.mark.interop, pytest.mark.realtime, pytest.mark.timeout(400)]
CLEAN = "trunkline.messages.clean"


@pytest.fixture
def world(tmp_path: Path, start_carrier: StartCarrier) -> Iterator[World]:
    config = start_carrier("--receipt-delay", "0.1").config()
    with KafkaCluster.start(tmp_path) as kafka, kafka_world(tmp_path, kafka, config) as world:
        yield world


def messages(world: World) -> list[dict[str, Any]]:
    path = f"/2010-04-01/Accounts/{world.api.account_sid}/Messages.json?PageSize=1000"
    found: list[dict[str, Any]] = get(world.api, path)["messages"]
    return found


def test_what_happens_stands_in_the_clean_topic_once_and_is_counted(world: World) -> None:
    sids = world.send(20)

    def told() -> list[tuple[str, str]]:
        values = [json.loads(each) for each in world.values(CLEAN)]
        return [(each["sid"], each["type"]) for each in values if each["sid"] in sids]

    states = [f"message.{state}" for state in ("queued", "sent", "delivered")]
    wanted = Counter((sid, state) for sid in sids for state in states)
    wait_for(lambda: len(told()) >= len(wanted), "all of it is in the clean topic", WITHIN)
    assert Counter(told()) == wanted
    for sid in sids:
        assert [kind for each, kind in told() if each == sid] == states
    assert not any("text" in value for value in world.values(CLEAN))
    wait_for(lambda: world.counted()["message.delivered"] == 20, "tracking counts it", WITHIN)


def test_a_submit_is_accepted_once_as_rest_would(world: World) -> None:
    wait_for(lambda: get(world.api, "/v1/carriers/acme")["state"] == "bound", "it is bound")
    one = asked(world, "one", "over Kafka")
    unknown = asked(world, "two", "of nobody", account_sid="AC" + "0" * 32)
    world.submit(one, one, unknown, asked(world, "three", "to nobody", to="nonsense"))
    world.submit(one)
    world.submit(asked(world, "four", "the last"))
    wait_for(
        lambda: {each["body"] for each in messages(world)} == {"over Kafka", "the last"},
        "both are accepted",
        WITHIN,
    )
    for each in messages(world):
        wait_for_status(world.api, each["sid"], ["delivered"])
    assert sorted(each["body"] for each in messages(world)) == ["over Kafka", "the last"]
    refused = {"error.21471": 1, "error.21211": 1}  # the unknown account, the unusable number
    wait_for(lambda: refused.items() <= world.counted().items(), "refusals are facts", WITHIN)


def test_a_gateway_with_another_store_is_told_whose_cluster_it_is(
    world: World, tmp_path: Path, start_carrier: StartCarrier
) -> None:
    world.send(1)
    wait_for(lambda: world.values(CLEAN), "there are facts", WITHIN)
    other = tmp_path / "other"
    other.mkdir()
    with kafka_world(other, world.kafka, start_carrier().config()) as second:
        wait_for(lambda: "facts that this store never sent" in second.log(), "it says so", WITHIN)
        assert "delete the topics of the bus" in second.log()
