"""What we ask of a cluster of Kafka brokers: to write batches, each into one partition.

The one door to the client library for writing; `kafka_reader` is that for reading and
`kafka_admin` for topics. A future costs more than a record, so what is written is a batch: one
future, one compressed block, 100 to 1,000 records. One batch is under way per partition, so
records stand in the order in which they were given. What goes wrong is told in two words:
`BrokersAway`, nothing is known of what was under way, try again; `Refused`, this will not do.
"""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from gateway.bus.records import PRIMARY, SECONDARY, Outgoing
from gateway.model import BusSecurity
from gateway.sections import Bus

# The library logs each try at a broker that is away; we log that a cluster is away, once.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)

MAX_BATCH: Final = 900_000  # octets: a broker takes 1 MiB (message.max.bytes), its frame included
REQUEST_TIMEOUT: Final = 3.0  # seconds
_ENDS_WITHIN: Final = 1.0  # seconds for a client to say good-bye
_CLIENT_ID: Final = "trunkline"
_PROTOCOLS: Final = {
    BusSecurity.PLAINTEXT: "PLAINTEXT",
    BusSecurity.TLS: "SSL",
    BusSecurity.SASL: "SASL_PLAINTEXT",
    BusSecurity.SASL_TLS: "SASL_SSL",
}
_WITH_TLS: Final = (BusSecurity.TLS, BusSecurity.SASL_TLS)
_WITH_SASL: Final = (BusSecurity.SASL, BusSecurity.SASL_TLS)
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_NOT_ALLOWED: Final = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    TopicAuthorizationFailedError,
)
_NOT_KNOWN: Final = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
REFUSALS: Final = (*_NOT_ALLOWED, *_NOT_KNOWN, *_TOO_LARGE)


class BrokersAway(Exception):
    """A cluster can't be used now; what was under way may have been written or not."""


class Refused(Exception):
    """The brokers will not do it, however often they are asked; the text says what to do."""


