"""Texts from the topic of submits: each record is judged as a request of REST and taken once.

A batch is one commit, or a few: messages, what tells that a record was refused, the keys by
which a record is known when it comes again, and, last, how far the reader has come. When `take`
returns, all of it is durable. It waits while the store is away or too much is being accepted,
and skips nothing: a record that can't be used becomes a fact with the reason.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Final, Protocol

import msgspec
import structlog

from gateway.errors import describe
from gateway.events import FactType, fact
from gateway.messages import idempotency
from gateway.messages.accept import Accepted
from gateway.messages.asked import Asked, Judge, drafted
from gateway.messages.draft import SUBMIT, Draft, Refusal
from gateway.messages.idempotency import Scope, is_key
from gateway.messages.ownership import Owner
from gateway.model import Account, AccountKind
from gateway.sids import ACCOUNT, EVENT, is_sid, new_sid
from gateway.store.base import Conflict, Store, StoreUnavailable, Write

_log = structlog.get_logger(__name__)

VERSION: Final = 1
MAX_RECORD: Final = 1024 * 1024  # octets, as of a request of REST
_CHUNK: Final = 250  # records of one commit
_PAUSE: Final = 0.05  # seconds, while too much is being accepted
_STORE_AWAY: Final = 0.5  # seconds between tries
_CONFLICTS: Final = 5  # in a row that no known key explains
_SHOWN: Final = 500  # characters of a reason

_UNUSABLE: Final = 20001
_TOO_LARGE: Final = 20413
_TEST_ACCOUNT: Final = 20008
_NO_ACCOUNT: Final = 21471


# A number of thousands of digits can't even be shown.
_Number = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]


class SubmitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record, version 1: JSON; fields that are not named here are passed over."""

    v: _Number
    id: str
    account_sid: str
    to: str
    from_: str = msgspec.field(name="from")
    body: str | None = None
    media_url: str | list[str] | None = None
    status_callback: str | None = None
    validity_period: _Number | None = None  # seconds


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    """Of a record that is no `SubmitRecord`, whose it says that it is."""

    v: _Number = VERSION
    id: str = ""
    account_sid: str = ""


_record: Final = msgspec.json.Decoder(SubmitRecord)
_named: Final = msgspec.json.Decoder(_Named)
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


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


def read(value: bytes) -> SubmitRecord | Refusal:
    """The record that `value` holds, or why it is none."""
    if len(value) > MAX_RECORD:
        return _refuse(_TOO_LARGE, f"A record may have {MAX_RECORD} octets, not {len(value)}")
    try:
        named = _named.decode(value)
        if named.v != VERSION:
            return _refuse(_UNUSABLE, f"'v' should be {VERSION}, not {named.v}")
        record = _record.decode(value)
    except _MALFORMED as error:
        return _refuse(_UNUSABLE, f"The record is not a submit: {error or 'nested too deeply'}")
    if not is_key(record.id):
        shown = f"1 to {idempotency.MAX_KEY} visible characters of ASCII"
        return _refuse(_UNUSABLE, f"'id' should be {shown}")
    if not is_sid(record.account_sid, ACCOUNT):
        return _refuse(_NO_ACCOUNT, "'account_sid' is not the SID of an account")
    texts = (record.to, record.from_, record.body or "", record.status_callback or "")
    if any("\0" in text for text in (*texts, *_media_of(record))):
        return _refuse(_UNUSABLE, "A text holds the character U+0000")
    return record


def _media_of(record: SubmitRecord) -> tuple[str, ...]:
    given = record.media_url
    urls = [given] if isinstance(given, str) else given or []
    return tuple(url for url in urls if url)


def _refuse(error_code: int, message: str) -> Refusal:
    return Refusal(error_code=error_code, message=message)


def _name_of(value: bytes) -> tuple[str, str]:
    """(account, id) of a record that was refused, each "" if it can't be one."""
    try:
        named = _named.decode(value[: MAX_RECORD + 1])
    except _MALFORMED:
        return "", ""
    account_sid = named.account_sid if is_sid(named.account_sid, ACCOUNT) else ""
    return account_sid, named.id if is_key(named.id) else ""


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
        owner: Owner,
        clock: Callable[[], float],
    ) -> None:
        """`judge` gives what judges the senders of an account; see `asked.sender_judge`.

        While `overloaded` says so nothing is taken. `owner` fences the commits.
        """
        self._store = store
        self._path = path
        self._accounts = accounts
        self._judge = judge
        self._max_body = max_body
        self._overloaded = overloaded
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
                await self._commit(self._wishes(some, taken), () if left else moved, taken)
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

    def _wishes(self, values: Iterable[bytes], taken: Taken) -> list[_Wish]:
        wishes: dict[tuple[str, str], _Wish] = {}
        for value in values:
            wish = self._wish(value)
            if wish.place in wishes:
                taken.known += 1
            else:
                wishes[wish.place] = wish
        return list(wishes.values())

    def _wish(self, value: bytes) -> _Wish:
        record = read(value)
        if isinstance(record, Refusal):
            account_sid, record_id = _name_of(value)
            result: Accepted | Refusal = record
        else:
            account_sid, record_id = record.account_sid, record.id
            result = self._result(record)
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
            return _refuse(_NO_ACCOUNT, f"There is no account {record.account_sid}")
        if account.kind is AccountKind.TEST:
            return _refuse(_TEST_ACCOUNT, describe(_TEST_ACCOUNT).message)
        draft = drafted(
            Asked(
                account_sid=record.account_sid,
                to=record.to,
                from_=record.from_,
                body=record.body or "",
                media=_media_of(record),
                status_callback=record.status_callback or "",
                validity_period=record.validity_period,
                origin=SUBMIT,
            ),
            self._judge(record.account_sid),
            self._max_body,
        )
        return draft if isinstance(draft, Refusal) else self._path.plan(draft)

    async def _commit(self, wishes: list[_Wish], moved: Sequence[Write], taken: Taken) -> None:
        """Make durable what `wishes` come to, but for those that came before."""
        ours: list[_Wish] = []  # committed, though we were told that it failed
        outlived: list[Write] = []
        conflicts = 0
        while True:
            writes = [*outlived, *(write for wish in wishes for write in self._writes(wish))]
            try:
                if writes or moved:
                    await self._store.commit([*writes, *moved], self._owner.lease())
                break
            except StoreUnavailable as error:
                _log.warning("submits wait for the store", reason=str(error))
                await asyncio.sleep(_STORE_AWAY)
            except Conflict:
                fresh, outlived = await self._unknown(wishes, ours)
                conflicts = 0 if outlived or len(fresh) < len(wishes) else conflicts + 1
                if conflicts == _CONFLICTS:
                    raise
                taken.known += len(wishes) - len(fresh)
                wishes = fresh
        taken.known -= len(ours)
        for wish in (*ours, *wishes):
            if isinstance(wish.result, Accepted):
                taken.accepted += 1
                self._path.accepted(wish.result)
            else:
                taken.refused += 1

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
