"""Handsets put parts together as they come and show each copy that arrived whole."""

from itertools import permutations

import pytest

from protocols.smpp.reassembly import Part
from sims.handset import Assembly, Inboxes, Text

ONE, TWO, THREE = b"one ", b"two ", b"three"


class Phone:
    """A handset that gets parts of texts from one number."""

    def __init__(self) -> None:
        self._assembly = Assembly()

    def takes(
        self,
        part: tuple[int, int, int],
        content: bytes,
        message_reference: int | None = None,
        now: float = 0.0,
        sender: str = "15550001000",
    ) -> list[bytes] | None:
        reference, total, number = part
        copy = self._assembly.add(
            Part(
                group_key=f"{sender} {reference} {total}",
                number=number,
                total=total,
                data_coding=0,
                payload=content,
            ),
            message_reference,
            now,
        )
        return None if copy is None else [part.payload for part in copy]


def text(number: str, body: str) -> Text:
    return Text(from_address="+15550001000", to_address=number, body=body, received_at=0.0)


def bodies(inboxes: Inboxes, number: str) -> list[str]:
    return [text.body for text in inboxes.of(number)]


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_parts_come_in_any_order(order: tuple[int, ...]) -> None:
    phone = Phone()
    contents = {1: ONE, 2: TWO, 3: THREE}
    results = [phone.takes((7, 3, n), contents[n]) for n in order]
    assert results == [None, None, [ONE, TWO, THREE]]


def test_two_texts_between_the_same_numbers_do_not_mix() -> None:
    phone = Phone()
    assert phone.takes((7, 2, 1), ONE) is None
    assert phone.takes((8, 2, 2), b"8b") is None
    assert phone.takes((7, 2, 2), TWO) == [ONE, TWO]
    assert phone.takes((8, 2, 1), b"8a") == [b"8a", b"8b"]


def test_a_copy_that_comes_whole_again_is_seen() -> None:
    phone = Phone()
    parts = [(1, ONE), (2, TWO)] * 2
    results = [phone.takes((7, 2, n), content, 5, 0.0) for n, content in parts]
    assert results == [None, [ONE, TWO], None, [ONE, TWO]]


def test_copies_that_come_interleaved_are_both_seen() -> None:
    phone = Phone()
    parts = [(1, ONE), (1, ONE), (2, TWO), (2, TWO)]
    results = [phone.takes((7, 2, n), content, 5, 0.0) for n, content in parts]
    assert results == [None, None, [ONE, TWO], [ONE, TWO]]


def test_a_part_that_came_twice_does_not_spoil_the_next_text() -> None:
    phone = Phone()
    for number, content in ((1, ONE), (2, TWO), (2, TWO)):
        phone.takes((7, 2, number), content, 5, 0.0)
    assert phone.takes((7, 2, 1), b"new one", 6, 1.0) is None
    assert phone.takes((7, 2, 2), b"new two", 6, 1.0) == [b"new one", b"new two"]


def test_without_a_message_reference_a_repeated_part_waits_for_seconds_only() -> None:
    phone = Phone()
    for number, content in ((1, ONE), (2, TWO), (2, TWO)):
        phone.takes((7, 2, number), content)
    assert phone.takes((7, 2, 1), b"new one", None, 31.0) is None
    assert phone.takes((7, 2, 2), b"new two", None, 31.0) == [b"new one", b"new two"]


def test_a_missing_part_may_take_hours() -> None:
    phone = Phone()
    phone.takes((7, 2, 1), ONE, 5, 0.0)
    assert phone.takes((7, 2, 2), TWO, 5, 4 * 3600.0) == [ONE, TWO]


def test_a_text_left_incomplete_makes_way_for_another() -> None:
    phone = Phone()
    phone.takes((7, 2, 1), ONE, 5, 0.0)
    assert phone.takes((7, 2, 1), b"new one", 6, 1.0) is None
    assert phone.takes((7, 2, 2), b"new two", 6, 1.0) == [b"new one", b"new two"]


def test_incomplete_texts_are_bounded() -> None:
    phone = Phone()
    phone.takes((7, 2, 1), ONE)
    for number in range(10_000):
        phone.takes((7, 2, 1), ONE, sender=str(number))
    assert phone.takes((7, 2, 2), TWO) is None


def test_an_inbox_is_found_with_and_without_plus_and_lists_the_oldest_first() -> None:
    inboxes = Inboxes(limit=10)
    for body in ("a", "b"):
        inboxes.add(text("+447700900123", body))
    inboxes.add(text("+447700900124", "c"))
    assert bodies(inboxes, "447700900123") == bodies(inboxes, "+447700900123") == ["a", "b"]
    assert bodies(inboxes, "+447700900124") == ["c"]
    assert bodies(inboxes, "+447700900125") == []


def test_inboxes_drop_the_oldest_text_over_all_handsets() -> None:
    inboxes = Inboxes(limit=2)
    inboxes.add(text("+1", "a"))
    inboxes.add(text("+2", "b"))
    inboxes.add(text("+1", "c"))
    assert (bodies(inboxes, "+1"), bodies(inboxes, "+2")) == (["c"], ["b"])
    inboxes.add(text("+1", "d"))
    assert (bodies(inboxes, "+1"), bodies(inboxes, "+2")) == (["c", "d"], [])
    assert len(inboxes) == 2


def test_forgetting_empties_every_inbox() -> None:
    inboxes = Inboxes(limit=2)
    inboxes.add(text("+1", "a"))
    inboxes.forget()
    assert bodies(inboxes, "+1") == []
    inboxes.add(text("+1", "b"))
    assert bodies(inboxes, "+1") == ["b"]
