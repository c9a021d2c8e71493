"""How long a connection lives, with a clock held in the hand."""

import pytest

from protocols.sip.liveness import NEVER, Liveness
from protocols.sip.wire import Patience

PATIENCE = Patience(idle=1000.0, whole=16.0, read=30.0, pong=10.0)


def of_a_peer() -> Liveness:
    return Liveness(PATIENCE, 0.0, apart=NEVER)


def ours() -> Liveness:
    return Liveness(PATIENCE, 0.0, apart=100.0)


def test_silence_ends_it_and_either_way_counts() -> None:
    alive = of_a_peer()
    assert alive.due() == 1000.0
    assert not alive.verdict(999.9)
    assert "nothing passed" in alive.verdict(1000.0)
    alive.hear(500.0)
    assert not alive.verdict(1499.0)
    alive.used = True
    assert not alive.verdict(1499.5)
    assert alive.due() == 2499.5


def test_a_message_comes_whole_in_time_or_not_at_all() -> None:
    alive = of_a_peer()
    alive.hear_part(10.0)
    alive.hear_part(20.0)  # one octet more does not begin anew
    assert alive.due() == 26.0
    assert not alive.verdict(25.9)
    assert "whole" in alive.verdict(26.0)
    alive.hear(25.9)
    assert not alive.verdict(26.0)


def test_a_peer_that_does_not_read_is_ended() -> None:
    alive = of_a_peer()
    alive.block(5.0)
    assert alive.due() == 35.0
    assert "read" in alive.verdict(35.0)
    alive.unblock()
    assert not alive.verdict(35.0)


def test_pings_are_so_far_apart_and_only_where_nothing_is_heard() -> None:
    alive = ours()
    assert alive.due() == 100.0
    assert not alive.wants_ping(99.9)
    alive.hear(50.0)
    assert not alive.wants_ping(149.9)
    assert alive.wants_ping(150.0)
    assert not alive.wants_ping(151.0), "one at a time"
    assert not of_a_peer().wants_ping(1e9)


def test_a_pong_that_stays_away_ends_it_once_it_is_known_to_come() -> None:
    alive = ours()
    assert alive.wants_ping(100.0)
    alive.hear(101.0)
    assert alive.wants_ping(201.0)
    assert alive.due() == 211.0
    assert not alive.verdict(210.9)
    assert "ping" in alive.verdict(211.0)


@pytest.mark.parametrize("answer", ["hear", "hear_part"])
def test_whatever_is_heard_after_a_ping_is_a_pong(answer: str) -> None:
    alive = ours()
    assert alive.wants_ping(100.0)
    getattr(alive, answer)(101.0)
    assert not alive.verdict(111.0)


def test_who_never_answered_a_ping_is_not_asked_again() -> None:
    alive = ours()
    assert alive.wants_ping(100.0)
    assert not alive.verdict(110.0)
    assert not alive.wants_ping(500.0)
    assert alive.due() == 1000.0
