"""The torture messages of RFC 4475 and RFC 5118, and what becomes of each; see the tables there."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VECTORS: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Torture:
    """One message: `octets` as the RFC has them, `wire` as they are sent."""

    rfc: str
    section: str
    name: str
    octets: bytes
    wire: bytes
    codec: str | int
    statuses: list[int]
    """What is said to it in a datagram; nothing for silence."""
    streamed: list[int]
    """What is said to it in a stream, in any order, once what is `missing` of it has come."""
    missing: int
    """How many octets its body is short of its Content-Length."""
    ends: bool
    """Whether its stream ends with it."""


def torture(rfc: str) -> list[Torture]:
    """All messages of "rfc4475" or "rfc5118", each checked against its length and SHA-256."""
    return list(_read(rfc))


def _read(rfc: str) -> Iterator[Torture]:
    table: dict[str, Any] = tomllib.loads((VECTORS / rfc / "messages.toml").read_text())
    for row in table["message"]:
        octets = (VECTORS / rfc / row["file"]).read_bytes()
        assert len(octets) == row["octets"], row["file"]
        assert hashlib.sha256(octets).hexdigest() == row["sha256"], row["file"]
        yield Torture(
            rfc=rfc,
            section=row["section"],
            name=Path(row["file"]).stem,
            octets=octets,
            wire=octets if rfc == "rfc4475" else as_sent(octets),
            codec=row["codec"],
            statuses=row["wire"],
            streamed=row.get("stream", row["wire"]),
            missing=row.get("missing", 0),
            ends=row.get("ends", False),
        )


def as_sent(octets: bytes) -> bytes:
    """A message with LF at the end of lines as it is on the wire, its Content-Length right."""
    octets = octets.replace(b"\n", b"\r\n")
    head, _, body = octets.removesuffix(b"\r\n").partition(b"\r\n\r\n")
    if body:
        body += b"\r\n"
    length = b"Content-Length: %d" % len(body)
    return re.sub(rb"Content-Length: [0-9]+", length, head) + b"\r\n\r\n" + body
