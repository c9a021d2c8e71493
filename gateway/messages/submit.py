"""Texts from the topic of submits: each record is judged as a request of REST and taken once.

A batch is one commit, or a few: messages, what tells that a record was refused, the keys by
which a record is known when it comes again, and, last, how far the reader has come. When `take`
returns, all of it is durable. It waits while the store is away or too much is being accepted,
and skips nothing: a record that can't be used becomes a fact with the reason.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog

from gateway.errors import describe
from gateway.events import FactType, fact
from gateway.messages import idempotency
from gateway.messages.accept import Accepted
from gateway.messages.asked import Asked, Judge, drafted
from gateway.messages.draft import SUBMIT, Draft, Refusal
from gateway.messages.idempotency import Scope
from gateway.messages.ownership import Owner
from gateway.messages.submit_record import (
    NO_ACCOUNT,
    SubmitRecord,
    media_of,
    name_of,
    read,
    refuse,
)
from gateway.model import Account, AccountKind
from gateway.sids import EVENT, new_sid
from gateway.store.base import Conflict, Fenced, Store, StoreUnavailable, Write

_log = structlog.get_logger(__name__)

_CHUNK: Final = 250  # records of one commit
_PAUSE: Final = 0.05  # seconds, while too much is being accepted
_STORE_AWAY: Final = 0.5  # seconds between tries
_CONFLICTS: Final = 5  # in a row that no known key explains
_SHOWN: Final = 500  # characters of a reason

_TEST_ACCOUNT: Final = 20008
_DEFECT: Final = 20500
# What another process did a moment ago may not be known here: an account that was made or opened
# again, a number that it took.
_MAY_BE_NEWS: Final = frozenset({NO_ACCOUNT, 20005, 21606})


class Taken(msgspec.Struct, kw_only=True):
    """What became of a batch; `known` are records that came before."""

    accepted: int = 0
    refused: int = 0
    known: int = 0


class _Wish(msgspec.Struct, kw_only=True):
    """One record on its way: the key that it takes, and what it becomes."""

    account_sid: str
    key: str
    id: str
    result: Accepted | Refusal
    sid: str

    @property
    def place(self) -> tuple[str, str]:
        return self.account_sid, self.key


class Acceptance(Protocol):
    """The message path, as `gateway/messages/service.py` offers it."""

    def admit(self, count: int) -> int:
        """How many of `count` accepts may wait for their commit; `dismiss` them after it."""
        ...

    def dismiss(self, count: int) -> None:
        """So many admitted accepts wait no more."""
        ...

    def plan(self, draft: Draft) -> Accepted | Refusal:
        """What to commit, or why not."""
        ...

    def accepted(self, accepted: Accepted) -> None:
        """It is durable: the message may go out."""
        ...


class Submitter:
    """Takes batches of records; one at a time for each partition, in the order of its offsets."""

    def __init__(
        self,
        *,
        store: Store,
        path: Acceptance,
        accounts: Callable[[str], Account | None],
        judge: Callable[[str], Judge],
        max_body: int,
        overloaded: Callable[[], bool],
        look: Callable[[], Awaitable[None]],
        owner: Owner,
        clock: Callable[[], float],
    ) -> None:
        """`judge` gives what judges the senders of an account; see `asked.sender_judge`.

        While `overloaded` says so nothing is taken. `look` brings accounts and numbers up to what
        the store holds. `owner` fences the commits.
        """
        self._store = store
        self._path = path
        self._accounts = accounts
        self._judge = judge
        self._max_body = max_body
        self._overloaded = overloaded
        self._look = look
        self._owner = owner
        self._clock = clock

    async def take(self, values: Sequence[bytes], moved: Sequence[Write] = ()) -> Taken:
        """Accept or refuse `values`; `moved` is durable with the last of them.

        Raises `Fenced` if another process has taken over.
        """
        taken = Taken()
        left = values
        while True:
            count = await self._admitted(min(len(left), _CHUNK))
            some, left = left[:count], left[count:]
            try:
                wishes = await self._wishes(some, taken)
                await self._take(wishes, () if left else moved, taken)
            finally:
                self._path.dismiss(count)
            if not left:
                break
        if taken.refused:
            _log.warning(
                "records of submits were refused", count=taken.refused, see="facts submit.refused"
            )
        return taken

    async def _admitted(self, wanted: int) -> int:
        told = False
        while wanted:
            granted = 0 if self._overloaded() else self._path.admit(wanted)
            if granted:
                return granted
            if not told:
                _log.warning("submits wait: too much is being accepted, or told, at once")
                told = True
            await asyncio.sleep(_PAUSE)
        return 0

    async def _wishes(self, values: Iterable[bytes], taken: Taken) -> list[_Wish]:
        wishes: dict[tuple[str, str], _Wish] = {}
        doubtful: dict[tuple[str, str], bytes] = {}
        for value in values:
            wish = self._wish(value)
            if wish.place in wishes:
                taken.known += 1
                continue
            wishes[wish.place] = wish
            refused = isinstance(wish.result, Refusal) and wish.result.error_code
            if wish.account_sid and refused in _MAY_BE_NEWS:
                doubtful[wish.place] = value
        if doubtful:
            await self._looked()
            wishes |= {place: self._wish(value) for place, value in doubtful.items()}
        return list(wishes.values())

    async def _looked(self) -> None:
        while True:
            try:
                return await self._look()
            except StoreUnavailable as error:
                _log.warning("submits wait for the store", reason=str(error))
                await asyncio.sleep(_STORE_AWAY)

    def _wish(self, value: bytes) -> _Wish:
        record = read(value)
        if isinstance(record, Refusal):
            account_sid, record_id = name_of(value)
            result: Accepted | Refusal = record
        else:
            account_sid, record_id = record.account_sid, record.id
            try:
                result = self._result(record)
            except Exception:  # one record must not keep the others from being read
                _log.exception("a record of submits can't be judged", id=record_id)
                result = _defect()
        named = account_sid and record_id
        return _Wish(
            account_sid=account_sid if named else "",
            key=Scope.SUBMIT + record_id if named else _hash_key(value),
            id=record_id,
            result=result,
            sid=(
                result.message.sid
                if isinstance(result, Accepted)
                else new_sid(EVENT, self._clock())
            ),
        )

    def _result(self, record: SubmitRecord) -> Accepted | Refusal:
        account = self._accounts(record.account_sid)
        if account is None:
            return refuse(NO_ACCOUNT, f"There is no account {record.account_sid}")
        if account.kind is AccountKind.TEST:
            return refuse(_TEST_ACCOUNT, describe(_TEST_ACCOUNT).message)
        draft = drafted(
            Asked(
                account_sid=record.account_sid,
                to=record.to,
                from_=record.from_,
                body=record.body or "",
                media=media_of(record),
                status_callback=record.status_callback or "",
                validity_period=record.validity_period,
                origin=SUBMIT,
            ),
            self._judge(record.account_sid),
            self._max_body,
        )
        return draft if isinstance(draft, Refusal) else self._path.plan(draft)

    async def _take(self, wishes: list[_Wish], moved: Sequence[Write], taken: Taken) -> None:
        """`_commit`, and where that fails each wish by itself: what can't be stored is refused."""
        try:
            return await self._commit(wishes, moved, taken)
        except Fenced:
            raise
        except Exception as error:
            _log.warning("a batch of submits is taken record by record", reason=str(error))
        for wish in wishes:
            try:
                await self._commit([wish], (), taken)
            except Fenced:
                raise
            except Exception:
                _log.exception("a record of submits can't be stored", id=wish.id)
                wish.result, wish.sid = _defect(), new_sid(EVENT, self._clock())
                await self._commit([wish], (), taken)
        await self._commit([], moved, taken)

    async def _commit(self, wishes: list[_Wish], moved: Sequence[Write], taken: Taken) -> None:
        """Make durable what `wishes` come to, but for those that came before."""
        given = len(wishes)
        ours: list[_Wish] = []  # committed, though we were told that it failed
        outlived: list[Write] = []
        conflicts = 0
        while True:
            writes = [*outlived, *(write for wish in wishes for write in self._writes(wish))]
            try:
                if writes or moved:
                    await self._durable([*writes, *moved], wishes)
                break
            except StoreUnavailable as error:
                _log.warning("submits wait for the store", reason=str(error))
                await asyncio.sleep(_STORE_AWAY)
            except Conflict:
                fresh, outlived = await self._unknown(wishes, ours)
                conflicts = 0 if outlived or len(fresh) < len(wishes) else conflicts + 1
                if conflicts == _CONFLICTS:
                    raise
                wishes = fresh
        settled = [*ours, *wishes]
        self._accepted(settled)
        taken.known += given - len(settled)
        taken.refused += sum(isinstance(wish.result, Refusal) for wish in settled)
        taken.accepted += sum(isinstance(wish.result, Accepted) for wish in settled)

    async def _durable(self, writes: Sequence[Write], wishes: Sequence[_Wish]) -> None:
        """Commit. Who is cancelled meanwhile leaves messages that may go out all the same."""
        committing = self._store.commit(writes, self._owner.lease())
        try:
            await asyncio.shield(committing)
        except asyncio.CancelledError:
            committing.add_done_callback(partial(self._committed_late, wishes))
            raise

    def _committed_late(self, wishes: Sequence[_Wish], commit: "asyncio.Future[None]") -> None:
        if not commit.cancelled() and commit.exception() is None:
            self._accepted(wishes)

    def _accepted(self, wishes: Iterable[_Wish]) -> None:
        for wish in wishes:
            if isinstance(wish.result, Accepted):
                self._path.accepted(wish.result)

    async def _unknown(
        self, wishes: Sequence[_Wish], ours: list[_Wish]
    ) -> tuple[list[_Wish], list[Write]]:
        """Those whose keys are free, and the writes that free keys which were outlived."""
        by_account: dict[str, list[str]] = {}
        for wish in wishes:
            by_account.setdefault(wish.account_sid, []).append(wish.key)
        sids: dict[tuple[str, str], str] = {}
        outlived: list[Write] = []
        for account_sid, keys in by_account.items():
            known = await self._find(account_sid, keys)
            sids.update({(account_sid, key): entry.sid for key, entry in known.entries.items()})
            outlived += known.outlived
        ours += [wish for wish in wishes if sids.get(wish.place) == wish.sid]
        return [wish for wish in wishes if wish.place not in sids], outlived

    async def _find(self, account_sid: str, keys: Sequence[str]) -> idempotency.Known:
        while True:
            try:
                return await idempotency.find(self._store, account_sid, keys, self._clock())
            except StoreUnavailable as error:
                _log.warning("submits wait for the store", reason=str(error))
                await asyncio.sleep(_STORE_AWAY)

    def _writes(self, wish: _Wish) -> list[Write]:
        now = self._clock()
        key = idempotency.kept(wish.account_sid, wish.key, "", wish.sid, now)
        if isinstance(wish.result, Accepted):
            return [*wish.result.writes, key]
        known = self._accounts(wish.account_sid) is not None
        told = fact(
            wish.account_sid if known else "",
            wish.sid,
            0,
            FactType.SUBMIT_REFUSED,
            now,
            {
                "id": wish.id,
                "error_code": wish.result.error_code,
                "message": wish.result.message[:_SHOWN],
            },
        )
        return [told, key]


def _hash_key(value: bytes) -> str:
    return Scope.REFUSED + hashlib.sha256(value).hexdigest()


def _defect() -> Refusal:
    return refuse(_DEFECT, f"{describe(_DEFECT).message}: the gateway's log says more")
