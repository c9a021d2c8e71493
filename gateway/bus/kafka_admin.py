"""Makes the topics that are missing, and refuses ones that are not as they should be."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from msgspec.structs import replace

from gateway.bus.kafka_client import (
    REFUSALS,
    BrokersAway,
    Cluster,
    Refused,
    away,
    connection,
    refusal,
    started,
)
from gateway.bus.topics import Topic

_log = structlog.get_logger(__name__)

_TIMEOUT: Final = 10.0  # seconds: what is asked here takes the brokers longer than a batch
_KNOWN_EVERYWHERE: Final = 10.0  # seconds until all brokers know a topic that was just made
_LOOK: Final = 0.1  # seconds between looks
_COPIES: Final = 3  # where the brokers do not say how many they want
_CONFIG_DEFAULT: Final = "default.replication.factor"


async def prepare(cluster: Cluster, topics: Sequence[Topic]) -> list[str]:
    """Make those of `topics` that the cluster does not have; their names.

    Raises `BrokersAway`, or `Refused` if one is there with another number of partitions, or
    can't be made.
    """
    async with _asking(cluster, ", ".join(topic.name for topic in topics)) as admin:
        missing = _missing(cluster, topics, await _partitions(admin))
        if missing:
            await _make(admin, cluster, missing)
        while True:  # no broker tells when it knows them
            if not _missing(cluster, topics, await _partitions(admin)):
                break
            await asyncio.sleep(_LOOK)
    return [topic.name for topic in missing]


async def identity_of(cluster: Cluster) -> str:
    """The id that the brokers gave their cluster when it was made.

    Raises `BrokersAway` or `Refused`.
    """
    async with _asking(cluster, "") as admin:
        return str((await admin.describe_cluster())["cluster_id"])


@asynccontextmanager
async def _asking(cluster: Cluster, about: str) -> AsyncIterator[Any]:
    """A client for what is asked in the block, of topics named `about`; its errors are ours."""
    patient = replace(cluster, timeout=_TIMEOUT)
    admin = AIOKafkaAdminClient(**connection(patient))
    admin.stop = admin.close  # by which name the other clients of the library know it
    await started(admin, patient)
    try:
        async with asyncio.timeout(_TIMEOUT + _KNOWN_EVERYWHERE):
            yield admin
    except REFUSALS as error:
        raise refusal(error, cluster, about) from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokersAway(away(cluster, error)) from None
    finally:
        await admin.close()


async def _partitions(admin: Any) -> dict[str, int]:
    """The number of partitions of every topic there is. By names, brokers may make missing ones."""
    return {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}


def _missing(cluster: Cluster, topics: Iterable[Topic], partitions: dict[str, int]) -> list[Topic]:
    """The topics that are not there; raises `Refused` for one with other partitions."""
    missing = []
    for topic in topics:
        count = partitions.get(topic.name, 0)
        if count and count != topic.partitions:
            raise Refused(
                f"the topic {topic.name} of the {cluster.name} cluster has {count} partitions and"
                f" [bus] partitions is {topic.partitions}: set it to {count}. To have another"
                " number, end all processes, delete the topics of the bus and the folder dedup of"
                " each data folder, and start again"
            )
        if not count:
            missing.append(topic)
    return missing


async def _make(admin: Any, cluster: Cluster, missing: Sequence[Topic]) -> None:
    names = ", ".join(topic.name for topic in missing)
    by_hand = (
        f"the {cluster.name} cluster has no topic {names}, and it can't be made from here"
        f" ({{}}): make it with {missing[0].partitions} partitions"
    )
    copies = await _copies(admin)
    if copies is None:
        raise Refused(by_hand.format("no controller is known"))
    answer = await admin.create_topics(
        [
            NewTopic(
                name=topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replication if topic.replication > 0 else copies,
                topic_configs={"retention.ms": str(int(topic.retention * 1000))},
            )
            for topic in missing
        ]
    )
    for _, code, *words in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another process was quicker
            raise Refused(by_hand.format((words and words[0]) or error.__name__))
    _log.info("topics were made", cluster=cluster.name, topics=names)


async def _copies(admin: Any) -> int | None:
    """How many copies the brokers want of a topic that does not say; None if nobody could make it.

    The library's request for topics is older than the value by which brokers fill that in.
    """
    described = await admin.describe_cluster()
    brokers = described["brokers"]
    if described.get("controller_id") not in [each["node_id"] for each in brokers]:
        return None
    try:
        asked = ConfigResource(
            ConfigResourceType.BROKER, str(brokers[0]["node_id"]), {_CONFIG_DEFAULT: None}
        )
        for answer in await admin.describe_configs([asked]):
            for _, _, _, _, entries in answer.resources:
                return int(entries[0][1])
    except (KafkaError, IndexError, TypeError, ValueError):
        pass  # not everybody may ask that
    return min(_COPIES, len(brokers))
