"""Who is a member and who owns what: the rows of table `leases`, for the one process there is.

A row stays when nobody holds it any more: its holder is "" then, and the next one's epoch counts
on from it. The row of a member that is gone stays for a day, so that the name does not come back,
with the time of its end in `expires_at`. Renewals are not written: whoever opens the database
next buries every member anyway.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from gateway.store.base import RESTORED, Fenced, Lease, member_name

_NOBODY: Final = ""
_REMEMBERED: Final = 86400.0  # seconds after the end of a membership


class Roll:
    """The rows as they are. Verbs give the rows to write; `take` them when they are written."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[Lease]) -> None:
        self._rows = {row.name: row for row in rows}

    def take(self, rows: Iterable[Lease]) -> None:
        """These rows stand in the table now."""
        self._rows.update((row.name, row) for row in rows)

    def drop(self, names: Iterable[str]) -> None:
        """These stand there no more."""
        for name in names:
            self._rows.pop(name, None)

    def check(self, lease: Lease) -> None:
        """Raise `Fenced` unless `lease` is what the table has."""
        held = self._rows.get(lease.name)
        if held is None or held.epoch != lease.epoch or held.holder != lease.holder:
            holder = held.holder if held is not None and held.holder else "nobody"
            raise Fenced(f"the lease {lease.name!r} of {lease.holder!r} passed to {holder!r}")

    def renewed(self, holder: str, ttl: float, now: float) -> tuple[Lease, bool]:
        """The lease of a member, and whether it is a new one. Raises `Fenced` if it was buried."""
        name = member_name(holder)
        held = self._rows.get(name)
        if held is None:
            epoch = 1 + max((row.epoch for row in self._rows.values()), default=0)
            return Lease(name=name, holder=holder, epoch=epoch, expires_at=now + ttl), True
        if held.holder == _NOBODY:
            raise Fenced(f"the membership of {holder!r} has ended: come back under another name")
        return replace(held, expires_at=now + ttl), False

    def late(self, now: float) -> list[str]:
        """The members whose time is over."""
        return [row.holder for row in self._members() if row.expires_at <= now]

    def everybody(self) -> list[str]:
        """Whoever holds anything."""
        return list({row.holder: None for row in self._rows.values() if row.holder})

    def buried(self, holders: Sequence[str], now: float) -> list[Lease]:
        """Rows: what these members hold is free, and they are members no more."""
        return [
            replace(
                row,
                holder=_NOBODY,
                expires_at=now if row.name == member_name(row.holder) else 0.0,
            )
            for row in self._rows.values()
            if row.holder and row.holder in holders
        ]

    def forgotten(self, now: float) -> list[str]:
        """Names of rows about members that ended long ago."""
        beginning = member_name("")
        return [
            row.name
            for row in self._rows.values()
            if row.holder == _NOBODY
            and row.name.startswith(beginning)
            and row.expires_at < now - _REMEMBERED
        ]

    def claimed(self, names: Sequence[str], member: Lease) -> list[Lease]:
        """Rows: those of `names` that nobody owns are the member's. Raises `Fenced`."""
        self.check(member)
        rows = []
        restored = self._rows.get(RESTORED)
        for name in dict.fromkeys(names):
            held = self._rows.get(name)
            if held is None or held.holder == _NOBODY:
                last = held or restored
                epoch = 1 if last is None else last.epoch + 1
                rows.append(Lease(name=name, holder=member.holder, epoch=epoch, expires_at=0.0))
        return rows

    def released(self, names: Sequence[str], member: Lease) -> list[Lease]:
        """Rows: those of `names` that the member owns are free."""
        held = (self._rows.get(name) for name in dict.fromkeys(names))
        return [
            replace(row, holder=_NOBODY)
            for row in held
            if row is not None and row.holder == member.holder
        ]

    def listed(self) -> list[Lease]:
        """Every membership and everything that is owned; what is owned ends with its owner."""
        ends = {row.holder: row.expires_at for row in self._members()}
        return [
            replace(row, expires_at=ends.get(row.holder, 0.0))
            for row in self._rows.values()
            if row.holder
        ]

    def _members(self) -> list[Lease]:
        return [
            row for row in self._rows.values() if row.holder and row.name == member_name(row.holder)
        ]
