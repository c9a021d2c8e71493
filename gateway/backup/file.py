"""The backup file: a line that says what it is, then frames, compressed as gzip does.

A frame is its length in four octets and a map of msgpack: a `Head`, then for each table a `Table`
and its `Rows`, and at last an `End`. gzip's checksum finds what was damaged, the `End` what was
cut off. A program of another version finds columns by their names; what it does not know in a
frame it passes over.
"""

import zlib
from collections.abc import Iterator
from typing import IO, Final

import msgspec

from gateway.store.base import Row

MAGIC: Final = b"TRUNKLINE BACKUP 1\n"
MEDIA_TYPE: Final = "application/vnd.trunkline.backup"
_GZIP: Final = 31  # zlib's name for a stream with gzip's header and checksum
_LEVEL: Final = 1  # more costs CPU beside the traffic and saves little
_READ: Final = 1 << 18  # octets
_LENGTH: Final = 4  # octets
_LONGEST: Final = 1 << 30  # octets of a frame; what claims more was not written by us


class Head(msgspec.Struct, frozen=True, kw_only=True, tag="head"):
    """`schema` is the number of the store's newest step, `made_at` seconds since the epoch.

    `sequences` has the highest id that each table with ids of its own has given out.
    """

    schema: int
    made_at: float
    program: str
    sequences: dict[str, int]


class Table(msgspec.Struct, frozen=True, kw_only=True, tag="table"):
    """The rows that follow are of this table."""

    name: str
    columns: tuple[str, ...]


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """Some of them."""

    rows: list[Row]


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """How many rows each table has."""

    rows: dict[str, int]


Frame = Head | Table | Rows | End


class Unusable(Exception):
    """The file can't be restored; the text says why, and what to do."""


class Packer:
    """Makes the octets of a file of its frames."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._zip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._begun = False

    def add(self, *frames: Frame) -> bytes:
        """The octets that are ready with these frames; often none."""
        ready = [] if self._begun else [MAGIC]
        self._begun = True
        for frame in frames:
            octets = self._encoder.encode(frame)
            ready.append(self._zip.compress(len(octets).to_bytes(_LENGTH, "big") + octets))
        return b"".join(ready)

    def end(self) -> bytes:
        """The last octets."""
        return self._zip.flush()


def frames(file: IO[bytes]) -> Iterator[Frame]:
    """The frames of `file`, a `Head` first and an `End` last, each as it is read.

    Raises `Unusable` at the first octet that is not right, so what came before may have to be
    taken back.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise Unusable("it is no backup of trunkline, or its beginning is damaged")
    decoder = msgspec.msgpack.Decoder(Frame)
    last: Frame | None = None
    for octets in _split(_inflated(file)):
        try:
            frame = decoder.decode(octets)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _damaged(str(error)) from None
        if isinstance(last, End) or isinstance(frame, Head) != (last is None):
            raise _damaged("its parts are not in their order")
        yield frame
        last = frame
    if not isinstance(last, End):
        raise _cut_off()


def _inflated(file: IO[bytes]) -> Iterator[bytes]:
    unzip = zlib.decompressobj(_GZIP)
    try:
        while octets := file.read(_READ):
            if unzip.eof:
                raise _damaged("something follows its end")
            yield unzip.decompress(octets)
    except zlib.error as error:
        raise _damaged(str(error)) from None
    if not unzip.eof:
        raise _cut_off()
    if unzip.unused_data:
        raise _damaged("something follows its end")


def _split(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Frames of a stream that comes in pieces of any size."""
    held = bytearray()
    for piece in pieces:
        held += piece
        at = 0
        while len(held) - at >= _LENGTH:
            end = at + _LENGTH + int.from_bytes(held[at : at + _LENGTH], "big")
            if end - at > _LONGEST:
                raise _damaged("a part of it is too long")
            if end > len(held):
                break
            yield bytes(held[at + _LENGTH : end])
            at = end
        del held[:at]
    if held:
        raise _cut_off()


def _damaged(why: str) -> Unusable:
    return Unusable(f"it is damaged ({why}): take another backup")


def _cut_off() -> Unusable:
    return Unusable("it ends too early: it was cut off when it was made or copied")
