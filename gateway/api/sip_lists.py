"""SIP/CredentialLists and SIP/IpAccessControlLists: who domains let in, by user or by network.

A password is read once, for its hashes, and shown to nobody.
"""

from typing import Any, Final

import msgspec

from gateway.api import sip
from gateway.api.resources import Call, Param
from gateway.api.resources import Kind as Type
from gateway.sids import ACCESS_LIST, CREDENTIAL, CREDENTIAL_LIST, IP_ADDRESS
from gateway.sip.model import AccessList, Address, Credential, CredentialList
from gateway.sip.rules import (
    hashes_of,
    read_address,
    read_friendly_name,
    read_password,
    read_username,
)


class _Body(msgspec.Struct, frozen=True, kw_only=True):
    account_sid: str
    date_created: str
    date_updated: str
    sid: str
    uri: str


class SipListBody(_Body, frozen=True, kw_only=True):
    """A list as REST shows it."""

    friendly_name: str
    subresource_uris: dict[str, str]


class SipCredentialBody(_Body, frozen=True, kw_only=True):
    """A user as REST shows it."""

    credential_list_sid: str
    username: str


class SipIpAddressBody(_Body, frozen=True, kw_only=True):
    """An address as REST shows it."""

    cidr_prefix_length: int
    friendly_name: str
    ip_access_control_list_sid: str
    ip_address: str


def _made(call: Call) -> dict[str, Any]:
    """Make a list, empty at first."""
    return {"friendly_name": read_friendly_name(call.text("FriendlyName"))}


def _renamed(call: Call, list_: CredentialList | AccessList) -> dict[str, Any]:
    """Rename a list."""
    return _made(call)


_COMMON: Final[dict[str, Any]] = {
    "one": "One list.",
    "made": _made,
    "changed": _renamed,
    "returns": SipListBody,
    "create_params": (Param(name="FriendlyName", required=True, doc=sip.NAME),),
    "update_params": (Param(name="FriendlyName", required=True, doc=sip.NAME),),
}
_CREDENTIAL_LISTS: Final = sip.Kind[CredentialList](
    name="SipCredentialList",
    segment="CredentialLists",
    variable="CredentialListSid",
    prefix=CREDENTIAL_LIST,
    shelf=lambda directory: directory.credential_lists,
    below={"credentials": "Credentials"},
    list_key="credential_lists",
    codes=sip.Codes(invalid=21240, full=21239, in_use=21241),
    all="The account's credential lists, newest first.",
    removes="Remove a list that no domain asks, and its users.",
    **_COMMON,
)
_ACCESS_LISTS: Final = sip.Kind[AccessList](
    name="SipIpAccessControlList",
    segment="IpAccessControlLists",
    variable="IpAccessControlListSid",
    prefix=ACCESS_LIST,
    shelf=lambda directory: directory.access_lists,
    below={"ip_addresses": "IpAddresses"},
    list_key="ip_access_control_lists",
    codes=sip.Codes(invalid=21235, full=21255, in_use=21236),
    all="The account's lists of addresses, newest first.",
    removes="Remove a list that no domain asks, and its addresses.",
    **_COMMON,
)


def _user(call: Call) -> dict[str, Any]:
    """Add a user to a list."""
    username = read_username(call.text("Username"))
    return {
        "username": username,
        "hashes": hashes_of(username, read_password(call.text("Password"))),
    }


def _user_changed(call: Call, user: Credential) -> dict[str, Any]:
    """Set another password."""
    return {"hashes": hashes_of(user.username, read_password(call.text("Password")))}


def _address(call: Call) -> dict[str, Any]:
    """Add an address or a network to a list."""
    name = read_friendly_name(call.text("FriendlyName"))
    written, length = read_address(call.text("IpAddress"), call.text("CidrPrefixLength"))
    return {"friendly_name": name, "ip_address": written, "cidr_prefix_length": length}


def _address_changed(call: Call, old: Address) -> dict[str, Any]:
    """Rename an address, or let it be another one; what is not given stays."""
    given, length = call.text("IpAddress"), call.text("CidrPrefixLength")
    if not given:
        given, length = old.ip_address, length or str(old.cidr_prefix_length)
    elif not length and "/" not in given and (":" in given) == (":" in old.ip_address):
        length = str(old.cidr_prefix_length)
    written, prefix_length = read_address(given, length)
    return {
        "friendly_name": read_friendly_name(call.text("FriendlyName") or old.friendly_name),
        "ip_address": written,
        "cidr_prefix_length": prefix_length,
    }


_PASSWORD: Final = Param(
    name="Password",
    required=True,
    doc="12 to 128 characters, among them a digit, a small and a capital letter.",
)
_CREDENTIALS: Final = sip.Kind[Credential](
    name="SipCredential",
    segment="Credentials",
    prefix=CREDENTIAL,
    shelf=lambda directory: directory.credentials,
    above=_CREDENTIAL_LISTS,
    list_key="credentials",
    codes=sip.Codes(invalid=21243, full=21242),
    one="One user.",
    all="The users of a list, newest first.",
    removes="Remove a user from a list.",
    made=_user,
    changed=_user_changed,
    returns=SipCredentialBody,
    create_params=(
        Param(name="Username", required=True, doc="What a phone authenticates with: 1 to 32."),
        _PASSWORD,
    ),
    update_params=(_PASSWORD,),
)

_ADDRESS: Final = "An IPv4 or IPv6 address, such as 192.0.2.7."
_LENGTH: Final = Param(
    name="CidrPrefixLength",
    kind=Type.INTEGER,
    error_code=21238,
    doc="How many bits of the address count: 1 to 32, or to 128 for IPv6; all if absent.",
)
_ADDRESSES: Final = sip.Kind[Address](
    name="SipIpAddress",
    segment="IpAddresses",
    prefix=IP_ADDRESS,
    shelf=lambda directory: directory.addresses,
    above=_ACCESS_LISTS,
    list_key="ip_addresses",
    codes=sip.Codes(invalid=21238, full=21237),
    one="One address.",
    all="The addresses of a list, newest first.",
    removes="Remove an address from a list.",
    made=_address,
    changed=_address_changed,
    returns=SipIpAddressBody,
    create_params=(
        Param(name="FriendlyName", required=True, doc=sip.NAME),
        Param(name="IpAddress", required=True, doc=_ADDRESS),
        _LENGTH,
    ),
    update_params=(
        Param(name="FriendlyName", doc=sip.NAME),
        Param(name="IpAddress", doc=_ADDRESS),
        _LENGTH,
    ),
)

RESOURCES: Final = (
    sip.resource(_CREDENTIAL_LISTS),
    sip.resource(_CREDENTIALS),
    sip.resource(_ACCESS_LISTS),
    sip.resource(_ADDRESSES),
)
