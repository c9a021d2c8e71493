"""The PDUs of a message, kept beside it: bounded, and wiped with the body.

One row holds what one event carried (a submit_sm and its response, a deliver_sm), as frames
of (time, sent or received, octets). The store keeps them in the commit of the state that they
led to, so the trace costs a row and no commit.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from gateway.store.base import Delete, Insert, Query, Row, Write

INSERT: Final = Insert(table="trace", columns=("sid", "frames"))
WIPE: Final = Delete(table="trace", key=("sid",))
OF_MESSAGE: Final = Query("trace_of_message", "SELECT frames FROM trace WHERE sid = $1 ORDER BY id")


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One PDU as it was on the wire; `at` in seconds since the epoch, `sent` by us or not."""

    at: float
    sent: bool
    octets: bytes


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(list[Frame])


def kept(sid: str, frames: Iterable[Frame]) -> Write:
    """The write that keeps `frames` with the message `sid`."""
    return INSERT, (sid, _encode(list(frames)))


def wiped(sid: str) -> Write:
    """The write that forgets every frame of the message `sid`."""
    return WIPE, (sid,)


def frames_of(rows: Iterable[Row]) -> list[Frame]:
    """The frames that the rows of `OF_MESSAGE` hold, in the order of their times."""
    frames = [frame for row in rows for frame in _decoder.decode(row[0])]
    return sorted(frames, key=lambda frame: frame.at)
