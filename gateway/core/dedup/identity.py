"""What makes two records the same: sixteen octets that follow from what a record says.

A fact is the same by the SID, the version, the type and the id in its value; a submit by the
account and the id that its producer gave it. A record of a version that came later is the same
octet for octet: it is copied as it is, so that a newer program can read it.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from gateway.bus import records, topics
from gateway.bus.records import Unusable, Why

SIZE: Final = 16  # octets
_LARGEST: Final = 800_000  # octets of a value: with its headers it must fit a batch of the brokers
_TOO_LARGE: Final = Unusable(
    why=Why.POISON, reason=f"its value is larger than {_LARGEST} octets, which none of ours is"
)

# (key, id of the fact in the store or 0), or why the record is set aside.
Identity = tuple[bytes, int] | Unusable
Identify = Callable[[bytes | None], Identity]


class _Submit(msgspec.Struct, frozen=True, kw_only=True):
    """What tells a submit apart; who reads it says what is wrong with the rest."""

    v: int
    id: str
    account_sid: str


_submit: Final = msgspec.json.Decoder(_Submit).decode


def _of_fact(value: bytes | None) -> Identity:
    found = records.decode(value)
    if isinstance(found, Unusable):
        return _unknown(value, found)
    text = f"{found.version} {found.id} {found.type} {found.sid}"
    return blake2b(text.encode(), digest_size=SIZE).digest(), found.id


def _of_submit(value: bytes | None) -> Identity:
    found = records.decoded(_submit, value)
    if isinstance(found, Unusable):
        return _unknown(value, found)
    # With its length before it, no account's SID can be made to look like part of an id.
    text = f"{len(found.account_sid)} {found.account_sid} {found.id}"
    return blake2b(text.encode(), digest_size=SIZE).digest(), 0


def _unknown(value: bytes | None, unusable: Unusable) -> Identity:
    if unusable.why is not Why.NEWER or not value:
        return unusable
    return blake2b(value, digest_size=SIZE, person=b"newer").digest(), 0


_IDENTIFY: Final[Mapping[str, Identify]] = {topics.SUBMIT: _of_submit}


def identify(topic: str) -> Identify:
    """How the records of the raw topic `topic` are told apart."""
    identity_of = _IDENTIFY.get(topic, _of_fact)

    def bounded(value: bytes | None) -> Identity:
        if value is not None and len(value) > _LARGEST:
            return _TOO_LARGE
        return identity_of(value)

    return bounded
