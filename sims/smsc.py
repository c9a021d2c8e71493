"""A simulated carrier: an SMPP server that answers every submit_sm as its script says.

Submits come in batches and are answered in one write per batch. What a script does later (late
responses, receipts) waits in an agenda; receipts go over any bind of the same system_id that
receives, and again if they were not answered. The texts that it takes arrive on its handsets.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from protocols.smpp.constants import CommandStatus
from protocols.smpp.events import (
    BindKind,
    BindRequested,
    Closed,
    Event,
    RequestReceived,
    RequestTimedOut,
    ResponseReceived,
    Unbinding,
    Unbound,
)
from protocols.smpp.pdu import SubmitSm, SubmitSmResp, tlv
from protocols.smpp.reassembly import Part, ReferencePool, join, part_of, text_of
from protocols.smpp.session import SessionConfig
from protocols.smpp.tlv import Tag
from sims.addresses import shown
from sims.agenda import Agenda
from sims.faults import Behaviour, Deliver, Drop, Garbage, Respond, SendReceipt, SplitWrites, Wait
from sims.handset import Assembly, Inboxes, InText, NoBind, Outcome, Text, Unanswered, deliver_sms
from sims.ledger import Ledger
from sims.mailbox import Delivery, Mailbox, Texting, answered, unanswered
from sims.message_ids import IdForm, IdPlace, MessageIds, written
from sims.receipts import is_asked_for, receipt
from sims.records import Line, message_reference, submit_line, text_line
from sims.script import Script, Submit
from sims.wire import Wire, listen

_SYSTEM_ID: Final = "simulated"
_TEXT_IN_FOR: Final = 25.0  # seconds that a handset waits for the gateway, all parts together
_AGAIN_AFTER: Final = 1.0  # seconds until a receipt that was refused for the moment goes again
_REFERENCES: Final = 10_000  # pairs of numbers whose last reference is remembered
_REFERENCE_LIVES: Final = 600.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the carrier presents itself; None takes any system_id or password.

    `window` is how many deliver_sm it has in flight per bind, `deliver_timeout` the seconds after
    which one that is not answered goes again, `receipt_id` the form of message ids in receipts,
    `inbox_limit` how many texts its handsets keep together.
    """

    system_id: str | None = None
    password: str | None = None
    window: int = 100
    deliver_timeout: float = 30.0
    message_id: IdForm = IdForm.DECIMAL
    receipt_id: IdForm = IdForm.DECIMAL
    receipt_id_in: IdPlace = IdPlace.BOTH
    inbox_limit: int = 100_000


class _Account:
    """The binds of one system_id that receive, and what waits for them."""

    __slots__ = ("mailbox", "receivers")

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.receivers: list[_Bind] = []


class _Bind:
    """A bind that was accepted; `is_up` until it unbinds, closes or is dropped."""

    __slots__ = ("account", "flight", "is_up", "system_id", "wire")

    def __init__(self, wire: Wire, system_id: str, account: _Account) -> None:
        self.wire = wire
        self.system_id = system_id
        self.account = account
        self.flight: dict[int, Delivery] = {}
        self.is_up = True


class _Taken:
    """A submit_sm that the script is at work on: `steps` from `at` on are to be taken."""

    __slots__ = ("at", "bind", "number", "part", "pdu", "sequence_number", "since", "steps")

    def __init__(
        self, bind: _Bind, sequence_number: int, pdu: SubmitSm, part: Part | None, number: int
    ) -> None:
        self.bind = bind
        self.sequence_number = sequence_number
        self.pdu = pdu
        self.part = part
        self.number = number
        self.steps: Behaviour = ()
        self.at = 0
        self.since = 0.0


