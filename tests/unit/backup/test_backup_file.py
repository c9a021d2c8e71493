"""The backup file: what is written is read again, and what is wrong with one is found."""

import io
import random
from typing import Any

import msgspec
import pytest

from gateway.backup.file import MAGIC, End, Frame, Head, Packer, Rows, Table, Unusable, frames
from tests.floods import each

HEAD = Head(schema=2, made_at=1.5, program="0.1.0", sequences={"facts": 7})
TEXTS = Table(name="texts", columns=("id", "body", "octets", "at"))
ROWS = Rows([(1, "ä\n", b"\x00\xff", 2.5), (2, "", b"", -1.0)])
END = End(rows={"texts": 2})


def packed(*parts: Frame) -> bytes:
    packer = Packer()
    return packer.add(*parts) + packer.end()


WHOLE = packed(HEAD, TEXTS, ROWS, END)


def read(octets: bytes) -> list[Frame]:
    return list(frames(io.BytesIO(octets)))


def test_what_is_written_is_read_again() -> None:
    assert read(WHOLE) == [HEAD, TEXTS, ROWS, END]
    assert WHOLE.startswith(b"TRUNKLINE BACKUP 1\n")


def test_frames_longer_than_what_is_read_at_once_come_whole() -> None:
    noise = random.Random(1).randbytes(3_000_000)
    rows = Rows([(1, "", noise, 0.0)])
    packer = Packer()
    octets = packer.add(HEAD, TEXTS) + packer.add(rows) + packer.add(END) + packer.end()
    assert read(octets) == [HEAD, TEXTS, rows, END]


@each("length", range(len(WHOLE)))
def test_what_was_cut_off_is_found(length: int) -> None:
    with pytest.raises(Unusable, match=r"cut off|no backup"):
        read(WHOLE[:length])


@each("at", range(len(WHOLE)))
def test_what_was_damaged_is_found(at: int) -> None:
    octets = bytearray(WHOLE)
    octets[at] ^= 0x55
    try:
        found: Any = read(bytes(octets))
    except Unusable:
        found = None
    if found is not None:  # gzip's header says when and where it was made, which means nothing
        assert len(MAGIC) + 4 <= at < len(MAGIC) + 10
        assert found == [HEAD, TEXTS, ROWS, END]


@pytest.mark.parametrize(
    "parts",
    [
        (TEXTS, ROWS, END),
        (HEAD, TEXTS, ROWS),
        (HEAD, HEAD, END),
        (HEAD, END, TEXTS, END),
    ],
)
def test_parts_that_are_not_in_their_order_are_found(parts: tuple[Frame, ...]) -> None:
    with pytest.raises(Unusable, match=r"order|cut off"):
        read(packed(*parts))


def test_what_follows_the_end_is_found() -> None:
    for more in (b"x", WHOLE, b"\0" * 1_000_000):
        with pytest.raises(Unusable, match="follows"):
            read(WHOLE + more)


def test_a_frame_that_claims_to_be_huge_is_not_waited_for() -> None:
    packer = Packer()
    octets = packer.add(HEAD) + packer._zip.compress(b"\xff\xff\xff\xff") + packer.end()
    with pytest.raises(Unusable, match="too long"):
        read(octets)


def test_what_a_later_version_adds_is_passed_over() -> None:
    class LaterHead(msgspec.Struct, kw_only=True, tag="head"):
        schema: int
        made_at: float
        program: str
        sequences: dict[str, int]
        mood: str

    later = LaterHead(schema=2, made_at=1.5, program="0.1.0", sequences={"facts": 7}, mood="good")
    packer = Packer()
    octets = packer.add(later, END) + packer.end()  # type: ignore[arg-type]
    assert read(octets)[0] == HEAD
