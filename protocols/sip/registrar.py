"""The registrar: where the users of a domain can be reached now (RFC 3261 §10.3).

It answers a REGISTER whose sender was authenticated, and keeps what follows from it: bindings
with their path (RFC 3327) and, of phones that keep connections, their flows (RFC 5626). What came
over a connection ends with it. Every change is given out as a value, for a store to keep; what
a store gives back after a restart is taken by `restore`. `now` is in seconds of the epoch, for
bindings outlive the process.
"""

import heapq
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from protocols.sip.binding import (
    REMOVED,
    Binding,
    Cause,
    Registration,
    Wish,
    contact_of,
    read_registration,
)
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.message import NameAddr, Request
from protocols.sip.transport import Flow
from protocols.sip.uri import equivalent, format_uri


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a registrar: times in seconds, `bindings` for each address-of-record.

    Who asks for less than `min_expires` is told by 423, who asks for more than `max_expires`
    gets that; `default_expires` is for who asks for nothing.
    """

    default_expires: int = 3600
    min_expires: int = 60
    max_expires: int = 7200
    bindings: int = 10


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The response to a REGISTER: what stands in it beside what every response has."""

    status: int
    reason: str
    contacts: tuple[NameAddr, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A binding as it is now, or as it was if its `cause` is one of `binding.REMOVED`."""

    binding: Binding
    cause: Cause


Changes = tuple[Change, ...]

_OUT_OF_ORDER: Final = "CSeq Out Of Order"


class Registrar:
    """The bindings of any number of addresses-of-record, each a text that the caller chose."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bindings: dict[str, dict[str, Binding]] = {}
        # Which bindings end with which connection, as (address-of-record, id).
        self._flows: dict[int, set[tuple[str, str]]] = {}
        # When to look at an address-of-record again: one valid entry each, others are passed over.
        self._due: list[tuple[float, str]] = []
        self._looked_at: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(map(len, self._bindings.values()))

    def register(
        self, aor: str, request: Request, flow: Flow, now: float
    ) -> tuple[Answer, Changes]:
        """Do what a REGISTER for `aor` that came by `flow` wants, all of it or nothing.

        The sender may change the bindings of `aor`: that is for the caller to know. Answer after
        the changes are stored. What is wrong in the request is an answer of 400, 423, 439 or 500.
        """
        changes = self._drop_expired(aor, now)
        try:
            asked = read_registration(request, default_expires=self._limits.default_expires)
            following = self._following(aor, request, asked, flow, now)
        except RemoteProtocolError as error:
            minimum = (("Min-Expires", str(self._limits.min_expires)),)
            headers = minimum if error.status == 423 else ()
            return Answer(status=error.status, reason=str(error), headers=headers), changes
        for change in following:
            self._apply(change)
        changes += following
        return self._answer(aor, request, asked, now), changes

    def bindings(self, aor: str, now: float) -> tuple[Binding, ...]:
        """Where to reach `aor`: by falling q, and the one registered last first (§16.6, 10)."""
        live = [each for each in self._bindings.get(aor, {}).values() if each.expires_at > now]
        live.sort(key=lambda each: (-each.q, -each.registered_at))
        return tuple(live)

    def held(self, aor: str) -> tuple[Binding, ...]:
        """All bindings of `aor`, those whose time is over too, until `expire` finds them."""
        return tuple(self._bindings.get(aor, {}).values())

    def reset(self, aor: str, bindings: Iterable[Binding]) -> None:
        """Let `aor` have exactly these, for a caller who can't keep what followed them."""
        for binding in self.held(aor):
            self._apply(Change(binding=binding, cause=Cause.UNREGISTERED))
        for binding in bindings:
            self._apply(Change(binding=binding, cause=Cause.REGISTERED))

    def flow_closed(self, flow_id: int) -> Changes:
        """A connection is gone, and what was bound over it."""
        changes = tuple(
            Change(binding=self._bindings[aor][name], cause=Cause.FLOW_CLOSED)
            for aor, name in sorted(self._flows.get(flow_id, ()))
        )
        for change in changes:
            self._apply(change)
        return changes

    def timer(self) -> float | None:
        """When to call `expire` next."""
        while self._due:
            at, aor = self._due[0]
            if self._looked_at.get(aor) == at:
                return at
            heapq.heappop(self._due)
        return None

    def expire(self, now: float) -> Changes:
        """Drop what is due by `now`."""
        changes: Changes = ()
        while (at := self.timer()) is not None and at <= now:
            _, aor = heapq.heappop(self._due)
            del self._looked_at[aor]
            changes += self._drop_expired(aor, now)
            self._watch(aor)
        return changes

    def snapshot(self) -> tuple[Binding, ...]:
        """All bindings, for a store."""
        return tuple(each for known in self._bindings.values() for each in known.values())

    def restore(
        self, bindings: Iterable[Binding], now: float, flow_of: Callable[[Flow], Flow | None]
    ) -> Changes:
        """Take bindings of the last run; what can't be used any more is given back as removed.

        `flow_of` gives today's flow for one of then, as the socket that listens at its local
        address now, None if there is none. Connections are gone with the last run.
        """
        lost: list[Change] = []
        for binding in bindings:
            flow = None if binding.connection is not None else flow_of(binding.flow)
            if binding.path and flow is None:
                flow = binding.flow  # nobody goes by it: the path leads
            if binding.expires_at <= now:
                lost.append(Change(binding=binding, cause=Cause.EXPIRED))
            elif flow is None:
                lost.append(Change(binding=binding, cause=Cause.FLOW_CLOSED))
            else:
                kept = msgspec.structs.replace(binding, flow=flow)
                self._apply(Change(binding=kept, cause=Cause.REGISTERED))
        return tuple(lost)

    def _following(
        self, aor: str, request: Request, asked: Registration, flow: Flow, now: float
    ) -> Changes:
        """What a REGISTER changes, nothing of which is done yet; RemoteProtocolError if it may not.

        The order of a phone's requests is that of their CSeq, as long as they share a Call-ID.
        """
        known = dict(self._bindings.get(aor, {}))
        changes: dict[str, Change] = {}
        if asked.wishes is None:
            for each in known.values():
                _check_order(each, request)
            return tuple(Change(binding=each, cause=Cause.UNREGISTERED) for each in known.values())
        if len(asked.wishes) > self._limits.bindings:
            raise RemoteProtocolError(f"at most {self._limits.bindings} contacts are taken")
        for wish in asked.wishes:
            if 0 < wish.expires < self._limits.min_expires:
                raise RemoteProtocolError("Interval Too Brief", status=423)
            binding = _bound(known, wish)
            if binding is not None and binding.id not in changes:
                _check_order(binding, request)
            if wish.expires:
                made = self._binding(aor, request, asked, wish, flow, now, binding)
                cause = Cause.REGISTERED if binding is None else Cause.REFRESHED
                known[made.id] = made
                changes[made.id] = Change(binding=made, cause=cause)
            elif binding is not None:
                del known[binding.id]
                changes[binding.id] = Change(binding=binding, cause=Cause.UNREGISTERED)
        others = sorted(
            (each for each in known.values() if each.id not in changes),
            key=lambda each: each.registered_at,
        )
        # A phone that comes back under ever new addresses must not lock its user out.
        for each in others[: max(0, len(known) - self._limits.bindings)]:
            changes[each.id] = Change(binding=each, cause=Cause.CROWDED_OUT)
        return tuple(changes.values())

    def _binding(
        self,
        aor: str,
        request: Request,
        asked: Registration,
        wish: Wish,
        flow: Flow,
        now: float,
        before: Binding | None,
    ) -> Binding:
        return Binding(
            aor=aor,
            id=before.id if before is not None else _id_of(wish),
            uri=wish.uri,
            call_id=request.call_id,
            cseq=request.cseq,
            registered_at=now,
            expires_at=now + min(wish.expires, self._limits.max_expires),
            flow=flow,
            display=wish.contact.display,
            params=tuple(each for each in wish.contact.params if each[0] != "expires"),
            q=wish.q,
            path=asked.path,
            instance=wish.instance,
            reg_id=wish.reg_id,
            user_agent=asked.user_agent,
        )

    def _answer(self, aor: str, request: Request, asked: Registration, now: float) -> Answer:
        """200 with every binding (§10.3, 8), the path (RFC 3327 §5.3) and what was applied."""
        headers = [("Path", line) for line in request.headers.all("Path")]
        if asked.outbound:
            headers.append(("Require", "outbound"))  # RFC 5626 §6
        return Answer(
            status=200,
            reason="OK",
            contacts=tuple(contact_of(each, now) for each in self.bindings(aor, now)),
            headers=tuple(headers),
        )

    def _apply(self, change: Change) -> None:
        binding = change.binding
        known = self._bindings.setdefault(binding.aor, {})
        key = (binding.aor, binding.id)
        before = known.pop(binding.id, None)
        if before is not None and before.connection is not None:
            held = self._flows[before.connection]
            held.discard(key)
            if not held:
                del self._flows[before.connection]
        if change.cause not in REMOVED:
            known[binding.id] = binding
            if binding.connection is not None:
                self._flows.setdefault(binding.connection, set()).add(key)
            self._watch(binding.aor)
        elif not known:
            del self._bindings[binding.aor]

    def _watch(self, aor: str) -> None:
        """Look at `aor` when its first binding ends; it may be looked at too early, never late."""
        first = min(
            (each.expires_at for each in self._bindings.get(aor, {}).values()), default=None
        )
        at = self._looked_at.get(aor)
        if first is not None and (at is None or first < at):
            self._looked_at[aor] = first
            heapq.heappush(self._due, (first, aor))

    def _drop_expired(self, aor: str, now: float) -> Changes:
        changes = tuple(
            Change(binding=each, cause=Cause.EXPIRED)
            for each in self._bindings.get(aor, {}).values()
            if each.expires_at <= now
        )
        for change in changes:
            self._apply(change)
        return changes


def _id_of(wish: Wish) -> str:
    if wish.reg_id:
        return f"{wish.instance};reg-id={wish.reg_id}"
    return format_uri(wish.uri)


def _bound(known: dict[str, Binding], wish: Wish) -> Binding | None:
    """The binding that `wish` is about: by instance and reg-id (RFC 5626 §6), else by its URI."""
    if wish.reg_id:
        return known.get(_id_of(wish))
    for binding in known.values():
        if not binding.reg_id and equivalent(binding.uri, wish.uri):
            return binding
    return None


def _check_order(binding: Binding, request: Request) -> None:
    if binding.call_id == request.call_id and request.cseq <= binding.cseq:
        raise RemoteProtocolError(_OUT_OF_ORDER, status=500)
