"""SIP/IpAccessControlLists/…/IpAddresses: the addresses and networks of a list, IPv4 or IPv6."""

from typing import Final

import msgspec

from gateway.api import sip, sip_access_lists
from gateway.api.http import answer_json, rfc2822
from gateway.api.resources import Call, Kind, Param, Result
from gateway.messages.draft import Refusal
from gateway.sids import IP_ADDRESS, new_sid
from gateway.sip.model import AccessList, Address
from gateway.sip.rules import read_address, read_friendly_name

_CODES: Final = sip.Codes(invalid=21238, full=21237)
_LIST: Final = "IpAccessControlListSid"


class SipIpAddressBody(msgspec.Struct, frozen=True, kw_only=True):
    """An address as REST shows it."""

    account_sid: str
    cidr_prefix_length: int
    date_created: str
    date_updated: str
    friendly_name: str
    ip_access_control_list_sid: str
    ip_address: str
    sid: str
    uri: str


def _body(address: Address) -> SipIpAddressBody:
    list_sid = address.ip_access_control_list_sid
    place = "IpAccessControlLists", list_sid, "IpAddresses", address.sid
    return SipIpAddressBody(
        account_sid=address.account_sid,
        cidr_prefix_length=address.cidr_prefix_length,
        date_created=rfc2822(address.date_created),
        date_updated=rfc2822(address.date_updated),
        friendly_name=address.friendly_name,
        ip_access_control_list_sid=list_sid,
        ip_address=address.ip_address,
        sid=address.sid,
        uri=sip.uri_of(address.account_sid, *place),
    )


def _list(call: Call) -> AccessList | Refusal:
    return sip.found(call, call.services.sip.access_lists, call.path[_LIST])


def _address(call: Call) -> Address | Refusal:
    address = sip.found(call, call.services.sip.addresses, call.path["Sid"])
    if isinstance(address, Refusal) or address.ip_access_control_list_sid == call.path[_LIST]:
        return address
    return sip.absent(call)


async def create(call: Call) -> Result:
    """Add an address or a network to a list."""
    list_ = _list(call)
    if isinstance(list_, Refusal):
        return list_

    async def work() -> Result:
        name = read_friendly_name(call.text("FriendlyName"))
        written, length = read_address(call.text("IpAddress"), call.text("CidrPrefixLength"))
        address = Address(
            sid=new_sid(IP_ADDRESS, call.now),
            account_sid=call.account.sid,
            ip_access_control_list_sid=list_.sid,
            friendly_name=name,
            ip_address=written,
            cidr_prefix_length=length,
            date_created=call.now,
            date_updated=call.now,
        )
        await call.services.sip.add(address)
        return answer_json(_body(address), 201)

    return await sip.answered(call, _CODES, work())


async def list_all(call: Call) -> Result:
    """The addresses of a list, newest first."""
    list_ = _list(call)
    if isinstance(list_, Refusal):
        return list_
    addresses = call.services.sip.addresses.under(call.account.sid, list_.sid)
    return sip.page(call, "ip_addresses", (IP_ADDRESS,), addresses, _body)


async def fetch(call: Call) -> Result:
    """One address."""
    address = _address(call)
    return address if isinstance(address, Refusal) else answer_json(_body(address))


async def update(call: Call) -> Result:
    """Rename an address, or let it be another one; what is not given stays."""
    old = _address(call)
    if isinstance(old, Refusal):
        return old

    async def work() -> Result:
        name = call.text("FriendlyName")
        given, length = call.text("IpAddress"), call.text("CidrPrefixLength")
        if not given:
            given, length = old.ip_address, length or str(old.cidr_prefix_length)
        elif not length and "/" not in given and (":" in given) == (":" in old.ip_address):
            length = str(old.cidr_prefix_length)
        written, prefix_length = read_address(given, length)
        new = await call.services.sip.change(
            old,
            call.now,
            friendly_name=read_friendly_name(name) if name else old.friendly_name,
            ip_address=written,
            cidr_prefix_length=prefix_length,
        )
        return answer_json(_body(new))

    return await sip.answered(call, _CODES, work())


async def delete(call: Call) -> Result:
    """Remove an address from a list."""
    return await sip.removed(call, _CODES, _address(call))


_NAME: Final = "A name for people, up to 64 characters."
_ADDRESS: Final = "An IPv4 or IPv6 address, such as 192.0.2.7."
_LENGTH: Final = Param(
    name="CidrPrefixLength",
    kind=Kind.INTEGER,
    error_code=_CODES.invalid,
    doc="How many bits of the address count: 1 to 32, or to 128 for IPv6; all if absent.",
)

OPERATIONS: Final = sip.operations(
    sip.Resource(
        name="SipIpAddress",
        path=f"{sip_access_lists.PATH}/{{{_LIST}}}/IpAddresses",
        variable="Sid",
        list_key="ip_addresses",
        returns=SipIpAddressBody,
        create=create,
        list_=list_all,
        fetch=fetch,
        update=update,
        delete=delete,
        create_params=(
            Param(name="FriendlyName", required=True, doc=_NAME),
            Param(name="IpAddress", required=True, doc=_ADDRESS),
            _LENGTH,
        ),
        update_params=(
            Param(name="FriendlyName", doc=_NAME),
            Param(name="IpAddress", doc=_ADDRESS),
            _LENGTH,
        ),
    )
)
