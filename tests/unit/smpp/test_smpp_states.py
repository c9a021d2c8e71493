"""A walk over every state and every PDU, checked against the table printed in v3.4 and v5.0."""

from collections.abc import Callable

import pytest

from protocols.smpp.codec import encode
from protocols.smpp.constants import RESPONSE, CommandId
from protocols.smpp.errors import LocalProtocolError
from protocols.smpp.events import PduRejected, ResponseIgnored
from protocols.smpp.pdu import (
    PDUS,
    Bind,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CommandStatus,
    Outbind,
    Unbind,
)
from protocols.smpp.session import Role, Session, SessionConfig, State
from protocols.smpp.states import PEER, TRANSITIONS
from tests.floods import each
from tests.unit.smpp.smpp_pair import events_of, frames_of

C = CommandId
NOW = 1000.0

# v3.4 table 2-1, v5.0 table 2-4: what the other side may issue to a session of ours. Written a
# second time and by hand, one letter per state: o open, u outbound, b binding, t r x bound as
# transmitter, receiver, transceiver, n unbinding, d unbound.
LETTERS = {
    State.OPEN: "o",
    State.OUTBOUND: "u",
    State.BINDING: "b",
    State.BOUND_TX: "t",
    State.BOUND_RX: "r",
    State.BOUND_TRX: "x",
    State.UNBINDING: "n",
    State.UNBOUND: "d",
}
FROM_ESME = {
    C.BIND_RECEIVER: "ou",
    C.BIND_TRANSMITTER: "ou",
    C.BIND_TRANSCEIVER: "ou",
    C.OUTBIND: "",
    C.UNBIND: "trxn",
    C.SUBMIT_SM: "txn",
    C.DELIVER_SM: "",
    C.DATA_SM: "txn",
    C.QUERY_SM: "txn",
    C.ENQUIRE_LINK: "oubtrxnd",
    C.ALERT_NOTIFICATION: "",
}
FROM_SMSC = {
    C.BIND_RECEIVER: "",
    C.BIND_TRANSMITTER: "",
    C.BIND_TRANSCEIVER: "",
    C.OUTBIND: "o",
    C.UNBIND: "trxn",
    C.SUBMIT_SM: "",
    C.DELIVER_SM: "rxn",
    C.DATA_SM: "rxn",
    C.QUERY_SM: "",
    C.ENQUIRE_LINK: "oubtrxnd",
    C.ALERT_NOTIFICATION: "rxn",
}
ALLOWED = {Role.ESME: FROM_ESME, Role.SMSC: FROM_SMSC}
REQUESTS = [command for command in C if not command & RESPONSE]
RESPONSES = [command for command in C if command & RESPONSE]


def bring_to(role: Role, state: State) -> Session:
    """A session of ours that got into `state` by the wire."""
    session = Session(role, SessionConfig(), NOW)
    binds: dict[State, type[Bind]] = {
        State.BOUND_TX: BindTransmitter,
        State.BOUND_RX: BindReceiver,
    }
    if state is State.OUTBOUND:
        if role is Role.SMSC:
            session.outbind(Outbind(), NOW)
        else:
            session.receive_data(encode(Outbind(), sequence_number=1), NOW)
    elif state is not State.OPEN and state is not State.CLOSED:
        bind(session, binds.get(state, BindTransceiver), state)
    if state is State.UNBINDING:
        session.unbind(NOW)
    elif state is State.UNBOUND:
        session.receive_data(encode(Unbind(), sequence_number=50), NOW)
    elif state is State.CLOSED:
        session.close()
    session.data_to_send()
    events_of(session)
    assert session.state is state
    return session


def bind(session: Session, declared: type[Bind], state: State) -> None:
    if session.role is Role.ESME:
        session.bind(declared(), NOW)
        if state is not State.BINDING:
            response = PDUS[declared.command_id | RESPONSE]()
            session.receive_data(encode(response, sequence_number=1), NOW)
    else:
        session.receive_data(encode(declared(), sequence_number=1), NOW)
        if state is not State.BINDING:
            session.accept_bind(1, "smsc", NOW)


