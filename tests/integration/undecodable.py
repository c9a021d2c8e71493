"""Records with a header whose name is no UTF-8: brokers take them, client libraries do not."""

import time

import pytest
from aiokafka.producer import message_accumulator
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from gateway.bus.kafka_client import Cluster, Producer
from gateway.bus.records import Outgoing


class _Name(str):
    """The name of a header that is written as other octets than it should."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


async def write_undecodable(cluster: Cluster, topic: str, partition: int, count: int = 1) -> int:
    """Write so many in one batch; the offset of the first."""
    record = Outgoing(
        key=b"k",
        value=b"{}",
        headers=[(_Name("x"), b"1")],
        timestamp_ms=int(time.time() * 1000),
    )
    writer = Producer(cluster)
    with pytest.MonkeyPatch.context() as patch:
        # The one in C does not ask the name for its octets.
        patch.setattr(
            message_accumulator, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy
        )
        first = await writer.send(topic, partition, [record] * count)
    await writer.close()
    return first
