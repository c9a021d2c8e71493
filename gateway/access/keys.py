"""The keys of accounts, kept whole in memory over the store.

A key is a second way to say who one is, beside the auth token: its SID and its secret call REST,
and its secret signs Access Tokens. The secret is kept, for a signature can't be checked without it,
and shown in the answer that makes the key, never again. A change is in the store before anybody
sees it here; what other processes change is seen when `refresh` is called (`gateway/directory`).
"""

import asyncio
import secrets
import string
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from gateway.accounts import HINT
from gateway.events import FactType, fact
from gateway.sids import KEY, new_sid
from gateway.store.base import Delete, Insert, Query, Row, Stale, Store, Update, Write

MOST: Final = 100
"""Keys of one account; Twilio's bound."""

_SECRET: Final = 32  # characters
_LETTERS: Final = string.ascii_letters + string.digits


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key of an account; the columns of table `keys`. `repr` shows nothing of the secret."""

    account_sid: str
    sid: str
    friendly_name: str
    secret: str
    date_created: float
    date_updated: float
    version: int = 1

    def __repr__(self) -> str:
        return f"Key({self.sid}, {self.account_sid}, {self.friendly_name!r})"


class Full(Exception):
    """The account has as many keys as it may have."""


class Closed(Exception):
    """The account that should have the key was closed."""


_COLUMNS: Final = Key.__struct_fields__
_ID: Final = ("account_sid", "sid")
_CHANGEABLE: Final = ("friendly_name", "date_updated", "version")
_INSERT: Final = Insert(table="keys", columns=_COLUMNS)
_UPDATE: Final = Update(table="keys", key=_ID, columns=_CHANGEABLE, guard="version")
_DELETE: Final = Delete(table="keys", key=_ID)
_ALL: Final = Query("keys_all", f"SELECT {', '.join(_COLUMNS)} FROM keys ORDER BY sid")

# One row that is another one after every change.
MARK: Final = Query("keys_mark", "SELECT count(*), sum(version), max(sid) FROM keys")


def new_secret() -> str:
    """A fresh secret: 32 letters and digits, as Twilio's."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_SECRET))


class Keys:
    """The keys by SID. `load` reads them."""

    def __init__(self, store: Store, keys: Iterable[Key] = ()) -> None:
        self._store = store
        self._keys = {key.sid: key for key in keys}
        self._closed: set[str] = set()  # accounts that were closed since the start
        self._writing = asyncio.Lock()

    @classmethod
    async def load(cls, store: Store) -> "Keys":
        """Every key that `store` holds."""
        keys = cls(store)
        await keys.refresh()
        return keys

    async def refresh(self) -> None:
        """Be as the store is now."""
        async with self._writing:
            await self._read()

    async def _read(self) -> None:
        found = map(_key_of, await self._store.fetch(_ALL))
        self._keys = {key.sid: key for key in found}

    def find(self, sid: str) -> Key | None:
        """The key `sid`, whosoever it is: for who must show the secret next."""
        return self._keys.get(sid)

    def get(self, account_sid: str, sid: str) -> Key | None:
        """The key `sid`, if it is of this account."""
        key = self._keys.get(sid)
        return key if key is not None and key.account_sid == account_sid else None

    def of_account(self, account_sid: str) -> list[Key]:
        """The keys of an account, newest first."""
        held = [key for key in self._keys.values() if key.account_sid == account_sid]
        return sorted(held, key=lambda key: key.sid, reverse=True)

    async def add(self, account_sid: str, friendly_name: str, now: float) -> Key:
        """Make a key. Raises `Full`, and `Closed` if the account was closed meanwhile."""
        key = Key(
            account_sid=account_sid,
            sid=new_sid(KEY, now),
            friendly_name=friendly_name,
            secret=new_secret(),
            date_created=now,
            date_updated=now,
        )
        async with self._writing:
            if account_sid in self._closed:
                raise Closed(account_sid)
            if len(self.of_account(account_sid)) >= MOST:
                raise Full(MOST)
            write = _INSERT, msgspec.structs.astuple(key)
            await self._commit([write, _happened(key, FactType.KEY_CREATED)])
            self._keys[key.sid] = key
        return key

    async def rename(self, sid: str, friendly_name: str, now: float) -> Key:
        """Store another name for a key. Raises KeyError if it is gone."""
        async with self._writing:
            while True:
                old = self._keys[sid]
                new = msgspec.structs.replace(
                    old, friendly_name=friendly_name, date_updated=now, version=old.version + 1
                )
                row = tuple(getattr(new, name) for name in (*_ID, *_CHANGEABLE))
                try:
                    await self._commit([(_UPDATE, row), _happened(new, FactType.KEY_UPDATED)])
                except Stale:  # another process was quicker
                    await self._read()
                    continue
                self._keys[sid] = new
                return new

    async def remove(self, sid: str, now: float) -> None:
        """Take a key away, if it is there: from now on nothing that it signed counts."""
        async with self._writing:
            key = self._keys.get(sid)
            if key is not None:
                await self._commit(_gone([key], now))
                self._keys.pop(sid, None)

    @asynccontextmanager
    async def closing(self, account_sid: str, now: float) -> AsyncIterator[list[Write]]:
        """The writes that take an account's keys away, for the commit that closes it.

        They are gone when the block ends without an exception; no key comes to it after that.
        """
        async with self._writing:
            gone = self.of_account(account_sid)
            yield _gone(gone, now)
            self._closed.add(account_sid)
            for key in gone:
                self._keys.pop(key.sid, None)

    async def _commit(self, writes: list[Write]) -> None:
        await self._store.commit(writes)
        self._store.hint(HINT)


def _gone(keys: Iterable[Key], now: float) -> list[Write]:
    writes: list[Write] = []
    for key in keys:
        last = msgspec.structs.replace(key, date_updated=now, version=key.version + 1)
        writes.append((_DELETE, (key.account_sid, key.sid)))
        writes.append(_happened(last, FactType.KEY_DELETED))
    return writes


def _happened(key: Key, kind: FactType) -> Write:
    return fact(key.account_sid, key.sid, key.version, kind, key.date_updated, {})


def _key_of(row: Row) -> Key:
    return Key(**dict(zip(_COLUMNS, row, strict=True)))
