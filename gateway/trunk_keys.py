"""The keys of a carrier of kind "sip": those of `carriers/trunks`, with how they are written.

A `[[carriers]]` table is of one kind: what belongs to the other kinds is told so by name, for it
would do nothing.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from carriers.model import Carrier, CarrierKind
from carriers.trunks import CODECS, Gateway, Trunk
from gateway import forms
from gateway.forms import Form, Unreadable
from gateway.tables import Key, keys_of_struct

_NETWORK: Final = forms.network()


def _network(found: object, environ: Mapping[str, str]) -> str:
    network = _NETWORK.read(found, environ)
    alone = network.prefixlen == network.max_prefixlen
    return str(network.network_address if alone else network)


_URI: Final = forms.matching(
    r"|(?i:sips?):[^\s@/]+(@[^\s@]+)?", 'a URI such as "sip:sip.carrier.example"'
)
_ORDER: Final = forms.whole_number(0, 65_535)
_GATEWAY_KEYS: Final = {"uri": _URI, "priority": _ORDER, "weight": _ORDER}


def _gateway(found: object, environ: Mapping[str, str]) -> Gateway:
    if not isinstance(found, dict) or not {"uri"} <= found.keys() <= _GATEWAY_KEYS.keys():
        raise Unreadable
    values = {}
    for name, value in found.items():
        form = _GATEWAY_KEYS[name]
        try:
            values[name] = form.read(value, environ)
        except Unreadable as error:
            raise Unreadable(f"a table in which {name} is {str(error) or form.expected}") from None
    return Gateway(**values)


def _written_gateway(gateway: Gateway) -> str:
    values = (f"{name} = {json.dumps(getattr(gateway, name))}" for name in _GATEWAY_KEYS)
    return "{ " + ", ".join(values) + " }"


_TRUNK: Final[Mapping[str, tuple[Form | None, str]]] = {
    "uri": (_URI, "where calls go: a host or domain, found by DNS (RFC 3263) without a port"),
    "gateways": (
        forms.list_of(
            Form(
                '{ uri = "sip:…", priority = 0, weight = 1 }',
                _gateway,
                is_text=False,
                write=_written_gateway,
            )
        ),
        "several of them: lower priority first, among equals at random by weight",
    ),
    "domain": (None, "the host in From and To, and where we register; default: that of the uri"),
    "register": (None, "whether the carrier wants to be told where we are"),
    "expires": (forms.duration(60.0), "how long a registration of ours shall stand"),
    "username": (None, "ours at the carrier, and the carrier's at us"),
    "password": (forms.secret(), "what goes with it"),
    "inbound": (None, "by what the carrier's calls are known: address, password, or both"),
    "addresses": (
        forms.list_of(
            Form('a network such as "192.0.2.0/24"', _network, write=lambda value: f'"{value}"')
        ),
        "where it calls from, beside its gateways",
    ),
    "transport": (None, "auto: what the uri and DNS say"),
    "srtp": (None, "encrypted media: never, if the carrier can, or no call without"),
    "codecs": (
        forms.list_of(forms.text("one of " + ", ".join(CODECS))),
        "what we offer and take, in this order",
    ),
    "dtmf": (None, "how digits go and come; auto: events, else sound that is listened to"),
    "cps": (None, "calls begun per second; 0 is no limit"),
    "channels": (None, "calls at once; 0 is no limit"),
    "stop_codes": (
        forms.list_of(forms.whole_number(300, 699)),
        "answers after which no other gateway or carrier is asked",
    ),
    "latch": (
        None,
        'where media may come from; "any": from any address, "named": from the one in SDP alone',
    ),
    "early_media": (None, "what is heard before the answer: the carrier's sound, or our ringing"),
    "emergency": (
        forms.list_of(
            forms.matching(
                r"\*|[A-Z]{2}|[0-9]{2,6}", 'a country such as "GB", a number such as "112", or "*"'
            )
        ),
        "whose emergency calls go here; [] is none; one carrier must say something",
    ),
    "dial": (None, "how the called number is written"),
    "dial_prefix": (None, "what stands before each of them"),
    "caller_id": (None, "how the caller's number is written"),
    "caller_id_header": (None, "where it stands: From, P-Asserted-Identity, or both"),
    "trust_identity": (None, "whether the carrier's P-Asserted-Identity is believed"),
    "country_code": (None, 'for national numbers, such as "44"'),
    "trunk_prefix": (None, "what is dialled before a national number there"),
    "set_headers": (
        forms.table_of(forms.text()),
        "headers of our requests; {from}, {to}, {call_sid}, {account_sid}, {carrier} are filled in",
    ),
    "remove_headers": (forms.list_of(forms.text("a header's name")), "headers that don't go out"),
    "session_expires": (forms.duration(), "session timers (RFC 4028); 0 is none"),
    "options_interval": (forms.duration(), "how often gateways are asked for a sign of life"),
}


def sip_keys(carrier: Mapping[str, Key]) -> dict[str, Key]:
    """All keys of a carrier of kind "sip": a few of `carrier`, those of all kinds, and its own."""
    first, last = (
        {name: carrier[name] for name in names} for names in (("name", "kind"), ("price", "prices"))
    )
    return {**first, **keys_of_struct(Trunk, _TRUNK), **last}


def sip_carrier(
    *,
    name: str,
    kind: CarrierKind,
    price: Decimal | None = None,
    prices: dict[str, Decimal] | None = None,
    **trunk: Any,
) -> Carrier:
    """A carrier of what its table says; `trunk` are the fields of a `Trunk`."""
    return Carrier(name=name, kind=kind, price=price, prices=prices or {}, trunk=Trunk(**trunk))


_INSTEAD: Final = {
    "host": "uri",
    "port": "uri",
    "backup": "gateways",
    "system_id": "username",
    "tls": 'transport = "tls"',
    "tps": "cps",
    "binds": "channels",
    "uri": "host and port",
    "gateways": "host, port and backup",
    "username": "system_id",
    "cps": "tps",
    "transport": "tls",
}


def foreign(key: str, kind: object) -> tuple[str, str]:
    """Problem and remedy: `key` stands in a table of `kind` and belongs to the other kinds."""
    whose = "kind smpp or simulated" if kind == CarrierKind.SIP else "kind sip"
    instead = _INSTEAD.get(key, "")
    remedy = f"give {instead}" if instead else "leave it out"
    return f"{key} is a key of carriers of {whose}", remedy
