"""The lists that a domain asks: SIP/Domains/…/Auth/…/…Mappings, and the older paths of two.

A mapping bears the SID and the name of its list. Lists that are mapped by an older path are those
for calls: both paths show the same.
"""

from typing import Any, Final

import msgspec

from gateway.api import paging, sip
from gateway.api.declare import Resource, saying
from gateway.api.paging import Page, Slice
from gateway.api.resources import Call, Param
from gateway.api.sip_domains import DOMAINS
from gateway.messages.draft import Refusal
from gateway.sids import ACCESS_LIST, CREDENTIAL_LIST
from gateway.sip.model import Mapping, Purpose

_CODES: Final = sip.Codes(invalid=21231)


class SipMappingBody(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping as REST shows it."""

    account_sid: str
    date_created: str
    date_updated: str
    friendly_name: str
    sid: str


class SipDomainMappingBody(SipMappingBody, frozen=True, kw_only=True):
    """The same at an older path."""

    domain_sid: str
    uri: str


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One path of mappings: `param` names the list, whose SID begins with `prefix`."""

    name: str
    path: str
    list_key: str
    purpose: Purpose
    prefix: str
    param: str
    returns: type[SipMappingBody]


def _of_credentials(name: str, path: str, purpose: Purpose, **others: Any) -> _Kind:
    return _Kind(
        name=f"{name}CredentialListMapping",
        path=f"{path}CredentialListMappings",
        purpose=purpose,
        prefix=CREDENTIAL_LIST,
        param="CredentialListSid",
        **others,
    )


def _of_addresses(name: str, path: str, purpose: Purpose, **others: Any) -> _Kind:
    return _Kind(
        name=f"{name}IpAccessControlListMapping",
        path=f"{path}IpAccessControlListMappings",
        purpose=purpose,
        prefix=ACCESS_LIST,
        param="IpAccessControlListSid",
        **others,
    )


_CALLS, _REGISTRATIONS = Purpose.CALLS, Purpose.REGISTRATIONS
_NEW: Final = {"list_key": "contents", "returns": SipMappingBody}
_KINDS: Final = (
    _of_credentials("SipAuthCalls", "Auth/Calls/", _CALLS, **_NEW),
    _of_addresses("SipAuthCalls", "Auth/Calls/", _CALLS, **_NEW),
    _of_credentials("SipAuthRegistrations", "Auth/Registrations/", _REGISTRATIONS, **_NEW),
    _of_credentials(
        "Sip", "", _CALLS, list_key="credential_list_mappings", returns=SipDomainMappingBody
    ),
    _of_addresses(
        "Sip", "", _CALLS, list_key="ip_access_control_list_mappings", returns=SipDomainMappingBody
    ),
)


class _Mappings:
    """What one path does, among the mappings of one domain."""

    def __init__(self, kind: _Kind) -> None:
        self._kind = kind

    def body(self, call: Call, mapping: Mapping) -> SipMappingBody:
        """The mapping as this path shows it."""
        kind, list_ = self._kind, call.services.sip.list_of(mapping)
        older: dict[str, str] = {}
        if kind.returns is SipDomainMappingBody:
            domain = DOMAINS.path.format(
                AccountSid=mapping.account_sid, DomainSid=mapping.domain_sid
            )
            uri = f"{domain}/{kind.path}/{mapping.sid}.json"
            older = {"domain_sid": mapping.domain_sid, "uri": uri}
        return kind.returns(
            account_sid=mapping.account_sid,
            friendly_name="" if list_ is None else list_.friendly_name,
            sid=mapping.sid,
            **sip.dates(mapping),
            **older,
        )

    async def find(self, call: Call) -> Mapping | Refusal:
        """One list that the domain asks."""
        domain, sid = DOMAINS.find(call), call.path["Sid"]
        if isinstance(domain, Refusal):
            return domain
        key = domain.sid, self._kind.purpose, sid
        mapping = call.services.sip.mappings.get(call.account.sid, *key)
        return mapping if mapping and sid.startswith(self._kind.prefix) else sip.absent(call)

    async def pages(self, call: Call, page: Page) -> Slice | Refusal:
        """The lists that the domain asks, newest first."""
        domain = DOMAINS.find(call)
        if isinstance(domain, Refusal):
            return domain
        kind = self._kind
        mapped = call.services.sip.mappings.under(call.account.sid, domain.sid)
        shown = [
            each
            for each in mapped
            if each.purpose is kind.purpose and each.sid.startswith(kind.prefix)
        ]
        return paging.slice_of(shown, page)

    async def create(self, call: Call) -> Mapping | Refusal:
        """Let the domain ask a list."""
        refusal = sip.owned_by_rest(DOMAINS.find(call))
        if refusal is not None:
            return refusal
        kind = self._kind
        sid = call.text(kind.param)
        mapping = Mapping(
            sid=sid if sid.startswith(kind.prefix) else "",
            account_sid=call.account.sid,
            domain_sid=call.path[DOMAINS.variable],
            purpose=kind.purpose,
            date_created=call.now,
            date_updated=call.now,
        )
        await call.services.sip.add(mapping)
        return mapping


def _resource(kind: _Kind) -> Resource[Mapping]:
    """The resource of one path."""
    of_path = _Mappings(kind)
    return Resource(
        name=kind.name,
        path=f"{DOMAINS.path}/{kind.path}",
        prefixes=(kind.prefix,),
        list_key=kind.list_key,
        returns=kind.returns,
        body=of_path.body,
        find=of_path.find,
        pages=of_path.pages,
        guard=sip.owned_by_rest,
        create=sip.told(_CODES, of_path.create),
        delete=saying("Let the domain ask a list no more.", sip.told(_CODES, sip.remove)),
        create_params=(Param(name=kind.param, required=True, doc="The list's SID."),),
    )


RESOURCES: Final = tuple(map(_resource, _KINDS))
