"""What a customer's batch of submit_sm comes to: drafts, writes and answers, in one commit.

Long texts arrive in parts. Each part is kept, durably, and answered with an id of its own, the
SID that the text will have and the part's number; the whole is accepted with the last one, and
its receipt is given for every id. A text that never becomes whole is told as expired. The parts
of one text may come to several processes, or to one that ended since: what is here of a text is
what the store holds of it.
"""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.messages.accept import Accepted
from gateway.messages.customers import drafts, parts
from gateway.messages.customers.jobs import Asked, Told
from gateway.messages.customers.model import Customer
from gateway.messages.customers.parts import KeptPart, Parts, Text, part_id, text_sid
from gateway.messages.customers.unfinished import LIFETIME, given_up
from gateway.messages.draft import CUSTOMER, Draft, Refusal
from gateway.sids import SMS, new_sid
from gateway.store.base import Conflict, Store, Write
from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import DataSm, SubmitSm
from protocols.smpp.reassembly import Part

_REMEMBERED: Final = 10_000  # texts that became whole: their parts may come again
_TRIES: Final = 20  # while other processes get parts of the same texts


class Taken(msgspec.Struct, kw_only=True):
    """What a batch came to: whom to answer how (by position in the batch), and what to do.

    `joined` are the texts that became whole, by key.
    """

    writes: list[Write] = []
    accepted: list[Accepted] = []
    jobs: list[Job] = []
    answers: list[tuple[CommandStatus, str]] = []  # command_status, message_id
    joined: dict[str, Parts] = {}

    def accept(self, result: Accepted, message_id: str) -> None:
        """A message is made, and its request answered."""
        self.writes += result.writes
        self.accepted.append(result)
        self.answers.append((CommandStatus.ESME_ROK, message_id))

    def add_jobs(self, due: Iterable[Job]) -> None:
        """Insert jobs in this commit."""
        for job in due:
            self.writes.append(job_inserted(job))
            self.jobs.append(job)


class _Whole(msgspec.Struct, frozen=True):
    """A text that became whole lately: its parts, and when that was seen."""

    parts: Parts
    at: float


