"""What the writer is told and what it tells, whichever place it works in."""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec

from gateway.store.base import Lease, StoreError, StoreUnavailable
from gateway.store.sqlite_file import shrink
from gateway.store.sqlite_generations import Generation
from gateway.store.sqlite_writer import Applied, Commit, Errors, Writer

_log = logging.getLogger(__name__)  # a process that only writes has no other

MAX_GROUP: Final = 2000  # commits in one transaction
LINGER: Final = 0.003  # seconds that the writer waits for more, while commits come together


class Renew(msgspec.Struct, frozen=True, tag="renew"):
    """`Store.renew`, at `now`."""

    holder: str
    ttl: float
    now: float


class Bury(msgspec.Struct, frozen=True, tag="bury"):
    """`Store.bury`, at `now`."""

    holder: str
    by: str
    now: float


class Claim(msgspec.Struct, frozen=True, tag="claim"):
    """`Store.claim`."""

    names: Sequence[str]
    member: Lease


class Release(msgspec.Struct, frozen=True, tag="release"):
    """`Store.release`."""

    names: Sequence[str]
    member: Lease


class Leases(msgspec.Struct, frozen=True, tag="leases"):
    """`Store.leases`."""


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """`Store.drop_generation`."""

    generation: Generation


class Shrink(msgspec.Struct, frozen=True, tag="shrink"):
    """`Store.rest`: let go of the pages that the writer keeps."""


Order = Renew | Bury | Claim | Release | Leases | Drop | Shrink


class Outcome(msgspec.Struct, kw_only=True):
    """What became of a group: `trouble` is why none of it could be written."""

    errors: Errors = {}
    applied: Applied = msgspec.field(default_factory=Applied)
    seconds: float = 0.0
    trouble: str = ""


def work(
    writer: Writer, items: Iterable[Commit | Order]
) -> Iterator[tuple[int, Outcome] | tuple[None, Any]]:
    """Do what is asked, in its order.

    Commits in a row go together: how many they were, and their `Outcome`. An order gives None and
    its answer, or a `StoreError`.
    """
    for kind, run in groupby(items, type):
        if kind is tuple:
            commits = cast(list[Commit], list(run))
            for at in range(0, len(commits), MAX_GROUP):
                group = commits[at : at + MAX_GROUP]
                yield len(group), apply(writer, group)
        else:
            for order in cast(Iterator[Order], run):
                yield None, obey(writer, order)


def apply(writer: Writer, group: Sequence[Commit]) -> Outcome:
    """Write a group. Whatever a commit does to the writer, it goes on."""
    started = time.perf_counter()
    outcome = Outcome()
    try:
        outcome.applied = writer.apply(group, outcome.errors)
    except Exception as error:
        outcome.trouble = str(_told(error))
        for at in range(len(group)):
            outcome.errors.setdefault(at, StoreUnavailable(outcome.trouble))
    outcome.seconds = time.perf_counter() - started
    return outcome


def obey(writer: Writer, order: Order) -> Any:
    """Do as told; the answer, or a `StoreError` in its place."""
    try:
        return _obeyed(writer, order)
    except StoreError as error:
        return error
    except Exception as error:  # the writer must outlive it
        return _told(error)


def _obeyed(writer: Writer, order: Order) -> Any:
    match order:
        case Renew(holder=holder, ttl=ttl, now=now):
            return writer.renew(holder, ttl, now)
        case Bury(holder=holder, by=by, now=now):
            return writer.bury(holder, by, now)
        case Claim(names=names, member=member):
            return writer.claim(names, member)
        case Release(names=names, member=member):
            return writer.release(names, member)
        case Leases():
            return writer.leases()
        case Drop(generation=generation):
            return writer.drop(generation)
        case Shrink():
            return shrink(writer.connection)


def _told(error: Exception) -> StoreUnavailable:
    if isinstance(error, StoreUnavailable):
        return error
    _log.error("the store's writer failed", exc_info=error)
    return StoreUnavailable(f"the store's writer failed ({type(error).__name__}: {error})")
