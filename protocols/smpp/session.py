"""One SMPP session, either end of it, without I/O: octets and time in, events and octets out.

The session keeps the link (bind, unbind, enquire_link, the timers) and matches responses to
requests. It never answers a message by itself: submit_sm, deliver_sm, data_sm and query_sm come
as `RequestReceived`, and `answer` is a command that is given when the answer is true.

Whoever drives it calls `receive_data`, reads `next_event` until None, gives commands, writes what
`data_to_send` returns, and calls `handle_timer` when `timer` says so. Times are seconds of one
clock of the driver's choice that never goes back. After `Closed` every command that would write
raises `LocalProtocolError`.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from protocols.smpp import events
from protocols.smpp.codec import Decoder, Frame, Malformed, encode, name_of
from protocols.smpp.constants import (
    RESPONSE,
    CommandId,
    CommandStatus,
    InterfaceVersion,
)
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.events import KIND_OF, BindKind, CloseReason, Event
from protocols.smpp.pdu import (
    BIND_RESPONSES,
    PDUS,
    Bind,
    BindResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    Unbind,
    UnbindResp,
    tlv,
)
from protocols.smpp.states import (
    ANSWERED,
    ANSWERS,
    BINDS,
    BOUND,
    ISSUABLE,
    MESSAGES,
    PEER,
    REFUSED,
    TRANSITIONS,
    Role,
    State,
)
from protocols.smpp.timers import BindTimers, Due, SessionConfig
from protocols.smpp.tlv import Tag, encode_tlv
from protocols.smpp.window import Outstanding, Window

__all__ = ["Role", "Session", "SessionConfig", "State"]

_NACK: Final = int(CommandId.GENERIC_NACK)


class Session:
    """One end of a connection; see the module for how to drive it."""

    def __init__(self, role: Role, config: SessionConfig, now: float) -> None:
        self.role = role
        self.config = config
        self.state = State.OPEN
        self.kind: BindKind | None = None
        """What the bind is or was asked to be; None before the first."""
        self.issued = 0  # the sequence_number of our last request, enquire_link included
        self.answered = 0  # of the one answered last: the peer has read all that went before it
        self._decoder = Decoder(config.max_pdu)
        self._window = Window(
            size=config.window, late_memory=config.late_memory, first=config.first_sequence_number
        )
        self._events: deque[Event] = deque()
        self._outbox: list[bytes] = []
        self._control: Outstanding | None = None  # our bind or unbind, while it waits
        # The peer's bind, while it waits for us.
        self._requested: events.BindRequested | None = None
        self._probe = -1  # the sequence_number of our last enquire_link
        self._timers = BindTimers(config)
        self._close_reason = CloseReason.UNBOUND  # why a session ends that was unbound
        # Only the message centre's end waits for a bind (v5.0 §2.7.1).
        self._init_deadline = now + config.session_init_timeout if role is Role.SMSC else inf
        self._enter(State.OPEN)

    @property
    def closed(self) -> bool:
        """Whether the session is over; `Closed` is its last event."""
        return self.state is State.CLOSED

    # What the peer did

    def receive_data(self, data: bytes, now: float) -> None:
        """Take octets from the peer; b"" says that it closed the connection."""
        if self.closed:
            return
        if not data:
            unbound = self.state is State.UNBOUND
            self._finish(self._close_reason if unbound else CloseReason.PEER_CLOSED)
            return
        self._timers.heard(now)
        decoder = self._decoder
        decoder.feed(data)
        while not self.closed:
            frame = decoder.next_frame()
            if frame is None:
                return
            if isinstance(frame, Malformed):
                number, status = frame.sequence_number, frame.command_status
                self._reject(frame.command_id, number, status, frame.reason, frame.octets)
                if not frame.recoverable:
                    self._finish(CloseReason.UNREADABLE)
            elif frame.command_id & RESPONSE:
                self._take_response(frame, now)
            else:
                self._take_request(frame, now)

    def next_event(self) -> Event | None:
        """The oldest event not yet read."""
        return self._events.popleft() if self._events else None

    def data_to_send(self) -> bytes:
        """All that is to be written to the peer now, once."""
        if not self._outbox:
            return b""
        data = b"".join(self._outbox)
        self._outbox.clear()
        return data

    # Time

    def timer(self) -> float | None:
        """When `handle_timer` wants to be called, at the latest; None for never."""
        if self.closed:
            return None
        first = min(self._init_deadline, self._control_deadline(), self._timers.deadline())
        oldest = self._window.deadline()
        if oldest is not None and oldest < first:
            return oldest
        return None if first == inf else first

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`; harmless when nothing is."""
        if self.closed:
            return
        for request in self._window.expire(now):
            self._events.append(
                events.RequestTimedOut(
                    sequence_number=request.sequence_number, request=request.octets
                )
            )
        if self._init_deadline <= now:
            unbound = self.state is State.UNBOUND
            self._finish(self._close_reason if unbound else CloseReason.SESSION_INIT_TIMEOUT)
        elif self._control_deadline() <= now:
            binding = self.state is State.BINDING
            self._finish(CloseReason.BIND_TIMEOUT if binding else CloseReason.UNBIND_TIMEOUT)
        else:
            self._handle_bind_timers(now)

    def _handle_bind_timers(self, now: float) -> None:
        match self._timers.due(now):
            case Due.DEAD:
                self._finish(CloseReason.ENQUIRE_LINK_TIMEOUT)
            case Due.INACTIVITY:
                self._close_reason = CloseReason.INACTIVITY_TIMEOUT
                self.unbind(now)
            case Due.ENQUIRE:
                self._enquire(now)

    # The window

    @property
    def window_free(self) -> int:
        """How many more requests `request` takes before it refuses for the window."""
        return self._window.free

    def octets_of(self, sequence_number: int) -> bytes:
        """The PDU of a request that waits, or that timed out and is remembered."""
        request = self._window.waiting(sequence_number) or self._window.late(sequence_number)
        if request is None:
            raise LocalProtocolError(f"no request waits under sequence_number {sequence_number}")
        return request.octets

    # Commands; each raises `LocalProtocolError` where the state forbids it or the PDU does not fit

    def bind(self, pdu: Bind, now: float) -> None:
        """ESME: ask for a bind. `Bound`, `BindRefused` or `Closed` follows."""
        self._control = self._issue(pdu, now + self.config.response_timeout)
        self.kind = KIND_OF[pdu.command_id]

    def accept_bind(self, sequence_number: int, system_id: str, now: float) -> None:
        """SMSC: answer `BindRequested` with success; the session is bound from here on.

        `sc_interface_version` goes along unless the ESME is older than v3.4, which knows no TLVs.
        """
        pdu = self._requested_bind(sequence_number)
        tlvs: tuple[tuple[int, bytes], ...] = ()
        if pdu.interface_version >= InterfaceVersion.V3_4:
            tlvs = (encode_tlv(Tag.SC_INTERFACE_VERSION, self.config.interface_version),)
        response = BIND_RESPONSES[pdu.command_id](system_id=system_id, tlvs=tlvs)
        self._send(response, sequence_number, CommandStatus.ESME_ROK)
        self._requested = None
        self._bound(response.command_id, now)

    def refuse_bind(self, sequence_number: int, command_status: int, now: float) -> None:
        """SMSC: answer `BindRequested` with an error; the peer may try again or be closed."""
        if command_status == CommandStatus.ESME_ROK:
            raise LocalProtocolError("a bind is refused with an error, not with ESME_ROK")
        pdu = self._requested_bind(sequence_number)
        self._send(BIND_RESPONSES[pdu.command_id](), sequence_number, command_status)
        self._requested = None
        self._init_deadline = now + self.config.session_init_timeout
        self._enter(REFUSED)

    def outbind(self, pdu: Outbind, now: float) -> None:
        """SMSC: ask the ESME to bind; session_init starts anew."""
        self._issue(pdu, inf)
        self._init_deadline = now + self.config.session_init_timeout

    def request(self, pdu: Pdu, now: float) -> int:
        """Send a message request; its sequence_number.

        `ResponseReceived` or `RequestTimedOut` follows, or `Closed` names it, except for
        alert_notification, which has no response.
        """
        command_id = pdu.command_id
        if command_id not in self._may_issue or self.state not in BOUND:
            raise self._forbidden(command_id)
        if command_id not in MESSAGES:
            raise LocalProtocolError(f"{name_of(command_id)} is the session's own business")
        window = self._window
        if command_id in ANSWERED and window.free <= 0:
            raise LocalProtocolError(
                f"the window is full: {self.config.window} requests wait for their response"
            )
        number = self._take_number()
        octets = encode(pdu, sequence_number=number)
        self._outbox.append(octets)
        self._timers.used(now)
        if command_id in ANSWERED:
            window.add(
                Outstanding(
                    command_id=command_id,
                    sequence_number=number,
                    deadline=now + self.config.response_timeout,
                    octets=octets,
                )
            )
        return number

    def answer(self, sequence_number: int, pdu: Pdu, now: float, command_status: int = 0) -> None:
        """Answer a `RequestReceived` with the response of its command."""
        if pdu.command_id not in ANSWERS:
            raise LocalProtocolError(f"{name_of(pdu.command_id)} answers no message request")
        if self.state not in BOUND and self.state is not State.UNBINDING:
            raise self._forbidden(pdu.command_id)
        self._send(pdu, sequence_number, command_status)
        self._timers.used(now)

    def nack(self, sequence_number: int, command_status: int, now: float) -> None:
        """Answer a `RequestReceived` with generic_nack."""
        if self.closed:
            raise self._forbidden(_NACK)
        self._send(GenericNack(), sequence_number, command_status)
        self._timers.used(now)

    def unbind(self, now: float) -> None:
        """End the bind: `Unbound` and `Closed` follow when the peer answers or is silent."""
        if self.state not in BOUND:
            raise self._forbidden(CommandId.UNBIND)
        self._control = self._issue(Unbind(), now + self.config.response_timeout)

    def close(self) -> None:
        """End the session at once, in any state; `Closed` follows, unless it has been."""
        if not self.closed:
            self._finish(CloseReason.CLOSED)

    # What the peer's PDUs do

    def _take_request(self, frame: Frame, now: float) -> None:
        command_id = frame.command_id
        if command_id not in self._may_take:
            self._refuse(frame)
        elif command_id in MESSAGES:
            self._timers.used(now)
            self._events.append(
                events.RequestReceived(
                    sequence_number=frame.sequence_number, pdu=frame.pdu, octets=frame.octets
                )
            )
        else:
            _TAKERS[command_id](self, frame, now)

    def _take_bind(self, frame: Frame, now: float) -> None:
        pdu = frame.pdu
        assert isinstance(pdu, Bind)
        self.kind = KIND_OF[pdu.command_id]
        self._requested = events.BindRequested(
            sequence_number=frame.sequence_number, kind=self.kind, pdu=pdu
        )
        self._init_deadline = inf
        self._events.append(self._requested)
        self._enter(State.BINDING)

    def _take_outbind(self, frame: Frame, now: float) -> None:
        assert isinstance(frame.pdu, Outbind)
        self._events.append(events.Outbound(pdu=frame.pdu))
        self._enter(State.OUTBOUND)

    def _take_enquire_link(self, frame: Frame, now: float) -> None:
        self._send(EnquireLinkResp(), frame.sequence_number, CommandStatus.ESME_ROK)

    def _take_unbind(self, frame: Frame, now: float) -> None:
        self._events.append(events.Unbinding())
        self._send(UnbindResp(), frame.sequence_number, CommandStatus.ESME_ROK)
        if self.state in BOUND:  # else both sides unbind at once, and ours waits for its answer
            self._unbound()
            # Who asked closes the connection; if it does not, we do.
            self._init_deadline = now + self.config.session_init_timeout

    def _take_response(self, frame: Frame, now: float) -> None:
        number = frame.sequence_number
        window = self._window
        request = window.waiting(number)
        late = request is None
        if request is None:
            request = window.late(number)
        if request is not None and _answers(frame, request.command_id):
            window.settle(number)
            self.answered = number
            self._timers.used(now)
            self._events.append(
                events.ResponseReceived(
                    sequence_number=number,
                    command_status=frame.command_status,
                    pdu=frame.pdu,
                    octets=frame.octets,
                    late=late,
                    request=request.octets,
                )
            )
        elif self._control is not None and number == self._control.sequence_number:
            self._take_control_response(frame, self._control.command_id, now)
        elif number == self._probe and _answers(frame, CommandId.ENQUIRE_LINK):
            self._probe = -1
            self.answered = number
        else:
            self._ignore(frame)

    def _take_control_response(self, frame: Frame, command_id: int, now: float) -> None:
        """The answer to our bind or unbind."""
        pdu = frame.pdu
        if command_id == CommandId.UNBIND and _answers(frame, command_id):
            # An unbind that was refused leaves nothing to do but to go.
            self._unbound()
            self._finish(self._close_reason)
        elif command_id not in BINDS or not isinstance(pdu, BindResp | GenericNack):
            self._ignore(frame)
        elif isinstance(pdu, GenericNack) or frame.command_status:
            self._control = None
            self._events.append(events.BindRefused(command_status=frame.command_status))
            self._enter(REFUSED)
        else:
            # Some answer with the response of another kind of bind; what we asked for counts.
            version = tlv(pdu, Tag.SC_INTERFACE_VERSION) or b"\0"
            self._events.append(
                events.Bound(
                    kind=KIND_OF[command_id],
                    system_id=pdu.system_id,
                    interface_version=version[-1],
                    pdu=pdu,
                )
            )
            self._bound(command_id | RESPONSE, now)

    def _refuse(self, frame: Frame) -> None:
        """A request that the state forbids (v5.0 §2.4)."""
        status = CommandStatus.ESME_RINVBNDSTS
        bound = self.role is Role.SMSC and self.state is not State.UNBOUND
        if bound and frame.command_id in BINDS:
            status = CommandStatus.ESME_RALYBND
        name = name_of(frame.command_id)
        reason = f"{name} from the {PEER[self.role]} is not allowed in state {self.state}"
        self._reject(frame.command_id, frame.sequence_number, status, reason, frame.octets)

    def _reject(
        self, command_id: int, number: int, command_status: int, reason: str, octets: bytes
    ) -> None:
        """Report a PDU and answer it with its own response, or generic_nack if it has none."""
        self._events.append(
            events.PduRejected(reason=reason, command_status=command_status, octets=octets)
        )
        if not command_id & RESPONSE:
            self._send(PDUS.get(command_id | RESPONSE, GenericNack)(), number, command_status)

    def _ignore(self, frame: Frame) -> None:
        self._events.append(
            events.ResponseIgnored(
                sequence_number=frame.sequence_number,
                command_status=frame.command_status,
                pdu=frame.pdu,
                octets=frame.octets,
            )
        )

    # What we do

    def _enter(self, state: State) -> None:
        if state not in BOUND:
            self._timers.stop()
        self.state = state
        self._may_issue = ISSUABLE[self.role, state]
        self._may_take = ISSUABLE[PEER[self.role], state]

    def _move(self, issuer: Role, command_id: int) -> None:
        self._enter(TRANSITIONS[self.state][issuer, CommandId(command_id)])

    def _bound(self, response_id: int, now: float) -> None:
        self._control = None
        self._init_deadline = inf
        self._timers.start(now)
        self._move(Role.SMSC, response_id)

    def _unbound(self) -> None:
        self._control = None
        self._events.append(events.Unbound())
        self._enter(State.UNBOUND)

    def _finish(self, reason: CloseReason) -> None:
        self._enter(State.CLOSED)
        self._events.append(events.Closed(reason=reason, outstanding=self._window.outstanding))

    def _issue(self, pdu: Pdu, deadline: float) -> Outstanding:
        """Send a request that moves the state."""
        command_id = int(pdu.command_id)
        if command_id not in self._may_issue:
            raise self._forbidden(command_id)
        number = self._take_number()
        octets = encode(pdu, sequence_number=number)
        self._outbox.append(octets)
        self._move(self.role, command_id)
        return Outstanding(
            command_id=command_id, sequence_number=number, deadline=deadline, octets=octets
        )

    def _enquire(self, now: float) -> None:
        self._probe = self._take_number()
        self._timers.asked(now)
        self._outbox.append(encode(EnquireLink(), sequence_number=self._probe))

    def _send(self, pdu: Pdu, sequence_number: int, command_status: int) -> None:
        self._outbox.append(
            encode(pdu, sequence_number=sequence_number, command_status=command_status)
        )

    def _take_number(self) -> int:
        control = 0 if self._control is None else self._control.sequence_number
        number = self._window.take_number()
        while number in (control, self._probe):
            number = self._window.take_number()
        self.issued = number
        return number

    def _requested_bind(self, sequence_number: int) -> Bind:
        requested = self._requested
        if self.state is not State.BINDING or requested is None:
            raise LocalProtocolError(f"no bind waits for an answer in state {self.state}")
        if requested.sequence_number != sequence_number:
            raise LocalProtocolError(
                f"the bind that waits has sequence_number {requested.sequence_number},"
                f" not {sequence_number}"
            )
        return requested.pdu

    def _forbidden(self, command_id: int) -> LocalProtocolError:
        return LocalProtocolError(
            f"{name_of(command_id)} from the {self.role} is not allowed in state {self.state}"
        )

    def _control_deadline(self) -> float:
        return inf if self._control is None else self._control.deadline


def _answers(frame: Frame, command_id: int) -> bool:
    return frame.command_id == command_id | RESPONSE or frame.command_id == _NACK


_Taker = Callable[[Session, Frame, float], None]
_TAKERS: Final[dict[int, _Taker]] = {
    **dict.fromkeys(BINDS, Session._take_bind),
    CommandId.OUTBIND: Session._take_outbind,
    CommandId.UNBIND: Session._take_unbind,
    CommandId.ENQUIRE_LINK: Session._take_enquire_link,
}
