"""What a customer's batch of submit_sm comes to: drafts, writes and answers, in one commit.

Long texts arrive in parts. Each part is kept, durably, and answered with an id of its own, the
SID that the text will have and the part's number; the whole is accepted with the last one, and
its receipt is given for every id. A text that never becomes whole is told as expired.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.messages.accept import Accepted
from gateway.messages.customers import drafts, jobs
from gateway.messages.customers.jobs import Asked, Told
from gateway.messages.customers.model import Customer
from gateway.messages.draft import CUSTOMER, Draft, Refusal
from gateway.messages.receive import FORGET_GROUP, PART, PARTS
from gateway.sids import SMS, new_sid
from gateway.store.base import Store, Write
from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import DataSm, SubmitSm
from protocols.smpp.reassembly import (
    Duplicate,
    Incomplete,
    Part,
    Reassembly,
    Whole,
    join,
    restore,
)

_LIFETIME: Final = 600.0
_MAX_UNFINISHED: Final = 10_000
_BETWEEN: Final = "-"  # the SID of a text and the number of a part


class _KeptPart(msgspec.Struct, frozen=True, array_like=True):
    """What column `payload` of table `inbound_parts` holds for a customer's part."""

    message_id: str
    receipt: int
    reference: int | None
    stored: bytes

    @property
    def asked(self) -> Asked:
        """What its sender wants to be told."""
        return Asked(message_id=self.message_id, reference=self.reference, when=self.receipt)


_Group = dict[int, _KeptPart]

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_KeptPart)


class Taken(msgspec.Struct, kw_only=True):
    """One batch: what to commit, and then whom to answer how (by position in the batch).

    `jobs` are to be offered after the commit; `parts` are taken back if it fails.
    """

    writes: list[Write] = []
    accepted: list[Accepted] = []
    jobs: list[Job] = []
    answers: list[tuple[CommandStatus, str]] = []  # command_status, message_id
    parts: list[tuple[str, int, _Group]] = []
    joined: set[str] = set()

    def add_jobs(self, due: Iterable[Job]) -> None:
        """Insert jobs in this commit."""
        for job in due:
            self.writes.append(job_inserted(job))
            self.jobs.append(job)


