"""SIP trunks as the config file names them: what a carrier of kind "sip" says beside its name.

The field names are the file's keys. What can be wrong with a value alone is in its type; what is
wrong between values, `problems_of_trunk` says in sentences. The calls themselves are in `trunk`.
"""

import re
from enum import StrEnum
from ipaddress import ip_network
from typing import Final

import msgspec

from carriers.call_outcomes import STOP_CODES
from carriers.header_rules import problems_of_rules
from protocols.rtp.latch import LatchPolicy
from protocols.sip.errors import RemoteProtocolError
from protocols.sip.uri import SipUri, parameter, parse_uri


class Inbound(StrEnum):
    """By what a call of the carrier's is known as its: where it comes from, a password, or both."""

    ADDRESS = "address"
    DIGEST = "digest"
    BOTH = "both"


class TransportChoice(StrEnum):
    """What is spoken to the gateways; `auto` is what their URIs and DNS say (RFC 3263)."""

    AUTO = "auto"
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Srtp(StrEnum):
    """Whether media is encrypted: never, where the carrier can, or no call without."""

    OFF = "off"
    ALLOW = "allow"
    REQUIRE = "require"


class DtmfMode(StrEnum):
    """How digits go to the carrier and come from it: as events, by INFO, or as sound.

    `auto` is events with a carrier that takes them, and sound with another.
    """

    RFC4733 = "rfc4733"
    INFO = "info"
    INBAND = "inband"
    AUTO = "auto"


class EarlyMedia(StrEnum):
    """What a caller hears before the answer: the carrier's own sound, or a ringing tone of ours."""

    PASS = "pass"
    RING = "ring"


class NumberFormat(StrEnum):
    """How a number is written: +442071838750, 442071838750, 00442071838750 or 02071838750."""

    E164 = "e164"
    DIGITS = "digits"
    INTERNATIONAL = "international"
    NATIONAL = "national"


class CallerIdHeader(StrEnum):
    """Where the caller's number stands: in From, in P-Asserted-Identity (RFC 3325), or in both."""

    FROM = "from"
    PAI = "pai"
    BOTH = "both"


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """One door of a carrier; lower `priority` first, among equals by `weight`, as SRV has it."""

    uri: str
    priority: int = 0
    weight: int = 1


class Trunk(msgspec.Struct, frozen=True, kw_only=True):
    """One SIP carrier. Times are seconds; `cps` and `channels` are limits, 0 for none.

    `uri` is a short form of one gateway. `domain` is the host of From, To and REGISTER, that of
    the first gateway if it is "". Calls come from `addresses` (networks, "192.0.2.0/24") or from a
    gateway. `emergency` lists the countries ("GB"; "*" for all) and numbers
    whose emergency calls it takes; None: nothing was said. `country_code` and `trunk_prefix` are
    for national numbers, as "44" and "0".
    """

    uri: str = ""
    gateways: tuple[Gateway, ...] = ()
    domain: str = ""
    register: bool = False
    expires: float = 3600.0
    username: str = ""
    password: str = ""
    inbound: Inbound = Inbound.ADDRESS
    addresses: tuple[str, ...] = ()
    transport: TransportChoice = TransportChoice.AUTO
    srtp: Srtp = Srtp.OFF
    codecs: tuple[str, ...] = ("PCMA", "PCMU")
    dtmf: DtmfMode = DtmfMode.RFC4733
    cps: float = 0.0
    channels: int = 0
    stop_codes: tuple[int, ...] = STOP_CODES
    latch: LatchPolicy = LatchPolicy.SIGNALLED
    early_media: EarlyMedia = EarlyMedia.PASS
    emergency: tuple[str, ...] | None = None
    dial: NumberFormat = NumberFormat.E164
    dial_prefix: str = ""
    caller_id: NumberFormat = NumberFormat.E164
    caller_id_header: CallerIdHeader = CallerIdHeader.FROM
    trust_identity: bool = True
    country_code: str = ""
    trunk_prefix: str = "0"
    set_headers: dict[str, str] = {}  # msgspec copies it
    remove_headers: tuple[str, ...] = ()
    session_expires: float = 1800.0
    options_interval: float = 30.0

    def __repr__(self) -> str:
        shown = (
            f"{name}={'…' if name == 'password' else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"Trunk({', '.join(shown)})"

    def doors(self) -> tuple[Gateway, ...]:
        """Its gateways, `uri` as one of them."""
        return self.gateways or ((Gateway(uri=self.uri),) if self.uri else ())


CODECS: Final = ("PCMU", "PCMA", "G722", "opus", "L16")
MIN_SESSION_EXPIRES: Final = 90  # RFC 4028 §4

_COUNTRY_CODE: Final = re.compile(r"[1-9][0-9]{0,2}")
_DIALLABLE: Final = re.compile(r"[0-9*#]*")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9.\-]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")


def gateway_uri(gateway: Gateway) -> SipUri:
    """Its URI as a value; RemoteProtocolError if it is none of `sip:` or `sips:`."""
    uri = parse_uri(gateway.uri)
    if not isinstance(uri, SipUri):
        raise RemoteProtocolError(f"{gateway.uri!r} is no URI of sip: or sips:")
    return uri


