"""Which numbers are whose: the directory of phone numbers, kept whole in memory over the store.

A number comes from REST, and then lives in the store, or from the config file, which owns what
it names: such a number hides a stored one of the same digits and only a reload changes it.
A change is in the store before anybody sees it here; what other processes change is seen when
`refresh` is called (`gateway/directory`).
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from gateway.accounts import HINT
from gateway.events import FactType, fact
from gateway.model import PhoneNumber
from gateway.sids import PHONE_NUMBER, new_sid
from gateway.store.base import Conflict, Delete, Insert, Query, Row, Stale, Store, Update, Write

_COLUMNS: Final = (
    "sid",
    "account_sid",
    "phone_number",
    "friendly_name",
    "settings",
    "date_created",
    "date_updated",
    "version",
)
_CHANGEABLE: Final = ("account_sid", "friendly_name", "settings", "date_updated", "version")

INSERT: Final = Insert(table="phone_numbers", columns=_COLUMNS)
UPDATE: Final = Update(table="phone_numbers", key=("sid",), columns=_CHANGEABLE, guard="version")
DELETE: Final = Delete(table="phone_numbers", key=("sid",))
ALL: Final = Query(
    "phone_numbers_all", f"SELECT {', '.join(_COLUMNS)} FROM phone_numbers ORDER BY sid"
)


class Taken(Exception):
    """Another entry holds this number."""


class Closed(Exception):
    """The account that should have this number was closed."""


def declared_number(
    account_sid: str, phone_number: str, settings: Mapping[str, str], now: float
) -> PhoneNumber:
    """A number that the config file names; its SID is made of its digits, so it stays the same."""
    digest = hashlib.sha256(phone_number.encode()).hexdigest()
    return PhoneNumber(
        sid=f"{PHONE_NUMBER}{digest[:32]}",
        account_sid=account_sid,
        phone_number=phone_number,
        friendly_name=phone_number,
        settings=dict(settings),
        date_created=now,
        date_updated=now,
        version=1,
        declared=True,
    )


class PhoneNumbers:
    """The numbers by SID and by address. `holder` is what the message path asks."""

    def __init__(self, store: Store, stored: Iterable[PhoneNumber] = ()) -> None:
        self._store = store
        self._stored = {number.sid: number for number in stored}
        self._declared: dict[str, PhoneNumber] = {}
        self._by_sid: dict[str, PhoneNumber] = {}
        self._by_address: dict[str, PhoneNumber] = {}
        self._closed: set[str] = set()  # accounts that were closed since the start
        self._writing = asyncio.Lock()
        self._index()

    @classmethod
    async def load(cls, store: Store, declared: Iterable[PhoneNumber] = ()) -> "PhoneNumbers":
        """The directory of every number in `store`, with the `declared` ones over them."""
        directory = cls(store, [_number_of(row) for row in await store.fetch(ALL)])
        directory.declare(declared)
        return directory

    def __len__(self) -> int:
        return len(self._by_address)

    def declare(self, declared: Iterable[PhoneNumber]) -> None:
        """The config file names exactly these now; what it named before and no more is gone."""
        self._declared = {number.sid: number for number in declared}
        self._index()

    async def refresh(self) -> None:
        """Be as the store is now."""
        async with self._writing:
            await self._read()

    async def _read(self) -> None:
        numbers = map(_number_of, await self._store.fetch(ALL))
        self._stored = {number.sid: number for number in numbers}
        self._index()

    def get(self, account_sid: str, sid: str) -> PhoneNumber | None:
        """The number `sid`, if it is of this account."""
        number = self._by_sid.get(sid)
        return number if number is not None and number.account_sid == account_sid else None

    def holder(self, phone_number: str) -> PhoneNumber | None:
        """Whose `phone_number` (E.164 with +, or a short code) is; None if nobody's."""
        return self._by_address.get(phone_number)

    def of_account(self, account_sid: str) -> list[PhoneNumber]:
        """The numbers of an account, newest first."""
        held = [number for number in self._by_sid.values() if number.account_sid == account_sid]
        return sorted(held, key=lambda number: (number.date_created, number.sid), reverse=True)

    async def add(
        self,
        account_sid: str,
        phone_number: str,
        friendly_name: str,
        settings: Mapping[str, str],
        now: float,
    ) -> PhoneNumber:
        """Give `phone_number` to an account.

        Raises `Taken` if somebody has it already, `Closed` if the account was closed meanwhile.
        """
        number = PhoneNumber(
            sid=new_sid(PHONE_NUMBER, now),
            account_sid=account_sid,
            phone_number=phone_number,
            friendly_name=friendly_name,
            settings=dict(settings),
            date_created=now,
            date_updated=now,
            version=1,
        )
        async with self._writing:
            self._admit(account_sid)
            if phone_number in self._by_address:
                raise Taken(phone_number)
            try:
                await self._commit(number, (INSERT, _row_of(number)), FactType.NUMBER_CREATED)
            except Conflict:  # another process was quicker
                raise Taken(phone_number) from None
            self._put(number)
        return number

    async def change(
        self,
        sid: str,
        now: float,
        *,
        account_sid: str | None = None,
        friendly_name: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> PhoneNumber:
        """Store the next state of a stored number; `settings` are laid over what it has.

        Raises KeyError for a SID that is not in the store, `Closed` if the account that should
        have it was closed meanwhile.
        """
        changes = {"account_sid": account_sid, "friendly_name": friendly_name}
        given = {name: value for name, value in changes.items() if value is not None}
        async with self._writing:
            while True:
                old = self._stored[sid]
                self._admit(account_sid or old.account_sid)
                laid_over = {**old.settings, **(settings or {})}
                new = msgspec.structs.replace(
                    old, **given, settings=laid_over, date_updated=now, version=old.version + 1
                )
                fields = dict(zip(_COLUMNS, _row_of(new), strict=True))
                row = (sid, *(fields[column] for column in _CHANGEABLE))
                try:
                    await self._commit(new, (UPDATE, row), FactType.NUMBER_UPDATED)
                except Stale:  # another process was quicker
                    await self._read()
                    continue
                self._put(new)
                return new

    async def remove(self, sids: Iterable[str], now: float) -> None:
        """Let stored numbers go, all in one commit; SIDs that are not in the store are passed."""
        async with self._writing:
            gone = [self._stored[sid] for sid in sids if sid in self._stored]
            if gone:
                await self._store.commit(_gone(gone, now))
                self._store.hint(HINT)
            for number in gone:
                self._drop(number)

    @asynccontextmanager
    async def closing(self, account_sid: str, now: float) -> AsyncIterator[list[Write]]:
        """The writes that let an account's stored numbers go, for the commit that closes it.

        They are gone when the block ends without an exception; no number comes to it after that.
        """
        async with self._writing:
            gone = [each for each in self._stored.values() if each.account_sid == account_sid]
            yield _gone(gone, now)
            self._closed.add(account_sid)
            for number in gone:
                self._drop(number)

    def _admit(self, account_sid: str) -> None:
        if account_sid in self._closed:
            raise Closed(account_sid)

    async def _commit(self, number: PhoneNumber, write: Write, kind: FactType) -> None:
        happened = _happened(number, kind, number.version, number.date_updated)
        await self._store.commit([write, happened])
        self._store.hint(HINT)

    def _put(self, number: PhoneNumber) -> None:
        self._stored[number.sid] = number
        holder = self._by_address.get(number.phone_number)
        if holder is None or not holder.declared:
            self._by_sid[number.sid] = self._by_address[number.phone_number] = number

    def _drop(self, number: PhoneNumber) -> None:
        del self._stored[number.sid]
        if self._by_sid.pop(number.sid, None) is not None:
            del self._by_address[number.phone_number]

    def _index(self) -> None:
        numbers = {number.phone_number: number for number in self._stored.values()}
        numbers.update((number.phone_number, number) for number in self._declared.values())
        self._by_address = numbers
        self._by_sid = {number.sid: number for number in numbers.values()}


def _happened(number: PhoneNumber, kind: FactType, version: int, at: float) -> Write:
    data = {"phone_number": number.phone_number}
    return fact(number.account_sid, number.sid, version, kind, at, data)


def _gone(numbers: Iterable[PhoneNumber], now: float) -> list[Write]:
    writes: list[Write] = []
    for number in numbers:
        writes.append((DELETE, (number.sid,)))
        writes.append(_happened(number, FactType.NUMBER_DELETED, number.version + 1, now))
    return writes


def _row_of(number: PhoneNumber) -> Row:
    return (
        number.sid,
        number.account_sid,
        number.phone_number,
        number.friendly_name,
        msgspec.json.encode(number.settings).decode(),
        number.date_created,
        number.date_updated,
        number.version,
    )


def _number_of(row: Row) -> PhoneNumber:
    fields = dict(zip(_COLUMNS, row, strict=True))
    fields["settings"] = msgspec.json.decode(fields["settings"], type=dict[str, str])
    return PhoneNumber(**fields)
