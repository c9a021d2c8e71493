"""Facts as records: there and back, what newer programs write, and what nobody can read."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus.records import (
    Origin,
    Unusable,
    Why,
    decode,
    encode,
    fact_of,
    headers_of,
    origin_of,
)
from gateway.store.base import Fact

FACT = Fact(
    id=7,
    account_sid="AC1",
    sid="SM1",
    version=3,
    type="message.sent",
    at=1700000000.25,
    data='{"carrier":"acme","n":1}',
)
ORIGIN = Origin(epoch=4, cluster="store", partition=0, offset=7)


def value(fact: Fact = FACT, after: int = 5) -> bytes:
    found = encode(fact, after)
    assert isinstance(found, bytes)
    return found


def test_a_fact_comes_back_as_it_was() -> None:
    found = decode(value())
    assert not isinstance(found, Unusable)
    assert found.after == 5
    assert fact_of(found) == FACT


@given(
    st.builds(
        Fact,
        id=st.integers(1, 2**62),
        account_sid=st.text(max_size=40),
        sid=st.text(max_size=40),
        version=st.integers(0, 2**31),
        type=st.text(max_size=40),
        at=st.floats(allow_nan=False, allow_infinity=False),
        data=st.dictionaries(st.text(), st.integers() | st.text() | st.none()).map(
            lambda found: msgspec.json.encode(found).decode()
        ),
    )
)
def test_any_fact_comes_back_as_it_was(fact: Fact) -> None:
    found = decode(value(fact))
    assert not isinstance(found, Unusable) and fact_of(found) == fact


def test_the_value_is_json_that_anybody_can_read() -> None:
    assert msgspec.json.decode(value()) == {
        "v": 1,
        "id": 7,
        "after": 5,
        "type": "message.sent",
        "account_sid": "AC1",
        "sid": "SM1",
        "version": 3,
        "at": 1700000000.25,
        "data": {"carrier": "acme", "n": 1},
    }


def test_fields_of_a_newer_program_do_not_stop_an_older_one() -> None:
    newer = value()[:-1] + b',"carrier_group":"eu"}'
    found = decode(newer)
    assert not isinstance(found, Unusable) and fact_of(found) == FACT


@pytest.mark.parametrize("data", ["", "{", "[]", "1", '{"a":1} x', '{"a":}', "nil"])
def test_a_fact_that_would_be_no_json_is_poison(data: str) -> None:
    found = encode(msgspec.structs.replace(FACT, data=data), 5)
    assert isinstance(found, Unusable) and found.why is Why.POISON


@pytest.mark.parametrize(
    "octets",
    [
        None,
        b"",
        b"\xff\xfe",
        b"null",
        b"{}",
        b'{"v":1}',
        b'{"v":0,"id":1}',
        b'{"v":"1"}',
        b"[" * 100_000,
        value().replace(b'"id":7', b'"id":"7"'),
        value().replace(b'"v":1', b'"v":0'),
        value()[:-1],
    ],
)
def test_what_nobody_can_read_is_poison_and_no_exception(octets: bytes | None) -> None:
    found = decode(octets)
    assert isinstance(found, Unusable)
    assert found.why is Why.POISON and found.reason


@pytest.mark.parametrize("octets", [value().replace(b'"v":1', b'"v":2'), b'{"v":2,"id":"moved"}'])
def test_a_version_that_came_later_is_told_apart_from_poison(octets: bytes) -> None:
    found = decode(octets)
    assert isinstance(found, Unusable) and found.why is Why.NEWER
    assert "upgrade" in found.reason


@given(st.binary(max_size=200))
def test_no_octets_stop_a_reader(octets: bytes) -> None:
    decode(octets)
    origin_of((("epoch", octets), ("cluster", octets), ("partition", b"1"), ("offset", b"1")))


def test_headers_say_who_wrote_it_and_from_where() -> None:
    headers = headers_of(ORIGIN)
    assert dict(headers) == {
        "schema": b"1",
        "epoch": b"4",
        "cluster": b"store",
        "partition": b"0",
        "offset": b"7",
    }
    assert origin_of(headers) == ORIGIN


def test_a_record_of_somebody_else_has_no_origin() -> None:
    assert origin_of(()) is None
    assert origin_of((*headers_of(ORIGIN)[:4], ("offset", b"x"))) is None
