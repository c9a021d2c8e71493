"""What an app is told of a call, by names and values."""

import msgspec
import pytest

from gateway.calls.model import Call, CallDirection, CallStatus
from gateway.calls.parameters import call_parameters, sip_address, sip_parameters
from protocols.sip.message import Headers, NameAddr, Request
from protocols.sip.transport import Flow, Transport
from protocols.sip.uri import parse_uri

CALL = Call(
    account_sid="AC1",
    sid="CA1",
    direction=CallDirection.INBOUND,
    status=CallStatus.RINGING,
    from_address="+15550002000",
    to_address="+15550001000",
    date_created=0.0,
    date_updated=0.0,
)
ALWAYS = (
    ("CallSid", "CA1"),
    ("AccountSid", "AC1"),
    ("From", "+15550002000"),
    ("To", "+15550001000"),
    ("Caller", "+15550002000"),
    ("Called", "+15550001000"),
    ("CallStatus", "ringing"),
    ("Direction", "inbound"),
    ("ApiVersion", "2010-04-01"),
)
PLACES = tuple(
    (f"{side}{part}", "")
    for side in ("From", "To", "Caller", "Called")
    for part in ("City", "State", "Zip", "Country")
)
INVITE = Request(
    method="INVITE",
    uri=parse_uri("sip:100@office.example"),
    vias=(),
    from_=NameAddr(uri=parse_uri("sip:alice@office.example")),
    to=NameAddr(uri=parse_uri("sip:100@office.example")),
    call_id="c1@phone",
    cseq=1,
    headers=Headers(
        [("X-Ticket", "7"), ("Subject", "not told"), ("x-odd", "a\udc80b"), ("User-Agent", "u")]
    ),
)


def flow(address: str) -> Flow:
    return Flow(id=1, transport=Transport.UDP, local=("192.0.2.1", 5060), remote=(address, 5062))


def changed(**changes: object) -> Call:
    return msgspec.structs.replace(CALL, **changes)


def test_a_call_between_numbers() -> None:
    # Where a number is nobody here knows: empty values, as Twilio sends them then.
    assert call_parameters(CALL) == (*ALWAYS, *PLACES)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parent_sid": "CA0"}, {"ParentCallSid": "CA0"}),
        ({"forwarded_from": "+15550003000"}, {"ForwardedFrom": "+15550003000"}),
        ({"caller_name": "Ann"}, {"CallerName": "Ann"}),
        (
            {"domain": "office.example", "origin": "domain:SD1"},
            {"SipDomain": "office.example", "SipDomainSid": "SD1"},
        ),
        ({"origin": "number:PN1"}, {}),
        ({"direction": CallDirection.OUTBOUND_DIAL}, {"Direction": "outbound-dial"}),
        ({"direction": CallDirection.OUTBOUND_API}, {"Direction": "outbound-api"}),
        ({"status": CallStatus.NO_ANSWER}, {"CallStatus": "no-answer"}),
    ],
)
def test_what_is_known_is_told(changes: dict[str, object], told: dict[str, str]) -> None:
    assert dict(call_parameters(changed(**changes))) == {**dict(ALWAYS), **dict(PLACES), **told}


def test_addresses_that_are_no_numbers_have_no_place() -> None:
    told = dict(call_parameters(changed(from_address="sip:alice@office.example")))
    assert (told["From"], told["Caller"]) == ("sip:alice@office.example",) * 2
    assert not {"FromCity", "CallerCountry"} & told.keys()
    assert {"ToCity", "CalledCountry"} <= told.keys()


def test_a_status_and_others_can_be_given() -> None:
    told = call_parameters(
        CALL, status=CallStatus.IN_PROGRESS, extra=[("Digits", "1"), ("Odd", "\udcff")]
    )
    assert dict(told)["CallStatus"] == "in-progress"
    assert told[-2:] == (("Digits", "1"), ("Odd", "?"))


def test_what_an_invite_tells() -> None:
    assert sip_parameters(INVITE, flow("198.51.100.7"), username="alice") == (
        ("SipCallId", "c1@phone"),
        ("SipSourceIp", "198.51.100.7"),
        ("SipUsername", "alice"),
        ("SipHeader_X-Ticket", "7"),
        ("SipHeader_x-odd", "a?b"),
    )


def test_who_gave_no_digest_has_no_name() -> None:
    assert "SipUsername" not in dict(sip_parameters(INVITE, flow("198.51.100.7")))


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        ("not-an-address", "not-an-address"),
    ],
)
def test_a_source_is_told_as_its_owner_writes_it(seen: str, told: str) -> None:
    assert dict(sip_parameters(INVITE, flow(seen)))["SipSourceIp"] == told


def test_a_peer_can_not_fill_an_apps_request() -> None:
    many = msgspec.structs.replace(
        INVITE, headers=Headers((f"X-{number}", "v") for number in range(100))
    )
    assert len(sip_parameters(many, flow("198.51.100.7"))) == 2 + 32


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("sip:alice@office.example", "sip:alice@office.example"),
        ("sip:alice:secret@office.example;transport=tcp?X-A=1", "sip:alice@office.example"),
        ("sips:alice@office.example:5071;lr", "sips:alice@office.example:5071"),
        ("tel:+15550002000", "tel:+15550002000"),
    ],
)
def test_an_address_says_who_and_where(uri: str, told: str) -> None:
    assert sip_address(parse_uri(uri)) == told