class Intake:
    """Reads batches; `plan` is the message path's."""

    def __init__(
        self, plan: Callable[[Draft], Accepted | Refusal], customers: Iterable[Customer]
    ) -> None:
        self._plan = plan
        self.declare(customers)
        self._reassembly = Reassembly(lifetime=_LIFETIME, limit=_MAX_UNFINISHED)
        self._groups: dict[str, _Group] = {}
        self._finished: OrderedDict[str, _Group] = OrderedDict()
        self._sids: dict[str, str] = {}  # of texts that are not whole yet: whose they are

    def declare(self, customers: Iterable[Customer]) -> None:
        """These are the customers from now on."""
        self._customers = {customer.system_id: customer for customer in customers}

    async def recover(self, store: Store, system_id: str) -> None:
        """Take up the parts of a customer that another run, or another process, kept."""
        for group_key, number, payload, at in await store.fetch(PARTS):
            if group_key.startswith(CUSTOMER) and _system_id(group_key) == system_id:
                kept = _decoder.decode(payload)
                self._reassembly.add(restore(group_key, number, kept.stored), at)
                self._groups.setdefault(group_key, {})[number] = kept
                self._sids[text_sid(kept.message_id)] = _system_id(group_key)

    def waits(self, system_id: str, sid: str) -> bool:
        """Whether parts of this text of the customer are here and others are not."""
        return self._sids.get(sid) == system_id

    def take(self, customer: Customer, pdus: Sequence[SubmitSm | DataSm], now: float) -> Taken:
        """What `pdus` come to; nothing is promised before `writes` are committed."""
        taken = Taken()
        for pdu in pdus:
            asked = drafts.read(pdu, customer.system_id, customer.senders, now)
            if isinstance(asked, CommandStatus):
                taken.answers.append((asked, ""))
            elif asked.part is not None:
                self._part(customer, asked, asked.part, now, taken)
            else:
                self._short(customer, asked, taken)
        return taken

    def take_back(self, taken: Taken, now: float) -> None:
        """`taken` was not committed: its parts were never here, and come again."""
        for key, number, group in taken.parts:
            if key not in self._finished or key in taken.joined:
                self._without(key, number, group, now)

    def _short(self, customer: Customer, asked: drafts.Submitted, taken: Taken) -> None:
        told = Told(
            system_id=customer.system_id,
            asked=(Asked(reference=asked.reference, when=asked.receipt),),
        )
        result = self._plan(
            _draft(customer, asked, asked.body, told.uri() if asked.receipt else "")
        )
        if isinstance(result, Refusal):
            taken.answers.append((drafts.status_of(result), ""))
            return
        taken.writes += result.writes
        taken.accepted.append(result)
        taken.answers.append((CommandStatus.ESME_ROK, result.message.sid))

    def _part(
        self, customer: Customer, asked: drafts.Submitted, part: Part, now: float, taken: Taken
    ) -> None:
        key = part.group_key
        result = self._reassembly.add(part, now)
        if isinstance(result, Duplicate):
            self._again(key, part.number, now, taken)
            return
        for unfinished in result.displaced:
            self._give_up(unfinished.group_key, now, taken)
        group = self._groups.setdefault(key, {})
        sid = text_sid(next(iter(group.values())).message_id) if group else new_sid(SMS, now)
        self._sids[sid] = customer.system_id
        kept = _KeptPart(
            f"{sid}{_BETWEEN}{part.number}", asked.receipt, asked.reference, part.stored
        )
        group[part.number] = kept
        match result:
            case Incomplete():
                taken.parts.append((key, part.number, group))
                taken.writes.append((PART, (key, part.number, _encode(kept), now)))
                taken.answers.append((CommandStatus.ESME_ROK, kept.message_id))
            case Whole():
                self._joined(customer, asked, result, part.number, now, taken)

    def _joined(
        self,
        customer: Customer,
        asked: drafts.Submitted,
        whole: Whole,
        last: int,
        now: float,
        taken: Taken,
    ) -> None:
        key = whole.group_key
        group = self._groups[key]
        sid = text_sid(group[last].message_id)
        wishes = tuple(group[number].asked for number in sorted(group) if group[number].receipt)
        told = Told(system_id=customer.system_id, asked=wishes)
        body, callback = join(whole.parts), told.uri() if wishes else ""
        result = self._plan(_draft(customer, asked, body, callback, sid))
        if isinstance(result, Refusal):  # the other parts wait: this one may come again
            self._without(key, last, group, now)
            taken.answers.append((drafts.status_of(result), ""))
            return
        del self._groups[key]
        self._sids.pop(sid, None)
        self._remember(key, group)
        taken.joined.add(key)
        taken.parts.append((key, last, group))
        taken.writes += result.writes
        taken.writes.append((FORGET_GROUP, (key,)))
        taken.accepted.append(result)
        taken.answers.append((CommandStatus.ESME_ROK, group[last].message_id))

    def _remember(self, key: str, group: _Group) -> None:
        self._finished.pop(key, None)
        self._finished[key] = group
        if len(self._finished) > _MAX_UNFINISHED:
            self._finished.popitem(last=False)

    def _again(self, key: str, number: int, now: float, taken: Taken) -> None:
        """A part that is here already gets its id again."""
        kept = (self._groups.get(key) or self._finished.get(key) or {}).get(number)
        if kept is not None and key in self._groups:
            # Its first commit may still run: the answer must not be quicker.
            taken.writes.append((PART, (key, number, _encode(kept), now)))
        taken.answers.append((CommandStatus.ESME_ROK, kept.message_id if kept else ""))

    def _without(self, key: str, number: int, group: _Group, now: float) -> None:
        """The text as it was before this part came."""
        kept = group.pop(number, None)
        self._finished.pop(key, None)
        self._reassembly.forget(key)
        self._groups.pop(key, None)
        if kept is not None:
            self._sids.pop(text_sid(kept.message_id), None)
        for other, part in group.items():
            self._reassembly.add(restore(key, other, part.stored), now)
            self._groups[key] = group
            self._sids[text_sid(part.message_id)] = _system_id(key)

    def _give_up(self, key: str, now: float, taken: Taken) -> None:
        """The rest of a text never came: whoever wants to hear of its parts is told."""
        taken.writes.append((FORGET_GROUP, (key,)))
        owner, from_address, to_address = key.split("\t")[:3]
        system_id = owner.removeprefix(CUSTOMER)
        customer = self._customers.get(system_id)
        for kept in self._groups.pop(key, {}).values():
            sid = text_sid(kept.message_id)
            self._sids.pop(sid, None)
            if customer is not None:
                between = from_address, to_address
                taken.add_jobs(
                    jobs.for_unfinished(
                        customer.account_sid, sid, system_id, between, kept.asked, now
                    )
                )

    def expire(self, now: float) -> Taken:
        """Give up the texts that got no part for long."""
        taken = Taken()
        for unfinished in self._reassembly.expire(now):
            self._give_up(unfinished.group_key, now, taken)
        return taken


def text_sid(message_id: str) -> str:
    """The SID of the text that a customer's `message_id` is about: it may name a part."""
    return message_id.partition(_BETWEEN)[0]


def _system_id(group_key: str) -> str:
    return group_key.partition("\t")[0].removeprefix(CUSTOMER)


def _draft(
    customer: Customer, asked: drafts.Submitted, body: str, callback: str, sid: str = ""
) -> Draft:
    return Draft(
        account_sid=customer.account_sid,
        to_address=asked.to_address,
        from_address=asked.from_address,
        body=body,
        status_callback=callback,
        validity_period=asked.validity_period,
        origin=f"{CUSTOMER}{customer.system_id}",
        sid=sid,
    )
