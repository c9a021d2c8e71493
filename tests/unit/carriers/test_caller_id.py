"""Who calls: what a carrier is told of it, and what it tells us."""

from typing import Any

import pytest

from carriers.caller_id import ANONYMOUS, Caller, caller_of, identity_of
from carriers.trunks import CallerIdHeader, NumberFormat, Trunk
from protocols.sip.message import Headers, NameAddr, Request
from protocols.sip.parts import format_name_addr, read_name_addr
from protocols.sip.uri import SipUri

NUMBER = "+442071838750"
DOMAIN = "acme.example"


def trunk(**fields: Any) -> Trunk:
    return Trunk(**{"uri": "sip:gw.example", "username": "acct7", **fields})


def test_a_number_stands_in_from_as_the_carrier_writes_it() -> None:
    caller = Caller(number=NUMBER, display="Ann")
    given = identity_of(caller, trunk(), DOMAIN)
    assert format_name_addr(given.from_) == f'"Ann" <sip:{NUMBER}@{DOMAIN}>'
    assert given.headers == ()
    national = trunk(caller_id=NumberFormat.NATIONAL, country_code="44")
    assert identity_of(caller, national, DOMAIN).from_.uri == SipUri(
        host=DOMAIN, user="02071838750"
    )


def test_it_stands_in_p_asserted_identity() -> None:
    asserted = ("P-Asserted-Identity", f"<sip:{NUMBER}@{DOMAIN}>")
    both = identity_of(Caller(number=NUMBER), trunk(caller_id_header=CallerIdHeader.BOTH), DOMAIN)
    assert both.headers == (asserted,)
    assert both.from_.uri == SipUri(host=DOMAIN, user=NUMBER)
    pai = identity_of(Caller(number=NUMBER), trunk(caller_id_header=CallerIdHeader.PAI), DOMAIN)
    assert pai.headers == (asserted,)
    assert pai.from_.uri == SipUri(host=DOMAIN, user="acct7")


@pytest.mark.parametrize("header", list(CallerIdHeader))
def test_who_wants_to_stay_unknown_is_told_to_the_network_alone(header: CallerIdHeader) -> None:
    caller = Caller(number=NUMBER, display="Ann", anonymous=True)
    given = identity_of(caller, trunk(caller_id_header=header), DOMAIN)
    assert given.from_ == ANONYMOUS
    assert "Ann" not in format_name_addr(given.from_)
    assert dict(given.headers) == {
        "P-Asserted-Identity": f'"Ann" <sip:{NUMBER}@{DOMAIN}>',
        "Privacy": "id",
    }


@pytest.mark.parametrize("header", list(CallerIdHeader))
def test_a_user_who_wants_to_stay_unknown_is_named_to_no_carrier(header: CallerIdHeader) -> None:
    caller = Caller(number="sip:ann@office.example", display="Ann", anonymous=True)
    given = identity_of(caller, trunk(caller_id_header=header), DOMAIN)
    assert given.from_ == ANONYMOUS
    assert given.headers == (("Privacy", "id"),)


def test_nobody_is_asserted_where_nobody_is_known() -> None:
    given = identity_of(Caller(number=""), trunk(), DOMAIN)
    assert given.from_ == ANONYMOUS
    assert given.headers == (("Privacy", "id"),)


def test_a_name_of_a_peer_begins_no_header_and_is_cut() -> None:
    hostile = Caller(number=NUMBER, display='A"\r\nX-Evil: 1' + "n" * 200)
    given = identity_of(hostile, trunk(caller_id_header=CallerIdHeader.BOTH), DOMAIN)
    text = given.headers[0][1]
    assert "\r" not in text and "\n" not in text
    assert read_name_addr(text).uri == SipUri(host=DOMAIN, user=NUMBER)
    assert len(given.from_.display) == 80


def invite(from_: str, **headers: str) -> Request:
    party = read_name_addr(from_)
    return Request(
        method="INVITE",
        uri=SipUri(host="us.example", user="+15550001000"),
        vias=(),
        from_=party,
        to=NameAddr(uri=SipUri(host="us.example", user="+15550001000")),
        call_id="c1",
        cseq=1,
        headers=Headers((name.replace("_", "-"), value) for name, value in headers.items()),
    )


UNKNOWN = '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'


@pytest.mark.parametrize(
    ("request_", "fields", "caller"),
    [
        (
            invite('"Ann" <sip:442071838750@c.example>;tag=1'),
            {},
            Caller(number=NUMBER, display="Ann"),
        ),
        (
            invite(
                "<sip:trunk@c.example>;tag=1",
                P_Asserted_Identity='"Bob" <sip:+442071838750@c.example>',
            ),
            {},
            Caller(number=NUMBER, display="Bob", asserted=True),
        ),
        (
            invite(
                "<sip:+15550009999@c.example>;tag=1",
                P_Asserted_Identity="<sip:+442071838750@c.example>",
            ),
            {"trust_identity": False},
            Caller(number="+15550009999"),
        ),
        (
            invite(UNKNOWN, P_Asserted_Identity="<tel:+442071838750>", Privacy="id; critical"),
            {},
            Caller(number=NUMBER, anonymous=True, asserted=True),
        ),
        (
            invite(UNKNOWN, P_Asserted_Identity="<tel:+442071838750>"),
            {},
            Caller(number=NUMBER, anonymous=True, asserted=True),
        ),
        (
            invite(UNKNOWN, P_Asserted_Identity="<tel:+442071838750>"),
            {"trust_identity": False},
            Caller(number="", anonymous=True),
        ),
        (
            invite(
                "<sip:+15550009999@c.example>;tag=1",
                P_Asserted_Identity="<sip:unknown@c.example>, <sip:>",
            ),
            {},
            Caller(number="+15550009999"),
        ),
        (
            invite("<sip:+442071838750@c.example>;tag=1", Privacy="user"),
            {},
            Caller(number=NUMBER, anonymous=True),
        ),
        (
            invite("<sip:+442071838750@c.example>;tag=1", Privacy="none"),
            {},
            Caller(number=NUMBER),
        ),
        (invite("<sip:Restricted@c.example>;tag=1"), {}, Caller(number="", anonymous=True)),
        (invite("<sip:c.example>;tag=1"), {}, Caller(number="", anonymous=True)),
        (invite("<tel:+442071838750>;tag=1"), {}, Caller(number=NUMBER)),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_who_calls(request_: Request, fields: dict[str, Any], caller: Caller) -> None:
    assert caller_of(request_, trunk(**fields)) == caller
