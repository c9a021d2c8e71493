"""Long texts of customers that never became whole: given up, and told to who wants to hear it.

One process does this for all: a customer that is bound nowhere has such texts too.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.messages.customers import jobs, parts
from gateway.messages.customers.model import Customer
from gateway.messages.customers.parts import Text, text_sid
from gateway.messages.draft import CUSTOMER
from gateway.messages.ownership import Owner
from gateway.store.base import Query, Store, Write

_log = structlog.get_logger(__name__)

LIFETIME: Final = 600.0  # seconds without a new part
# Whoever gets a part of an older text gives that up itself: for so long nobody else may.
_LEFT_ALONE: Final = 30.0
_MOST: Final = 10_000  # texts of one customer that wait; beyond that the oldest go
_PAGE: Final = 50  # texts of one commit
_ALL: Final = Query(
    "customer_texts_unfinished",
    "SELECT group_key, max(at) FROM inbound_parts WHERE group_key >= $1 AND group_key < $2"
    " GROUP BY group_key ORDER BY max(at) DESC",
)
_FROM: Final = CUSTOMER
_TO: Final = CUSTOMER[:-1] + chr(ord(CUSTOMER[-1]) + 1)


class Unfinished:
    """Gives up texts of `customers` that are too old, or too many; `offer` takes the jobs."""

    def __init__(
        self,
        customers: Callable[[], Iterable[Customer]],
        offer: Callable[[Job], None],
        owner: Owner,
    ) -> None:
        self._customers = customers
        self._offer = offer
        self._owner = owner

    async def forget(self, store: Store, now: float) -> int:
        """Give up what should be by now; how many texts. Those of nobody's go without a word."""
        waiting: Counter[str] = Counter()
        due: dict[str, list[str]] = {}
        for key, at in await store.fetch(_ALL, _FROM, _TO):
            system_id = _system_id(key)
            waiting[system_id] += 1
            if now - at >= LIFETIME + _LEFT_ALONE or waiting[system_id] > _MOST:
                due.setdefault(system_id, []).append(key)
        customers = {customer.system_id: customer for customer in self._customers()}
        for system_id, keys in due.items():
            for start in range(0, len(keys), _PAGE):
                some = keys[start : start + _PAGE]
                await self._give_up(store, customers.get(system_id), some, now)
            _log.info("long texts came in part only", customer=system_id, texts=len(keys))
        return sum(map(len, due.values()))

    async def _give_up(
        self, store: Store, customer: Customer | None, keys: list[str], now: float
    ) -> None:
        texts = (await parts.read(store, keys)).values()
        writes: list[Write] = []
        due: list[Job] = []
        if customer is not None:
            found = [text.parts for text in texts]
            whole = await parts.whole(store, customer.account_sid, found)
            for text in texts:
                text.take_out(whole)
                due += given_up(customer, text, now)
        for text in texts:
            text.take_all()
            writes += text.writes(now)
        await store.commit([*writes, *map(job_inserted, due)], self._owner.lease())
        for job in due:
            self._offer(job)


def given_up(customer: Customer, text: Text, now: float) -> list[Job]:
    """The jobs that tell of the parts of `text`, whose others never came."""
    return [
        job
        for part in text.parts.values()
        for job in jobs.for_unfinished(
            customer.account_sid,
            text_sid(part.message_id),
            customer.system_id,
            text.between,
            part.asked,
            now,
        )
    ]


def _system_id(key: str) -> str:
    return key.partition("\t")[0].removeprefix(CUSTOMER)
