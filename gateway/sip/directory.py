"""Which SIP domains there are and who may use them, kept whole in memory over the store.

A domain comes from REST, and then lives in the store, or from the config file, which owns what
it names: such a domain hides a stored one of the same name, and its users are a list of its own.
A change is in the store before anybody sees it here; what other processes change is seen when
`refresh` is called (`gateway/directory`).

`domain`, `needs`, `hashes` and `allows` are what the voice role asks for each request: they
never wait. A list that is gone lets nobody in, and neither does a domain that asks none.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, TypeVar, cast

import msgspec

from gateway.accounts import HINT
from gateway.sids import ACCESS_LIST, CREDENTIAL_LIST
from gateway.sip import model, tables
from gateway.sip.bindings import DELETE_ACCOUNT
from gateway.sip.model import AccessList, Address, Credential, CredentialList, Domain, Need, Purpose
from gateway.sip.shelf import Shelf
from gateway.store.base import Conflict, Stale, Store, Write

E = TypeVar("E", bound=model.Entry)

# By the kind of list.
_NEEDS: Final = {CREDENTIAL_LIST: Need.CREDENTIALS, ACCESS_LIST: Need.ADDRESS}


class Taken(Exception):
    """Another entry has this name, or is the same."""


class Closed(Exception):
    """The account that should have this was closed."""


class Full(Exception):
    """What it should belong to has as many as it may have; the argument says how many."""


class InUse(Exception):
    """A domain asks this list; the argument is the domain's name."""


