"""Clusters that fail to order: the mock of librdkafka, in a child process, spoken to over TCP.

    async with await MockCluster.start(brokers=3) as primary:
        await primary.topic("trunkline.messages", partitions=16)
        client = AIOKafkaProducer(bootstrap_servers=primary.bootstrap)
        await primary.fail(Request.PRODUCE, Answer.NOT_ENOUGH_REPLICAS, Answer.NOT_ENOUGH_REPLICAS)
        await primary.down()      # all brokers; `down(2)` is one
        await primary.up()

Two of them are a primary and a secondary. What the mock is not: it keeps records in memory, about
5 MB of each partition, and drops the oldest without a word; it knows no CreateTopics (`topic`
makes one, and an unknown topic comes into being with 4 partitions when its metadata is asked for);
a consumer group of aiokafka can have one member, a second is refused; transactions are answered
and change nothing; nothing is copied between its brokers; there is no TLS, no SASL and no right
of anyone. What stands on one of these needs `tests.kafka_cluster`.
"""

import asyncio
import contextlib
import ctypes
import importlib.util
import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, Self

_ROOT: Final = Path(__file__).resolve().parents[1]
_ANSWERS_WITHIN: Final = 30.0  # seconds
_OK: Final = 0


class Request(IntEnum):
    """Kinds of requests, by the protocol's API keys."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    OFFSET_COMMIT = 8
    OFFSET_FETCH = 9
    FIND_COORDINATOR = 10
    INIT_PRODUCER_ID = 22


class Answer(IntEnum):
    """How a request may fail, by the protocol's error codes; DISCONNECT ends the connection."""

    DISCONNECT = -195
    UNKNOWN_TOPIC_OR_PARTITION = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER_FOR_PARTITION = 6
    REQUEST_TIMED_OUT = 7
    MESSAGE_TOO_LARGE = 10
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_ENOUGH_REPLICAS = 19
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
    TOPIC_AUTHORIZATION_FAILED = 29
    KAFKA_STORAGE_ERROR = 56


class MockCluster:
    """One cluster of brokers 1, 2, …; made by `start`, ended by `stop` or at the end of `with`."""

    def __init__(self, process: asyncio.subprocess.Process, hello: dict[str, Any]) -> None:
        self._process = process
        self._asking = asyncio.Lock()
        self.bootstrap: str = hello["bootstrap"]  # "127.0.0.1:port,…"
        self.brokers: int = hello["brokers"]

    @classmethod
    async def start(cls, brokers: int = 3) -> Self:
        """Start one; its ports are free ones of 127.0.0.1 and stay with it while it is down."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.kafka_mock", str(brokers)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
        )
        return cls(process, await _answer(process))

    async def topic(self, name: str, *, partitions: int, replication: int = 0) -> None:
        """Make a topic; a `replication` of 0 is as many copies as there are brokers, at most 3."""
        await self._ask("topic", name, partitions, replication or min(3, self.brokers))

    async def down(self, *brokers: int) -> None:
        """These brokers, or all, end their connections and listen no more."""
        for broker in brokers or range(1, self.brokers + 1):
            await self._ask("down", broker)

    async def up(self, *brokers: int) -> None:
        """These brokers, or all, are back where they were, with what they kept."""
        for broker in brokers or range(1, self.brokers + 1):
            await self._ask("up", broker)

    async def fail(self, request: Request, *answers: Answer) -> None:
        """The next requests of this kind get these errors, one each, whichever broker is asked."""
        await self._ask("fail", request, *answers)

    async def heal(self, request: Request) -> None:
        """What was left of the errors for this kind is forgotten."""
        await self._ask("heal", request)

    async def slow(self, broker: int, milliseconds: int) -> None:
        """Each answer of the broker comes this much later; 0 ends it."""
        await self._ask("slow", broker, milliseconds)

    async def lead(self, topic: str, partition: int, broker: int) -> None:
        """The partition is led by this broker from now on; -1: by none."""
        await self._ask("lead", topic, partition, broker)

    async def stop(self) -> None:
        """End it; what it kept is gone. Harmless the second time."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await process.stdin.wait_closed()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _ask(self, command: str, *arguments: str | int) -> None:
        process = self._process
        assert process.stdin is not None
        async with self._asking:
            process.stdin.write(json.dumps([command, *arguments]).encode() + b"\n")
            await process.stdin.drain()
            answer = await _answer(process)
        assert answer["error"] == _OK, f"the mock refused {command} {arguments}: {answer}"


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), _ANSWERS_WITHIN)
    if not line:
        raise AssertionError(f"the mock cluster ended with {await process.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer


class _Librdkafka:
    """The calls of the library's mock that the commands stand for, named as the commands."""

    def __init__(self, brokers: int) -> None:
        self._library = library = ctypes.CDLL(str(_library()))
        library.rd_kafka_conf_new.restype = ctypes.c_void_p
        library.rd_kafka_new.restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        why = ctypes.create_string_buffer(512)
        size = ctypes.c_size_t(len(why))
        configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
        library.rd_kafka_conf_set(configuration, b"log_level", b"3", why, size)  # errors
        producer = library.rd_kafka_new(0, configuration, why, size)
        assert producer, why.value.decode()
        self._cluster = ctypes.c_void_p(
            library.rd_kafka_mock_cluster_new(ctypes.c_void_p(producer), brokers)
        )
        self.bootstrap = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def topic(self, name: str, partitions: int, replication: int) -> int:
        return self._call("topic_create", name.encode(), partitions, replication)

    def down(self, broker: int) -> int:
        return self._call("broker_set_down", broker)

    def up(self, broker: int) -> int:
        return self._call("broker_set_up", broker)

    def fail(self, request: int, *answers: int) -> int:
        codes = (ctypes.c_int * len(answers))(*answers)
        count = ctypes.c_size_t(len(answers))
        self._call("push_request_errors_array", ctypes.c_int16(request), count, codes)
        return _OK  # the call itself answers nothing

    def heal(self, request: int) -> int:
        self._call("clear_request_errors", ctypes.c_int16(request))
        return _OK

    def slow(self, broker: int, milliseconds: int) -> int:
        return self._call("broker_set_rtt", broker, milliseconds)

    def lead(self, topic: str, partition: int, broker: int) -> int:
        return self._call("partition_set_leader", topic.encode(), partition, broker)

    def _call(self, name: str, *arguments: Any) -> int:
        return int(getattr(self._library, f"rd_kafka_mock_{name}")(self._cluster, *arguments))


def _library() -> Path:
    """The library inside the package confluent_kafka, which is not imported for it."""
    package = importlib.util.find_spec("confluent_kafka")
    assert package is not None and package.origin is not None, "confluent-kafka is not installed"
    folder = Path(package.origin).parent
    found = [
        *folder.with_name("confluent_kafka.libs").glob("librdkafka*"),
        *folder.glob(".dylibs/librdkafka*"),
    ]
    assert found, "this confluent-kafka brings no librdkafka; `pip install` takes one that does"
    return found[0]


def _serve(brokers: int) -> None:
    """Be the child: a command per line in, its result out, until nobody asks any more."""
    library = _Librdkafka(brokers)
    print(json.dumps({"bootstrap": library.bootstrap, "brokers": brokers}), flush=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print(json.dumps({"error": getattr(library, command)(*arguments)}), flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