class Smsc:
    """The carrier; `clock` gives seconds since the epoch, for receipts and inboxes."""

    def __init__(
        self,
        settings: Settings,
        script: Script,
        ids: MessageIds,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.inboxes = Inboxes(settings.inbox_limit)
        self._settings = settings
        self._script = script
        self._ids = ids
        self._ledger = ledger
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._assembly = Assembly()
        self._references = ReferencePool(bits=8, limit=_REFERENCES)
        self._accounts: dict[str, _Account] = {}
        self._binds: dict[Wire, _Bind] = {}
        self._agenda: Agenda[Callable[[], None]] = Agenda()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._touched: set[Wire] = set()
        self._lines: list[Line] = []
        self._now = 0.0  # the loop's time, taken once per batch
        self._at = 0.0  # the clock's

    # From outside

    async def listen(self, host: str, port: int) -> int:
        """Take connections on `host`; returns the port, a free one for 0."""
        settings = self._settings
        config = SessionConfig(
            window=settings.window, response_timeout=settings.deliver_timeout, late_memory=0
        )
        self._server, taken = await listen(host, port, config, self)
        return taken

    async def close(self) -> None:
        """Stop at once: the binds are cut."""
        if self._server is not None:
            self._server.close()
        if self._alarm is not None:
            self._alarm.cancel()
        for wire in list(self._binds):
            wire.abort()

    async def text_in(self, text: InText) -> Outcome:
        """Hand a text to the gateway, in parts if it is long.

        Raises `TextError` for one that is longer than 255 parts.
        """
        account = next((a for a in self._accounts.values() if a.receivers), None)
        if account is None:
            return NoBind()
        self._begin()
        pair = f"{text.from_address} {text.to_address}"
        reference = self._references.take(pair, self._now, self._now + _REFERENCE_LIVES)
        parts = deliver_sms(text, reference)
        texting = Texting(len(parts))
        account.mailbox.put(Delivery(pdu, texting) for pdu in parts)
        self._settle()
        try:
            async with asyncio.timeout(_TEXT_IN_FOR):
                return await texting.outcome
        except TimeoutError:
            return Unanswered(seconds=_TEXT_IN_FOR)

    def forget(self) -> None:
        """Empty the handsets and start every script anew; receipts that are due still go."""
        self.inboxes.forget()
        self._assembly.forget()
        self._script.forget()

    # From the wires

    def happened(self, wire: Wire, events: list[Event]) -> None:
        """Take what one read or timer of `wire` brought, and answer it in one write."""
        self._begin()
        self._touched.add(wire)
        bind = self._binds.get(wire)
        for event in events:
            if bind is None:
                bind = self._unbound_happened(wire, event)
            else:
                self._bound_happened(bind, event)
        self._settle()

    def _unbound_happened(self, wire: Wire, event: Event) -> _Bind | None:
        if not isinstance(event, BindRequested):
            return None
        system_id = event.pdu.system_id
        status = self._judge(system_id, event.pdu.password)
        if status:
            wire.session.refuse_bind(event.sequence_number, status, self._now)
            return None
        wire.session.accept_bind(event.sequence_number, _SYSTEM_ID, self._now)
        account = self._accounts.setdefault(system_id, _Account())
        bind = self._binds[wire] = _Bind(wire, system_id, account)
        if event.kind is not BindKind.TRANSMITTER:
            account.receivers.append(bind)
        return bind

    def _judge(self, system_id: str, password: str) -> int:
        settings = self._settings
        if settings.system_id is not None and system_id != settings.system_id:
            return CommandStatus.ESME_RINVSYSID
        if settings.password is not None and password != settings.password:
            return CommandStatus.ESME_RINVPASWD
        return CommandStatus.ESME_ROK

    def _bound_happened(self, bind: _Bind, event: Event) -> None:
        match event:
            case RequestReceived(pdu=SubmitSm() as pdu):
                self._submitted(bind, event.sequence_number, pdu)
            case ResponseReceived():
                self._answered(bind, event)
            case RequestReceived():
                unknown = CommandStatus.ESME_RINVCMDID
                bind.wire.session.nack(event.sequence_number, unknown, self._now)
            case RequestTimedOut():
                self._timed_out(bind, event.sequence_number)
            case Unbinding():
                self._down(bind)
            case Unbound():
                self._down(bind)
                self._loop.call_soon(bind.wire.close)
            case Closed():
                self._down(bind)
                del self._binds[bind.wire]
                self._touched.discard(bind.wire)
            case _:
                pass

    def _answered(self, bind: _Bind, event: ResponseReceived) -> None:
        delivery = bind.flight.pop(event.sequence_number, None)
        if delivery is not None and answered(delivery, event.command_status):
            again = partial(bind.account.mailbox.put_back, (delivery,))
            self._agenda.add(self._now + _AGAIN_AFTER, again)

    def _timed_out(self, bind: _Bind, sequence_number: int) -> None:
        delivery = bind.flight.pop(sequence_number, None)
        if delivery is not None and unanswered(delivery, self._settings.deliver_timeout):
            bind.account.mailbox.put_back((delivery,))

    def _down(self, bind: _Bind) -> None:
        """Nothing goes over `bind` any more; what it had not answered goes over another one."""
        if not bind.is_up:
            return
        bind.is_up = False
        account = bind.account
        if bind in account.receivers:
            account.receivers.remove(bind)
        account.mailbox.put_back(bind.flight.values())
        bind.flight.clear()
        if not account.receivers:
            account.mailbox.give_up_texts()

    # The script at work

    def _submitted(self, bind: _Bind, sequence_number: int, pdu: SubmitSm) -> None:
        payload = pdu.short_message or tlv(pdu, Tag.MESSAGE_PAYLOAD) or b""
        part = part_of(
            esm_class=pdu.esm_class,
            data_coding=pdu.data_coding,
            payload=payload,
            tlvs=pdu.tlvs,
            from_address=pdu.source_addr,
            to_address=pdu.destination_addr,
            carrier="",
        )
        submit = Submit(
            from_address=pdu.source_addr,
            to_address=pdu.destination_addr,
            payload=payload,
            part=1 if part is None else part.number,
            parts=1 if part is None else part.total,
        )
        taken = _Taken(bind, sequence_number, pdu, part, self._ids.next())
        taken.steps = self._script.behaviour(submit)
        taken.since = self._at
        if self._ledger.is_kept:
            self._record(taken, submit)
        self._advance(taken)

    def _advance(self, taken: _Taken) -> None:
        """Take the steps up to the next wait."""
        steps = taken.steps
        wire = taken.bind.wire
        while taken.at < len(steps):
            step = steps[taken.at]
            taken.at += 1
            match step:
                case Deliver():
                    self._deliver(taken)
                case Respond():
                    self._respond(taken, step.command_status)
                case Wait():
                    self._agenda.add(self._now + step.seconds, partial(self._advance, taken))
                    return
                case SendReceipt():
                    self._send_receipt(taken, step)
                case Drop():
                    self._write_down()
                    self._down(taken.bind)
                    wire.drop()
                case Garbage():
                    self._write_down()
                    wire.inject(bytes.fromhex(step.octets))
                case SplitWrites():
                    wire.split(step.octets)

    def _deliver(self, taken: _Taken) -> None:
        pdu, part = taken.pdu, taken.part
        if part is None:
            body = text_of(
                esm_class=pdu.esm_class,
                data_coding=pdu.data_coding,
                payload=pdu.short_message,
                tlvs=pdu.tlvs,
            )
        else:
            copy = self._assembly.add(part, message_reference(pdu), self._now)
            if copy is None:
                return
            body = join(copy)
        text = Text(
            from_address=shown(pdu.source_addr_ton, pdu.source_addr),
            to_address=shown(pdu.dest_addr_ton, pdu.destination_addr),
            body=body,
            received_at=self._at,
        )
        self.inboxes.add(text)
        if self._ledger.is_kept:
            self._lines.append(text_line(text))

    def _respond(self, taken: _Taken, command_status: int) -> None:
        bind = taken.bind
        if not bind.is_up:
            return
        message_id = "" if command_status else written(taken.number, self._settings.message_id)
        bind.wire.session.answer(
            taken.sequence_number,
            SubmitSmResp(message_id=message_id),
            self._now,
            command_status=command_status,
        )
        self._touched.add(bind.wire)

    def _send_receipt(self, taken: _Taken, step: SendReceipt) -> None:
        if not is_asked_for(taken.pdu.registered_delivery, step):
            return
        settings = self._settings
        message_id = written(taken.number, settings.receipt_id)
        pdu = receipt(taken.pdu, message_id, step, settings.receipt_id_in, taken.since, self._at)
        taken.bind.account.mailbox.put((Delivery(pdu),))

    def _record(self, taken: _Taken, submit: Submit) -> None:
        statuses = (step.command_status for step in taken.steps if isinstance(step, Respond))
        line = submit_line(
            taken.pdu,
            submit,
            at=self._at,
            system_id=taken.bind.system_id,
            sequence_number=taken.sequence_number,
            message_id=written(taken.number, self._settings.message_id),
            command_status=next(statuses, None),
        )
        self._lines.append(line)

    # One batch: begin, take it, settle

    def _begin(self) -> None:
        self._now = self._loop.time()
        self._at = self._clock()

    def _settle(self) -> None:
        """Write down what came, then answer it."""
        self._write_down()
        for account in self._accounts.values():
            if account.receivers and len(account.mailbox):
                self._pump(account)
        for wire in self._touched:
            wire.flush()
        self._touched.clear()
        self._set_alarm()

    def _write_down(self) -> None:
        """Before any answer leaves: the ledger never knows less than the gateway."""
        if self._lines:
            self._ledger.append(self._lines)
            self._lines.clear()

    def _pump(self, account: _Account) -> None:
        """Send what waits over the binds that have room; each begins in its turn."""
        account.receivers.append(account.receivers.pop(0))
        for bind in account.receivers:
            if bind.wire.congested:
                continue
            session = bind.wire.session
            for delivery in account.mailbox.take(session.window_free):
                bind.flight[session.request(delivery.pdu, self._now)] = delivery
            self._touched.add(bind.wire)

    def _set_alarm(self) -> None:
        due = self._agenda.next()
        if due is None:
            return
        if self._alarm is not None:
            if self._alarm_at <= due:
                return
            self._alarm.cancel()
        # Not asked of the handle: of what is due already uvloop makes one that has no time.
        self._alarm_at = due
        self._alarm = self._loop.call_at(due, self._ring)

    def _ring(self) -> None:
        """Do all that is due; what becomes due meanwhile has the next alarm."""
        self._alarm = None
        self._begin()
        for thing in self._agenda.take(self._now):
            thing()
        self._settle()
