"""Who owns what: this process as a member of the gateway, and the names that it owns.

A carrier, a queue of jobs, a partition has one owner. Ownership is a row in the store; the member
renews one lease for all that it owns, and every write of an owner carries that lease, so that a
process which was taken for dead can't write any more when it wakes up. Members share what there
is evenly: each takes what is free up to its share and gives up what is beyond it.

A room that works on names is an `Estate`: it is told to take a name over and to give it up, and
the name is free for others only when it has.
"""

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final, Protocol

import msgspec
import structlog

from gateway.store.base import Fenced, Lease, Store, StoreError, StoreUnavailable, member_name

_log = structlog.get_logger(__name__)

_BEATS: Final = 4  # renewals in the life of a lease
SUBJECT: Final = "owners"  # of the hint that something is free, or somebody came


class Role(StrEnum):
    """What a process does: `--role`."""

    API = "api"
    SMPP = "smpp"
    CORE = "core"


EVERY_ROLE: Final = frozenset(Role)


class Sharing(StrEnum):
    """How the members of a role come to names: each to its share, or each to what it wants."""

    EVEN = "even"
    WANTED = "wanted"


class Estate(Protocol):
    """A room that works on names while they are ours."""

    async def take_over(self, name: str, lease: Lease) -> None:
        """`name` is ours from now on; return when the work on it has begun."""
        ...

    async def give_up(self, name: str) -> None:
        """End the work on `name`; return when nothing of it is under way here."""
        ...


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Names of one kind: `carrier:acme`, of the group `carrier`, belongs to a member of `role`.

    `names` gives those that there are now, without the prefix.
    """

    kind: str
    role: Role
    names: Callable[[], Collection[str]]
    estate: Estate
    sharing: Sharing = Sharing.EVEN


def new_holder(roles: Iterable[Role]) -> str:
    """A name for this process that no other has had: its roles, its host, its number, chance."""
    listed = "+".join(sorted(roles))
    return f"{listed}@{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"


def roles_of(holder: str) -> frozenset[str]:
    """The roles that stand in the name of a member."""
    return frozenset(holder.partition("@")[0].split("+"))


def described(holder: str) -> str:
    """A member as a person looks for it."""
    host, _, rest = holder.partition("@")[2].partition(":")
    return f"process {rest.partition(':')[0]} on {host}" if rest else "another process"


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What a member should do now: names to claim and names to release."""

    claim: tuple[str, ...] = ()
    release: tuple[str, ...] = ()


