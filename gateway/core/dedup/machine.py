"""What dedup does with a batch, without a disk or a broker: a table from what is known to what
is to be done.

The order of the steps around it is what makes a crash harmless, and it is always: publish, wait
for the acknowledgement, write keys and positions to the index in one synced batch, tell how far
the input was read. A key that is written before its record stands in the clean topic would lose
the record.

A new owner of a partition first writes a *mark* to the clean topic: a record without a value,
with its epoch and the offset -1. Readers drop it by the rule that drops whatever is not newer,
and from then on drop what an owner before it still writes, because its epoch is lower. So what
stands before the mark is all that was ever published by others, and is read into the index; by
the same rule what stands behind a newer mark with a lower epoch is not.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from gateway.bus import records as fields
from gateway.bus.records import Incoming, Origin, Outgoing, Unusable, Why, headers_of, origin_of
from gateway.core.dedup.identity import Identify, Identity
from gateway.core.dedup.state import State

_BASE: Final = "base"  # a header: what is in `offset` more than the offset in the raw topic
_SCHEMA: Final = (fields.SCHEMA, b"%d" % fields.VERSION)
_DIGITS: Final = 9  # of a schema; what is longer is none
_LONGEST: Final = 19  # digits of an offset


class Outrun(Exception):
    """Somebody with a higher epoch has published: this owner must end."""


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """Records of the raw topic in one cluster, in their order; at least one."""

    cluster: str
    records: Sequence[Incoming]


class Poison(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is set aside: where it stands in the raw topic, and why."""

    cluster: str
    offset: int
    reason: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done with a batch.

    `publish`, with the `keys` of its records; then the input is done up to the marks of `inputs`
    and the fact with the id `highest` is in the clean topic.
    """

    publish: list[Outgoing]
    keys: list[bytes]
    inputs: dict[str, int]
    highest: int
    duplicates: int
    poison: list[Poison]

    def without(self, known: frozenset[bytes]) -> "Decision":
        """The same after some of it was found to be in the clean topic already."""
        left = [pair for pair in zip(self.publish, self.keys, strict=True) if pair[1] not in known]
        return msgspec.structs.replace(
            self, publish=[record for record, _ in left], keys=[key for _, key in left]
        )


class Absorbed(msgspec.Struct, frozen=True, kw_only=True):
    """What was read from the clean topic: `keys`, by the time of their records, seconds."""

    keys: list[tuple[float, list[bytes]]]
    state: State


class Machine:
    """Dedup of one partition of one topic under one epoch. Pure: what it knows is in `State`."""

    def __init__(self, *, identify: Identify, partition: int, epoch: int) -> None:
        """`epoch` is that of the lease under which the partition is owned."""
        self._identify = identify
        self._partition = partition
        self._epoch = epoch

    def identities(self, chunks: Sequence[Chunk]) -> list[list[Identity]]:
        """Of each record, chunk by chunk."""
        return [[self._identity(record) for record in chunk.records] for chunk in chunks]

    def decide(
        self,
        chunks: Sequence[Chunk],
        identities: Sequence[Sequence[Identity]],
        known: set[bytes],
        state: State,
        now: float,
    ) -> Decision:
        """What to do with a batch, of whose keys the index has `known` (which is changed).

        What is published is dated `now`: what a producer wrote there says nothing of retention.
        """
        publish: list[Outgoing] = []
        keys: list[bytes] = []
        poison: list[Poison] = []
        inputs: dict[str, int] = {}
        highest = records = 0
        for chunk, those in zip(chunks, identities, strict=True):
            base = state.base(chunk.cluster)
            copy = self._copier(chunk.cluster, base, now)
            for record, identity in zip(chunk.records, those, strict=True):
                if isinstance(identity, Unusable):
                    poison.append(_poison(chunk.cluster, record, identity))
                    continue
                key, fact = identity
                if key not in known:
                    try:
                        publish.append(copy(record))
                    except Exception as error:  # of one record: no partition ends for it
                        poison.append(_poison(chunk.cluster, record, _failed(error)))
                        continue
                    known.add(key)
                    keys.append(key)
                highest = max(highest, fact)
            records += len(chunk.records)
            inputs[chunk.cluster] = chunk.records[-1].offset + base + 1
        return Decision(
            publish=publish,
            keys=keys,
            inputs=inputs,
            highest=highest,
            duplicates=records - len(keys) - len(poison),
            poison=poison,
        )

    def mark(self, cluster: str, now: float) -> Outgoing:
        """What a new owner writes to the clean topic in `cluster` before all else."""
        return Outgoing(
            key=None,
            value=b"",
            headers=headers_of(self._origin(cluster, fields.MARK)),
            timestamp_ms=int(now * 1000),
        )

    def absorb(self, records: Iterable[Incoming], state: State, cluster: str) -> Absorbed:
        """Take over what stands in the clean topic in `cluster`, from `state.outputs` on.

        Raises `Outrun` if a newer owner wrote any of it.
        """
        epoch = state.epochs.get(cluster, 0)
        keys: list[tuple[float, list[bytes]]] = []
        marks: dict[str, int] = {}
        bases: dict[str, int] = {}
        highest = 0
        end = state.outputs.get(cluster, 0)
        for record in records:
            end = record.offset + 1
            origin = origin_of(record.headers)
            if origin is None or origin.epoch < epoch:
                continue
            epoch = origin.epoch
            if epoch > self._epoch:
                raise Outrun(
                    f"the clean topic in the {cluster} cluster has records of epoch {epoch}, ours"
                    f" is {self._epoch}: another process owns partition {self._partition},"
                    " or the store was restored from a backup and its epochs begin lower"
                )
            if origin.offset == fields.MARK:
                continue
            marks[origin.cluster] = max(marks.get(origin.cluster, 0), origin.offset + 1)
            bases[origin.cluster] = max(bases.get(origin.cluster, 0), _base(record.headers))
            identity = self._identity(record)
            if isinstance(identity, Unusable):
                continue
            key, fact = identity
            highest = max(highest, fact)
            at = record.timestamp_ms // 1000
            if not keys or keys[-1][0] != at:
                keys.append((at, []))
            keys[-1][1].append(key)
        known = state.read_up_to(marks, highest).written_up_to(cluster, end, epoch)
        return Absorbed(keys=keys, state=known.counted_from(bases))

    def _identity(self, record: Incoming) -> Identity:
        if record.unreadable:
            return Unusable(why=Why.POISON, reason=record.unreadable)
        try:
            return self._identify(record.value)
        except Exception as error:  # of one record: no partition ends for it
            return _failed(error)

    def _copier(self, cluster: str, base: int, now: float) -> Callable[[Incoming], Outgoing]:
        """What makes the copy of a record; most of its headers are the same for a whole batch."""
        before = headers_of(self._origin(cluster, 0))[1:-1]
        after = [(_BASE, b"%d" % base)] if base else []
        at = int(now * 1000)

        def copy(record: Incoming) -> Outgoing:
            mark = (fields.OFFSET, b"%d" % (record.offset + base))
            return Outgoing(
                key=record.key,
                value=record.value or b"",
                headers=[_schema(record.headers), *before, mark, *after],
                timestamp_ms=at,
            )

        return copy

    def _origin(self, cluster: str, mark: int) -> Origin:
        return Origin(epoch=self._epoch, cluster=cluster, partition=self._partition, offset=mark)


def _schema(headers: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    if headers and headers[0] == _SCHEMA:
        return _SCHEMA
    said = _said(headers, fields.SCHEMA)
    return (fields.SCHEMA, said) if said.isdigit() and len(said) <= _DIGITS else _SCHEMA


def _base(headers: Sequence[tuple[str, bytes]]) -> int:
    said = _said(headers, _BASE)
    return int(said) if said.isdigit() and len(said) <= _LONGEST else 0


def _said(headers: Sequence[tuple[str, bytes]], header: str) -> bytes:
    """The value of a header; in Kafka one may have none, which is not the empty one."""
    return next((value for name, value in headers if name == header), b"") or b""


def _failed(error: Exception) -> Unusable:
    return Unusable(why=Why.POISON, reason=f"this program fails at it: {error!r}")


def _poison(cluster: str, record: Incoming, why: Unusable) -> Poison:
    return Poison(cluster=cluster, offset=record.offset, reason=why.reason)
