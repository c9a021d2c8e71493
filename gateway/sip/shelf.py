"""One kind of entry in memory, found by its key and by what it belongs to."""

from typing import Generic, TypeVar

from gateway.sip.model import Entry
from gateway.sip.tables import Key, Table

E = TypeVar("E", bound=Entry)


class Shelf(Generic[E]):
    """The entries of one table, and those of the config file beside them.

    Whoever asks names the account: what is another's is not there.
    """

    def __init__(self, table: Table[E]) -> None:
        self.table = table
        self._entries: dict[Key, E] = {}
        self._under: dict[str, dict[Key, E]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, account_sid: str, *key: str) -> E | None:
        """The entry with this key, if it is of this account."""
        found = self._entries.get(key)
        return found if found is not None and found.account_sid == account_sid else None

    def under(self, account_sid: str, parent: str) -> list[E]:
        """What belongs to `parent`, newest first."""
        found = self._under.get(parent, {}).values()
        mine = [each for each in found if each.account_sid == account_sid]
        return sorted(mine, key=lambda each: (each.date_created, each.sid), reverse=True)

    def is_full(self, parent: str) -> bool:
        """Whether `parent` has as many as it may have."""
        return 0 < self.table.bound <= len(self._under.get(parent, ()))

    def all(self) -> list[E]:
        """Everything, whosoever it is."""
        return list(self._entries.values())

    def put(self, entry: E) -> None:
        """Add `entry`, or let it take the place of what has its key."""
        key = self.table.key_of(entry)
        self._entries[key] = entry
        self._under.setdefault(self.table.parent_of(entry), {})[key] = entry

    def drop(self, entry: E) -> None:
        """Forget `entry`, if it is there, and nothing under it."""
        key = self.table.key_of(entry)
        if self._entries.pop(key, None) is None:
            return
        parent = self.table.parent_of(entry)
        siblings = self._under[parent]
        del siblings[key]
        if not siblings:
            del self._under[parent]

    def clear(self) -> None:
        """Forget everything."""
        self._entries, self._under = {}, {}
