"""Long texts put together: any order, twice, never all, after a restart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.smpp.reassembly import (
    Duplicate,
    Incomplete,
    Part,
    Reassembly,
    Whole,
    join,
    part_of,
    restore,
    text_of,
)

UDHI = 0x40


def received(
    payload: bytes,
    *,
    esm_class: int = UDHI,
    data_coding: int = 0,
    tlvs: tuple[tuple[int, bytes], ...] = (),
    from_address: str = "+441",
    to_address: str = "+442",
    carrier: str = "acme",
) -> Part | None:
    return part_of(
        esm_class=esm_class,
        data_coding=data_coding,
        payload=payload,
        tlvs=tlvs,
        from_address=from_address,
        to_address=to_address,
        carrier=carrier,
    )


def part(number: int, total: int = 3, reference: int = 7, text: bytes | None = None) -> Part:
    octets = bytes((5, 0, 3, reference, total, number))
    found = received(octets + (text if text is not None else b"<%d>" % number))
    assert found is not None
    return found


def reassembly(limit: int = 10) -> Reassembly:
    return Reassembly(lifetime=60.0, limit=limit)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_parts_come_in_any_order(order: tuple[int, int, int]) -> None:
    waiting = reassembly()
    first, second, last = (waiting.add(part(number), 0.0) for number in order)
    assert isinstance(first, Incomplete) and first.missing == 2
    assert isinstance(second, Incomplete) and second.missing == 1
    assert isinstance(last, Whole) and last.text == "<1><2><3>"
    assert len(waiting) == 0


def test_a_part_that_comes_twice_counts_once_before_and_after() -> None:
    waiting = reassembly()
    waiting.add(part(1, 2), 0.0)
    assert isinstance(waiting.add(part(1, 2), 1.0), Duplicate)
    assert isinstance(waiting.add(part(2, 2), 2.0), Whole)
    assert isinstance(waiting.add(part(1, 2), 3.0), Duplicate)
    assert isinstance(waiting.add(part(2, 2), 4.0), Duplicate)
    assert len(waiting) == 0


def test_a_reference_that_is_used_again_begins_a_new_text() -> None:
    waiting = reassembly()
    waiting.add(part(1, 2), 0.0)
    waiting.add(part(2, 2), 0.0)
    assert isinstance(waiting.add(part(1, 2, text=b"new "), 10.0), Incomplete)
    done = waiting.add(part(2, 2, text=b"text"), 11.0)
    assert isinstance(done, Whole) and done.text == "new text"


def test_a_reference_used_again_displaces_the_unfinished_text() -> None:
    waiting = reassembly()
    waiting.add(part(1), 0.0)
    waiting.add(part(2), 0.0)
    answer = waiting.add(part(1, text=b"other"), 5.0)
    assert isinstance(answer, Incomplete) and answer.missing == 2
    (old,) = answer.displaced
    assert old.group_key == part(1).group_key
    assert [one.number for one in old.parts] == [1, 2]
    assert "used again" in old.reason


@pytest.mark.parametrize(
    "other",
    [
        {"from_address": "+449"},
        {"to_address": "+449"},
        {"carrier": "beta"},
        {"payload": bytes((5, 0, 3, 8, 2, 2)) + b"x"},  # reference
        {"payload": bytes((6, 8, 4, 0, 7, 2, 2)) + b"x"},  # width
        {"payload": bytes((5, 0, 3, 7, 3, 2)) + b"x"},  # total
    ],
)
def test_what_makes_two_texts_of_parts(other: dict[str, Any]) -> None:
    one = received(bytes((5, 0, 3, 7, 2, 1)) + b"x")
    two = received(**{"payload": bytes((5, 0, 3, 7, 2, 2)) + b"x", **other})
    assert one is not None and two is not None
    assert one.group_key != two.group_key


def test_an_address_cannot_pretend_to_be_two_fields() -> None:
    one = received(bytes((5, 0, 3, 7, 2, 1)), from_address="a\tb", to_address="c")
    two = received(bytes((5, 0, 3, 7, 2, 1)), from_address="a", to_address="b\tc")
    assert one is not None and two is not None
    assert one.group_key != two.group_key


def test_sar_tlvs_and_message_payload() -> None:
    tlvs = ((0x020C, b"\x01\x02"), (0x020E, b"\x02"), (0x020F, b"\x01"), (0x0424, b"hi"))
    found = received(b"", esm_class=0, tlvs=tlvs)
    assert found is not None
    assert (found.number, found.total, found.payload) == (1, 2, b"hi")
    assert found.group_key.split("\t")[3:] == ["16:258", "2"]


@pytest.mark.parametrize(
    "tlvs",
    [
        ((0x020C, b"\x01\x02"), (0x020E, b"\x02")),
        ((0x020C, b"\x01\x02"), (0x020E, b"\x02"), (0x020F, b"\x03")),
        ((0x020C, b"\x01\x02"), (0x020E, b"\x00"), (0x020F, b"\x00")),
        ((0x020C, b""), (0x020E, b"\x02"), (0x020F, b"\x01")),
        ((0x1403, b"\x00"),),
    ],
)
def test_tlvs_that_say_nothing_of_parts(tlvs: tuple[tuple[int, bytes], ...]) -> None:
    assert received(b"whole", esm_class=0, tlvs=tlvs) is None
    assert text_of(esm_class=0, data_coding=0, payload=b"whole", tlvs=tlvs) == "whole"


def test_the_header_counts_before_the_tlvs() -> None:
    tlvs = ((0x020C, b"\x01\x02"), (0x020E, b"\x05"), (0x020F, b"\x04"))
    found = received(bytes((5, 0, 3, 7, 2, 1)) + b"x", tlvs=tlvs)
    assert found is not None
    assert (found.number, found.total, found.payload) == (1, 2, b"x")


def test_a_header_without_concatenation_is_passed_over() -> None:
    octets = bytes.fromhex("06050415811581") + b"ring"
    assert received(octets) is None
    assert text_of(esm_class=UDHI, data_coding=4, payload=octets, tlvs=()) == "ring"


def test_a_broken_header_is_text() -> None:
    assert received(b"Hello") is None  # 0x48 octets of header do not follow
    assert text_of(esm_class=UDHI, data_coding=0, payload=b"Hello", tlvs=()) == "Hello"


def test_texts_expire_after_their_last_part() -> None:
    waiting = reassembly()
    assert waiting.timer() is None
    waiting.add(part(1), 0.0)
    waiting.add(part(1, reference=8), 10.0)
    waiting.add(part(2), 30.0)
    assert waiting.timer() == 70.0
    assert waiting.expire(69.9) == []
    (first,) = waiting.expire(70.0)
    assert first.group_key == part(1, reference=8).group_key
    (second,) = waiting.expire(90.0)
    assert [one.number for one in second.parts] == [1, 2]
    assert (second.total, len(waiting), waiting.timer()) == (3, 0, None)


def test_a_whole_text_is_remembered_for_as_long() -> None:
    waiting = reassembly()
    waiting.add(part(1, 2), 0.0)
    waiting.add(part(2, 2), 0.0)
    waiting.expire(60.0)
    assert isinstance(waiting.add(part(1, 2), 60.0), Incomplete)


def test_memory_is_bounded() -> None:
    waiting = reassembly(limit=2)
    waiting.add(part(1, reference=1), 0.0)
    waiting.add(part(1, reference=2), 1.0)
    waiting.add(part(2, reference=1), 2.0)
    answer = waiting.add(part(1, reference=3), 3.0)
    assert isinstance(answer, Incomplete)
    assert [one.group_key for one in answer.displaced] == [part(1, reference=2).group_key]
    assert len(waiting) == 2


def test_a_text_of_one_part_is_whole_at_once() -> None:
    done = reassembly().add(part(1, 1), 0.0)
    assert isinstance(done, Whole) and done.text == "<1>"


def test_parts_come_back_from_rows() -> None:
    rows = [(one.group_key, one.number, one.stored) for one in (part(1), part(3))]
    waiting = reassembly()
    for key, number, stored in rows:
        waiting.add(restore(key, number, stored), 0.0)
    done = waiting.add(part(2), 1.0)
    assert isinstance(done, Whole) and done.text == "<1><2><3>"
    assert restore(*rows[0]) == part(1)


def test_a_pair_that_the_sender_cut_in_two_heals() -> None:
    octets = "ab😀cd".encode("utf-16-be")
    parts = [
        Part(group_key="k", number=number, total=2, data_coding=8, payload=payload)
        for number, payload in ((2, octets[6:]), (1, octets[:6]))
    ]
    assert join(parts) == "ab😀cd"
    escape = [
        Part(group_key="k", number=number, total=2, data_coding=0, payload=payload)
        for number, payload in ((1, b"a\x1b"), (2, b"eb"))
    ]
    assert join(escape) == "a€b"


def test_parts_in_different_alphabets() -> None:
    parts = [
        Part(group_key="k", number=1, total=2, data_coding=0, payload=b"\x00"),
        Part(group_key="k", number=2, total=2, data_coding=8, payload="ж".encode("utf-16-be")),
    ]
    assert join(parts) == "@ж"


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2)), max_size=60))
def test_every_text_comes_out_at_most_once_and_whole(arrivals: list[tuple[int, int]]) -> None:
    waiting = reassembly()
    seen: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
    for at, (number, reference) in enumerate(arrivals):
        answer = waiting.add(part(number, 4, reference), at / 100)
        fresh = number not in seen[reference]
        seen[reference].add(number)
        expected = Duplicate if not fresh else Whole if len(seen[reference]) == 4 else Incomplete
        assert isinstance(answer, expected)
        if isinstance(answer, Whole):
            assert answer.text == "<1><2><3><4>"