@pytest.mark.parametrize("state", LETTERS)
@pytest.mark.parametrize("role", Role)
@each("command", REQUESTS)
def test_every_request_in_every_state(role: Role, state: State, command: CommandId) -> None:
    session = bring_to(role, state)
    session.receive_data(encode(PDUS[command](), sequence_number=99), NOW)
    rejected = [event for event in events_of(session) if isinstance(event, PduRejected)]
    written = frames_of(session.data_to_send())
    if LETTERS[state] in ALLOWED[PEER[role]][command]:
        assert rejected == []
        assert all(frame.command_status == 0 for frame in written)
        assert session.state is after(state, command)
    else:
        (event,) = rejected
        assert f"is not allowed in state {state}" in event.reason
        (answer,) = written
        nacked = command in (C.OUTBIND, C.ALERT_NOTIFICATION)
        assert answer.command_id == (C.GENERIC_NACK if nacked else command | RESPONSE)
        assert answer.sequence_number == 99
        assert answer.command_status == event.command_status
        again = issubclass(PDUS[command], Bind) and role is Role.SMSC and state != State.UNBOUND
        assert answer.command_status == (
            CommandStatus.ESME_RALYBND if again else CommandStatus.ESME_RINVBNDSTS
        )
        assert session.state is state


def after(state: State, command: CommandId) -> State:
    if issubclass(PDUS[command], Bind):
        return State.BINDING
    if command is C.OUTBIND:
        return State.OUTBOUND
    # unbind is answered at once, and while our own waits nothing changes
    return State.UNBOUND if command is C.UNBIND and state is not State.UNBINDING else state


@pytest.mark.parametrize("state", LETTERS)
@pytest.mark.parametrize("role", Role)
@each("command", RESPONSES)
def test_no_response_to_nothing_changes_any_state(
    role: Role, state: State, command: CommandId
) -> None:
    session = bring_to(role, state)
    session.receive_data(encode(PDUS[command](), sequence_number=99), NOW)
    (event,) = events_of(session)
    assert isinstance(event, ResponseIgnored)
    assert session.data_to_send() == b""
    assert session.state is state


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("role", Role)
@each("command", REQUESTS)
def test_every_command_of_ours_in_every_state(role: Role, state: State, command: CommandId) -> None:
    session = bring_to(role, state)
    pdu = PDUS[command]()
    commands: dict[CommandId, Callable[[], object]] = {
        C.BIND_RECEIVER: lambda: session.bind(pdu, NOW),
        C.BIND_TRANSMITTER: lambda: session.bind(pdu, NOW),
        C.BIND_TRANSCEIVER: lambda: session.bind(pdu, NOW),
        C.OUTBIND: lambda: session.outbind(pdu, NOW),
        C.UNBIND: lambda: session.unbind(NOW),
    }
    issue = commands.get(command, lambda: session.request(pdu, NOW))
    states = "" if command is C.ENQUIRE_LINK else ALLOWED[role][command].replace("n", "")
    if LETTERS.get(state, "closed") in states:
        issue()
        (frame,) = frames_of(session.data_to_send())
        assert frame.command_id == command
    else:
        with pytest.raises(LocalProtocolError):
            issue()
        assert session.data_to_send() == b""
        assert session.state is state


def test_the_table_reaches_every_state_and_has_a_row_for_each() -> None:
    assert set(TRANSITIONS) == set(State)
    reached = {State.OPEN, State.CLOSED}
    for row in TRANSITIONS.values():
        reached.update(row.values())
    assert reached == set(State)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("role", Role)
def test_every_state_can_be_closed_and_then_has_no_timer(role: Role, state: State) -> None:
    session = bring_to(role, state)
    session.close()
    assert session.closed
    assert session.timer() is None
