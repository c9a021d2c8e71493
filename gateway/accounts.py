"""Who owns what: the directory of accounts, kept whole in memory over the store.

Every request asks here first, so reads never wait. A change is in the store before anybody sees
it here; what other processes change is seen when `refresh` is called (`gateway/directory`).
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gateway.events import FactType, fact
from gateway.model import Account, AccountKind, AccountStatus
from gateway.sids import ACCOUNT, new_sid
from gateway.store.base import Insert, Query, Row, Stale, Store, Update, Write

_COLUMNS: Final = Account.__struct_fields__
_CHANGEABLE: Final = ("friendly_name", "auth_token", "status", "date_updated", "version")

INSERT: Final = Insert(table="accounts", columns=_COLUMNS)
UPDATE: Final = Update(table="accounts", key=("sid",), columns=_CHANGEABLE, guard="version")
HINT: Final = "directory"  # somebody changed accounts or numbers
ALL: Final = Query("accounts_all", f"SELECT {', '.join(_COLUMNS)} FROM accounts ORDER BY sid")


def new_token() -> str:
    """A fresh auth token: 32 hex digits, as Twilio's."""
    return secrets.token_hex(16)


class Accounts:
    """The accounts by SID. `load` reads them; `add` and `change` are the only ways to write."""

    def __init__(self, store: Store, accounts: Iterable[Account] = ()) -> None:
        self._store = store
        self._accounts = {account.sid: account for account in accounts}
        self._writing = asyncio.Lock()

    @classmethod
    async def load(cls, store: Store) -> "Accounts":
        """The directory of every account that `store` holds."""
        return cls(store, [_account_of(row) for row in await store.fetch(ALL)])

    def __len__(self) -> int:
        return len(self._accounts)

    def get(self, sid: str) -> Account | None:
        """The account `sid`, whatever its status."""
        return self._accounts.get(sid)

    def family(self, sid: str) -> list[Account]:
        """The account `sid` and its subaccounts, newest first."""
        members = [
            account
            for account in self._accounts.values()
            if sid in (account.sid, account.parent_sid)
        ]
        return sorted(
            members, key=lambda account: (account.date_created, account.sid), reverse=True
        )

    def first(self, kind: AccountKind) -> Account | None:
        """The oldest main account of `kind`: what a config entry without `account` belongs to."""
        mains = (
            account
            for account in self._accounts.values()
            if account.kind is kind and account.parent_sid == account.sid
        )
        return min(mains, key=_age, default=None)

    async def refresh(self) -> None:
        """Be as the store is now."""
        async with self._writing:
            await self._read()

    async def _read(self) -> None:
        accounts = map(_account_of, await self._store.fetch(ALL))
        self._accounts = {account.sid: account for account in accounts}

    async def add(self, account: Account, also: Sequence[Write] = ()) -> Account:
        """Store a new account, and `also` in the same commit.

        Raises `Conflict` if its SID is taken.
        """
        async with self._writing:
            data = {"status": account.status, "parent_sid": account.parent_sid}
            write = INSERT, _row_of(account)
            await self._commit(account, write, FactType.ACCOUNT_CREATED, data, also)
        return account

    async def add_subaccount(self, parent_sid: str, friendly_name: str, now: float) -> Account:
        """A new active account under `parent_sid`, with a SID and a token of its own."""
        return await self.add(
            Account(
                sid=new_sid(ACCOUNT, now),
                parent_sid=parent_sid,
                kind=AccountKind.FULL,
                friendly_name=friendly_name,
                auth_token=new_token(),
                status=AccountStatus.ACTIVE,
                date_created=now,
                date_updated=now,
                version=1,
            )
        )

    async def change(
        self,
        sid: str,
        now: float,
        *,
        friendly_name: str | None = None,
        status: AccountStatus | None = None,
        auth_token: str | None = None,
        also: Sequence[Write] = (),
    ) -> Account:
        """Store the next state of account `sid`, and `also` in the same commit; what is None stays.

        Raises KeyError if it is unknown.
        """
        changes = {"friendly_name": friendly_name, "status": status, "auth_token": auth_token}
        given = {name: value for name, value in changes.items() if value is not None}
        async with self._writing:
            while True:
                old = self._accounts[sid]
                new = msgspec.structs.replace(
                    old, **given, date_updated=now, version=old.version + 1
                )
                row = (sid, *(getattr(new, column) for column in _CHANGEABLE))
                data: dict[str, str] = {"status": new.status}
                try:
                    await self._commit(new, (UPDATE, row), FactType.ACCOUNT_UPDATED, data, also)
                    return new
                except Stale:  # another process was quicker
                    await self._read()

    async def _commit(
        self,
        account: Account,
        write: Write,
        kind: FactType,
        data: dict[str, str],
        also: Sequence[Write] = (),
    ) -> None:
        happened = fact(account.sid, account.sid, account.version, kind, account.date_updated, data)
        await self._store.commit([write, happened, *also])
        self._accounts[account.sid] = account
        self._store.hint(HINT)


def _age(account: Account) -> tuple[float, str]:
    return account.date_created, account.sid


def _row_of(account: Account) -> Row:
    return msgspec.structs.astuple(account)


def _account_of(row: Row) -> Account:
    fields = dict(zip(_COLUMNS, row, strict=True))
    fields["kind"] = AccountKind(fields["kind"])
    fields["status"] = AccountStatus(fields["status"])
    return Account(**fields)
