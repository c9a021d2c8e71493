"""What a domain, a user, a password and an address may look like: Twilio's rules, with reasons.

Each reader gives the value as it is kept, or raises `Invalid` with what would be right.
"""

import re
from ipaddress import ip_address
from typing import Final

from gateway.sip.model import REALM
from protocols.sip.digest import ALGORITHMS, ha1

DOMAIN_NAME: Final = (
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    r"(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
# What can stand in a SIP URI without an escape (RFC 3261 §25.1: unreserved, user-unreserved).
USERNAME: Final = r"[A-Za-z0-9\-_.!~*'()&=+$,;?/]{1,32}"

_MAX_USERNAME: Final = 32
_LEAST_PASSWORD: Final = 12
_MOST_PASSWORD: Final = 128
_MAX_NAME: Final = 64

_domain_name = re.compile(DOMAIN_NAME)
_username = re.compile(USERNAME)
_NEEDED: Final = tuple(map(re.compile, ("[0-9]", "[a-z]", "[A-Z]")))


class Invalid(ValueError):
    """A value can't be taken; the text says why."""


def read_domain_name(given: str) -> str:
    """The name of a domain, in small letters."""
    name = given.lower()
    if _domain_name.fullmatch(name) is None:
        raise Invalid(
            "DomainName should be a host's name, such as office.sip.example.com: letters, digits,"
            f" dots and hyphens, up to 253, not {given[:60]!r}"
        )
    return name


def read_friendly_name(given: str) -> str:
    """A name for people."""
    if not given.strip():
        raise Invalid("FriendlyName is needed")
    if len(given) > _MAX_NAME:
        raise Invalid(f"FriendlyName should have {_MAX_NAME} characters at most")
    return given


def read_username(given: str) -> str:
    """The name that a phone authenticates with."""
    if _username.fullmatch(given) is None:
        raise Invalid(
            f"Username should have 1 to {_MAX_USERNAME} letters, digits or signs of a SIP URI,"
            f" and no @, not {given[:60]!r}"
        )
    return given


def read_password(given: str) -> str:
    """A password that may be set over REST; it is in no text that this raises."""
    has_all = all(test.search(given) for test in _NEEDED)
    if not has_all or not _LEAST_PASSWORD <= len(given) <= _MOST_PASSWORD:
        raise Invalid(
            f"Password should have {_LEAST_PASSWORD} to {_MOST_PASSWORD} characters, among them a"
            " digit, a small and a capital letter"
        )
    return given


def read_address(given: str, prefix_length: str) -> tuple[str, int]:
    """An address in its shortest form, and how many of its bits count: all, if "" is given.

    `given` may bring the length along, as 192.0.2.0/24.
    """
    written, slash, length = given.strip().partition("/")
    if slash and prefix_length and length != prefix_length:
        raise Invalid("CidrPrefixLength says another length than IpAddress")
    try:
        address = ip_address(written)
    except ValueError:
        raise Invalid(
            f"IpAddress should be one such as 192.0.2.7 or 2001:db8::7, not {given[:60]!r}"
        ) from None
    if getattr(address, "scope_id", None):
        raise Invalid("IpAddress should have no zone: it means nothing to other machines")
    wanted = prefix_length or length
    if slash and not wanted:
        raise Invalid("IpAddress should have a length behind its /")
    if not wanted:
        return str(address), address.max_prefixlen
    if not re.fullmatch(r"[0-9]{1,3}", wanted) or not 0 < int(wanted) <= address.max_prefixlen:
        raise Invalid(
            f"CidrPrefixLength should be from 1 to {address.max_prefixlen}, not {wanted[:20]!r}"
        )
    return str(address), int(wanted)


def hashes_of(username: str, password: str) -> dict[str, str]:
    """What is kept of a password: its hash for each algorithm that phones may use."""
    return {algorithm: ha1(algorithm, username, REALM, password) for algorithm in ALGORITHMS}
