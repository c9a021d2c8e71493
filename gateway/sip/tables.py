"""Where each kind of entry stands in the store, and what facts tell of it."""

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

import msgspec

from gateway.events import FactType, fact
from gateway.sip.model import (
    AccessList,
    Address,
    Credential,
    CredentialList,
    Domain,
    Entry,
    Mapping,
)
from gateway.store.base import Delete, Insert, Query, Row, Update, Write

E = TypeVar("E", bound=Entry)
Key = tuple[str, ...]

_JSON: Final = frozenset({"settings", "hashes"})  # columns
_FIXED: Final = frozenset({"sid", "account_sid", "date_created"})


class Table(Generic[E]):
    """The table of one kind. `parent` is the field that says what an entry belongs to."""

    def __init__(
        self,
        name: str,
        kind: type[E],
        parent: str,
        facts: str,
        told: tuple[str, ...],
        key: tuple[str, ...] = ("sid",),
        bound: int = 0,
    ) -> None:
        """`facts` begins the types of its facts, which tell the fields `told`.

        A parent has at most `bound` of them, 0 for no bound.
        """
        self.name = name
        self.kind = kind
        self.parent = parent
        self.key = key
        self.bound = bound
        self.columns = tuple(field for field in kind.__struct_fields__ if field != "declared")
        changeable = tuple(c for c in self.columns if c not in {*_FIXED, *key, parent})
        self.insert = Insert(table=name, columns=self.columns)
        self.update = Update(table=name, key=key, columns=changeable, guard="version")
        self.delete = Delete(table=name, key=key)
        self.delete_under = Delete(table=name, key=(parent,))
        self.delete_account = Delete(table=name, key=("account_sid",))
        self.all = Query(f"{name}_all", f"SELECT {', '.join(self.columns)} FROM {name}")
        self._facts = facts
        self._told = told

    def key_of(self, entry: E) -> Key:
        """What names `entry` in its table."""
        return tuple(getattr(entry, name) for name in self.key)

    def parent_of(self, entry: E) -> str:
        """The SID of what `entry` belongs to."""
        return str(getattr(entry, self.parent))

    def inserted(self, entry: E) -> list[Write]:
        """The writes that add `entry`."""
        row = self._values(entry, self.columns)
        return [(self.insert, row), self.happened(entry, "created", entry.date_created)]

    def updated(self, entry: E) -> list[Write]:
        """The writes that make `entry`, one version above what is stored, the stored one."""
        row = self._values(entry, (*self.key, *self.update.columns))
        return [(self.update, row), self.happened(entry, "updated", entry.date_updated)]

    def deleted(self, entry: E, now: float) -> list[Write]:
        """The writes that remove `entry` alone."""
        gone = msgspec.structs.replace(entry, version=entry.version + 1)
        return [(self.delete, self.key_of(entry)), self.happened(gone, "deleted", now)]

    def happened(self, entry: E, what: str, at: float) -> Write:
        """The fact about `entry`."""
        data = {name: getattr(entry, name) for name in self._told}
        kind = FactType(f"{self._facts}.{what}")
        return fact(entry.account_sid, entry.sid, entry.version, kind, at, data)

    def read(self, rows: Iterable[Row]) -> list[E]:
        """What rows of `all` hold."""
        return [self._entry(row) for row in rows]

    def _entry(self, row: Row) -> E:
        fields: dict[str, Any] = dict(zip(self.columns, row, strict=True))
        for name in _JSON & fields.keys():
            fields[name] = msgspec.json.decode(fields[name])
        return msgspec.convert(fields, self.kind)

    def _values(self, entry: E, columns: Iterable[str]) -> Row:
        return tuple(
            msgspec.json.encode(value).decode() if name in _JSON else value
            for name, value in ((name, getattr(entry, name)) for name in columns)
        )


# The bounds are Twilio's.
DOMAINS: Final = Table(
    "sip_domains", Domain, "account_sid", "sip_domain", ("domain_name",), bound=100
)
CREDENTIAL_LISTS: Final = Table(
    "credential_lists", CredentialList, "account_sid", "credential_list", (), bound=100
)
CREDENTIALS: Final = Table(
    "credentials",
    Credential,
    "credential_list_sid",
    "credential",
    ("credential_list_sid", "username"),
    bound=1000,
)
ACCESS_LISTS: Final = Table(
    "ip_access_control_lists", AccessList, "account_sid", "ip_access_control_list", (), bound=100
)
ADDRESSES: Final = Table(
    "ip_addresses",
    Address,
    "ip_access_control_list_sid",
    "ip_address",
    ("ip_access_control_list_sid", "ip_address", "cidr_prefix_length"),
    bound=100,
)
MAPPINGS: Final = Table(
    "sip_mappings",
    Mapping,
    "domain_sid",
    "sip_mapping",
    ("domain_sid", "purpose"),
    key=("domain_sid", "purpose", "sid"),
)

TABLES: Final[tuple[Table[Any], ...]] = (
    DOMAINS,
    CREDENTIAL_LISTS,
    CREDENTIALS,
    ACCESS_LISTS,
    ADDRESSES,
    MAPPINGS,
)
ALL: Final = tuple(table.all for table in TABLES)

# One row that is another one after every change.
MARK: Final = Query(
    "sip_mark",
    "SELECT "
    + ", ".join(
        f"(SELECT {what} FROM {table.name})"
        for table in TABLES
        for what in ("count(*)", "sum(version)", "max(sid)")
    ),
)
