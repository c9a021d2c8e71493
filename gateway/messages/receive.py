"""Texts from handsets: put together, kept, and passed on to whoever holds the number.

A part is durable before it is answered. The whole text becomes a message, a fact and the jobs
that tell of it, in the commit that also forgets its parts. A text whose last part never comes is
passed on as far as it came: nothing that was answered is lost.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from carriers.events import BindDown, Delivery, Received
from gateway.core.runner import Job
from gateway.events import FactType, message_fact
from gateway.messages import records, trace
from gateway.messages.changes import Changes
from gateway.messages.copies import Copies
from gateway.messages.draft import CARRIER
from gateway.model import Direction, Message, MessageStatus, PhoneNumber
from gateway.sids import SMS, new_sid
from gateway.store.base import Delete, Insert, Query, Store
from protocols.smpp import text
from protocols.smpp.constants import CommandStatus
from protocols.smpp.reassembly import (
    Duplicate,
    Incomplete,
    Part,
    Reassembly,
    Unfinished,
    Whole,
    join,
    part_of,
    restore,
    text_of,
)

_log = structlog.get_logger(__name__)

PART: Final = Insert(
    table="inbound_parts",
    columns=("group_key", "part", "payload", "at"),
    ignore_taken=("group_key", "part"),
)
FORGET_GROUP: Final = Delete(table="inbound_parts", key=("group_key",))
PARTS: Final = Query(
    "inbound_parts_all", "SELECT group_key, part, payload, at FROM inbound_parts ORDER BY at"
)
_LIFETIME: Final = 600.0  # seconds without a new part
_MAX_UNFINISHED: Final = 10_000

Holder = Callable[[str], PhoneNumber | None]
Jobs = Callable[[Message, PhoneNumber], Sequence[Job]]


class Receiver:
    """Turns `Received` into messages; `holder` knows the numbers, `jobs` who is told."""

    def __init__(self, *, holder: Holder, jobs: Jobs) -> None:
        self._holder = holder
        self._jobs = jobs
        self._reassembly = Reassembly(lifetime=_LIFETIME, limit=_MAX_UNFINISHED)
        self._frames: dict[str, list[trace.Frame]] = {}  # PDUs of texts that are not whole yet
        self._copies = Copies()

    async def recover(self, store: Store, carrier: str, now: float) -> None:
        """Take up the parts from `carrier` that its last owner kept, and what it took lately."""
        await self._copies.recover(store, carrier, now)
        for group_key, number, stored, at in await store.fetch(PARTS):
            if _carrier_of(group_key) == carrier:
                self._reassembly.add(restore(group_key, number, stored), at)

    def drop(self, carrier: str) -> None:
        """Forget the parts from `carrier`, which has another owner now."""
        self._copies.drop(carrier)
        for group_key in self._reassembly.unfinished():
            if _carrier_of(group_key) == carrier:
                self._reassembly.forget(group_key)
                self._frames.pop(group_key, None)

    def received(self, event: Received, changes: Changes) -> None:
        """A text or a part of one; answered when what it led to is durable."""
        number = self._holder(event.to_address)
        if number is None:
            _log.warning(
                "a text for a number that nobody holds is refused",
                carrier=event.carrier,
                to=event.to_address,
                remedy="add it under [[numbers]] or with IncomingPhoneNumbers",
            )
            changes.answers.append((event.delivery, CommandStatus.ESME_RINVDSTADR))
            return
        changes.answers.append((event.delivery, CommandStatus.ESME_ROK))
        if self._copies.is_copy(event, changes):
            _log.info("a text that was delivered again is not taken twice", carrier=event.carrier)
            return
        self._take(event, number, changes)
        self._copies.taken(event, changes)

    def refused(self, event: Received) -> None:
        """`event` was handed back after all, and comes again."""
        self._copies.refused(event.delivery)

    def read(self, deliveries: Iterable[Delivery], changes: Changes) -> None:
        """The carriers have read our answers to these: they don't deliver them again."""
        self._copies.read(deliveries, changes)

    def bind_lost(self, event: BindDown, changes: Changes) -> None:
        """What the bind delivered last may be delivered again."""
        self._copies.bind_lost(event, changes)

    def _take(self, event: Received, number: PhoneNumber, changes: Changes) -> None:
        frames = [trace.Frame(event.at, False, octets) for octets in event.octets]
        part = part_of(
            esm_class=event.esm_class,
            data_coding=event.data_coding,
            payload=event.payload,
            tlvs=event.tlvs,
            from_address=event.from_address,
            to_address=event.to_address,
            carrier=event.carrier,
        )
        if part is not None:
            self._part(event, part, frames, changes)
            return
        body = text_of(
            esm_class=event.esm_class,
            data_coding=event.data_coding,
            payload=event.payload,
            tlvs=event.tlvs,
        )
        self._message(event.carrier, event.from_address, number, body, 1, event.at, frames, changes)

    def _part(
        self, event: Received, part: Part, frames: list[trace.Frame], changes: Changes
    ) -> None:
        result = self._reassembly.add(part, event.at)
        match result:
            case Duplicate():
                return
            case Incomplete():
                self._displaced(result.displaced, event.at, changes)
                kept = (part.group_key, part.number, part.stored, event.at)
                changes.write((PART, kept))
                self._frames.setdefault(part.group_key, []).extend(frames)
            case Whole():
                self._displaced(result.displaced, event.at, changes)
                frames = self._frames.pop(part.group_key, []) + frames
                self._whole(part.group_key, result.parts, part.total, event.at, frames, changes)

    def _displaced(self, given_up: Sequence[Unfinished], now: float, changes: Changes) -> None:
        for text_so_far in given_up:
            key = text_so_far.group_key
            _log.warning("a long text came in part only", group=key, reason=text_so_far.reason)
            frames = self._frames.pop(key, [])
            self._whole(key, text_so_far.parts, text_so_far.total, now, frames, changes)

    def _whole(
        self,
        group_key: str,
        parts: Sequence[Part],
        total: int,
        now: float,
        frames: list[trace.Frame],
        changes: Changes,
    ) -> None:
        carrier, from_address, to_address = group_key.split("\t")[:3]
        changes.write((FORGET_GROUP, (group_key,)))
        number = self._holder(to_address)
        if number is not None:
            body = join(parts)
            self._message(carrier, from_address, number, body, total, now, frames, changes)

    def _message(
        self,
        carrier: str,
        from_address: str,
        number: PhoneNumber,
        body: str,
        segments: int,
        now: float,
        frames: Sequence[trace.Frame],
        changes: Changes,
    ) -> None:
        message = Message(
            account_sid=number.account_sid,
            sid=new_sid(SMS, now),
            direction=Direction.INBOUND,
            status=MessageStatus.RECEIVED,
            from_address=from_address,
            to_address=number.phone_number,
            body=body,
            num_segments=segments,
            parts=segments,
            encoding=text.choose(body),
            origin=CARRIER,
            carrier=carrier,
            valid_until=now,
            date_created=now,
            date_updated=now,
            date_sent=now,
        )
        changes.write(
            records.inserted(message),
            message_fact(
                message, FactType.MESSAGE_RECEIVED, now, carrier=carrier, segments=segments
            ),
        )
        if frames:
            changes.write(trace.kept(message.sid, frames))
        changes.add_jobs(self._jobs(message, number))

    def expire(self, now: float, changes: Changes) -> None:
        """Pass on, as far as they came, texts whose next part does not come."""
        self._displaced(self._reassembly.expire(now), now, changes)
        self._copies.expire(now)


def _carrier_of(group_key: str) -> str:
    return group_key.partition("\t")[0]
