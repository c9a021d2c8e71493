"""The SMPP server: customers bind, submit, and are asked for nothing that is not durable.

A batch of submit_sm that came together is accepted in one commit and answered after it. While a
customer has no bind that receives, its delivery queue is closed.
"""

import asyncio
import hmac
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

import structlog

from carriers.throttle import Throttle
from gateway.core.runner import JobRunner
from gateway.messages import records
from gateway.messages.customers.binds import SENDS, Bind, Binds
from gateway.messages.customers.drafts import time_text
from gateway.messages.customers.intake import Intake, Taken
from gateway.messages.customers.jobs import endpoint_of
from gateway.messages.customers.model import Customer
from gateway.messages.customers.parts import text_sid
from gateway.messages.service import Messages
from gateway.model import Message, MessageStatus
from gateway.store.base import Store, StoreError, StoreUnavailable
from gateway.tries import Tries
from protocols.smpp import endpoint
from protocols.smpp.constants import CommandStatus
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.events import (
    BindRequested,
    Closed,
    Event,
    RequestReceived,
    RequestTimedOut,
    ResponseReceived,
    Unbound,
)
from protocols.smpp.pdu import (
    DataSm,
    DataSmResp,
    MessageState,
    Pdu,
    QuerySm,
    QuerySmResp,
    SubmitSm,
    SubmitSmResp,
)
from protocols.smpp.session import Role, Session, SessionConfig

_log = structlog.get_logger(__name__)
_SYSTEM_ID: Final = "trunkline"
_DELIVERY_WINDOW: Final = 20  # deliver_sm under way on one bind
_EXPIRED: Final = 30036

_STATES: Final = {
    MessageStatus.QUEUED: MessageState.ENROUTE,
    MessageStatus.SENDING: MessageState.ENROUTE,
    MessageStatus.SENT: MessageState.ENROUTE,
    MessageStatus.DELIVERED: MessageState.DELIVERED,
    MessageStatus.UNDELIVERED: MessageState.UNDELIVERABLE,
    MessageStatus.FAILED: MessageState.REJECTED,
    MessageStatus.CANCELED: MessageState.DELETED,
}


