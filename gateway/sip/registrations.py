"""The registrar at work: REGISTER as it comes by the station, judged, kept, and then answered.

A binding is in the store before its phone hears of it; a store that is away is a 503, and what was
bound stays as it was. Of one address-of-record one change is under way at a time, so that going
back is simple; those of different ones share commits. Nothing is made for a request but its commit.

What ends by itself, with its time or its connection, is taken out of the store behind the scenes.
What can't be taken out then is owed, and tried again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import structlog

from gateway.sip import bindings as stored
from gateway.sip.directory import SipDirectory
from gateway.sip.gate import Gate, Passed, host_of, user_of
from gateway.sip.model import Domain
from gateway.sip.refusals import Ask, Deny, RefusalLog, Refused, Rule, deny
from gateway.sip.targets import Target, targets_of
from gateway.store.base import Lease, Store, StoreError, Write
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import RegisterReceived
from protocols.sip.binding import REMOVED, Binding
from protocols.sip.message import Headers
from protocols.sip.registrar import Answer, Changes, Limits, Registrar
from protocols.sip.sockets.addresses import is_any
from protocols.sip.station import Station
from protocols.sip.transport import SOCKETS, Flow, Transport

_log = structlog.get_logger(__name__)

MAX_WAITING: Final = 16
"""REGISTERs of one address-of-record that wait for the one before them."""

_OWED_EVERY: Final = 10.0  # seconds between two tries to take out what is owed
_LOOK_EVERY: Final = 60.0  # seconds at most between two looks, for a clock may be set
_MAX_USER: Final = 64  # characters; a domain's own users have fewer


class _Pending:
    """A REGISTER whose commit is under way, and what to go back to if it fails."""

    __slots__ = ("answer", "before", "changes", "closed", "event", "waiting")

    def __init__(
        self,
        event: RegisterReceived,
        before: tuple[Binding, ...],
        answer: Answer,
        changes: Changes,
    ) -> None:
        self.event = event
        self.before = before
        self.answer = answer
        self.changes = changes
        self.closed: set[int] = set()  # connections that ended meanwhile
        self.waiting: deque[tuple[Domain, RegisterReceived]] = deque()


class Registrations:
    """See the module. `clock` gives seconds of the epoch, `fence` this process's lease.

    `sockets` are the addresses at which its WebSockets come in; `moved` is told of a browser that
    is bound over another one.
    """

    def __init__(
        self,
        store: Store,
        directory: SipDirectory,
        station: Station,
        gate: Gate,
        *,
        clock: Callable[[], float],
        limits: Limits = Limits(),  # noqa: B008  # immutable
        fence: Callable[[], Lease | None] = lambda: None,
        log: RefusalLog | None = None,
        sockets: Sequence[tuple[str, int]] = (),
        moved: Callable[[Binding], None] = lambda binding: None,
    ) -> None:
        self._moved = moved
        self._store = store
        self._sockets = sockets
        self._directory = directory
        self._station = station
        self._gate = gate
        self._clock = clock
        self._fence = fence
        self._refusals = RefusalLog() if log is None else log
        self._registrar = Registrar(limits)
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        self._pending: dict[str, _Pending] = {}
        self._commits: set[asyncio.Future[None]] = set()
        # Rows that should not be there any more, as (address-of-record, id), and when to try.
        self._owed: set[tuple[str, str]] = set()
        self._owed_at = 0.0
        self._due = 0.0
        # Whose each domain was when its first phone registered.
        self._owners: dict[str, str] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._registrar)

    async def start(self) -> None:
        """Take up what the last run left: phones over UDP go on, connections are gone.

        What was bound at an address that is not ours may be another process's, and is left alone
        until its time is over.
        """
        self._directory.follow(self.prune)
        now, ours, gone = self._clock(), [], []
        for account_sid, binding in await stored.load(self._store):
            name = _domain_of(binding.aor)
            if binding.expires_at <= now or not self._has(account_sid, name):
                gone.append(binding)
            elif self._is_ours(binding.flow):
                self._owners[name] = account_sid
                ours.append(binding)
        lost = self._registrar.restore(ours, now, self._flow_of)
        self._take_out([*gone, *(change.binding for change in lost)])
        self._arm()

    async def close(self) -> None:
        """Take nothing more, and wait for what is being written."""
        self._closed = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._commits:
            await asyncio.wait(self._commits)

    # What the station tells

    def take(self, event: RegisterReceived) -> None:
        """A REGISTER came; it is answered now or after a commit."""
        now = self._clock()
        verdict = self._judge(event, now)
        if isinstance(verdict, Passed):
            self._register(verdict.domain, event, now)
        else:
            self._refuse(event, verdict, now)
        self._arm()

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone: what was bound over it is, too."""
        for pending in self._pending.values():
            pending.closed.add(flow.id)
            if any(event.flow.id == flow.id for _, event in pending.waiting):
                left = (each for each in pending.waiting if each[1].flow.id != flow.id)
                pending.waiting = deque(left)
        changes = self._registrar.flow_closed(flow.id)
        if changes:
            self._take_out([change.binding for change in changes])
            self._arm()

    # What calls ask

    def bindings(self, aor: str) -> tuple[Binding, ...]:
        """Where `aor` (`user@domain`, the domain in small letters) is, best first."""
        name = _domain_of(aor)
        if not self._has(self._owners.get(name, ""), name):
            return ()
        return self._registrar.bindings(aor, self._clock())

    def targets(self, aor: str) -> tuple[Target, ...]:
        """The devices of `aor` that a call rings."""
        return targets_of(self.bindings(aor))

    def prune(self) -> None:
        """Let go of phones whose domain or account is gone; the directory says when to look."""
        if self._closed:
            return
        owners = self._owners.items()
        gone = {name for name, account_sid in owners if not self._has(account_sid, name)}
        if not gone:
            return
        for name in gone:
            del self._owners[name]
        ended = [each for each in self._registrar.snapshot() if _domain_of(each.aor) in gone]
        for aor in {each.aor for each in ended}:
            self._registrar.reset(aor, ())
        for aor, pending in self._pending.items():
            if _domain_of(aor) in gone:
                pending.before = ()
        self._take_out(ended)

    # Judging

    def _judge(self, event: RegisterReceived, now: float) -> Passed | Ask | Deny:
        request, flow, gate = event.request, event.flow, self._gate
        if not gate.admits(flow, now):
            return deny(Rule.FLOOD)
        domain = gate.domain(request.to, request.uri)
        if domain is None:
            return deny(Rule.UNKNOWN_DOMAIN)
        if not domain.takes_registrations:
            return deny(Rule.NO_REGISTRATIONS)
        verdict = gate.judge(domain, request, flow, now)
        if isinstance(verdict, Passed):
            user = user_of(request.to)
            if verdict.username and verdict.username != user:
                return deny(Rule.ANOTHER_USER)
            if not user or len(user) > _MAX_USER or not user.isprintable():
                return deny(Rule.NO_USER)
        return verdict

    # Keeping

    def _register(self, domain: Domain, event: RegisterReceived, now: float) -> None:
        aor = f"{user_of(event.request.to)}@{domain.domain_name}"
        pending = self._pending.get(aor)
        if pending is None:
            self._perform(aor, domain, event, now)
        elif len(pending.waiting) < MAX_WAITING:
            pending.waiting.append((domain, event))
        else:
            self._refuse(event, deny(Rule.BUSY), now)

    def _perform(self, aor: str, domain: Domain, event: RegisterReceived, now: float) -> None:
        self._owners[domain.domain_name] = domain.account_sid
        registrar = self._registrar
        before = registrar.held(aor)
        answer, changes = registrar.register(aor, event.request, event.flow, now)
        if not changes:
            self._respond(event, _reply_of(answer))
            return
        self._pending[aor] = _Pending(event, before, answer, changes)
        self._commit(stored.writes_of(domain.account_sid, changes), partial(self._settled, aor))

    def _settled(self, aor: str, future: "asyncio.Future[None]") -> None:
        """The commit of `aor` is done, or failed: answer, and go on with what waits."""
        pending, now = self._pending.pop(aor), self._clock()
        if _succeeded(future):
            self._respond(pending.event, _reply_of(pending.answer))
            self._tell_moved(pending)
        else:
            self._go_back(aor, pending)
            self._refuse(pending.event, deny(Rule.STORE), now)
        waiting = pending.waiting
        while waiting and aor not in self._pending:
            self._perform(aor, *waiting.popleft(), now)
        if waiting:
            self._pending[aor].waiting = waiting
        self._station.wake()
        self._arm()

    def _tell_moved(self, pending: _Pending) -> None:
        known = {each.id: each.flow for each in pending.before}
        for change in pending.changes:
            flow = change.binding.flow
            is_new = change.cause not in REMOVED and known.get(change.binding.id) != flow
            if is_new and flow.transport in SOCKETS:
                self._moved(change.binding)

    def _go_back(self, aor: str, pending: _Pending) -> None:
        alive = [each for each in pending.before if each.connection not in pending.closed]
        self._registrar.reset(aor, alive)
        kept = {each.id for each in alive}
        self._owe((aor, each.binding.id) for each in pending.changes if each.binding.id not in kept)

    def _refuse(self, event: RegisterReceived, verdict: Ask | Deny, now: float) -> None:
        # RFC 3261 §26.3.2.4: who proves nothing leaves nothing behind.
        self._station.agent.dismiss(event.key, verdict.reply)
        if verdict.rule:
            refused = Refused(
                method=event.request.method,
                domain=host_of(event.request.to),
                user=user_of(event.request.to),
                source=event.flow.remote[0],
                rule=verdict.rule,
            )
            self._refusals.tell(refused, now)

    def _respond(self, event: RegisterReceived, reply: Reply) -> None:
        self._station.agent.respond(event.key, reply, self._station.now())

    def _take_out(self, gone: Iterable[Binding]) -> None:
        """Remove rows of what is not bound any more; the store's order is that of our calls."""
        self._remove([(each.aor, each.id) for each in gone])

    def _remove(self, keys: list[tuple[str, str]]) -> None:
        if keys:
            writes = [stored.removed(*key) for key in keys]
            self._commit(writes, partial(self._removed, keys))

    def _removed(self, keys: list[tuple[str, str]], future: "asyncio.Future[None]") -> None:
        if not _succeeded(future):
            self._owe(keys)
            self._arm()

    def _owe(self, keys: Iterable[tuple[str, str]]) -> None:
        self._owed.update(keys)
        self._owed_at = self._clock() + _OWED_EVERY

    def _commit(self, writes: list[Write], done: Callable[["asyncio.Future[None]"], None]) -> None:
        future = self._store.commit(writes, self._fence())
        self._commits.add(future)
        future.add_done_callback(self._commits.discard)
        future.add_done_callback(done)

    # Time

    def _arm(self) -> None:
        """Look again when something is due, and from time to time: others write to the log, too."""
        owed = self._owed_at if self._owed else None
        times = (self._registrar.timer(), self._refusals.timer(), owed)
        now, alarm = self._clock(), self._alarm
        due = min((now + _LOOK_EVERY, *(each for each in times if each is not None)))
        if self._closed or (alarm is not None and self._due <= due):
            return
        if alarm is not None:
            alarm.cancel()
        self._due = due
        self._alarm = self._loop.call_later(max(0.0, due - now), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock()
        self._refusals.flush(now)
        self._take_out([change.binding for change in self._registrar.expire(now)])
        if self._owed and self._owed_at <= now:
            keys, self._owed = self._owed, set()
            held = {(each.aor, each.id) for aor, _ in keys for each in self._registrar.held(aor)}
            self._remove(sorted(keys - held))
        self._arm()

    # What is whose

    def _has(self, account_sid: str, name: str) -> bool:
        """Whether an account that is not closed has the domain `name`."""
        domain = self._directory.domain(name)
        if domain is None or domain.account_sid != account_sid:
            return False
        return self._gate.is_open(account_sid)

    def _is_ours(self, flow: Flow) -> bool:
        """Whether we listen at the address that it came to."""
        ours = self._sockets
        if flow.transport not in SOCKETS:
            addresses = self._station.endpoint.addresses()
            ours = [each for transport, each in addresses if transport is flow.transport]
        return any(
            port == flow.local[1] and (host == flow.local[0] or is_any(host)) for host, port in ours
        )

    def _flow_of(self, flow: Flow) -> Flow | None:
        if flow.transport is not Transport.UDP:
            return None
        return self._station.endpoint.path(flow.local, flow.remote)


def _reply_of(answer: Answer) -> Reply:
    return Reply(
        status=answer.status,
        reason=answer.reason,
        headers=Headers(answer.headers),
        contacts=answer.contacts,
    )


def _domain_of(aor: str) -> str:
    return aor.rpartition("@")[2]


def _succeeded(future: "asyncio.Future[None]") -> bool:
    """Whether a commit is durable; the store's own troubles are known to whoever watches it."""
    if future.cancelled():
        return False
    error = future.exception()
    if error is not None and not isinstance(error, StoreError):
        _log.error("bindings could not be stored", exc_info=error)
    return error is None
