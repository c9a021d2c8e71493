"""References for texts in parts: unique while they live, bounded, other ones after a restart."""

from itertools import pairwise

from protocols.smpp.reassembly import ReferencePool


def test_no_reference_is_given_twice_while_it_lives() -> None:
    pool = ReferencePool(bits=8, limit=10)
    given = [pool.take("acme|+1|+2", 0.0, 100.0) for _ in range(256)]
    assert sorted(given) == list(range(256))


def test_they_follow_each_other_and_wrap() -> None:
    pool = ReferencePool(bits=8, limit=10)
    given = [pool.take("k", 0.0, 1.0) for _ in range(256)]
    assert all((b - a) % 256 == 1 for a, b in pairwise(given))
    assert pool.take("k", 2.0, 3.0) == given[0]


def test_while_all_live_the_oldest_is_used_again() -> None:
    pool = ReferencePool(bits=8, limit=10)
    given = [pool.take("k", 0.0, 100.0) for _ in range(256)]
    assert [pool.take("k", 1.0, 100.0) for _ in range(3)] == given[:3]


def test_a_live_one_is_stepped_over() -> None:
    pool = ReferencePool(bits=8, limit=10)
    first = pool.take("k", 0.0, 100.0)
    pool.hold("k", (first + 1) % 256, 0.0, 100.0)
    assert pool.take("k", 0.0, 100.0) == (first + 2) % 256


def test_a_released_one_is_free_when_its_turn_comes() -> None:
    pool = ReferencePool(bits=8, limit=10)
    given = [pool.take("k", 0.0, 100.0) for _ in range(256)]
    pool.release("k", given[9])
    pool.release("nobody", 1)
    assert pool.take("k", 1.0, 100.0) == given[9]


def test_keys_do_not_disturb_each_other() -> None:
    pool = ReferencePool(bits=8, limit=10)
    for _ in range(256):
        pool.take("a", 0.0, 100.0)
    assert len({pool.take("b", 0.0, 100.0) for _ in range(200)}) == 200


def test_keys_are_bounded_and_the_longest_unused_goes() -> None:
    pool = ReferencePool(bits=8, limit=2)
    pool.take("a", 0.0, 100.0)
    pool.take("b", 0.0, 100.0)
    pool.take("a", 0.0, 100.0)
    pool.take("c", 0.0, 100.0)
    assert len(pool) == 2


def test_a_forgotten_key_goes_on_elsewhere() -> None:
    before = ReferencePool(bits=8, limit=2).take("k", 1000.0, 2000.0)
    after = ReferencePool(bits=8, limit=2).take("k", 1030.0, 2000.0)
    assert before != after


def test_sixteen_bits() -> None:
    pool = ReferencePool(bits=16, limit=2)
    given = {pool.take("k", 0.0, 100.0) for _ in range(1000)}
    assert len(given) == 1000
    assert all(0 <= reference < 65536 for reference in given)
    assert max(given) > 255
