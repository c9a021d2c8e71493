"""What is in memory, and how it is found."""

import msgspec

from gateway.messages.book import Book
from gateway.messages.flight import Flight, PartState
from gateway.model import Direction, Message, MessageStatus


def flight(sid: str, reference: int = -1, parts: int = 1) -> Flight:
    return Flight(
        Message(
            account_sid="AC1",
            sid=sid,
            direction=Direction.OUTBOUND_API,
            status=MessageStatus.SENDING,
            from_address="+15550001000",
            to_address="+15550002000",
            body="text",
            num_segments=parts,
            parts=parts,
            encoding="GSM-7",
            origin="rest",
            carrier="acme",
            reference=reference,
            valid_until=100.0,
            date_created=1.0,
            date_updated=1.0,
        )
    )


def test_references_are_forgotten_by_who_has_them_now() -> None:
    book = Book(10)
    old, new = flight("SM1", 65535, 2), flight("SM2", 0)
    book.learn_references(old)
    assert book.part_by_reference("acme", 65535) == ("SM1", 1)
    assert book.part_by_reference("acme", 0) == ("SM1", 2)
    book.learn_references(new)
    book.forget_references(old)
    assert book.part_by_reference("acme", 65535) is None
    assert book.part_by_reference("acme", 0) == ("SM2", 1)
    book.forget_references(flight("SM3"))  # never tried: it has none
    assert book.part_by_reference("acme", 0) == ("SM2", 1)


def test_references_that_are_in_use_are_not_given_again() -> None:
    book = Book(10)
    for first in (0, 1, 3):
        book.learn_references(flight(f"SM{first}", first))
    assert book.free_reference("acme", 0, 1) == 2
    assert book.free_reference("acme", 0, 2) == 4
    assert book.free_reference("beta", 0, 2) == 0
    assert book.free_reference("acme", 65535, 1) == 65535
    assert book.free_reference("acme", 65535, 2) == 5


def test_texts_that_wait_for_receipts_are_bounded_and_others_are_not() -> None:
    book = Book(2)
    for number in range(4):
        moving, sent = flight(f"SM{number}"), flight(f"SE{number}")
        book.keep(moving)
        sent.note(1, PartState.SENT)
        sent.message = msgspec.structs.replace(sent.message, status=MessageStatus.SENT)
        book.keep(sent)
    assert [each.message.sid for each in book.moving()] == ["SM0", "SM1", "SM2", "SM3"]
    assert "SE1" not in book and "SE2" in book and "SE3" in book
    assert len(book) == 6


def test_held_texts_are_known_until_they_are_settled() -> None:
    book = Book(10)
    it = flight("SM1")
    it.note(1, PartState.HELD)
    book.keep(it)
    assert list(book.held()) == [it]
    it.note(1, PartState.WAITING)
    book.keep(it)
    assert list(book.held()) == []
    it.note(1, PartState.HELD)
    book.keep(it)
    book.forget("SM1")
    assert list(book.held()) == [] and book.get("SM1") is None


def test_ids_are_bounded() -> None:
    book = Book(2)
    for number in range(5):
        book.learn_id("acme", str(number), f"SM{number}", 1)
    assert book.part_by_id("acme", "0") is None
    assert [book.part_by_id("acme", str(n)) for n in range(1, 5)] == [
        (f"SM{n}", 1) for n in range(1, 5)
    ]
