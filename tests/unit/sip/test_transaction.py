"""Each row of the four machines' figures: RFC 3261 figures 5 to 8, as RFC 6026 corrects them."""

from typing import Any

import pytest

from protocols.sip.derive import reply
from protocols.sip.timers import Timers
from protocols.sip.transaction import (
    Effect,
    Given,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    State,
    Transaction,
    kind_of,
)
from protocols.sip.transport import Transport
from tests.unit.sip.builders import TCP_HOP, UDP_HOP, request

C, T, P, CO, CF, A, X = (
    State.CALLING,
    State.TRYING,
    State.PROCEEDING,
    State.COMPLETED,
    State.CONFIRMED,
    State.ACCEPTED,
    State.TERMINATED,
)
PROVISIONAL, SUCCESS, REFUSAL = Given.PROVISIONAL, Given.SUCCESS, Given.REFUSAL
SEND, PASS, ACK, TRY = Effect.SEND, Effect.PASS, Effect.ACK, Effect.TRY
TIME_OUT, FAIL = Effect.TIME_OUT, Effect.FAIL

# state, what is given, the state after, what is done; what a machine does not list does nothing.
Rows = list[tuple[State, Given, State, tuple[Effect, ...]]]

INVITE_CLIENT: Rows = [
    (C, PROVISIONAL, P, (PASS,)),
    (C, SUCCESS, A, (PASS,)),
    (C, REFUSAL, CO, (ACK, PASS)),
    (C, Given.AGAIN, C, (SEND,)),
    (C, Given.END, X, (TIME_OUT,)),
    (C, Given.FAULT, X, (FAIL,)),
    (P, PROVISIONAL, P, (PASS,)),
    (P, SUCCESS, A, (PASS,)),
    (P, REFUSAL, CO, (ACK, PASS)),
    (P, Given.END, X, (TIME_OUT,)),
    (CO, REFUSAL, CO, (ACK,)),
    (CO, Given.END, X, ()),
    (CO, Given.FAULT, X, (FAIL,)),
    (A, SUCCESS, A, (PASS,)),
    (A, Given.END, X, ()),
]
NON_INVITE_CLIENT: Rows = [
    (T, PROVISIONAL, P, (PASS,)),
    (T, SUCCESS, CO, (PASS,)),
    (T, REFUSAL, CO, (PASS,)),
    (T, Given.AGAIN, T, (SEND,)),
    (T, Given.END, X, (TIME_OUT,)),
    (T, Given.FAULT, X, (FAIL,)),
    (P, PROVISIONAL, P, (PASS,)),
    (P, SUCCESS, CO, (PASS,)),
    (P, REFUSAL, CO, (PASS,)),
    (P, Given.AGAIN, P, (SEND,)),
    (P, Given.END, X, (TIME_OUT,)),
    (P, Given.FAULT, X, (FAIL,)),
    (CO, Given.END, X, ()),
]
INVITE_SERVER: Rows = [
    (P, Given.REQUEST, P, (SEND,)),
    (P, PROVISIONAL, P, (SEND,)),
    (P, SUCCESS, A, (SEND,)),
    (P, REFUSAL, CO, (SEND,)),
    (P, Given.AGAIN, P, (TRY,)),
    (P, Given.FAULT, P, (FAIL,)),
    (CO, Given.REQUEST, CO, (SEND,)),
    (CO, Given.ACK, CF, ()),
    (CO, Given.AGAIN, CO, (SEND,)),
    (CO, Given.END, X, (TIME_OUT,)),
    (CO, Given.FAULT, CO, (FAIL,)),
    (CF, Given.END, X, ()),
    (A, SUCCESS, A, (SEND,)),
    (A, Given.ACK, A, (PASS,)),
    (A, Given.END, X, ()),
    (A, Given.FAULT, A, (FAIL,)),
]
NON_INVITE_SERVER: Rows = [
    (T, PROVISIONAL, P, (SEND,)),
    (T, SUCCESS, CO, (SEND,)),
    (T, REFUSAL, CO, (SEND,)),
    (T, Given.END, X, (TIME_OUT,)),
    (P, Given.REQUEST, P, (SEND,)),
    (P, PROVISIONAL, P, (SEND,)),
    (P, SUCCESS, CO, (SEND,)),
    (P, REFUSAL, CO, (SEND,)),
    (P, Given.END, X, (TIME_OUT,)),
    (P, Given.FAULT, X, (FAIL,)),
    (CO, Given.REQUEST, CO, (SEND,)),
    (CO, Given.END, X, ()),
    (CO, Given.FAULT, X, (FAIL,)),
]
FIGURES: list[tuple[type[Transaction], Rows]] = [
    (InviteClient, INVITE_CLIENT),
    (NonInviteClient, NON_INVITE_CLIENT),
    (InviteServer, INVITE_SERVER),
    (NonInviteServer, NON_INVITE_SERVER),
]


def machine(kind: type[Any], transport: Transport = Transport.UDP, timers: Any = None) -> Any:
    method = "INVITE" if kind in (InviteClient, InviteServer) else "OPTIONS"
    extra = {"fallback": None} if kind in (InviteServer, NonInviteServer) else {}
    return kind(
        number=1,
        key="key",
        request=request(method),
        destination=UDP_HOP if transport is Transport.UDP else TCP_HOP,
        durations=(timers or Timers()).durations(transport),
        now=0.0,
        **extra,
    )


