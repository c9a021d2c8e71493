"""Owners of dedup killed over a real broker, and what a reader has who is none of ours."""

import random
from pathlib import Path

import pytest

from tests.dedup_crash import campaign
from tests.dedup_crash.points import ROWS
from tests.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

SEED = 20


async def test_each_record_is_there_once_whenever_an_owner_is_killed(
    kafka: KafkaCluster, tmp_path: Path
) -> None:
    outcomes = await campaign.run(kafka.bootstrap, tmp_path, random.Random(SEED))
    assert [each.row for each in outcomes] == [*ROWS]
    assert [(each.row, each.missing, each.twice) for each in outcomes] == [
        (row, 0, 0) for row in ROWS
    ]
