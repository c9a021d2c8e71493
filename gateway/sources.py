"""Who may send events with a write key: the sources that the config file names."""

import hashlib
import hmac
from collections.abc import Iterable

import msgspec


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where events come from, and whose they are. `repr` shows nothing of the key."""

    name: str
    write_key: str
    account_sid: str

    def __repr__(self) -> str:
        return f"Source({self.name!r}, {self.account_sid})"


class Sources:
    """The sources, found by their keys in a time that tells nothing of them."""

    def __init__(self, sources: Iterable[Source] = ()) -> None:
        self.declare(sources)

    def declare(self, sources: Iterable[Source]) -> None:
        """These are the sources from now on; one whose key is empty is nobody's."""
        self._by_hash = [(_hash(each.write_key), each) for each in sources if each.write_key]

    def find(self, write_key: str) -> Source | None:
        """The source that this is the key of."""
        given, found = _hash(write_key), None
        for expected, source in self._by_hash:
            if hmac.compare_digest(expected, given) and found is None:
                found = source
        return found


def _hash(write_key: str) -> bytes:
    return hashlib.sha256(write_key.encode()).digest()
