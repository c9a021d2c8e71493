"""The transaction layer (RFC 3261 §17): many transactions, one clock, without I/O.

Messages come in by `receive`, what a peer did goes out by `next_event`, what is to be written by
`outgoing`, and `timer` says when `handle_timer` wants to be called. Commands are a request, a
response, a CANCEL, and `send` for what has no transaction, the ACK of a 2xx above all.

Answered here, for no user could say anything else: a retransmission, a CANCEL, a request that
came twice by different ways (482), and, when there are too many, any new request (503). An INVITE
is never answered but by its user, save for the 100 that says it has arrived.

Two things have no end of their own and are the user's to end: an INVITE of ours that rings, and
one of a peer's that was not answered.
"""

from collections import deque
from collections.abc import Callable, Hashable
from math import inf
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from protocols.sip import events
from protocols.sip.derive import ack_of, cancel_of, reply, with_tag
from protocols.sip.errors import LocalProtocolError
from protocols.sip.events import ClientId, Event, ServerId, TransactionId
from protocols.sip.ledger import STATELESS, Ledger, Limits
from protocols.sip.matching import (
    client_key,
    legacy_ack_key,
    merge_key,
    server_key,
    stamp,
    way_back,
)
from protocols.sip.message import Headers, Message, Request, Response, Via
from protocols.sip.telling import told
from protocols.sip.timers import Timers
from protocols.sip.transaction import (
    Client,
    Effect,
    Effects,
    Given,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    Server,
    State,
    Transaction,
    kind_of,
)
from protocols.sip.transport import Destination, Flow, Transport

_Client = TypeVar("_Client", bound=Client)

# Looked at for every message; an attribute of an enumeration is slow to find.
_SEND: Final = Effect.SEND
_ACK: Final = Effect.ACK
_TRY: Final = Effect.TRY
_TERMINATED: Final = State.TERMINATED