class CustomerServer:
    """Listens on `[smpp] listen`."""

    def __init__(
        self,
        *,
        customers: Iterable[Customer],
        store: Store,
        runner: JobRunner,
        intake: Intake,
        binds: Binds,
        path: Messages,
        came_or_left: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        """`came_or_left` is called when a customer's first bind stands, or its last is gone."""
        self._customers: dict[str, Customer] = {}
        self._throttles: dict[str, Throttle] = {}
        self._store = store
        self._runner = runner
        self._intake = intake
        self._binds = binds
        self._path = path
        self._came_or_left = came_or_left
        self._clock = clock
        self._tries = Tries()
        self._listener: endpoint.Listener | None = None
        self._open: set[endpoint.Connection] = set()
        self.declare(customers)

    def declare(self, customers: Iterable[Customer]) -> None:
        """These may bind from now on; the binds of others end, those of changed ones stay."""
        now = self._clock()
        declared = {customer.system_id: customer for customer in customers}
        for system_id, customer in declared.items():
            throttle = self._throttles.get(system_id)
            if throttle is None:
                self._throttles[system_id] = Throttle(customer.tps, now)
                self._runner.close_endpoint(endpoint_of(system_id))
            else:
                throttle.change(customer.tps, now)
        for system_id in self._customers.keys() - declared.keys():
            del self._throttles[system_id]
            for bind in self._binds.of(system_id):
                bind.connection.session.unbind(now)
                bind.connection.flush()
        self._customers = declared

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; the answer is the port."""
        self._listener = await endpoint.listen(
            host, port, self._session, self._serve, clock=self._clock, ssl=tls
        )
        return self._listener.port

    async def close(self) -> None:
        """Take no more binds and unbind those that stand."""
        if self._listener is not None:
            await self._listener.close()
        for connection in list(self._open):
            connection.session.unbind(self._clock())
            connection.flush()
        if self._open:
            waits = [asyncio.ensure_future(each.wait_closed()) for each in self._open]
            await asyncio.wait(waits, timeout=2.0)
        for connection in list(self._open):
            connection.close()

    def _session(self, now: float) -> Session:
        return Session(Role.SMSC, SessionConfig(window=_DELIVERY_WINDOW), now)

    async def _serve(self, connection: endpoint.Connection) -> None:
        bind = Bind(connection)
        self._open.add(connection)
        try:
            while True:
                events = await connection.events()
                await self._process(bind, events)
                if not events or isinstance(events[-1], Closed):
                    return
        finally:
            self._open.discard(connection)
            self._left(bind)

    def _left(self, bind: Bind) -> None:
        bind.lost()
        self._binds.remove(bind)
        customer = bind.customer
        if customer is None:
            return
        if self._binds.receiver(customer.system_id) is None:
            self._runner.close_endpoint(endpoint_of(customer.system_id))
        if not self._binds.of(customer.system_id):
            self._came_or_left()

    async def _process(self, bind: Bind, events: Sequence[Event]) -> None:
        submitted: list[RequestReceived] = []
        for event in events:
            match event:
                case RequestReceived(pdu=SubmitSm() | DataSm()):
                    submitted.append(event)
                case RequestReceived(pdu=QuerySm() as query):
                    await self._query(bind, event.sequence_number, query)
                case RequestReceived():
                    bind.connection.session.nack(
                        event.sequence_number, CommandStatus.ESME_RINVCMDID, self._clock()
                    )
                case ResponseReceived():
                    bind.answered(event.sequence_number, event.command_status)
                case RequestTimedOut():
                    bind.lost(event.sequence_number)
                case BindRequested():
                    self._bind(bind, event)
                case Unbound():
                    self._left(bind)
                case _:
                    pass
        if submitted:
            await self._submitted(bind, submitted)
        bind.connection.flush()

    # -- binding ---------------------------------------------------------------------------

    def _bind(self, bind: Bind, event: BindRequested) -> None:
        now = self._clock()
        session = bind.connection.session
        customer = self._authenticated(bind, event, now)
        if isinstance(customer, CommandStatus):
            _log.warning(
                "a customer's bind was refused",
                system_id=event.pdu.system_id,
                peer=bind.connection.peer,
                command_status=customer.name,
            )
            session.refuse_bind(event.sequence_number, customer, now)
            return
        session.accept_bind(event.sequence_number, _SYSTEM_ID, now)
        bind.customer, bind.kind = customer, event.kind
        self._binds.add(bind)
        if bind.receives:
            self._runner.open_endpoint(endpoint_of(customer.system_id))
        self._came_or_left()
        _log.info("a customer is bound", system_id=customer.system_id, kind=event.kind)

    def _authenticated(
        self, bind: Bind, event: BindRequested, now: float
    ) -> Customer | CommandStatus:
        host = bind.connection.peer.rpartition(":")[0]
        key = (host, event.pdu.system_id)
        if self._tries.wait(key, now):
            return CommandStatus.ESME_RBINDFAIL
        customer = self._customers.get(event.pdu.system_id)
        expected = customer.password if customer is not None else ""
        right = hmac.compare_digest(expected.encode(), event.pdu.password.encode())
        if customer is None or not right:
            self._tries.failed(key, now)
            return (
                CommandStatus.ESME_RINVSYSID if customer is None else CommandStatus.ESME_RINVPASWD
            )
        self._tries.succeeded(key)
        if len(self._binds.of(customer.system_id)) >= customer.binds:
            return CommandStatus.ESME_RALYBND
        return customer

    # -- requests --------------------------------------------------------------------------

    async def _submitted(self, bind: Bind, events: Sequence[RequestReceived]) -> None:
        customer = bind.customer
        now = self._clock()
        if customer is None or bind.kind not in SENDS:
            self._refuse(bind, events, CommandStatus.ESME_RINVBNDSTS)
            return
        throttle = self._throttles.get(customer.system_id)  # None: no customer any more
        granted = throttle.take(len(events), now) if throttle is not None else 0
        self._refuse(bind, events[granted:], CommandStatus.ESME_RTHROTTLED)
        events = events[:granted]
        granted = self._path.admit(len(events))
        self._refuse(bind, events[granted:], CommandStatus.ESME_RMSGQFUL)
        events = events[:granted]
        pdus = [event.pdu for event in events if isinstance(event.pdu, SubmitSm | DataSm)]
        try:
            taken = await self._intake.take(customer, pdus, now)
        except StoreError as error:
            _log.warning("a customer's texts were not taken", reason=str(error))
            self._refuse(bind, events, CommandStatus.ESME_RSYSERR)
            return
        finally:
            self._path.dismiss(granted)
        self._answer(bind, events, taken)

    def _answer(self, bind: Bind, events: Sequence[RequestReceived], taken: Taken) -> None:
        for accepted in taken.accepted:
            self._path.accepted(accepted)
        for job in taken.jobs:
            self._runner.offer(job)
        for event, (status, message_id) in zip(events, taken.answers, strict=True):
            response: Pdu = (
                SubmitSmResp(message_id=message_id)
                if isinstance(event.pdu, SubmitSm)
                else DataSmResp(message_id=message_id)
            )
            self._respond(bind, event.sequence_number, response, status)

    def _respond(self, bind: Bind, number: int, response: Pdu, status: CommandStatus) -> None:
        """Answer, unless the customer left while we were committing: it will ask again."""
        with suppress(LocalProtocolError):
            bind.connection.session.answer(number, response, self._clock(), command_status=status)

    def _refuse(self, bind: Bind, events: Sequence[RequestReceived], status: CommandStatus) -> None:
        for event in events:
            response = SubmitSmResp() if isinstance(event.pdu, SubmitSm) else DataSmResp()
            self._respond(bind, event.sequence_number, response, status)

    async def _query(self, bind: Bind, sequence_number: int, query: QuerySm) -> None:
        customer = bind.customer
        found: QuerySmResp | None = None
        status = CommandStatus.ESME_RQUERYFAIL
        try:
            if customer is not None:
                found = await self._found(customer, query.message_id)
        except StoreUnavailable as error:
            _log.warning("a customer's query was not answered", reason=str(error))
            status = CommandStatus.ESME_RSYSERR
        if found is not None:
            status = CommandStatus.ESME_ROK
        response = found or QuerySmResp(message_id=query.message_id)
        self._respond(bind, sequence_number, response, status)

    async def _found(self, customer: Customer, message_id: str) -> QuerySmResp | None:
        """What is known of a message, or of a part of one; its ids are those that we gave."""
        sid = text_sid(message_id)
        rows = await self._store.fetch(records.GET, customer.account_sid, sid)
        if rows:
            return _queried(message_id, records.message_of(rows[0]))
        if await self._intake.waits(customer.system_id, sid):
            return QuerySmResp(message_id=message_id, message_state=MessageState.ENROUTE)
        return None


def _queried(message_id: str, message: Message) -> QuerySmResp:
    state = _STATES.get(message.status, MessageState.UNKNOWN)
    if message.error_code == _EXPIRED:
        state = MessageState.EXPIRED
    ended = state is not MessageState.ENROUTE
    return QuerySmResp(
        message_id=message_id,
        final_date=time_text(message.date_updated) if ended else "",
        message_state=state,
        error_code=min(255, message.error_code % 1000),
    )