def problems_of_trunk(trunk: Trunk) -> tuple[str, ...]:
    """What is wrong with `trunk`, a sentence for each; empty if nothing is."""
    return (
        *_problems_of_doors(trunk),
        *_problems_of_account(trunk),
        *_problems_of_calls(trunk),
        *_problems_of_numbers(trunk),
        *problems_of_rules(trunk.set_headers, trunk.remove_headers),
    )


def _problems_of_doors(trunk: Trunk) -> list[str]:
    found = []
    if trunk.uri and trunk.gateways:
        found.append("uri and gateways are both given; uri is a short form of one gateway")
    if not trunk.doors() and not (trunk.addresses or trunk.inbound is Inbound.DIGEST):
        found.append('uri is missing, where calls go to: such as uri = "sip:sip.carrier.example"')
    uris = [each.uri for each in trunk.doors()]
    if len(set(uris)) < len(uris):
        found.append("gateways: a uri is there twice; give that gateway more weight instead")
    for each in trunk.doors():
        found += _problems_of_gateway(each, trunk.transport)
    if trunk.domain and _DOMAIN.fullmatch(trunk.domain) is None:
        found.append(f"domain is {trunk.domain!r}; it must be a host, without sip: and port")
    return found


def _problems_of_gateway(gateway: Gateway, transport: TransportChoice) -> list[str]:
    try:
        uri = gateway_uri(gateway)
    except RemoteProtocolError as error:
        return [f'uri: {error}; it must be such as "sip:sip.carrier.example"']
    found = []
    said = (parameter(uri.params, "transport") or "").lower()
    if said and transport is not TransportChoice.AUTO and said != transport:
        found.append(f'uri {gateway.uri!r} says transport={said}, transport says "{transport}"')
    if uri.scheme == "sips" and transport in (TransportChoice.UDP, TransportChoice.TCP):
        found.append(f'uri {gateway.uri!r} wants TLS, transport says "{transport}"')
    if uri.headers:
        found.append(f"uri {gateway.uri!r} has headers behind a ?; give them in set_headers")
    if not 0 <= gateway.priority <= 65_535 or not 0 <= gateway.weight <= 65_535:
        found.append(f"gateway {gateway.uri}: priority and weight must be from 0 to 65535")
    return found


def _problems_of_account(trunk: Trunk) -> list[str]:
    found = []
    if trunk.register and not trunk.doors():
        found.append("register needs a uri, which says where")
    if trunk.register and not trunk.username:
        found.append("register needs a username; the carrier gives it to you with the password")
    for written in trunk.addresses:
        try:
            ip_network(written)
        except ValueError as error:
            found.append(f"addresses: {error}; one must be such as 192.0.2.0/24")
    if trunk.password and not trunk.username:
        found.append("password is given without a username")
    if trunk.inbound is not Inbound.ADDRESS and not (trunk.username and trunk.password):
        found.append(f'inbound = "{trunk.inbound}" needs username and password')
    if trunk.expires < 60:
        found.append(f"expires is {trunk.expires:g} s; it must be 60 s or more")
    return found


def _problems_of_calls(trunk: Trunk) -> list[str]:
    known = {name.lower() for name in CODECS}
    found = [
        f"codecs: there is no {name!r}; there are {', '.join(CODECS)}"
        for name in trunk.codecs
        if name.lower() not in known
    ]
    if not trunk.codecs:
        found.append("codecs is empty; name one at least")
    if len({name.lower() for name in trunk.codecs}) < len(trunk.codecs):
        found.append("codecs: one is there twice")
    if trunk.srtp is Srtp.REQUIRE and trunk.transport in (TransportChoice.UDP, TransportChoice.TCP):
        found.append(
            f'srtp = "require" with transport = "{trunk.transport}" would send the keys in the'
            ' clear; give transport = "tls"'
        )
    if any(not 300 <= code <= 699 for code in trunk.stop_codes):
        found.append("stop_codes are SIP codes from 300 to 699")
    if trunk.cps < 0 or trunk.channels < 0:
        found.append("cps and channels must be 0 (no limit) or more")
    if 0 < trunk.session_expires < MIN_SESSION_EXPIRES:
        found.append(
            f"session_expires is {trunk.session_expires:g} s; it must be {MIN_SESSION_EXPIRES} s"
            " or more, or 0 for none"
        )
    if 0 < trunk.options_interval < 1:
        found.append("options_interval must be 1 s or more, or 0 for none")
    return found


def _problems_of_numbers(trunk: Trunk) -> list[str]:
    found = []
    national = NumberFormat.NATIONAL in (trunk.dial, trunk.caller_id)
    if national and not trunk.country_code:
        found.append('national numbers need a country_code, such as "44"')
    if trunk.country_code and _COUNTRY_CODE.fullmatch(trunk.country_code) is None:
        found.append(f'country_code is {trunk.country_code!r}; it must be such as "44"')
    if _DIALLABLE.fullmatch(trunk.trunk_prefix) is None:
        found.append(f'trunk_prefix is {trunk.trunk_prefix!r}; it must be digits, such as "0"')
    if national and (trunk.country_code, trunk.trunk_prefix) == ("1", "0"):
        found.append('trunk_prefix is "0"; with country_code = "1" it is "1" or ""')
    if _DIALLABLE.fullmatch(trunk.dial_prefix.removeprefix("+")) is None:
        found.append(f"dial_prefix is {trunk.dial_prefix!r}; it must be digits, * or #")
    return found