class TooLarge(Refused):
    """A batch of one record is larger than the brokers take."""


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster and how it is spoken to; `settings` go to the client library as they are.

    What is not answered within `timeout` seconds counts as lost.
    """

    name: str
    brokers: tuple[str, ...]
    settings: dict[str, Any]
    timeout: float = REQUEST_TIMEOUT

    def __repr__(self) -> str:
        return f"<{self.name}: {','.join(self.brokers)}>"  # settings hold the password


def clusters_of(bus: Bus) -> tuple[Cluster, ...]:
    """The primary cluster of the configuration, and the secondary if there is one.

    Raises `Refused` if `tls_ca` can't be read.
    """
    settings = _settings(bus)
    return tuple(
        Cluster(
            name=name,
            brokers=tuple(url.removeprefix("kafka://").split(",")),
            settings=settings,
        )
        for name, url in ((PRIMARY, bus.url), (SECONDARY, bus.secondary))
        if url
    )


def _settings(bus: Bus) -> dict[str, Any]:
    settings: dict[str, Any] = {"security_protocol": _PROTOCOLS[bus.security]}
    if bus.security in _WITH_TLS:
        try:
            settings["ssl_context"] = ssl.create_default_context(cafile=bus.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise Refused(
                f"[bus] tls_ca {bus.tls_ca} can't be used ({error}); name a file in PEM form"
            ) from None
    if bus.security in _WITH_SASL:
        settings["sasl_mechanism"] = bus.sasl_mechanism.value
        settings["sasl_plain_username"] = bus.username
        settings["sasl_plain_password"] = str(bus.password)
    return settings


class Producer:
    """Writes to one cluster. Connects by itself, and anew after the cluster was away."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._client: AIOKafkaProducer | None = None
        self._connecting: asyncio.Task[AIOKafkaProducer] | None = None
        self._acked_at = 0.0

    async def send(self, topic: str, partition: int, records: Sequence[Outgoing]) -> int:
        """Append the records to a partition, in order; the offset of the first.

        They are durable then, on as many brokers as the topic wants. Raises `BrokersAway`,
        `Refused`, or `TooLarge` with all of the records before the large one written.
        """
        client = await self._connected()
        first = -1
        rest = records
        while rest:
            if len(rest[0].value) > MAX_BATCH:
                raise TooLarge(
                    f"a record for {topic} has {len(rest[0].value)} octets, the most is {MAX_BATCH}"
                )
            batch = client.create_batch()
            taken = _fill(batch, rest)
            offset = await self._send(client, batch, topic, partition)
            first = offset if first < 0 else first
            rest = rest[taken:]
        return first

    async def close(self) -> None:
        """Let go of the brokers."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        client, self._client = self._client, None
        if client is not None:
            await stopped(client)

    async def _connected(self) -> AIOKafkaProducer:
        """The client; whoever comes while one connects shares what becomes of that."""
        if self._client is not None:
            return self._client
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(_look)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> AIOKafkaProducer:
        client = AIOKafkaProducer(
            **connection(self.cluster),
            acks="all",
            compression_type="lz4",
            max_batch_size=MAX_BATCH,
            max_request_size=MAX_BATCH,
        )
        await started(client, self.cluster)
        self._client = client
        return client

    async def _send(self, client: AIOKafkaProducer, batch: Any, topic: str, partition: int) -> int:
        try:
            async with asyncio.timeout(self.cluster.timeout):
                acked = await client.send_batch(batch, topic, partition=partition)
                acked.add_done_callback(_look)
                offset = int((await asyncio.shield(acked)).offset)
        except REFUSALS as error:
            raise refusal(error, self.cluster, topic) from None
        except (KafkaError, TimeoutError, AssertionError) as error:
            # The library asserts that the partition is there; it comes when the metadata does.
            await self._failed(client)
            raise BrokersAway(away(self.cluster, error)) from None
        self._acked_at = asyncio.get_running_loop().time()
        return offset

    async def _failed(self, client: AIOKafkaProducer) -> None:
        """If no partition does better, connect anew: brokers may come back at other addresses."""
        now = asyncio.get_running_loop().time()
        if self._client is client and now - self._acked_at >= self.cluster.timeout:
            self._client = None
            await stopped(client)


def _fill(batch: Any, records: Sequence[Outgoing]) -> int:
    """Append to `batch` what it has room for; how many."""
    append = batch.append
    for count, record in enumerate(records):
        if (
            append(
                timestamp=record.timestamp_ms,
                key=record.key,
                value=record.value,
                headers=record.headers,
            )
            is None
        ):
            return count
    return len(records)


def _look(acked: "asyncio.Future[Any]") -> None:
    """Look at the outcome of a batch that nobody waits for any more."""
    if not acked.cancelled():
        acked.exception()


def connection(cluster: Cluster) -> dict[str, Any]:
    """What each client of the library is given to reach the cluster."""
    return {
        "bootstrap_servers": list(cluster.brokers),
        "client_id": _CLIENT_ID,
        "request_timeout_ms": int(cluster.timeout * 1000),
        **cluster.settings,
    }


async def started(client: Any, cluster: Cluster) -> None:
    """Start a client of the library; raises `BrokersAway` or `Refused`."""
    # The library forgets the connection that it begins with when it is cancelled meanwhile.
    starting = asyncio.ensure_future(client.start())
    try:
        if not (await asyncio.wait([starting], timeout=cluster.timeout * len(cluster.brokers)))[0]:
            raise TimeoutError("no answer")
        starting.result()
    except (KafkaError, OSError, TimeoutError) as error:
        await _given_up(client, starting)
        raise await _why(cluster, error) from None
    except BaseException:
        await _given_up(client, starting)
        raise


async def _given_up(client: Any, starting: "asyncio.Future[None]") -> None:
    starting.add_done_callback(_look)
    await asyncio.wait([starting], timeout=_ENDS_WITHIN)
    starting.cancel()
    await asyncio.wait([starting])
    await stopped(client)


async def stopped(client: Any) -> None:
    """Stop a client of the library, which waits for brokers that may be away: not for long."""
    stopping = asyncio.ensure_future(client.stop())
    stopping.add_done_callback(_look)
    if (await asyncio.wait([stopping], timeout=_ENDS_WITHIN))[0]:
        return
    connections = client.client if hasattr(client, "client") else client._client
    await asyncio.wait([asyncio.ensure_future(connections.close())], timeout=_ENDS_WITHIN)
    sender = getattr(client, "_sender", None)
    if sender is not None:
        await asyncio.wait([asyncio.ensure_future(sender.close())], timeout=_ENDS_WITHIN)
    await asyncio.wait([stopping], timeout=_ENDS_WITHIN)


async def _why(cluster: Cluster, error: Exception) -> BrokersAway | Refused:
    """What is wrong, by the words of the first broker: the library keeps them to itself."""
    host, _, port = cluster.brokers[0].rpartition(":")
    try:
        found = await create_conn(
            host,
            int(port),
            client_id=_CLIENT_ID,
            request_timeout_ms=int(cluster.timeout * 1000),
            **cluster.settings,
        )
        await asyncio.wait([found.close()], timeout=_ENDS_WITHIN)
    except REFUSALS as refused:
        return refusal(refused, cluster, "")
    except (KafkaError, OSError, TimeoutError) as tried:
        error = tried
    return BrokersAway(away(cluster, error))


def away(cluster: Cluster, error: BaseException) -> str:
    """The sentence for a cluster that can't be used."""
    said = str(error) or type(error).__name__
    return f"the {cluster.name} cluster at {','.join(cluster.brokers)} does not answer: {said}"


def refusal(error: KafkaError, cluster: Cluster, topic: str) -> Refused:
    """The sentence for what brokers will never do."""
    if isinstance(error, _TOO_LARGE):
        return TooLarge(
            f"the {cluster.name} cluster takes no batch of {MAX_BATCH} octets for {topic};"
            " raise max.message.bytes of the topic"
        )
    if isinstance(error, _NOT_ALLOWED):
        return Refused(
            f"the {cluster.name} cluster does not let us use the topic {topic} ({error});"
            " its ACLs should allow Describe, Read, Write and, if we make topics, Create"
        )
    return Refused(
        f"the {cluster.name} cluster refuses the name or password ({error});"
        " check [bus] security, sasl_mechanism, username and password"
    )
