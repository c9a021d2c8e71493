"""Guessing a secret: how often, for how long, and in how much memory."""

from gateway.tries import Tries


def test_the_last_try_is_looked_at_and_the_next_waits_for_the_window() -> None:
    tries = Tries(tries=3, window=60.0)
    for _ in range(3):
        assert tries.wait("key", 100.0) == 0.0
        tries.failed("key", 100.0)
    assert tries.wait("key", 100.0) == 60.0
    assert tries.wait("key", 130.0) == 30.0
    assert tries.wait("key", 160.0) == 0.0


def test_after_the_window_the_count_starts_anew() -> None:
    tries = Tries(tries=2, window=60.0)
    tries.failed("key", 0.0)
    tries.failed("key", 61.0)
    assert tries.wait("key", 61.0) == 0.0
    tries.failed("key", 62.0)
    assert tries.wait("key", 62.0) == 59.0


def test_keys_are_apart() -> None:
    tries = Tries(tries=1, window=60.0)
    tries.failed(("10.0.0.1", "AC1"), 0.0)
    assert tries.wait(("10.0.0.1", "AC1"), 0.0) == 60.0
    assert tries.wait(("10.0.0.1", "AC2"), 0.0) == 0.0
    assert tries.wait(("10.0.0.2", "AC1"), 0.0) == 0.0


def test_who_knows_the_secret_is_forgiven() -> None:
    tries = Tries(tries=2, window=60.0)
    tries.failed("key", 0.0)
    tries.succeeded("key")
    tries.failed("key", 1.0)
    assert tries.wait("key", 1.0) == 0.0


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    tries = Tries(tries=1, window=60.0, entries=3)
    for number in range(5):
        tries.failed(number, float(number))
    assert len(tries) == 3
    assert [tries.wait(number, 5.0) > 0 for number in range(5)] == [False, False, True, True, True]