class Intake:
    """Takes batches; `plan` is the message path's."""

    def __init__(self, store: Store, plan: Callable[[Draft], Accepted | Refusal]) -> None:
        self._store = store
        self._plan = plan
        # One batch with parts at a time: those of one process need not collide in the store.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._whole: OrderedDict[str, _Whole] = OrderedDict()

    async def take(
        self, customer: Customer, pdus: Sequence[SubmitSm | DataSm], now: float
    ) -> Taken:
        """What `pdus` came to; it is durable. Raises `StoreError`: then nothing was taken."""
        read = [drafts.read(pdu, customer.system_id, customer.senders, now) for pdu in pdus]
        keys = dict.fromkeys(
            each.part.group_key
            for each in read
            if not isinstance(each, CommandStatus) and each.part is not None
        )
        if not keys:
            taken = self._decide(customer, read, {}, now)
            if taken.writes:
                await self._store.commit(taken.writes)
            return taken
        async with self._turns[customer.system_id]:
            return await self._take_parts(customer, read, list(keys), now)

    async def waits(self, system_id: str, sid: str) -> bool:
        """Whether parts of this text of the customer are here and others are not."""
        return await parts.waits(self._store, system_id, sid)

    async def _take_parts(
        self,
        customer: Customer,
        read: Sequence[drafts.Submitted | CommandStatus],
        keys: Sequence[str],
        now: float,
    ) -> Taken:
        tried: dict[str, Parts] = {}
        for _ in range(_TRIES):
            texts = await parts.read(self._store, keys)
            await self._forget_whole(customer, texts, tried, now)
            taken = self._decide(customer, read, texts, now)
            for text in texts.values():
                taken.writes += text.writes(now)
            try:
                if taken.writes:
                    await self._store.commit(taken.writes)
            except Conflict:  # another process got parts of these texts at this moment
                tried = taken.joined
                continue
            for key, joined in taken.joined.items():
                self._remember(key, joined, now)
            return taken
        raise Conflict("other processes get parts of the same texts all the time")

    async def _forget_whole(
        self, customer: Customer, texts: dict[str, Text], tried: dict[str, Parts], now: float
    ) -> None:
        """Of texts that another process completed, parts that came twice may be left."""
        found = [*(text.parts for text in texts.values()), *tried.values()]
        whole = await parts.whole(self._store, customer.account_sid, found)
        for key, text in texts.items():
            left = text.take_out(whole)
            if left:
                self._remember(key, left, now)
        for key, joined in tried.items():
            if any(text_sid(part.message_id) in whole for part in joined.values()):
                self._remember(key, joined, now)

    def _decide(
        self,
        customer: Customer,
        read: Sequence[drafts.Submitted | CommandStatus],
        texts: dict[str, Text],
        now: float,
    ) -> Taken:
        taken = Taken()
        for asked in read:
            if isinstance(asked, CommandStatus):
                taken.answers.append((asked, ""))
            elif asked.part is not None:
                self._part(customer, asked, asked.part, texts[asked.part.group_key], now, taken)
            else:
                self._short(customer, asked, taken)
        return taken

    def _short(self, customer: Customer, asked: drafts.Submitted, taken: Taken) -> None:
        wish = Asked(reference=asked.reference, when=asked.receipt)
        wishes = (wish,) if asked.receipt else ()
        result = self._plan(_draft(customer, asked, asked.body, wishes))
        if isinstance(result, Refusal):
            taken.answers.append((drafts.status_of(result), ""))
        else:
            taken.accept(result, result.message.sid)

    def _part(
        self,
        customer: Customer,
        asked: drafts.Submitted,
        part: Part,
        text: Text,
        now: float,
        taken: Taken,
    ) -> None:
        known = self._known(text, part, taken, now)
        if known is not None:
            taken.answers.append((CommandStatus.ESME_ROK, known.message_id))
            return
        overdue = 0.0 < text.last_at <= now - LIFETIME
        if part.number in text.parts or overdue:  # its reference is used again
            taken.add_jobs(given_up(customer, text, now))
            text.take_all()
        sid = text.sid or new_sid(SMS, now)
        kept = KeptPart(part_id(sid, part.number), asked.receipt, asked.reference, part.stored)
        text.parts[part.number] = kept
        if len(text.parts) < part.total:
            taken.answers.append((CommandStatus.ESME_ROK, kept.message_id))
            return
        result = self._plan(_draft(customer, asked, text.body(), text.wishes(), sid))
        if isinstance(result, Refusal):  # the other parts wait: this one may come again
            del text.parts[part.number]
            taken.answers.append((drafts.status_of(result), ""))
            return
        taken.joined[part.group_key] = text.take_all()
        taken.accept(result, kept.message_id)

    def _known(self, text: Text, part: Part, taken: Taken, now: float) -> KeptPart | None:
        """The same part, if it came before; its text may be whole since."""
        whole = self._whole.get(part.group_key)
        lately = whole.parts if whole is not None and now - whole.at < LIFETIME else {}
        for found in (text.parts, taken.joined.get(part.group_key, {}), lately):
            known = found.get(part.number)
            if known is not None and known.stored == part.stored:
                return known
        return None

    def _remember(self, key: str, joined: Parts, now: float) -> None:
        self._whole.pop(key, None)
        self._whole[key] = _Whole(joined, now)
        if len(self._whole) > _REMEMBERED:
            self._whole.popitem(last=False)


def _draft(
    customer: Customer,
    asked: drafts.Submitted,
    body: str,
    wishes: tuple[Asked, ...],
    sid: str = "",
) -> Draft:
    told = Told(system_id=customer.system_id, asked=wishes)
    return Draft(
        account_sid=customer.account_sid,
        to_address=asked.to_address,
        from_address=asked.from_address,
        body=body,
        status_callback=told.uri() if wishes else "",
        validity_period=asked.validity_period,
        origin=f"{CUSTOMER}{customer.system_id}",
        sid=sid,
    )
