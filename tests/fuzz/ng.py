"""Invariant: whatever a datagram of the ng protocol holds, it is read as what it says or refused.

- A value of any shape comes back as it was written, whatever order its keys are in;
- octets that are bent, cut or put together by chance raise the codec's own error, and what they are
  read as, if they are, is written as octets that are read as the same.
"""

import random
from typing import Any, Final

from protocols.ng import bencode, message
from protocols.ng.errors import RemoteProtocolError
from protocols.ng.message import Message

_PIECES: Final = (
    *(b"d", b"l", b"i", b"e", b":", b"-", b"0", b"1:a", b"2:", b"9" * 30, b" ", b"\xff", b"i-0e"),
    *(
        b"6:result2:ok",
        b"d" * 40,
        b"l" * 3000,
        b"i1e",
        b"3:\xc3\xa9x",
        b"4294967296:",
        b"le",
        b"de",
    ),
)
_INTEGERS: Final = (0, -1, 7, 2**31, -(2**63), 2**63 - 1)
_TEXTS: Final = ("", "ok", "result", "m=audio 9 RTP/AVP 0\r\n", "grün ☎ \U0001f4de", "\x00", "i1e")


def check(seed: int) -> None:
    """One message, whole and bent."""
    chance = random.Random(seed)
    fields = {chance.choice(_TEXTS): _value(chance, 5) for _ in range(chance.randrange(5))}
    said = Message(cookie=f"{seed:x}", fields=fields)
    octets = message.write(said)
    assert message.read(octets) == said
    assert bencode.decode(_shuffled(chance, fields)) == fields
    _take(octets[: chance.randrange(len(octets))])
    for _ in range(chance.randrange(1, 20)):
        octets = _bent(chance, octets)
        _take(octets)
    _take(b"1 " + b"".join(chance.choices(_PIECES, k=chance.randrange(30))))


def _value(chance: random.Random, deep: int) -> Any:
    kind = chance.randrange(5 if deep else 3)
    if kind == 0:
        return chance.choice(_INTEGERS)
    if kind == 1:
        return chance.choice(_TEXTS)
    if kind == 2:
        return b"\xff" + chance.randbytes(chance.randrange(20))
    if kind == 3:
        return [_value(chance, deep - 1) for _ in range(chance.randrange(4))]
    return {chance.choice(_TEXTS): _value(chance, deep - 1) for _ in range(chance.randrange(4))}


def _shuffled(chance: random.Random, fields: dict[str, Any]) -> bytes:
    """A dictionary whose keys are in no order, as rtpengine writes it."""
    pairs = [bencode.encode(key) + bencode.encode(value) for key, value in fields.items()]
    chance.shuffle(pairs)
    return b"d" + b"".join(pairs) + b"e"


def _bent(chance: random.Random, octets: bytes) -> bytes:
    at = chance.randrange(len(octets) + 1)
    piece = chance.choice((*_PIECES, b"", chance.randbytes(1)))
    return octets[:at] + piece + octets[at + chance.randrange(4) :]


def _take(octets: bytes) -> None:
    try:
        came = message.read(octets)
    except RemoteProtocolError:
        return
    assert message.refusal(came) is None or message.refusal(came)
    if len(octets) <= message.LARGEST:
        assert message.read(message.write(came)) == came
