"""Keys in INFO: what bodies say, and what is written."""

import pytest

from gateway.calls.info_keys import LONGEST, SHORTEST, Key, read, write
from protocols.rtp.dtmf import DIGITS
from protocols.sip.session_offers import Body

RELAY = "application/dtmf-relay"


def relay(text: str, type: str = RELAY) -> Body:
    return Body(octets=text.encode(), type=type)


@pytest.mark.parametrize("digit", DIGITS)
def test_every_key_is_read_as_it_is_written(digit: str) -> None:
    assert read(write(Key(digit=digit, duration=0.25))) == Key(digit=digit, duration=0.25)
    assert read(relay(digit, "application/dtmf")) == Key(digit=digit, duration=0.1)


def test_what_is_written() -> None:
    body = write(Key(digit="#", duration=0.1604))
    assert (body.octets, body.type) == (b"Signal=#\r\nDuration=160\r\n", RELAY)
    assert b"Duration=60\r" in write(Key(digit="1", duration=0.0)).octets
    assert b"Duration=5000\r" in write(Key(digit="1", duration=60.0)).octets


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (relay("Signal=5\r\nDuration=160\r\n"), Key(digit="5", duration=0.16)),
        (relay("signal = d\nduration = 100"), Key(digit="D", duration=0.1)),
        (relay("Duration=100\r\nSignal=*"), Key(digit="*", duration=0.1)),
        (relay("Signal=1", RELAY.upper() + "; charset=utf-8"), Key(digit="1", duration=0.1)),
        (relay("Signal=10\r\nDuration=1"), Key(digit="*", duration=SHORTEST)),
        (relay("Signal=11\r\nDuration=999999"), Key(digit="#", duration=LONGEST)),
        (relay("15\r\n", "application/dtmf"), Key(digit="D", duration=0.1)),
        (relay("Signal=1\r\nDuration=x"), Key(digit="1", duration=0.1)),
    ],
)
def test_what_is_read(body: Body, key: Key) -> None:
    assert read(body) == key


@pytest.mark.parametrize(
    "body",
    [
        None,
        relay(""),
        relay("Signal="),
        relay("Signal=16"),
        relay("Signal=E"),
        relay("Signal=12 34"),
        relay("Signal=\u0661"),
        relay("5"),
        relay("Signal=5", "application/dtmf"),
        relay("Signal=5", "text/plain"),
        relay("5" * 5000, "application/dtmf"),
        relay("5" * 200, "application/dtmf"),
        relay("\n" * 60_000 + "Signal=5"),
        Body(octets=bytes(range(256)), type=RELAY),
    ],
)
def test_what_is_no_key(body: Body | None) -> None:
    assert read(body) is None
