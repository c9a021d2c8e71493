"""kcat as a foreign consumer and producer: a program that knows Kafka and nothing of us."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_ENDS_WITHIN: Final = 120.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as kcat shows it; a header that comes twice has its last value."""

    partition: int
    offset: int
    key: str | None
    value: str | None
    headers: Mapping[str, str]


def read(bootstrap: str, topic: str, *options: str) -> list[Record]:
    """All that `topic` keeps now, partition by partition in the order of offsets.

    `options` are more of kcat's, such as "-p", "3" for one partition, or "-X", "name=value".
    """
    lines = _kcat(
        b"", *("-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-J"), *options
    ).splitlines()
    records = [_record(json.loads(line)) for line in lines]
    return sorted(records, key=lambda record: (record.partition, record.offset))


def write(
    bootstrap: str, topic: str, key: str, values: Sequence[str], headers: Mapping[str, str]
) -> None:
    """Each of `values`, which have no line ends, as a record; returns when all are kept."""
    shown = [part for name, value in headers.items() for part in ("-H", f"{name}={value}")]
    _kcat(
        "".join(f"{value}\n" for value in values).encode(),
        *("-P", "-b", bootstrap, "-t", topic, "-k", key, "-z", "lz4", "-X", "acks=all"),
        *shown,
    )


def _record(shown: dict[str, object]) -> Record:
    pairs = shown.get("headers") or []
    assert isinstance(pairs, list)
    key, value = shown.get("key"), shown.get("payload")
    return Record(
        partition=int(str(shown["partition"])),
        offset=int(str(shown["offset"])),
        key=None if key is None else str(key),
        value=None if value is None else str(value),
        headers=dict(zip(pairs[::2], pairs[1::2], strict=True)),
    )


def _kcat(given: bytes, *arguments: str) -> str:
    done = subprocess.run(
        ["kcat", *arguments], input=given, capture_output=True, timeout=_ENDS_WITHIN
    )
    assert done.returncode == 0, f"kcat: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(errors="replace")
