"""Jobs as a person asks for them: of one account, the newest first, over all generations.

There is no index for what may be asked, so a page looks at a bounded number of rows and says from
where to go on, however few it has found by then.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.core.backlog import END, Place
from gateway.core.records import FAMILY, LAST, JobState, Pending, pending_of, tables
from gateway.store.base import Store

_WINDOW: Final = 5_000  # rows that one read looks at
_WINDOWS: Final = 40  # reads for one page

OPEN: Final = (JobState.AVAILABLE, JobState.AWAITING_RETRY)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs with how they stand, and where the next page begins; None at the end."""

    jobs: list[Pending]
    next: Place | None


def between_bars(states: Iterable[JobState]) -> str:
    """`states` as the queries take them."""
    return "|".join(["", *states, ""])


async def newest_first(
    store: Store,
    account_sid: str,
    *,
    states: Iterable[JobState] = OPEN,
    endpoint: str = "",
    before: Place = END,
    limit: int,
) -> Page:
    """At most `limit` jobs of the account that come before the place `before`."""
    chosen = between_bars(states)
    jobs: list[Pending] = []
    windows = 0
    for number in reversed(await store.generations(FAMILY)):
        if number > before[0]:
            continue
        of = tables(number)
        end = before[1] if number == before[0] else LAST
        while end:
            if windows == _WINDOWS:
                return Page(jobs=jobs, next=(number, end))
            windows += 1
            window = await store.fetch(of.window_start, end, _WINDOW - 1)
            start = window[0][0] if window else ""
            room = limit - len(jobs)
            rows = await store.fetch(
                of.listed, account_sid, start, end, endpoint, endpoint, chosen, room + 1
            )
            jobs += [pending_of(row, number) for row in rows[:room]]
            if len(rows) > room:
                return Page(jobs=jobs, next=jobs[-1].job.place)
            end = start
    return Page(jobs=jobs, next=None)
