"""What a trunk of the file may say, and what a person is told when it says something else."""

from typing import Any

import pytest

from carriers.model import Carrier, CarrierKind, problems_of_carrier
from carriers.trunks import (
    CallerIdHeader,
    DtmfMode,
    Gateway,
    Inbound,
    NumberFormat,
    Srtp,
    TransportChoice,
    Trunk,
    gateway_uri,
    problems_of_trunk,
)
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.uri import SipUri

URI = "sip:sip.acme.example"


def trunk(**fields: Any) -> Trunk:
    return Trunk(**{"uri": URI, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"uri": "sips:sip.acme.example"},
        {"uri": "sip:sip.acme.example:5070;transport=tcp", "transport": TransportChoice.TCP},
        {"uri": "", "gateways": (Gateway(uri=URI), Gateway(uri="sip:b.example", priority=1))},
        {"uri": "", "inbound": Inbound.DIGEST, "username": "u", "password": "p"},
        {"register": True, "username": "u", "password": "p"},
        {"srtp": Srtp.REQUIRE, "transport": TransportChoice.TLS},
        {"codecs": ("OPUS", "g722")},
        {"session_expires": 0.0, "options_interval": 0.0},
        {"caller_id": NumberFormat.NATIONAL, "country_code": "44"},
        {"dtmf": DtmfMode.INFO, "caller_id_header": CallerIdHeader.BOTH, "dial_prefix": "+9"},
        {"set_headers": {"X-Account": "{account_sid}"}, "remove_headers": ("P-Charge-Info",)},
        {"emergency": ()},
        {"addresses": ("192.0.2.0/24", "2001:db8::/32", "192.0.2.1")},
        {"domain": "acme.example"},
        {"domain": "2001:db8::1"},
    ],
)
def test_nothing_is_wrong_with(fields: dict[str, Any]) -> None:
    assert problems_of_trunk(trunk(**fields)) == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"uri": ""}, "uri is missing, where calls go to"),
        ({"gateways": (Gateway(uri="sip:b.example"),)}, "uri and gateways are both given"),
        ({"uri": "sip.acme.example"}, 'it must be such as "sip:sip.carrier.example"'),
        ({"uri": "tel:+44"}, "is no URI of sip: or sips:"),
        ({"uri": "sip:a.example?X=1"}, "has headers behind a ?"),
        (
            {"uri": "sip:a.example;transport=TCP", "transport": TransportChoice.UDP},
            'says transport=tcp, transport says "udp"',
        ),
        ({"uri": "sips:a.example", "transport": TransportChoice.TCP}, "wants TLS"),
        (
            {"uri": "", "gateways": (Gateway(uri=URI), Gateway(uri=URI))},
            "gateways: a uri is there twice",
        ),
        (
            {"uri": "", "gateways": (Gateway(uri=URI, weight=-1),)},
            "priority and weight must be from 0 to 65535",
        ),
        (
            {"uri": "", "gateways": (Gateway(uri=URI, priority=65_536),)},
            "priority and weight must be from 0 to 65535",
        ),
        ({"domain": "sip:acme.example"}, "domain is 'sip:acme.example'"),
        ({"register": True}, "register needs a username"),
        ({"password": "p"}, "password is given without a username"),
        ({"inbound": Inbound.BOTH}, 'inbound = "both" needs username and password'),
        (
            {"uri": "", "register": True, "username": "u", "addresses": ("192.0.2.1",)},
            "register needs a uri",
        ),
        ({"addresses": ("192.0.2.1/24",)}, "addresses: 192.0.2.1/24 has host bits set"),
        ({"addresses": ("carrier.example",)}, "one must be such as 192.0.2.0/24"),
        ({"expires": 59.0}, "expires is 59 s"),
        ({"codecs": ()}, "codecs is empty"),
        ({"codecs": ("G729",)}, "codecs: there is no 'G729'; there are PCMU, PCMA, G722, opus"),
        ({"codecs": ("pcmu", "PCMU")}, "codecs: one is there twice"),
        (
            {"srtp": Srtp.REQUIRE, "transport": TransportChoice.UDP},
            'would send the keys in the clear; give transport = "tls"',
        ),
        ({"stop_codes": (200,)}, "stop_codes are SIP codes from 300 to 699"),
        ({"cps": -1.0}, "cps and channels must be 0"),
        ({"channels": -1}, "cps and channels must be 0"),
        ({"session_expires": 89.0}, "session_expires is 89 s; it must be 90 s or more"),
        ({"options_interval": 0.5}, "options_interval must be 1 s or more"),
        ({"dial": NumberFormat.NATIONAL}, "national numbers need a country_code"),
        (
            {"dial": NumberFormat.NATIONAL, "country_code": "1"},
            'with country_code = "1" it is "1" or ""',
        ),
        ({"country_code": "+44"}, "country_code is '+44'"),
        ({"trunk_prefix": "zero"}, "trunk_prefix is 'zero'"),
        ({"dial_prefix": "9,"}, "dial_prefix is '9,'"),
        ({"set_headers": {"Via": "x"}}, "Via can't be set or removed"),
        ({"remove_headers": ("to",)}, "to can't be set or removed"),
    ],
)
def test_it_is_told_what_is_wrong(fields: dict[str, Any], said: str) -> None:
    (problem,) = problems_of_trunk(trunk(**fields))
    assert said in problem


def test_a_carrier_of_kind_sip_is_judged_by_its_trunk() -> None:
    def carrier(**fields: Any) -> Carrier:
        return Carrier(name="acme", kind=CarrierKind.SIP, **fields)

    assert problems_of_carrier(carrier(trunk=trunk())) == ()
    assert problems_of_carrier(carrier(trunk=trunk(codecs=()))) == (
        "codecs is empty; name one at least",
    )
    (problem,) = problems_of_carrier(carrier())
    assert problem.startswith("uri is missing")


def test_a_uri_is_one_gateway() -> None:
    assert trunk().doors() == (Gateway(uri=URI, priority=0, weight=1),)
    assert Trunk(gateways=(Gateway(uri="sip:b.example"),)).doors() == (
        Gateway(uri="sip:b.example"),
    )
    assert Trunk().doors() == ()
    assert gateway_uri(Gateway(uri="sip:B.example:5070")) == SipUri(host="b.example", port=5070)
    with pytest.raises(RemoteProtocolError):
        gateway_uri(Gateway(uri="mailto:a@b.example"))


def test_its_password_is_not_shown() -> None:
    shown = repr(Carrier(name="acme", kind=CarrierKind.SIP, trunk=trunk(password="s3cret")))
    assert "s3cret" not in shown
    assert "sip.acme.example" in shown
