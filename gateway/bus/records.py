"""A fact as a record of Kafka, and back: JSON in the value, and where it comes from in headers.

The value is `{"v":1,"id":…,"after":…,"type":…,…}`. `id` is the fact's in the store. `after` says
that between it and `id` there is no other fact for this partition: so a reader that has seen up
to `after` misses nothing, and one that has seen `id` knows a copy of it when it comes again,
from whichever cluster. What copies a record copies its value octet by octet, so that a field
that a newer program added is kept.

A record that can't be used is a value, `Unusable`, and not an exception: no reader stops for it.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeVar

import msgspec

from gateway.store.base import Fact

VERSION: Final = 1

# Headers, all in ASCII.
SCHEMA: Final = "schema"  # the version of the value
EPOCH: Final = "epoch"  # of the lease under which it was written, a number that grows
CLUSTER: Final = "cluster"  # whence the writer read it: STORE, or a cluster's name
PARTITION: Final = "partition"  # … the partition there
OFFSET: Final = "offset"  # … and the offset there; of STORE the fact's id
MARK: Final = -1  # an offset: a new owner begins to write here; the record's value is empty

STORE: Final = "store"
PRIMARY: Final = "primary"
SECONDARY: Final = "secondary"

Headers = list[tuple[str, bytes]]
_SCHEMA_HEADER: Final = (SCHEMA, b"%d" % VERSION)


class Why(StrEnum):
    """Why a record is of no use."""

    POISON = "poison"  # to anybody
    NEWER = "newer"  # to this program: its version came later


class Unusable(msgspec.Struct, frozen=True, kw_only=True):
    """A record that was read and can't be used; `reason` is for a person."""

    why: Why
    reason: str


class Origin(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Who wrote a record (`epoch` of its lease) and from where it read it."""

    epoch: int
    cluster: str
    partition: int
    offset: int


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A record to be written; the broker's log is kept by `timestamp_ms`."""

    key: bytes | None
    value: bytes
    headers: Headers
    timestamp_ms: int


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it was read.

    `unreadable` says why the client library can't decode it, else "": nothing but its offset is
    known then.
    """

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    unreadable: str = ""


class FactValue(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a fact's record; `data` never holds what a text said."""

    v: int
    id: int
    after: int
    type: str
    account_sid: str
    sid: str
    version: int
    at: float
    data: msgspec.Raw


class _Versioned(msgspec.Struct, frozen=True):
    v: int


class HasVersion(Protocol):
    """What every value has, whatever its version: `v`."""

    @property
    def v(self) -> int:
        """The version of its fields."""
        ...


_ValueT = TypeVar("_ValueT", bound=HasVersion)
_encode: Final = msgspec.json.Encoder().encode
_fact_value: Final = msgspec.json.Decoder(FactValue).decode
_versioned: Final = msgspec.json.Decoder(_Versioned).decode
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def encode(fact: Fact, after: int) -> bytes | Unusable:
    """The value of the record of `fact`; its predecessor in the partition is not above `after`."""
    data = fact.data.encode()
    if data != b"{}":
        try:
            _object(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Unusable(why=Why.POISON, reason=f"its data is no JSON object: {error}")
    return _encode(
        FactValue(
            v=VERSION,
            id=fact.id,
            after=after,
            type=fact.type,
            account_sid=fact.account_sid,
            sid=fact.sid,
            version=fact.version,
            at=fact.at,
            data=msgspec.Raw(data),
        )
    )


def decode(value: bytes | None) -> FactValue | Unusable:
    """The fact of a record's value."""
    return decoded(_fact_value, value)


def decoded(decoder: Callable[[bytes], _ValueT], value: bytes | None) -> _ValueT | Unusable:
    """What `decoder` reads in a record's value, or why that can't be used.

    A version that is not known is named as such even if the rest would do: who raised it knows
    why. What is no JSON at all, or of another shape, is poison.
    """
    if value is None:
        return Unusable(why=Why.POISON, reason="it has no value")
    try:
        found = decoder(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        newer = _version(value)
        if newer is not None and newer > VERSION:
            return _newer(newer)
        return Unusable(why=Why.POISON, reason=f"its value can't be read: {error}")
    if found.v != VERSION:
        return _newer(found.v) if found.v > VERSION else _unknown(found.v)
    return found


def _version(value: bytes) -> int | None:
    try:
        return _versioned(value).v
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _newer(version: int) -> Unusable:
    reason = f"its version is {version}, and this program knows {VERSION}: upgrade it"
    return Unusable(why=Why.NEWER, reason=reason)


def _unknown(version: int) -> Unusable:
    return Unusable(why=Why.POISON, reason=f"there is no version {version}")


def fact_of(value: FactValue) -> Fact:
    """The fact that was written."""
    return Fact(
        id=value.id,
        account_sid=value.account_sid,
        sid=value.sid,
        version=value.version,
        type=value.type,
        at=value.at,
        data=bytes(value.data).decode(),
    )


def headers_of(origin: Origin, schema: bytes = b"%d" % VERSION) -> Headers:
    """The headers of a record that is written by, and was read from, `origin`."""
    return [
        _SCHEMA_HEADER if schema == _SCHEMA_HEADER[1] else (SCHEMA, schema),
        (EPOCH, b"%d" % origin.epoch),
        (CLUSTER, origin.cluster.encode()),
        (PARTITION, b"%d" % origin.partition),
        (OFFSET, b"%d" % origin.offset),
    ]


def origin_of(headers: Sequence[tuple[str, bytes]]) -> Origin | None:
    """Who wrote a record and from where; None for one that none of our programs wrote.

    A header of a stranger's may have no value at all.
    """
    found = dict(headers)
    try:
        return Origin(
            epoch=int(found[EPOCH]),
            cluster=found[CLUSTER].decode("ascii"),
            partition=int(found[PARTITION]),
            offset=int(found[OFFSET]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