def balanced(
    names: Collection[str], owned: dict[str, str], holder: str, members: Sequence[str]
) -> Move:
    """How `holder` comes to its share of `names`; `owned` says who owns which.

    The share is what each of `members` gets when all have equally many, rounded up. Names that
    there are no more are released whatever the share.
    """
    mine = sorted(name for name, owner in owned.items() if owner == holder)
    gone = [name for name in mine if name not in names]
    kept = [name for name in mine if name in names]
    share = -(-len(names) // max(1, len(members)))
    surplus = kept[share:]
    free = [name for name in sorted(names) if name not in owned]
    # Members begin at different places, so that they do not all reach for the same name.
    start = (members.index(holder) * share) % len(free) if free and holder in members else 0
    reachable = (free[start:] + free[:start])[: max(0, share - len(kept))]
    return Move(claim=tuple(reachable), release=(*gone, *surplus))


class Owners:
    """This process's membership and what it owns; `lease` is the fence of every owner's commit."""

    def __init__(
        self,
        store: Store,
        *,
        holder: str,
        ttl: float,
        monotonic: Callable[[], float],
    ) -> None:
        """`ttl` is how long the others wait for a sign of life, seconds; `monotonic` a clock."""
        self._store = store
        self._groups: Sequence[Group] = ()
        self._ttl = ttl
        self._monotonic = monotonic
        self._lease: Lease | None = None
        self._valid_until = 0.0
        self._steady_since = monotonic()
        self._owned: defaultdict[str, dict[str, Lease]] = defaultdict(dict)
        self._tasks: list[asyncio.Task[None]] = []
        self._moving = asyncio.Lock()
        self._news = store.watch(SUBJECT)
        self.holder = holder
        self.lost = asyncio.Event()  # the others buried us: this process must end

    def lease(self) -> Lease | None:
        """The fence of an owner's commit."""
        return self._lease

    @property
    def alive(self) -> bool:
        """Whether nobody can have taken over what we own, by our own clock."""
        return self._monotonic() < self._valid_until and not self.lost.is_set()

    def owned(self, kind: str) -> list[str]:
        """The names of a group that are ours."""
        return list(self._owned[kind])

    async def join(self) -> None:
        """Become a member; then `start` takes what there is to take."""
        await self._renew()
        self._store.hint(SUBJECT)

    async def start(self, groups: Sequence[Group]) -> None:
        """Take over a first share, group by group in this order, and go on in the background."""
        self._groups = groups
        await self.balance()
        self._tasks = [
            asyncio.create_task(self._beat(), name="owners: beat"),
            asyncio.create_task(self._watch(), name="owners: balance"),
        ]

    async def close(self) -> None:
        """Take over nothing more; what is owned stays so until `leave`."""
        balancing = [task for task in self._tasks if task.get_name() == "owners: balance"]
        await _ended(balancing)

    async def leave(self) -> None:
        """Everything that was owned is free, now that no work on it is under way."""
        await _ended(self._tasks)
        try:
            await self._store.renew(self.holder, 0.0)
        except StoreError as error:
            _log.warning("the others wait for our lease to end", reason=str(error))
        self._store.hint(SUBJECT)

    def hurry(self) -> None:
        """The names changed: balance now."""
        self._news.set()

    # -- staying a member ------------------------------------------------------------------

    async def _beat(self) -> None:
        while not self.lost.is_set():
            await asyncio.sleep(self._ttl / _BEATS)
            try:
                await self._renew()
                await self._bury()
            except Fenced as error:
                _log.error(
                    "this process was silent for too long and others took over what it owned",
                    holder=self.holder,
                    reason=str(error),
                )
                self.lost.set()
            except StoreUnavailable as error:
                self._steady_since = self._monotonic()
                _log.warning("the lease can't be renewed", reason=str(error))
            except Exception:
                _log.exception("the lease can't be renewed")

    async def _renew(self) -> None:
        asked = self._monotonic()
        if asked > self._valid_until:
            self._steady_since = asked
        self._lease = await self._store.renew(self.holder, self._ttl)
        self._valid_until = asked + self._ttl

    async def _bury(self) -> None:
        """End memberships that ran out; not right after the store was away, or all would die."""
        if self._monotonic() - self._steady_since < self._ttl:
            return
        for holder in await self._store.bury():
            _log.warning("a process is silent: what it owned is free", holder=holder)
            self._store.hint(SUBJECT)

    # -- what is ours ----------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._ttl / _BEATS)
            self._news.clear()
            try:
                await self.balance()
            except Fenced:
                return
            except StoreError as error:
                _log.warning("who owns what can't be read", reason=str(error))
            except Exception:
                _log.exception("what others left could not be taken over")

    async def balance(self) -> None:
        """Look at who owns what, give up what is beyond our share and take what is free of it."""
        async with self._moving:
            leases = await self._store.leases()
            members = sorted(
                lease.holder for lease in leases if lease.name == member_name(lease.holder)
            )
            for group in self._groups:
                move = self._move(group, leases, members)
                if move.release:
                    await self._release(group, move.release)
                if move.claim:
                    await self._claim(group, move.claim)

    def _move(self, group: Group, leases: Sequence[Lease], members: Sequence[str]) -> Move:
        prefix = f"{group.kind}:"
        owned = {
            lease.name.removeprefix(prefix): lease.holder
            for lease in leases
            if lease.name.startswith(prefix)
        }
        names = group.names()
        if group.sharing is Sharing.EVEN:
            peers = [each for each in members if group.role in roles_of(each)]
            return balanced(names, owned, self.holder, peers)
        return balanced(names, owned, self.holder, [self.holder])

    async def _claim(self, group: Group, names: Sequence[str]) -> None:
        lease = self._lease
        if lease is None or not self.alive:
            return
        prefix = f"{group.kind}:"
        ours = await self._store.claim([prefix + name for name in names], lease)
        owned = self._owned[group.kind]
        for full_name, claimed in ours.items():
            name = full_name.removeprefix(prefix)
            if name in owned:
                continue
            owned[name] = claimed
            try:
                await group.estate.take_over(name, claimed)
            except Exception:
                _log.exception("what is ours could not be taken over", name=full_name)
                await self._release(group, [name])

    async def _release(self, group: Group, names: Sequence[str]) -> None:
        lease = self._lease
        for name in names:
            self._owned[group.kind].pop(name, None)
            await group.estate.give_up(name)
            if lease is not None:
                await self._store.release([f"{group.kind}:{name}"], lease)
        self._store.hint(SUBJECT)


async def _ended(tasks: Iterable["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
