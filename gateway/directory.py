"""Keeps what is known of accounts, keys, numbers and domains as other processes leave it.

A hint makes a change known at once; one that got lost costs a second, for which a token that was
replaced, a key that is gone or an account that was closed may still be taken by a process that did
not hear of it.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from gateway.access import keys
from gateway.access.keys import Keys
from gateway.accounts import HINT, Accounts
from gateway.phone_numbers import PhoneNumbers
from gateway.sip.directory import SipDirectory
from gateway.sip.tables import MARK
from gateway.store.base import Query, Store, StoreError

_log = structlog.get_logger(__name__)
_LOOK_EVERY: Final = 1.0  # seconds
_STALE: Final = "accounts, keys, numbers and domains are as they were last seen"
_ACCOUNTS: Final = Query("accounts_mark", "SELECT count(*), sum(version), max(sid) FROM accounts")
_NUMBERS: Final = Query(
    "phone_numbers_mark", "SELECT count(*), sum(version), max(sid) FROM phone_numbers"
)


class Directory:
    """One task that looks whether others changed something."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        access: Keys,
        numbers: PhoneNumbers,
        sip: SipDirectory,
    ) -> None:
        self._store = store
        self._rooms = (
            (_ACCOUNTS, accounts.refresh),
            (keys.MARK, access.refresh),
            (_NUMBERS, numbers.refresh),
            (MARK, sip.refresh),
        )
        self._marks: dict[str, tuple[object, ...]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="directory")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> None:
        """Read again what is not as it was."""
        for query, refresh in self._rooms:
            mark = (await self._store.fetch(query))[0]
            if self._marks.get(query.name) != mark:
                await refresh()
                self._marks[query.name] = mark

    async def _run(self) -> None:
        hinted = self._store.watch(HINT)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await hinted.wait()
            hinted.clear()
            try:
                await self.look()
            except StoreError as error:
                _log.warning(_STALE, reason=str(error))
            except Exception:
                _log.exception(_STALE)
