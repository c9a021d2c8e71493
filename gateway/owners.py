"""Who owns what: this process as a member of the gateway, and the names that it owns.

A carrier, a queue of jobs, a partition has one owner. Ownership is a row in the store; the member
renews one lease for all that it owns (`gateway/membership`), and every write of an owner carries
that lease, so that a process which was taken for dead can't write any more when it wakes up.
Members share what there is evenly: each takes what is free up to its share and gives up what is
beyond it.

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

from gateway.membership import BEATS, SUBJECT, Membership, ended
from gateway.store.base import Fenced, Lease, Store, StoreError, member_name

_log = structlog.get_logger(__name__)

_NOBODY: Final = ""  # owns what is on its way out


class Role(StrEnum):
    """What a process does: `--role`."""

    API = "api"
    SMPP = "smpp"
    VOICE = "voice"
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
        self._ttl = ttl
        self._groups: Sequence[Group] = ()
        self._member = Membership(store, holder=holder, ttl=ttl, monotonic=monotonic)
        self._owned: defaultdict[str, set[str]] = defaultdict(set)
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._moving = asyncio.Lock()
        self._news = store.watch(SUBJECT)

    @property
    def lost(self) -> asyncio.Event:
        """Set when the others have buried us: this process must end."""
        return self._member.lost

    @property
    def alive(self) -> bool:
        """Whether nobody can have taken over what we own, by our own clock."""
        return self._member.alive

    def lease(self) -> Lease | None:
        """The fence of an owner's commit."""
        return self._member.lease

    def owned(self, kind: str) -> list[str]:
        """The names of a group that are ours."""
        return sorted(self._owned[kind])

    async def join(self) -> None:
        """Become a member; then `start` takes what there is to take."""
        await self._member.join()

    async def start(self, groups: Sequence[Group]) -> None:
        """Take over a first share, group by group in this order, and go on in the background."""
        self._groups = groups
        await self.balance()
        self._watching = asyncio.create_task(self._watch(), name="owners: balance")

    async def close(self) -> None:
        """Take over nothing more; what is owned stays so until `leave`."""
        if self._watching is not None:
            await ended([self._watching])

    async def leave(self) -> None:
        """Everything that was owned is free, now that no work on it is under way."""
        await ended(list(self._leaving.values()))
        await self._member.leave()

    def hurry(self) -> None:
        """The names changed: balance now."""
        self._news.set()

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._ttl / BEATS):
                    await self._news.wait()
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
        """Look at who owns what: take what is free of our share, let go of what is beyond it.

        What is let go of takes its time in the background, what is free is taken at once.
        """
        async with self._moving:
            leases = await self._store.leases()
            members = sorted(
                lease.holder for lease in leases if lease.name == member_name(lease.holder)
            )
            for group in self._groups:
                move = self._move(group, leases, members)
                for name in move.release:
                    self._let_go(group, name)
                if move.claim:
                    await self._claim(group, move.claim)

    def _move(self, group: Group, leases: Sequence[Lease], members: Sequence[str]) -> Move:
        prefix, holder = f"{group.kind}:", self._member.holder
        owned = {
            lease.name.removeprefix(prefix): lease.holder
            for lease in leases
            if lease.name.startswith(prefix)
        }
        ours = [name for name, owner in owned.items() if owner == holder]
        leaving = [name for name in ours if prefix + name in self._leaving]
        owned.update(dict.fromkeys(leaving, _NOBODY))
        # A takeover or a release that failed: either it is tried again, or it is let go of.
        adrift = [name for name in ours if name not in (*leaving, *self._owned[group.kind])]
        for name in adrift:
            del owned[name]
        peers = [each for each in members if group.role in roles_of(each)]
        sharers = peers if group.sharing is Sharing.EVEN else [holder]
        move = balanced(group.names(), owned, holder, sharers)
        given_back = [name for name in adrift if name not in move.claim]
        return Move(claim=move.claim, release=(*move.release, *given_back))

    async def _claim(self, group: Group, names: Sequence[str]) -> None:
        lease = self._member.lease
        if lease is None or not self.alive:
            return
        prefix = f"{group.kind}:"
        ours = await self._store.claim([prefix + name for name in names], lease)
        for full_name, claimed in ours.items():
            name = full_name.removeprefix(prefix)
            if name in self._owned[group.kind] or full_name in self._leaving:
                continue
            try:
                await group.estate.take_over(name, claimed)
                self._owned[group.kind].add(name)
            except Exception as error:
                if isinstance(error, StoreError):
                    _log.warning("a takeover waits", name=full_name, reason=str(error))
                else:
                    _log.exception("what is ours could not be taken over", name=full_name)
                self._let_go(group, name)

    def _let_go(self, group: Group, name: str) -> None:
        """End the work on `name` in the background; then it is free."""
        full_name = f"{group.kind}:{name}"
        self._owned[group.kind].discard(name)
        if full_name not in self._leaving:
            letting_go = self._release(group, name, full_name)
            task = asyncio.create_task(letting_go, name=f"owners: {full_name}")
            self._leaving[full_name] = task

    async def _release(self, group: Group, name: str, full_name: str) -> None:
        try:
            await group.estate.give_up(name)
            lease = self._member.lease
            if lease is not None:
                await self._store.release([full_name], lease)
        except StoreError as error:  # it is still ours, and is taken over again or released later
            _log.warning("a name can't be released", name=full_name, reason=str(error))
        except Exception:
            _log.exception("the work on a name did not end", name=full_name)
        finally:
            del self._leaving[full_name]
            self._store.hint(SUBJECT)
