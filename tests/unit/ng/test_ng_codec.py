"""Bencoding and ng's messages: what is written is read back, and what is bent is refused."""

from typing import Any

import pytest

from protocols.ng import bencode, message
from protocols.ng.errors import LocalProtocolError, RemoteProtocolError
from protocols.ng.message import Message


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        ("", b"0:"),
        ("spam", b"4:spam"),
        ("grün", "5:grün".encode()),
        (b"\xff\xfe", b"2:\xff\xfe"),
        (0, b"i0e"),
        (-3, b"i-3e"),
        (2**63 - 1, b"i9223372036854775807e"),
        (-(2**63), b"i-9223372036854775808e"),
        ([], b"le"),
        ({}, b"de"),
        (["a", [1], {}], b"l1:ali1eedee"),
        ({"b": 1, "a": "x"}, b"d1:a1:x1:bi1ee"),
    ],
)
def test_a_value_has_one_form(value: Any, octets: bytes) -> None:
    assert bencode.encode(value) == octets
    assert bencode.decode(octets) == value


def test_keys_may_come_in_any_order() -> None:
    """Those of an answer of rtpengine do."""
    assert bencode.decode(b"d3:sdp1:x6:result2:oke") == {"sdp": "x", "result": "ok"}


@pytest.mark.parametrize(
    "octets",
    [
        *(b"", b"x", b"4", b"4:", b"4:spa", b"04:spam", b"-1:x", b" 1:x", b"+1:x", b":x"),
        *(b"i", b"ie", b"i-e", b"i-0e", b"i00e", b"i01e", b"i--1e", b"i1", b"i1.5e", b"i 1e"),
        *(b"i9223372036854775808e", b"i-9223372036854775809e", b"i" + b"9" * 5000 + b"e"),
        *(b"l", b"li1e", b"lx", b"d", b"d1:ae", b"di1ei2ee", b"d1:ai1e", b"d1:\xffi1ee"),
        *(b"d1:ai1e1:ai2ee", b"i1ei2e", b"4:spamx", b"9999999999:x", b"999999999:x"),
        *(b"l" * 33 + b"e" * 33, b"d1:a" * 33 + b"i1e" + b"e" * 33, b"l" * 60_000),
        "i\u0661e".encode(),
    ],
)
def test_what_is_bent_is_refused(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        bencode.decode(octets)


def test_nesting_ends_somewhere() -> None:
    deepest: Any = []
    for _ in range(bencode.DEEPEST - 1):
        deepest = [deepest]
    assert bencode.decode(bencode.encode(deepest)) == deepest
    with pytest.raises(LocalProtocolError, match="32 deep"):
        bencode.encode([deepest])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, 'say "yes" or 1'),
        (1.5, "no form for float"),
        (None, "no form for NoneType"),
        ({"a": [None]}, "no form for NoneType"),
        ({1: "a"}, "a key is a text"),
        (2**63, "64 bits"),
        ("\ud800", "no form in UTF-8"),
    ],
)
def test_what_has_no_form_is_not_written(value: Any, told: str) -> None:
    with pytest.raises(LocalProtocolError, match=told):
        bencode.encode(value)


def test_a_command_is_a_cookie_and_a_dictionary() -> None:
    asked = message.command("5a", "offer", {"call_id": "c", "flags": ["x"], "ICE": "remove"})
    octets = b"5a d3:ICE6:remove7:call-id1:c7:command5:offer5:flagsl1:xee"
    assert message.write(asked) == octets
    assert message.read(octets) == asked


@pytest.mark.parametrize("octets", [b"", b"5", b" de", b"5de", b"5 le", b"5 3:abc", b"\xff de"])
def test_what_is_no_message_is_refused(octets: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        message.read(octets)


@pytest.mark.parametrize("cookie", ["", "a b", "ä", "a\n", "x" * 256])
def test_a_cookie_is_one_word(cookie: str) -> None:
    with pytest.raises(LocalProtocolError, match="cookie"):
        message.write(Message(cookie=cookie, fields={}))


def test_a_message_fits_a_datagram() -> None:
    room = message.LARGEST - len(b"5 d1:a65490:e")
    assert len(message.write(Message(cookie="5", fields={"a": "x" * room}))) == message.LARGEST
    with pytest.raises(LocalProtocolError, match="65508 octets fits no datagram"):
        message.write(Message(cookie="5", fields={"a": "x" * (room + 1)}))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"result": "ok"}, None),
        ({"result": "pong"}, None),
        ({"result": "error", "error-reason": "Unknown call-id"}, "Unknown call-id"),
        ({"result": "load limit", "message": "Too many"}, "Too many"),
        ({"result": "error"}, "the result is 'error'"),
        ({}, "the result is None"),
        ({"result": ["ok"]}, "the result is ['ok']"),
    ],
)
def test_an_answer_says_whether_it_was_done(fields: dict[str, Any], reason: str | None) -> None:
    assert message.refusal(Message(cookie="5", fields=fields)) == reason