# How a machine is brought into each of its states.
WAYS: dict[tuple[type[Transaction], State], tuple[Given, ...]] = {
    (InviteClient, C): (),
    (InviteClient, P): (PROVISIONAL,),
    (InviteClient, CO): (REFUSAL,),
    (InviteClient, A): (SUCCESS,),
    (NonInviteClient, T): (),
    (NonInviteClient, P): (PROVISIONAL,),
    (NonInviteClient, CO): (REFUSAL,),
    (InviteServer, P): (),
    (InviteServer, CO): (REFUSAL,),
    (InviteServer, CF): (REFUSAL, Given.ACK),
    (InviteServer, A): (SUCCESS,),
    (NonInviteServer, T): (),
    (NonInviteServer, P): (PROVISIONAL,),
    (NonInviteServer, CO): (SUCCESS,),
}


@pytest.mark.parametrize(("kind", "rows"), FIGURES)
def test_every_row_of_the_figure_and_no_other(kind: type[Transaction], rows: Rows) -> None:
    expected = {(state, given): (after, effects) for state, given, after, effects in rows}
    for (owner, state), way in WAYS.items():
        if owner is not kind:
            continue
        for given in Given:
            it = machine(kind)
            for step in way:
                it.give(step, 0.0)
            assert it.state is state
            after, effects = expected.get((state, given), (state, ()))
            assert it.takes(given) is ((state, given) in expected)
            assert it.give(given, 0.0) == effects, (state, given)
            assert it.state is after, (state, given)


@pytest.mark.parametrize("kind", [each for each, _ in FIGURES])
def test_what_is_terminated_does_nothing_any_more(kind: type[Transaction]) -> None:
    it = machine(kind)
    it._enter(X, 0.0)
    for given in Given:
        assert it.give(given, 1.0) == ()
    assert it.deadline == float("inf")


def repeats(it: Transaction, effect: Effect, until: float = 100.0) -> list[float]:
    """When a machine does `effect` if it is woken when it wants, until it is quiet."""
    times = []
    while (now := it.deadline) <= until:
        if effect in it.handle_timer(now):
            times.append(now)
    return times


A_AND_B = [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
E_AND_F = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


@pytest.mark.parametrize(
    ("kind", "way", "times"),
    [
        (InviteClient, (), A_AND_B),
        (NonInviteClient, (), E_AND_F),
        (InviteServer, (REFUSAL,), E_AND_F),
    ],
)
def test_over_udp_it_is_said_again_until_the_time_is_over(
    kind: type[Transaction], way: tuple[Given, ...], times: list[float]
) -> None:
    it = machine(kind)
    for step in way:
        it.give(step, 0.0)
    assert repeats(it, SEND) == times
    assert it.state is X


@pytest.mark.parametrize("kind", [InviteClient, NonInviteClient])
def test_over_tcp_it_is_said_once(kind: type[Transaction]) -> None:
    it = machine(kind, Transport.TCP)
    assert it.deadline == 32.0
    assert it.handle_timer(31.9) == ()
    assert it.handle_timer(32.0) == (TIME_OUT,)


def test_a_request_that_proceeds_is_repeated_every_t2() -> None:
    it = machine(NonInviteClient)
    it.give(PROVISIONAL, 0.1)
    assert repeats(it, SEND) == [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert it.state is X


def test_an_invite_that_proceeds_is_not_repeated_and_has_no_end() -> None:
    it = machine(InviteClient)
    it.give(PROVISIONAL, 0.1)
    assert it.deadline == float("inf")


@pytest.mark.parametrize(
    ("kind", "way", "udp", "tcp"),
    [
        (InviteClient, (REFUSAL,), 32.0, 0.0),  # D
        (InviteClient, (SUCCESS,), 32.0, 32.0),  # M
        (NonInviteClient, (SUCCESS,), 5.0, 0.0),  # K
        (InviteServer, (REFUSAL, Given.ACK), 5.0, 0.0),  # I
        (InviteServer, (SUCCESS,), 32.0, 32.0),  # L
        (NonInviteServer, (SUCCESS,), 32.0, 0.0),  # J
    ],
)
def test_how_long_the_last_state_lasts(
    kind: type[Transaction], way: tuple[Given, ...], udp: float, tcp: float
) -> None:
    for transport, lasts in ((Transport.UDP, udp), (Transport.TCP, tcp)):
        it = machine(kind, transport)
        for step in way:
            it.give(step, 10.0)
        if not lasts:
            assert it.state is X
            continue
        assert it.deadline == 10.0 + lasts
        it.handle_timer(10.0 + lasts)
        assert it.state is X


def test_a_late_timer_is_caught_up_with_once() -> None:
    it = machine(InviteClient)
    assert it.handle_timer(9.0) == (SEND,)
    assert it.handle_timer(9.0) == ()
    assert it.deadline == 10.0


def test_the_first_answer_of_the_user_stands_for_the_100() -> None:
    it = machine(InviteServer)
    assert it.deadline == 0.2
    it.answer(reply(it.request, 180, tag="b"), b"180", 0.1)
    assert it.octets == b"180"
    assert it.deadline == float("inf")


def test_a_cancelled_invite_ends_without_a_final_response() -> None:
    it = machine(InviteClient)
    it.give(PROVISIONAL, 1.0)
    it.cancelled(2.0)
    it.give(PROVISIONAL, 3.0)  # what comes meanwhile does not put it off
    assert it.deadline == 34.0
    assert it.handle_timer(34.0) == (TIME_OUT,)


def test_kinds_of_responses() -> None:
    assert [kind_of(status) for status in (100, 199, 200, 299, 300, 699)] == [
        PROVISIONAL,
        PROVISIONAL,
        SUCCESS,
        SUCCESS,
        REFUSAL,
        REFUSAL,
    ]
