"""The message path's face: what REST, customers and the apps' replies ask of it.

An accept is a promise: it is answered after its commit. Everything that happens to a message
afterwards is found in the rooms beside: `dispatch`, `follow`, `settle`.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from gateway.events import FactType, message_fact
from gateway.messages import idempotency, notifications, records, segments, trace, wiped
from gateway.messages.accept import Accepted, Acceptor
from gateway.messages.backlog import HINT, Backlogs
from gateway.messages.book import Book
from gateway.messages.changes import Changes
from gateway.messages.commit import Committer
from gateway.messages.correlate import Correlator
from gateway.messages.dispatch import Dispatcher
from gateway.messages.draft import Draft, Refusal
from gateway.messages.flight import Flight
from gateway.messages.idempotency import Replayed, fingerprint_of
from gateway.messages.parking import Parking
from gateway.messages.states import StateWriter
from gateway.model import Message, MessageStatus
from gateway.store.base import Conflict, Stale, Store, StoreError, StoreUnavailable, Write

_TOO_MANY: Final = 20429
_STORE_AWAY: Final = 20503
_NOT_CANCELABLE: Final = 30409
_NOT_COMPLETE: Final = 20009
_NOT_FOUND: Final = 20404
_GONE: Final = 20410
_OTHER_REQUEST: Final = 20422
_KEY_TRIES: Final = 3
_OPEN: Final = frozenset({MessageStatus.QUEUED, MessageStatus.SENDING})

_WritesOf = Callable[[Accepted], Sequence[Write]]


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """How full the bounds of the path are."""

    accepts_in_flight: int
    in_memory: dict[str, int]  # by carrier
    spilling: tuple[str, ...]  # carriers whose queue goes on in the store
    parked_receipts: int
    flights: int


class Messages:
    """Accepts, cancels, redacts and deletes."""

    def __init__(
        self,
        *,
        store: Store,
        acceptor: Acceptor,
        dispatcher: Dispatcher,
        committer: Committer,
        correlator: Correlator,
        book: Book,
        states: StateWriter,
        backlogs: Backlogs,
        parking: Parking,
        max_accepts_in_flight: int,
        overloaded: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._acceptor = acceptor
        self._dispatcher = dispatcher
        self._committer = committer
        self._correlator = correlator
        self._book = book
        self._states = states
        self._backlogs = backlogs
        self._parking = parking
        self._max_accepts_in_flight = max_accepts_in_flight
        self._overloaded = overloaded
        self._clock = clock
        self._stopping = False
        self._accepting = 0

    def stop(self) -> None:
        """Accept nothing more; what apps answer to texts that are here already still goes out."""
        self._stopping = True

    async def accept(self, draft: Draft) -> Message | Refusal:
        """The message that `draft` became, durable, or why it was not taken."""
        return await self._accept(draft, _without_key)

    async def accept_once(self, draft: Draft, key: str) -> Message | Replayed | Refusal:
        """As `accept`, unless the account sent the same under `key` before.

        The same `key` with something else to send is refused.
        """
        fingerprint = fingerprint_of(draft)
        for _ in range(_KEY_TRIES):
            now = self._clock()
            try:
                known = await idempotency.find(self._store, draft.account_sid, [key], now)
                if key in known.entries:
                    return await self._replayed(draft.account_sid, known.entries[key], fingerprint)
                return await self._accept(draft, _with_key(key, fingerprint, known, now))
            except Conflict:
                continue  # the same request came at the same moment, and was taken
            except StoreUnavailable as error:
                return _not_accepted(error)
        return Refusal(error_code=_STORE_AWAY, message="Requests with this key collide; try again.")

    async def _replayed(
        self, account_sid: str, entry: idempotency.Entry, fingerprint: str
    ) -> Replayed | Refusal:
        if entry.fingerprint != fingerprint:
            return Refusal(
                error_code=_OTHER_REQUEST,
                message=f"Another request was sent with this key: it became {entry.sid}."
                " Give each request a key of its own.",
            )
        rows = await self._store.fetch(records.GET, account_sid, entry.sid)
        if not rows:
            return Refusal(
                error_code=_GONE,
                message=f"The request was taken as {entry.sid}, which was deleted since.",
            )
        return Replayed(message=records.message_of(rows[0]))

    async def _accept(self, draft: Draft, writes: _WritesOf) -> Message | Refusal:
        if self._stopping:
            return Refusal(error_code=_STORE_AWAY, message="The gateway is stopping; try again.")
        if not self.admit(1):
            return Refusal(
                error_code=_TOO_MANY,
                message="Too many messages are being accepted at once; try again in a second.",
            )
        try:
            accepted = self.plan(draft)
            if isinstance(accepted, Refusal):
                return accepted
            await self._store.commit(writes(accepted))
        except StoreUnavailable as error:
            return _not_accepted(error)
        finally:
            self.dismiss(1)
        self.accepted(accepted)
        return accepted.message

    def admit(self, count: int) -> int:
        """How many of `count` accepts may wait for their commit; `dismiss` them after it."""
        if self._overloaded():
            return 0
        granted = min(count, self._max_accepts_in_flight - self._accepting)
        self._accepting += granted
        return granted

    def dismiss(self, count: int) -> None:
        """So many admitted accepts wait no more."""
        self._accepting -= count

    def plan(self, draft: Draft) -> Accepted | Refusal:
        """What `accept` would commit: for a caller that adds it to a commit of its own."""
        return self._acceptor.accept(draft, self._clock())

    def accepted(self, accepted: Accepted) -> None:
        """The writes of `accepted` are durable: the message may go out."""
        message = accepted.message
        backlog = self._backlogs.get(message.carrier)
        if backlog is None:
            self._store.hint(HINT)
        elif message.sid in self._book:
            return  # a look at the queue of the store was quicker
        elif backlog.admits(self._dispatcher.queued(message.carrier), message.date_created):
            self._dispatcher.offer(Flight(message), self._clock())

    async def cancel(self, account_sid: str, sid: str) -> Message | Refusal:
        """`canceled`, for a message that no carrier has seen yet."""
        flight = await self._correlator.load(account_sid, sid)
        if flight is None:
            return _missing(sid)
        message = flight.message
        untouched = message.status is MessageStatus.QUEUED and message.attempt == 0
        if not untouched or not self._withdraw(message):
            return _not_cancelable(message.status)
        changes = Changes()
        self._states.advance(flight, MessageStatus.CANCELED, self._clock(), changes)
        self._book.forget(sid)
        try:
            await self._store.commit(changes.writes)
        except StoreError as error:
            backlog = self._backlogs.get(message.carrier)
            if backlog is not None:
                backlog.reread()
            if isinstance(error, Stale):  # its carrier's owner sends it now
                return _not_cancelable(MessageStatus.SENDING)
            raise
        changes.writes.clear()
        await self._committer.commit(changes)
        return flight.message

    def _withdraw(self, message: Message) -> bool:
        """Take it out of the queue; one that waits in the store alone is in none."""
        return self._dispatcher.withdraw(message.sid) or not self._dispatcher.holds(message.sid)

    async def redact(self, account_sid: str, sid: str) -> Message | Refusal:
        """Forget what the message said: body, media and PDUs. It must have been sent."""
        flight = await self._correlator.load(account_sid, sid)
        if flight is None:
            return _missing(sid)
        if flight.message.status in _OPEN:
            return _unfinished(flight.message)
        now = self._clock()
        message = msgspec.structs.replace(
            flight.message, body="", media=(), date_updated=now, version=flight.message.version + 1
        )
        flight.message = message
        self._book.wipe(sid)
        changes = Changes()
        changes.write(
            records.redacted(message),
            trace.wiped(sid),
            wiped.noted(sid, now),
            message_fact(message, FactType.MESSAGE_REDACTED, now),
        )
        await self._committer.commit(changes)
        return message

    async def delete(self, account_sid: str, sid: str) -> Refusal | None:
        """Forget the message and all that was kept of it, but for its facts."""
        flight = await self._correlator.load(account_sid, sid)
        if flight is None:
            return _missing(sid)
        if flight.message.status in _OPEN:
            return _unfinished(flight.message)
        self._book.forget(sid)
        self._book.wipe(sid)
        now = self._clock()
        changes = Changes()
        changes.write(
            records.deleted(account_sid, sid),
            trace.wiped(sid),
            wiped.noted(sid, now),
            notifications.wiped(sid),
            (segments.WIPE, (sid,)),
            message_fact(flight.message, FactType.MESSAGE_DELETED, now),
        )
        await self._committer.commit(changes)
        return None

    def gauges(self) -> Gauges:
        """How full the bounds are now."""
        backlogs = self._backlogs.all()
        return Gauges(
            accepts_in_flight=self._accepting,
            in_memory={each.carrier: self._dispatcher.queued(each.carrier) for each in backlogs},
            spilling=tuple(each.carrier for each in backlogs if each.spilling),
            parked_receipts=len(self._parking),
            flights=len(self._book),
        )


def _without_key(accepted: Accepted) -> Sequence[Write]:
    return accepted.writes


def _with_key(key: str, fingerprint: str, known: idempotency.Known, now: float) -> _WritesOf:
    def writes(accepted: Accepted) -> Sequence[Write]:
        message = accepted.message
        taken = idempotency.kept(message.account_sid, key, fingerprint, message.sid, now)
        return (*accepted.writes, *known.outlived, taken)

    return writes


def _not_accepted(error: StoreUnavailable) -> Refusal:
    return Refusal(error_code=_STORE_AWAY, message=f"Nothing was accepted: {error}")


def _missing(sid: str) -> Refusal:
    return Refusal(error_code=_NOT_FOUND, message=f"The message {sid} was not found.")


def _not_cancelable(status: MessageStatus) -> Refusal:
    return Refusal(
        error_code=_NOT_CANCELABLE,
        message=f"The message is {status}; only one that waits can be canceled.",
    )


def _unfinished(message: Message) -> Refusal:
    return Refusal(
        error_code=_NOT_COMPLETE,
        message=f"The message is {message.status}; wait until it was sent.",
    )