class Outgoing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Octets to write; `id` is of the transaction that says them, `STATELESS` for none."""

    octets: bytes
    destination: Destination
    id: int = STATELESS


class TransactionLayer:
    """See the module.

    `branch` makes branches with the cookie, never the same twice, and `tag` To-tags, never the
    same twice; both are beyond guessing. `sent_by` says which host and port (0: none is written)
    our Via names for what goes to a destination. `encode` writes a message.
    """

    def __init__(
        self,
        *,
        branch: Callable[[], str],
        tag: Callable[[], str],
        sent_by: Callable[[Destination], tuple[str, int]],
        encode: Callable[[Message], bytes],
        timers: Timers = Timers(),  # noqa: B008  # immutable
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self.limits = limits
        self.shed = 0  # requests refused because there were too many
        self.merged = 0  # requests refused because they had come by another way
        self._branch = branch
        self._tag = tag
        self._stateless_tag = tag()  # the same for a request and its repetitions (§8.2.7)
        self._sent_by = sent_by
        self._encode = encode
        self._durations = {each: timers.durations(each) for each in Transport}
        self._ledger = Ledger()
        self._events: deque[Event] = deque()
        self._outbox: list[Outgoing] = []

    # What is alive

    @property
    def clients(self) -> int:
        """How many transactions of ours live, CANCELs included."""
        return len(self._ledger.clients)

    @property
    def servers(self) -> int:
        """How many of peers live."""
        return len(self._ledger.servers)

    @property
    def full(self) -> bool:
        """Whether a new request would be refused: it need not even be read."""
        return len(self._ledger.servers) >= self.limits.servers

    def state(self, id: TransactionId) -> State:
        """Where a transaction stands; TERMINATED once it is gone."""
        transaction = self._ledger.transactions.get(id)
        return State.TERMINATED if transaction is None else transaction.state

    def sent(self, client_id: ClientId) -> Request:
        """The request as it went out, with our Via: what `adopt` wants after a restart."""
        transaction = self._ledger.transactions.get(client_id)
        if not isinstance(transaction, Client):
            raise LocalProtocolError(f"no request of ours goes by {client_id}")
        return transaction.request

    def written(self, client_id: ClientId) -> bytes:
        """`sent` in octets, as long as they may go out again; b"" afterwards."""
        transaction = self._ledger.transactions.get(client_id)
        return b"" if transaction is None else transaction.octets

    # What the peers did

    def receive(self, message: Message, flow: Flow, now: float) -> None:
        """Take a message that came by `flow`."""
        if not message.vias:
            return  # nobody to answer, nothing to match
        if isinstance(message, Request):
            self._take_request(message, flow, now)
        else:
            self._take_response(message, flow, now)

    def transport_failed(self, where: Destination | TransactionId, reason: str, now: float) -> None:
        """Say that a flow is gone, or that what was written to a destination can't get there.

        Or that one transaction's can't. Responses have another way to go once (§18.2.2), and an
        INVITE that rings is not hurt: its responses come by themselves.
        """
        for transaction in self._ledger.at(where):
            if isinstance(transaction, Server) and transaction.fallback is not None:
                self._divert(transaction, transaction.fallback)
            else:
                self._perform(transaction, transaction.give(Given.FAULT, now), now, reason=reason)

    def next_event(self) -> Event | None:
        """The oldest event not yet read."""
        return self._events.popleft() if self._events else None

    def outgoing(self) -> list[Outgoing]:
        """All that is to be written now, in this order, once."""
        outbox = self._outbox
        if outbox:
            self._outbox = []
        return outbox

    # Time

    def timer(self) -> float | None:
        """When `handle_timer` wants to be called, at the latest; None for never."""
        return self._ledger.schedule.first()

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`; harmless when nothing is."""
        for number in self._ledger.schedule.due(now):
            transaction = self._ledger.transactions.get(number)
            if transaction is not None:
                self._perform(transaction, transaction.handle_timer(now), now)

    # Commands; each raises `LocalProtocolError` where the state forbids it. What is asked of a
    # transaction that has ended, as it may have before its event was read, does nothing.

    def request(self, request: Request, destination: Destination, now: float) -> ClientId:
        """Send a request that is neither ACK nor CANCEL; our Via goes on top of its own.

        `ResponseReceived`, `TimedOut` or `TransportFailed` follows, and `Terminated`.
        """
        if request.method in ("ACK", "CANCEL"):
            raise LocalProtocolError(f"{request.method} is no transaction for a user to begin")
        if len(self._ledger.clients) >= self.limits.clients:
            raise LocalProtocolError(f"{self.limits.clients} requests of ours wait already")
        return self._open_client(self._with_via(request, destination), destination, now).id

    def adopt(self, request: Request, destination: Destination, now: float) -> ClientId:
        """Wait for the responses to an INVITE that went out before, perhaps in another process.

        It is `sent`'s, Via and all, and does not go out again; it can be cancelled at once.
        """
        if request.method != "INVITE" or not request.vias:
            raise LocalProtocolError("only an INVITE that went out, with its Via, is adopted")
        if client_key(request) in self._ledger.clients:
            raise LocalProtocolError(f"branch {request.vias[0].branch} is in use")
        client = self._new_client(InviteClient, request, destination, now)
        client.proceed(now)
        return client.id

    def adopt_asked(self, request: Request, flow: Flow, now: float) -> ServerId:
        """Answer an INVITE that came before, perhaps to another process, and by the same way.

        It is as `RequestReceived` had it; no event tells of it.
        """
        key = server_key(request, "INVITE")
        if request.method != "INVITE" or key in self._ledger.servers:
            raise LocalProtocolError("only an INVITE that nobody else answers is adopted")
        return self._open_server(request, key, flow, now).id

    def cancel(self, client_id: ClientId, headers: Headers, now: float) -> None:
        """Cancel an INVITE of ours (§9.1): now, or once the peer has shown that it has it.

        Its final response still comes, a 2xx if that was quicker; or `TimedOut`, 64*T1 after the
        CANCEL. `headers` go into the CANCEL.
        """
        client = self._ledger.transactions.get(client_id)
        if client is None:
            return
        if not isinstance(client, InviteClient):
            raise LocalProtocolError("only an INVITE can be cancelled")
        # In PROCEEDING nothing but a CANCEL that went out sets an end.
        calling = client.state is State.CALLING
        if calling or (client.state is State.PROCEEDING and client.end_at == inf):
            client.cancelling = headers
            self._cancel(client, now)

    def respond(self, server_id: ServerId, response: Response, now: float) -> None:
        """Answer `RequestReceived`. A 2xx to an INVITE may be said again, by its user alone."""
        server = self._ledger.transactions.get(server_id)
        if server is None:
            return
        if not isinstance(server, Server):
            raise LocalProtocolError("a request of ours is not ours to answer")
        if not server.takes(kind_of(response.status)):
            raise LocalProtocolError(
                f"{response.status} can't follow in state {server.state} of {response.method}"
            )
        self._answer(server, response, now)

    def tag_as(self, server_id: ServerId, tag: str) -> None:
        """Say which To tag an INVITE's responses will have: that of its CANCEL's is the same."""
        server = self._ledger.transactions.get(server_id)
        if isinstance(server, Server):
            server.tag = tag

    def acknowledged(self, server_id: ServerId) -> None:
        """The ACK of a 2xx came, a transaction of its own: the 2xx is not said again."""
        server = self._ledger.transactions.get(server_id)
        if isinstance(server, InviteServer):
            server.acknowledged()

    def dismiss(self, server_id: ServerId, response: Response) -> None:
        """Answer `RequestReceived` finally and forget it, without an event (§8.2.7).

        A challenge above all (§26.3.2.4): if it is lost the request comes again, as a new one.
        """
        server = self._ledger.transactions.get(server_id)
        if isinstance(server, Server):
            final = replace(response, to=with_tag(server.request.to, self._stateless_tag))
            self._put(self._encode(final), server.destination, STATELESS)
            self._ledger.remove(server)

    def send(self, message: Message, destination: Destination) -> Message:
        """Send without a transaction: the ACK of a 2xx (§13.2.2.4).

        A request without a Via gets ours; what is returned went out, and is what goes out again
        when the 2xx comes again.
        """
        if isinstance(message, Request) and not message.vias:
            message = self._with_via(message, destination)
        self._put(self._encode(message), destination, STATELESS)
        return message

    def refuse(self, response: Response, flow: Flow) -> None:
        """Answer what came by `flow` and gets no transaction: a request that can't be read.

        The response has the Vias of the request as they came, and at least one. Its To gets a
        tag, by which its ACK is told, and absorbed.
        """
        top = response.vias[0]
        destination, _ = way_back(top, flow)
        refusal = replace(
            response,
            vias=(stamp(top, flow), *response.vias[1:]),
            to=with_tag(response.to, self._stateless_tag),
        )
        self._put(self._encode(refusal), destination, STATELESS)

    def terminate(self, id: TransactionId) -> None:
        """Forget a transaction at once, without an event."""
        transaction = self._ledger.transactions.get(id)
        if transaction is not None:
            self._ledger.remove(transaction)

    # Requests of peers

    def _take_request(self, request: Request, flow: Flow, now: float) -> None:
        method = request.method
        if method == "ACK":
            self._take_ack(request, flow, now)
            return
        key = server_key(request, method)
        server = self._ledger.servers.get(key)
        if server is not None:
            self._perform(server, server.give(Given.REQUEST, now), now)
        elif method == "CANCEL":
            self._take_cancel(request, key, flow, now)
        elif self._has_room(request):
            self._take_new(request, key, flow, now)
        else:
            self.shed += 1
            wait = ("Retry-After", str(self.limits.retry_after))
            self.refuse(reply(request, 503, headers=Headers((wait,))), flow)

    def _take_new(self, request: Request, key: Hashable, flow: Flow, now: float) -> None:
        merging = merge_key(request)
        first = None if merging is None else self._ledger.merging.get(merging)
        server = self._open_server(request, key, flow, now)
        if first is not None:
            self.merged += 1
            server.hidden = True
            self._answer(server, reply(server.request, 482, tag=self._tag()), now)
            return
        if merging is not None:
            self._ledger.add_merging(server, merging)
        self._events.append(
            events.RequestReceived(server_id=server.id, request=server.request, flow=flow)
        )

    def _take_ack(self, request: Request, flow: Flow, now: float) -> None:
        server = self._ledger.servers.get(server_key(request, "INVITE"))
        if server is None and self._ledger.acks:
            server = self._ledger.acks.get(server_key(request, "ACK"))
        if server is not None:
            self._perform(server, server.give(Given.ACK, now), now, message=request, flow=flow)
        elif request.to.tag != self._stateless_tag:
            self._events.append(events.AckReceived(server_id=None, request=request, flow=flow))

    def _take_cancel(self, request: Request, key: Hashable, flow: Flow, now: float) -> None:
        """Answer 200 where there is an INVITE (§9.2); limits need not hold up the one of each."""
        invite = self._ledger.servers.get(server_key(request, "INVITE"))
        if invite is None:
            self.refuse(reply(request, 481), flow)
            return
        server = self._open_server(request, key, flow, now)
        server.hidden = True
        cancel = server.request
        said = "" if invite.last is None else invite.last.to.tag
        self._answer(server, reply(cancel, 200, tag=said or invite.tag or self._tag()), now)
        if invite.state is State.PROCEEDING:
            self._events.append(
                events.CancelReceived(server_id=invite.id, request=cancel, flow=flow)
            )

    def _has_room(self, request: Request) -> bool:
        limits = self.limits
        room = limits.servers - len(self._ledger.servers)
        return room > 0 or (request.to.tag != "" and room + limits.reserve > 0)

    def _open_server(self, request: Request, key: Hashable, flow: Flow, now: float) -> Server:
        top = request.vias[0]
        destination, fallback = way_back(top, flow)
        kind = InviteServer if request.method == "INVITE" else NonInviteServer
        server = kind(
            number=self._ledger.take_number(),
            key=key,
            request=replace(request, vias=(stamp(top, flow), *request.vias[1:])),
            destination=destination,
            fallback=fallback,
            durations=self._durations[flow.transport],
            now=now,
        )
        self._ledger.add(server)
        return server

    def _answer(self, server: Server, response: Response, now: float) -> None:
        octets = server.octets if response is server.last else self._encode(response)
        effects = server.answer(response, octets, now)
        if response.status >= 300 and isinstance(server, InviteServer):
            key = legacy_ack_key(server.request, response.to.tag)
            if key is not None:
                self._ledger.add_ack(server, key)
        self._perform(server, effects, now)

    def _divert(self, server: Server, destination: Destination) -> None:
        """Answer elsewhere from now on; whose 2xx was not acknowledged says it again by itself."""
        self._ledger.move(server, destination)
        server.fallback = None
        if server.octets and server.state not in (State.CONFIRMED, State.ACCEPTED):
            self._put(server.octets, destination, server.number)

    # Responses of peers

    def _take_response(self, response: Response, flow: Flow, now: float) -> None:
        client = self._ledger.clients.get(client_key(response))
        if client is None:
            self._events.append(events.StrayResponse(response=response, flow=flow))
            return
        if len(response.vias) != len(client.request.vias):
            return  # it was meant for somebody else on the way (§8.1.3.3)
        effects = client.give(kind_of(response.status), now)
        self._perform(client, effects, now, message=response, flow=flow)
        if isinstance(client, InviteClient) and client.cancelling is not None:
            self._cancel(client, now)

    def _open_client(self, request: Request, destination: Destination, now: float) -> Client:
        kind = InviteClient if request.method == "INVITE" else NonInviteClient
        client: Client = self._new_client(kind, request, destination, now)
        client.octets = self._encode(request)
        self._put(client.octets, destination, client.number)
        return client

    def _new_client(
        self, kind: type[_Client], request: Request, destination: Destination, now: float
    ) -> _Client:
        client = kind(
            number=self._ledger.take_number(),
            key=client_key(request),
            request=request,
            destination=destination,
            durations=self._durations[destination.transport],
            now=now,
        )
        self._ledger.add(client)
        return client

    def _cancel(self, client: InviteClient, now: float) -> None:
        """Send the CANCEL that waits, if its time has come."""
        headers = client.cancelling
        if headers is None or client.state is not State.PROCEEDING:
            return
        client.cancelled(now)
        self._ledger.schedule.arm(client.number, client.deadline)
        cancel = cancel_of(client.request, headers)
        self._open_client(cancel, client.destination, now).hidden = True

    # What machines want done

    def _perform(
        self,
        transaction: Transaction,
        effects: Effects,
        now: float,
        *,
        message: Message | None = None,
        flow: Flow | None = None,
        reason: str = "",
    ) -> None:
        for effect in effects:
            if effect is _SEND:
                if transaction.octets:
                    self._put(transaction.octets, transaction.destination, transaction.number)
            elif effect is _TRY:
                assert isinstance(transaction, Server)
                self._answer(transaction, reply(transaction.request, 100), now)
            elif effect is _ACK:
                assert isinstance(transaction, InviteClient) and isinstance(message, Response)
                self._acknowledge(transaction, message)
            elif not transaction.hidden:
                self._events.append(told(transaction, effect, message, flow, reason))
        if transaction.state is _TERMINATED:
            self._ledger.remove(transaction)
            if not transaction.hidden:
                self._events.append(events.Terminated(id=transaction.id))
        else:
            self._ledger.schedule.arm(transaction.number, transaction.deadline)

    def _acknowledge(self, client: InviteClient, refusal: Response) -> None:
        said = client.acknowledged
        if said is None or said.to != refusal.to:
            client.ack = self._encode(ack_of(client.request, refusal))
            client.acknowledged = refusal
        self._put(client.ack, client.destination, client.number)

    def _put(self, octets: bytes, destination: Destination, number: int) -> None:
        self._outbox.append(Outgoing(octets=octets, destination=destination, id=number))

    # Ours to write

    def _with_via(self, request: Request, destination: Destination) -> Request:
        """Our Via on top, with `rport` (RFC 3581 §3)."""
        host, port = self._sent_by(destination)
        via = Via(
            transport=destination.transport,
            host=host,
            port=port,
            params=(("branch", self._branch()), ("rport", None)),
        )
        return replace(request, vias=(via, *request.vias))
