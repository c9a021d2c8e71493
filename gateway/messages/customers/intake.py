"""What a customer's batch of submit_sm comes to: drafts, writes and answers, in one commit.

Long texts arrive in parts. Each part is kept, durably, and answered with an id of its own; the
whole is accepted with the last one, and its receipt is given for every id.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from gateway.messages.accept import Accepted
from gateway.messages.customers import drafts
from gateway.messages.customers.jobs import Told
from gateway.messages.customers.model import Customer
from gateway.messages.draft import CUSTOMER, Draft, Refusal
from gateway.messages.receive import FORGET_GROUP, PART, PARTS
from gateway.sids import SMS, new_sid
from gateway.store.base import Store, Write
from protocols.smpp.constants import CommandStatus
from protocols.smpp.pdu import DataSm, SubmitSm
from protocols.smpp.reassembly import Duplicate, Incomplete, Reassembly, Whole, join, restore

_LIFETIME: Final = 600.0
_MAX_UNFINISHED: Final = 10_000


class _KeptPart(msgspec.Struct, frozen=True, array_like=True):
    """What column `payload` of table `inbound_parts` holds for a customer's part."""

    message_id: str
    wants_receipt: bool
    stored: bytes


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(_KeptPart)


class Taken(msgspec.Struct, kw_only=True):
    """One batch: what to commit, and then whom to answer how (by position in the batch)."""

    writes: list[Write] = []
    accepted: list[Accepted] = []
    answers: list[tuple[CommandStatus, str]] = []  # command_status, message_id


class Intake:
    """Reads batches; `plan` is the message path's."""

    def __init__(self, plan: Callable[[Draft], Accepted | Refusal]) -> None:
        self._plan = plan
        self._reassembly = Reassembly(lifetime=_LIFETIME, limit=_MAX_UNFINISHED)
        self._ids: dict[str, dict[int, _KeptPart]] = {}

    async def recover(self, store: Store) -> None:
        """Take up the parts that the last run kept."""
        for group_key, number, payload, at in await store.fetch(PARTS):
            if group_key.startswith(CUSTOMER):
                kept = _decoder.decode(payload)
                self._reassembly.add(restore(group_key, number, kept.stored), at)
                self._ids.setdefault(group_key, {})[number] = kept

    def take(self, customer: Customer, pdus: Sequence[SubmitSm | DataSm], now: float) -> Taken:
        """What `pdus` come to; nothing is promised before `writes` are committed."""
        taken = Taken()
        for pdu in pdus:
            asked = drafts.read(pdu, customer.system_id, customer.senders)
            if isinstance(asked, CommandStatus):
                taken.answers.append((asked, ""))
            elif asked.part is not None:
                self._part(customer, asked, now, taken)
            else:
                self._whole(customer, asked, asked.body, (), asked.wants_receipt, taken)
        return taken

    def _whole(
        self,
        customer: Customer,
        asked: drafts.Submitted,
        body: str,
        ids: tuple[str, ...],
        wants_receipt: bool,
        taken: Taken,
    ) -> bool:
        told = Told(system_id=customer.system_id, ids=ids, reference=asked.reference)
        result = self._plan(
            Draft(
                account_sid=customer.account_sid,
                to_address=asked.to_address,
                from_address=asked.from_address,
                body=body,
                status_callback=told.uri() if wants_receipt else "",
                validity_period=asked.validity_period,
                origin=f"{CUSTOMER}{customer.system_id}",
            )
        )
        if isinstance(result, Refusal):
            taken.answers.append((drafts.status_of(result), ""))
            return False
        taken.writes += result.writes
        taken.accepted.append(result)
        taken.answers.append((CommandStatus.ESME_ROK, ids[-1] if ids else result.message.sid))
        return True

    def _part(self, customer: Customer, asked: drafts.Submitted, now: float, taken: Taken) -> None:
        part = asked.part
        assert part is not None
        key = part.group_key
        known = self._ids.get(key, {})
        result = self._reassembly.add(part, now)
        if isinstance(result, Duplicate):
            again = known.get(part.number)
            taken.answers.append((CommandStatus.ESME_ROK, again.message_id if again else ""))
            return
        for unfinished in result.displaced:
            # Its sender has the ids but never sent the rest: there is no text to send.
            self._ids.pop(unfinished.group_key, None)
            taken.writes.append((FORGET_GROUP, (unfinished.group_key,)))
        kept = _KeptPart(new_sid(SMS, now), asked.wants_receipt, part.stored)
        group = self._ids.setdefault(key, {})
        group[part.number] = kept
        match result:
            case Incomplete():
                taken.writes.append((PART, (key, part.number, _encode(kept), now)))
                taken.answers.append((CommandStatus.ESME_ROK, kept.message_id))
            case Whole():
                del self._ids[key]
                told = tuple(
                    group[number].message_id
                    for number in sorted(group, key=lambda n: (n == part.number, n))
                    if group[number].wants_receipt or number == part.number
                )
                wants = any(each.wants_receipt for each in group.values())
                if self._whole(customer, asked, join(result.parts), told, wants, taken):
                    taken.writes.append((FORGET_GROUP, (key,)))

    def expire(self, now: float) -> list[Write]:
        """Forget parts whose text never became whole."""
        expired = self._reassembly.expire(now)
        for unfinished in expired:
            self._ids.pop(unfinished.group_key, None)
        return [(FORGET_GROUP, (unfinished.group_key,)) for unfinished in expired]
