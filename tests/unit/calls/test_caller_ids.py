"""As whom a dial may call: own numbers, those of the call, any name to a SIP peer."""

import pytest

from carriers.caller_id import Caller
from gateway.calls.caller_ids import caller_as, may_call_as, not_theirs
from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.model import PhoneNumber
from twiml.nouns import Number, Sip, SipUri

NUMBER = Number(number="+447700900002")
PEER = Sip(uris=(SipUri(uri="sip:bob@office.example"),))
HELD = {"+15550001000": "AC1", "+15550002000": "AC2", "50050": "AC1"}


def call(from_address: str = "+447700900001", to_address: str = "+15550009000") -> Call:
    return Call(
        account_sid="AC1",
        sid="CA1",
        direction=CallDirection.INBOUND,
        status=CallStatus.RINGING,
        from_address=from_address,
        to_address=to_address,
        date_created=1.0,
        date_updated=1.0,
    )


def holder(number: str) -> PhoneNumber | None:
    if number not in HELD:
        return None
    return PhoneNumber(
        sid="PN1",
        account_sid=HELD[number],
        phone_number=number,
        friendly_name="",
        settings={},
        date_created=1.0,
        date_updated=1.0,
        version=1,
    )


@pytest.mark.parametrize(
    "caller_id",
    ["", "+447700900001", "447700900001", "+15550009000", "+15550001000", "15550001000", "50050"],
)
def test_whoever_is_called_at_a_number_sees_one_that_is_ours(caller_id: str) -> None:
    assert may_call_as(caller_id, (NUMBER,), call(), holder)


@pytest.mark.parametrize("caller_id", ["+15550002000", "+442079460000", "client:joe", "alice"])
def test_nobody_elses_number_is_shown(caller_id: str) -> None:
    assert not may_call_as(caller_id, (NUMBER,), call(), holder)
    assert not may_call_as(caller_id, (PEER, NUMBER), call(), holder)
    assert may_call_as(caller_id, (PEER,), call(), holder)


def test_a_sip_caller_goes_by_its_own_name() -> None:
    mine = call("sip:alice@office.example", "sip:+447700900002@office.example")
    for name in ("alice", "sip:alice@office.example", "+447700900002"):
        assert may_call_as(name, (NUMBER,), mine, holder)
    assert not may_call_as("bob", (NUMBER,), mine, holder)


def test_a_client_calls_a_number_under_one_of_the_accounts_alone() -> None:
    mine = call("client:alice", "+15550009000")
    for name in ("", "client:alice", "alice"):
        assert not may_call_as(name, (NUMBER,), mine, holder)
    assert may_call_as("+15550001000", (NUMBER,), mine, holder)
    assert may_call_as("", (PEER,), mine, holder)
    assert "should be one of the account" in not_theirs("").message


def test_who_stays_unknown_does_so_under_its_own_number_alone() -> None:
    hidden = Caller(number="+447700900001", display="Ann", anonymous=True)
    assert caller_as("", hidden) is hidden
    assert caller_as("447700900001", hidden) is hidden
    assert caller_as("+15550001000", hidden) == Caller(number="+15550001000")
    nobody = Caller(number="", anonymous=True)
    assert caller_as("anonymous", nobody) is nobody
