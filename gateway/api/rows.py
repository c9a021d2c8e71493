"""Pages of what is read whole: the few things that are below another one."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from gateway.api.paging import Page, Slice

__all__ = ["sliced"]

T = TypeVar("T")


def sliced(rows: Sequence[T], sid_of: Callable[[T], str], page: Page) -> Slice:
    """One page of `rows`, in their order; a SID that is gone begins anew."""
    sids = [sid_of(row) for row in rows]
    start = sids.index(page.after) + 1 if page.after in sids else 0
    if page.before in sids:
        start = max(0, sids.index(page.before) - page.size)
    end = start + page.size
    return Slice(rows=list(rows[start:end]), sids=sids[start:end], older=end < len(rows))
