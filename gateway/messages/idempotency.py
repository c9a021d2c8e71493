"""What a client may send again without being taken twice: its keys, each kept for a day.

A key is a unique row in the very commit that takes the request. Whoever finds it taken, before
the commit or by its `Conflict`, answers what the request became the first time.
"""

import hashlib
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from gateway.messages.draft import Draft
from gateway.model import Message
from gateway.store.base import Delete, Insert, Query, Store, Write

KEPT_FOR: Final = 86400.0  # seconds
MAX_KEY: Final = 255

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_SLOTS: Final = 64  # keys that one query asks for
_PAGE: Final = 500

INSERT: Final = Insert(
    table="idempotency_keys", columns=("account_sid", "key", "fingerprint", "sid", "at")
)
# With the time, so that a row that took the place of the one that was read stays.
DELETE: Final = Delete(table="idempotency_keys", key=("account_sid", "key", "at"))
FIND: Final = Query(
    "idempotency_keys",
    "SELECT key, fingerprint, sid, at FROM idempotency_keys WHERE account_sid = $1"
    f" AND key IN ({', '.join(f'${n}' for n in range(2, _SLOTS + 2))})",
)
OLD: Final = Query(
    "idempotency_keys_old",
    "SELECT account_sid, key, at FROM idempotency_keys WHERE at < $1 ORDER BY at LIMIT $2",
)


class Scope(StrEnum):
    """Where a key came from: the same text from two places is two keys."""

    REST = "rest:"
    SUBMIT = "submit:"
    REFUSED = "refused:"
    TRACK = "track:"
    CALL = "call:"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was taken: `sid` is what it became, `fingerprint` what it asked."""

    key: str
    fingerprint: str
    sid: str
    at: float


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """The request came before: `message` is what it became, as it is now."""

    message: Message


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of some keys: entries by key, and the writes that end outlived ones.

    The writes go before those of `kept` in the same commit.
    """

    entries: dict[str, Entry] = {}
    outlived: list[Write] = []


def is_key(text: str) -> bool:
    """Whether `text` may be a client's key: 1 to `MAX_KEY` visible characters of ASCII."""
    return _KEY.fullmatch(text) is not None


def fingerprint_of(draft: Draft) -> str:
    """A hash that is the same for two drafts that ask for the same; the text is not kept."""
    asked = (
        draft.to_address,
        draft.from_address,
        draft.body,
        draft.media,
        draft.status_callback,
        draft.status_callback_method,
        draft.validity_period,
    )
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


def kept(account_sid: str, key: str, fingerprint: str, sid: str, now: float) -> Write:
    """The write that takes `key`; its commit fails with `Conflict` if it is taken."""
    return INSERT, (account_sid, key, fingerprint, sid, now)


async def find(store: Store, account_sid: str, keys: Sequence[str], now: float) -> Known:
    """What became of the requests that the account sent under `keys`, scopes included."""
    entries: dict[str, Entry] = {}
    outlived: list[Write] = []
    for start in range(0, len(keys), _SLOTS):
        some = keys[start : start + _SLOTS]
        slots = [*some, *[some[0]] * (_SLOTS - len(some))]
        for row in await store.fetch(FIND, account_sid, *slots):
            entry = Entry(**dict(zip(Entry.__struct_fields__, row, strict=True)))
            if entry.at > now - KEPT_FOR:
                entries[entry.key] = entry
            else:
                outlived.append((DELETE, (account_sid, entry.key, entry.at)))
    return Known(entries=entries, outlived=outlived)


async def prune_idempotency(store: Store, now: float) -> int:
    """Forget the keys of requests that came more than a day ago; how many."""
    pruned = 0
    while True:
        rows = await store.fetch(OLD, now - KEPT_FOR, _PAGE)
        if rows:
            await store.commit([(DELETE, row) for row in rows])
        pruned += len(rows)
        if len(rows) < _PAGE:
            return pruned
