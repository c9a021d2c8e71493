"""Records that are of no use, and brokers that refuse us: named in the log, and nobody is stuck."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.integration.conftest import StartCarrier, start_carrier
from tests.integration.gateway_process import wait_for
from tests.interop.kafka_world import WITHIN, World, asked, kafka_world
from tests.kafka_cluster import PASSWORD, USERNAME, KafkaCluster

__all__ = ["start_carrier"]  # a fixture of the integration tests
pytestmark = [pytest.mark.interop, pytest.mark.realtime, pytest.mark.timeout(400)]
POISON = (b"no JSON", b"\xff\xfe", b"[]", b'{"v":1}', b'{"v":0,"id":1}', None)
NEWER = json.dumps({"v": 99, "kind": "of later", "id": 7}).encode()
LISTENER = "SASL_PLAINTEXT"


@pytest.fixture
def config(start_carrier: StartCarrier) -> str:
    return start_carrier("--receipt-delay", "0.1").config()


@pytest.fixture
def world(tmp_path: Path, config: str) -> Iterator[World]:
    with KafkaCluster.start(tmp_path) as kafka, kafka_world(tmp_path, kafka, config) as world:
        yield world


def lines(world: World, said: str) -> list[str]:
    """What the process with the role `core` said about something."""
    return [line for line in world.log().splitlines() if said in line]


def test_poison_and_unknown_versions_on_the_topics_of_facts_stop_nobody(world: World) -> None:
    world.send(5)
    wait_for(lambda: world.counted()["message.delivered"] == 5, "all is counted", WITHIN)
    for topic in ("trunkline.messages", "trunkline.messages.clean"):
        world.write(topic, *POISON, NEWER)
    world.send(5)
    wait_for(lambda: world.counted()["message.delivered"] == 10, "none is lost", WITHIN)
    aside = lines(world, "a record is set aside: no reader could use it")
    more = re.findall(r"more records of the same batch .* records=(\d+)", world.log())
    assert len(aside) + sum(map(int, more)) == 2 * len(POISON), "each, in each partition"
    for line in aside:
        assert "look at who writes to the topic" in line
        assert re.search(r"topic=trunkline\.messages\b.*", line) and "offset=" in line
    clean = world.values("trunkline.messages.clean")
    assert clean.count(NEWER.decode()) == 4, "what a newer program wrote is copied as it is"
    passed = lines(world, "a reader of the bus passes over a record")
    assert passed and any("topic=trunkline.messages.clean" in line for line in passed)
    assert all("offset=" in line and "reason=" in line for line in passed)
    assert all("what_to_do=" in line for line in passed)


def test_poison_and_unknown_versions_on_the_topics_of_submits_stop_nobody(world: World) -> None:
    world.submit(asked(world, "first", "first"))
    wait_for(lambda: world.counted()["message.delivered"] == 1, "it is delivered", WITHIN)
    world.write("trunkline.submit", *POISON, NEWER)
    odd = {"v": 99, "id": "odd", "account_sid": world.api.account_sid}
    world.submit(odd, asked(world, "no", "no", **{"from": 7}))
    world.write("trunkline.submit.clean", *POISON, NEWER)
    world.submit(asked(world, "last", "last"))
    wait_for(lambda: world.counted()["message.delivered"] == 2, "none is lost", WITHIN)
    bodies = {each.body for each in world.api.client().messages.list()}
    assert bodies == {"first", "last"}
    aside = lines(world, "a record is set aside: no reader could use it")
    assert any("topic=trunkline.submit " in line for line in aside)
    refused = wait_for(lambda: lines(world, "records of submits were refused"), "it is said")
    assert "submit.refused" in refused[0]
    wait_for(lambda: world.counted()["submit.refused"] >= 2, "and told as facts", WITHIN)


def guarded(password: str) -> dict[str, str]:
    return {
        "TRUNKLINE_BUS__SECURITY": "sasl",
        "TRUNKLINE_BUS__USERNAME": USERNAME,
        "TRUNKLINE_BUS__PASSWORD": password,
    }


def change_password(kafka: KafkaCluster, password: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    change = UserScramCredentialUpsertion(USERNAME, info, password.encode())
    for done in admin.alter_user_scram_credentials([change]).values():
        done.result(30)


def test_a_wrong_password_of_kafka_is_named_and_texts_go_on(tmp_path: Path, config: str) -> None:
    with KafkaCluster.start(tmp_path, listeners=[LISTENER]) as kafka:
        environ = {
            "TRUNKLINE_BUS__URL": f"kafka://{kafka.addresses(LISTENER)}",
            **guarded("guessed"),
        }
        with kafka_world(tmp_path, kafka, config, environ) as world:
            world.send(5)  # which are delivered though nobody can be told over Kafka
            refused = wait_for(lambda: lines(world, "refuses us"), "it says so", WITHIN)
            assert "check [bus] security, sasl_mechanism, username and password" in refused[0]
            assert "guessed" not in world.log()
            change_password(kafka, "guessed")  # now it is the right one
            wait_for(lambda: world.counted()["message.delivered"] == 5, "all is told", WITHIN)


def test_a_password_of_kafka_that_changes_is_named_and_nothing_is_lost(
    tmp_path: Path, config: str
) -> None:
    with KafkaCluster.start(tmp_path, listeners=[LISTENER]) as kafka:
        environ = {
            "TRUNKLINE_BUS__URL": f"kafka://{kafka.addresses(LISTENER)}",
            **guarded(PASSWORD),
        }
        with kafka_world(tmp_path, kafka, config, environ) as world:
            world.send(5)
            wait_for(lambda: world.counted()["message.delivered"] == 5, "all is told", WITHIN)
            change_password(kafka, "another")
            kafka.kill(1)  # connections that are open are not asked again
            kafka.restart(1)
            world.send(5)
            refused = wait_for(lambda: lines(world, "refuses us"), "it says so", WITHIN)
            assert "check [bus] security, sasl_mechanism, username and password" in refused[0]
            assert world.counted()["message.delivered"] == 5
            change_password(kafka, PASSWORD)
            wait_for(lambda: world.counted()["message.delivered"] == 10, "all is told", WITHIN)