class SipDirectory:
    """Domains, lists and what stands in them. `load` reads them."""

    def __init__(self, store: Store) -> None:
        """An empty directory; see `load`."""
        self._store = store
        self.domains: Shelf[Domain] = Shelf(tables.DOMAINS)
        self.credential_lists: Shelf[CredentialList] = Shelf(tables.CREDENTIAL_LISTS)
        self.credentials: Shelf[Credential] = Shelf(tables.CREDENTIALS)
        self.access_lists: Shelf[AccessList] = Shelf(tables.ACCESS_LISTS)
        self.addresses: Shelf[Address] = Shelf(tables.ADDRESSES)
        self.mappings: Shelf[model.Mapping] = Shelf(tables.MAPPINGS)
        self._shelves: dict[type[model.Entry], Shelf[Any]] = {
            Domain: self.domains,
            CredentialList: self.credential_lists,
            Credential: self.credentials,
            AccessList: self.access_lists,
            Address: self.addresses,
            model.Mapping: self.mappings,
        }
        self._declared: Sequence[model.Entry] = ()
        self._hidden: list[Domain] = []  # stored ones whose names the config file has
        self._names: dict[str, Domain] = {}
        self._users: dict[tuple[str, str], Credential] = {}  # by list and name
        self._networks: dict[str, list[IPv4Network | IPv6Network]] = {}  # by list, once asked
        # By domain and purpose, the one mapped first first, once asked.
        self._asked: dict[tuple[str, Purpose], list[model.Mapping]] = {}
        self._closed: set[str] = set()  # accounts that were closed since the start
        self._writing = asyncio.Lock()
        self._followers: list[Callable[[], None]] = []

    @classmethod
    async def load(cls, store: Store) -> "SipDirectory":
        """The directory of everything in `store`."""
        directory = cls(store)
        await directory.refresh()
        return directory

    def follow(self, changed: Callable[[], None]) -> None:
        """Have `changed` called whenever something that was known may be gone."""
        self._followers.append(changed)

    def _tell(self) -> None:
        for changed in self._followers:
            changed()

    def declare(self, declared: Iterable[model.Entry]) -> None:
        """The config file names exactly these now; what it named before and no more is gone."""
        self._declared = tuple(declared)
        self._fill([each for each in self.entries() if not each.declared])

    async def refresh(self) -> None:
        """Be as the store is now."""
        async with self._writing:
            await self._read()

    async def _read(self) -> None:
        stored: list[model.Entry] = []
        for shelf in self._shelves.values():
            stored += shelf.table.read(await self._store.fetch(shelf.table.all))
        self._fill(stored)

    def entries(self) -> list[model.Entry]:
        """Everything, hidden domains too."""
        kept = (each for shelf in self._shelves.values() for each in shelf.all())
        return [*kept, *self._hidden]

    def _fill(self, stored: Iterable[model.Entry]) -> None:
        for shelf in self._shelves.values():
            shelf.clear()
        self._hidden, self._names, self._users, self._networks = [], {}, {}, {}
        self._asked.clear()
        for entry in (*self._declared, *stored):
            self._put(entry)
        self._tell()

    # -- what the voice role asks ----------------------------------------------------------

    def domain(self, name: str) -> Domain | None:
        """The domain of this name, in letters of any size."""
        return self._names.get(name.lower())

    def needs(self, domain: Domain, purpose: Purpose) -> frozenset[Need]:
        """What a peer must show, all of it; who needs nothing is let in nowhere."""
        return frozenset(_NEEDS[each.sid[:2]] for each in self._mappings(domain, purpose))

    def hashes(self, domain: Domain, purpose: Purpose, username: str) -> Mapping[str, str] | None:
        """The hashes of a user's password by algorithm, for `model.REALM`; None for a stranger.

        Where several lists have the name, the list that was mapped first counts.
        """
        for mapping in self._mappings(domain, purpose):
            user = self._users.get((mapping.sid, username))
            if user is not None and user.account_sid == domain.account_sid:
                return user.hashes
        return None

    def allows(self, domain: Domain, purpose: Purpose, address: IPv4Address | IPv6Address) -> bool:
        """Whether a list of addresses that `domain` asks has `address`."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(
            address in network
            for mapping in self._mappings(domain, purpose)
            for network in self._networks_of(domain.account_sid, mapping.sid)
        )

    def _mappings(self, domain: Domain, purpose: Purpose) -> list[model.Mapping]:
        key = (domain.sid, purpose)
        known = self._asked.get(key)
        if known is None:
            found = self.mappings.under(domain.account_sid, domain.sid)
            known = [each for each in reversed(found) if each.purpose is purpose]
            self._asked[key] = known
        return known

    def list_of(self, mapping: model.Mapping) -> model.List | None:
        """The list that `mapping` is about; None if it is gone."""
        for shelf in (self.credential_lists, self.access_lists):
            found = shelf.get(mapping.account_sid, mapping.sid)
            if found is not None:
                return found
        return None

    def _networks_of(self, account_sid: str, sid: str) -> list[IPv4Network | IPv6Network]:
        known = self._networks.get(sid)
        if known is None:
            known = [each.network for each in self.addresses.under(account_sid, sid)]
            self._networks[sid] = known
        return known

    # -- changes ---------------------------------------------------------------------------

    async def add(self, entry: model.Entry) -> None:
        """Store a new entry.

        Raises `Taken` if there is such a one, `Full`, `Closed`, and KeyError if what it should
        belong to is gone.
        """
        shelf = self._shelf(entry)
        async with self._writing:
            self._admit(entry)
            if shelf.is_full(shelf.table.parent_of(entry)):
                raise Full(shelf.table.bound)
            self._refuse_name(entry)
            await self._commit(shelf.table.inserted(entry))
            self._put(entry)

    async def change(self, entry: E, now: float, **changes: Any) -> E:
        """Store the next state of `entry`; a domain's `settings` are laid over what it has.

        Raises KeyError if it is gone, `Taken` if another one has what it should be now.
        """
        shelf = self._shelf(entry)
        key = shelf.table.key_of(entry)
        async with self._writing:
            while True:
                old = shelf.get(entry.account_sid, *key)
                if old is None:
                    raise KeyError(entry.sid)
                given = dict(changes)
                if isinstance(old, Domain):
                    given["settings"] = {**old.settings, **given.get("settings", {})}
                new = msgspec.structs.replace(
                    old, **given, date_updated=now, version=old.version + 1
                )
                self._refuse_name(new)
                try:
                    await self._commit(shelf.table.updated(new))
                except Stale:  # another process was quicker
                    await self._read()
                    continue
                self._drop(old)
                self._put(new)
                self._tell()
                return new

    async def remove(self, entry: model.Entry, now: float) -> None:
        """Remove an entry and what belongs to it; one that is gone is passed over.

        Raises `InUse` for a list that a domain asks.
        """
        shelf = self._shelf(entry)
        async with self._writing:
            found = shelf.get(entry.account_sid, *shelf.table.key_of(entry))
            if found is None:
                return
            self._refuse_in_use(found)
            writes = shelf.table.deleted(found, now)
            below = self._below(found)
            if below is not None:
                writes.append((below.table.delete_under, (found.sid,)))
            await self._commit(writes)
            if below is not None:
                for each in below.under(found.account_sid, found.sid):
                    self._drop(each)
            self._drop(found)
            self._tell()

    @asynccontextmanager
    async def closing(self, account_sid: str, now: float) -> AsyncIterator[list[Write]]:
        """The writes that remove all that an account has, for the commit that closes it.

        It is gone when the block ends without an exception; nothing comes to the account after.
        """
        async with self._writing:
            gone = [
                each
                for each in self.entries()
                if each.account_sid == account_sid and not each.declared
            ]
            writes = [
                self._shelf(each).table.happened(_next(each), "deleted", now) for each in gone
            ]
            if gone:
                every = [shelf.table.delete_account for shelf in self._shelves.values()]
                writes += [(delete, (account_sid,)) for delete in every]
            yield [*writes, (DELETE_ACCOUNT, (account_sid,))]
            self._closed.add(account_sid)
            for each in gone:
                self._drop(each)
            self._tell()

    def _shelf(self, entry: E) -> Shelf[E]:
        return cast(Shelf[E], self._shelves[type(entry)])

    def _below(self, entry: model.Entry) -> Shelf[Any] | None:
        """Where what belongs to `entry` stands."""
        match entry:
            case Domain():
                return self.mappings
            case CredentialList():
                return self.credentials
            case AccessList():
                return self.addresses
        return None

    def _admit(self, entry: model.Entry) -> None:
        if entry.account_sid in self._closed:
            raise Closed(entry.account_sid)
        match entry:
            case Credential(credential_list_sid=sid):
                known = self.credential_lists.get(entry.account_sid, sid) is not None
            case Address(ip_access_control_list_sid=sid):
                known = self.access_lists.get(entry.account_sid, sid) is not None
            case model.Mapping(domain_sid=sid):
                domain = self.domains.get(entry.account_sid, sid)
                known = domain is not None and self.list_of(entry) is not None
            case _:
                known = True
        if not known:
            raise KeyError(entry.sid)

    def _refuse_name(self, entry: model.Entry) -> None:
        if isinstance(entry, Domain):
            holder = self._names.get(entry.domain_name)
            if holder is not None and holder.sid != entry.sid:
                raise Taken(entry.domain_name)

    def _refuse_in_use(self, entry: model.Entry) -> None:
        if not isinstance(entry, CredentialList | AccessList):
            return
        for mapping in self.mappings.all():
            domain = self.domains.get(entry.account_sid, mapping.domain_sid)
            if mapping.sid == entry.sid and domain is not None:
                raise InUse(domain.domain_name)

    async def _commit(self, writes: Sequence[Write]) -> None:
        try:
            await self._store.commit(writes)
        except Conflict as error:
            raise Taken from error
        self._store.hint(HINT)

    def _put(self, entry: model.Entry) -> None:
        match entry:
            case Domain():
                holder = self._names.get(entry.domain_name)
                if holder is not None and holder.declared and not entry.declared:
                    self._hidden.append(entry)
                    return
                self._names[entry.domain_name] = entry
            case Credential():
                self._users[entry.credential_list_sid, entry.username] = entry
            case Address():
                self._networks.pop(entry.ip_access_control_list_sid, None)
            case model.Mapping():
                self._asked.clear()
        self._shelf(entry).put(entry)

    def _drop(self, entry: model.Entry) -> None:
        """Forget an entry, and nothing that belongs to it."""
        match entry:
            case Domain() if entry in self._hidden:
                self._hidden.remove(entry)
                return
            case Domain():
                del self._names[entry.domain_name]
            case Credential():
                self._users.pop((entry.credential_list_sid, entry.username), None)
            case Address():
                self._networks.pop(entry.ip_access_control_list_sid, None)
            case model.Mapping():
                self._asked.clear()
        self._shelf(entry).drop(entry)


def _next(entry: E) -> E:
    return msgspec.structs.replace(entry, version=entry.version + 1)
