"""SIP domains and the lists that say who may use them, as values.

A domain asks credential lists and lists of addresses, each for a purpose: for calls that come in
by it, or for registrations of its phones. Passwords are not kept: a credential has a hash (HA1)
for each digest algorithm, all for the one realm `REALM`, so that a list serves any number of
domains. Were `REALM` ever changed, all passwords would have to be set anew.
"""

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

import msgspec

REALM: Final = "trunkline"


class Purpose(StrEnum):
    """What a domain asks a list for."""

    CALLS = "calls"
    REGISTRATIONS = "registrations"


class Need(StrEnum):
    """What a peer must show; the words are those of a domain's `auth_type`."""

    ADDRESS = "IP_ACL"
    CREDENTIALS = "CREDENTIAL_LIST"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What all of them have. `declared` is true for what the config file names."""

    sid: str
    account_sid: str
    date_created: float
    date_updated: float
    version: int = 1
    declared: bool = False


class Domain(Entry, frozen=True, kw_only=True):
    """A name that phones register with and calls come in by, in small letters.

    `settings` holds REST's own names (`voice_url`, `sip_registration`, …), booleans as "true".
    """

    domain_name: str
    friendly_name: str
    settings: dict[str, str]

    @property
    def takes_registrations(self) -> bool:
        """Whether phones may register."""
        return self.settings.get("sip_registration") == "true"


class CredentialList(Entry, frozen=True, kw_only=True):
    """Users that domains let in together."""

    friendly_name: str


class Credential(Entry, frozen=True, kw_only=True):
    """A user of a list, and the hash of the password by algorithm (`protocols/sip/digest`)."""

    credential_list_sid: str
    username: str
    hashes: dict[str, str]

    def __repr__(self) -> str:
        return f"Credential(sid={self.sid!r}, username={self.username!r})"


class AccessList(Entry, frozen=True, kw_only=True):
    """Networks that domains let in together."""

    friendly_name: str


class Address(Entry, frozen=True, kw_only=True):
    """An address of a list, or a network: the first `cidr_prefix_length` bits count."""

    ip_access_control_list_sid: str
    friendly_name: str
    ip_address: str
    cidr_prefix_length: int

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """All addresses that it stands for."""
        return ip_network(f"{self.ip_address}/{self.cidr_prefix_length}", strict=False)


class Mapping(Entry, frozen=True, kw_only=True):
    """That a domain asks a list; `sid` is the list's, as Twilio has it."""

    domain_sid: str
    purpose: Purpose


List = CredentialList | AccessList
