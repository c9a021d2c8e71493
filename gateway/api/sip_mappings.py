"""The lists that a domain asks: SIP/Domains/…/Auth/…/…Mappings, and the older paths of two.

A mapping bears the SID and the name of its list. Lists that are mapped by an older path are those
for calls: both paths show the same.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from gateway.api import sip, sip_domains
from gateway.api.http import answer_json, rfc2822
from gateway.api.resources import Call, Handler, Operation, Param, Result
from gateway.messages.draft import Refusal
from gateway.sids import ACCESS_LIST, CREDENTIAL_LIST
from gateway.sip.model import Domain, Mapping, Purpose

_CODES: Final = sip.Codes(invalid=21231)
_PATH: Final = f"{sip_domains.PATH}/{{{sip_domains.VARIABLE}}}"


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


def _domain(call: Call) -> Domain | Refusal:
    return sip.found(call, call.services.sip.domains, call.path[sip_domains.VARIABLE])


def _body_maker(call: Call, kind: _Kind) -> Callable[[Mapping], SipMappingBody]:
    def body(mapping: Mapping) -> SipMappingBody:
        list_ = call.services.sip.list_of(mapping)
        older: dict[str, str] = {}
        if kind.returns is SipDomainMappingBody:
            place = "Domains", mapping.domain_sid, kind.path, mapping.sid
            older = {
                "domain_sid": mapping.domain_sid,
                "uri": sip.uri_of(mapping.account_sid, *place),
            }
        return kind.returns(
            account_sid=mapping.account_sid,
            date_created=rfc2822(mapping.date_created),
            date_updated=rfc2822(mapping.date_updated),
            friendly_name="" if list_ is None else list_.friendly_name,
            sid=mapping.sid,
            **older,
        )

    return body


def _mapping(call: Call, kind: _Kind) -> Mapping | Refusal:
    domain, sid = _domain(call), call.path["Sid"]
    if isinstance(domain, Refusal):
        return domain
    if not sid.startswith(kind.prefix):
        return sip.absent(call)
    return sip.found(call, call.services.sip.mappings, domain.sid, kind.purpose, sid)


def _creator(kind: _Kind) -> Handler:
    async def create(call: Call) -> Result:
        """Let the domain ask a list."""
        domain = sip.owned_by_rest(_domain(call))
        if isinstance(domain, Refusal):
            return domain

        async def work() -> Result:
            sid = call.text(kind.param)
            mapping = Mapping(
                sid=sid if sid.startswith(kind.prefix) else "",
                account_sid=call.account.sid,
                domain_sid=domain.sid,
                purpose=kind.purpose,
                date_created=call.now,
                date_updated=call.now,
            )
            await call.services.sip.add(mapping)
            return answer_json(_body_maker(call, kind)(mapping), 201)

        return await sip.answered(call, _CODES, work())

    return create


def _declared(kind: _Kind) -> tuple[Operation, ...]:
    """The operations of one path."""

    async def list_all(call: Call) -> Result:
        """The lists that the domain asks, the one mapped last first."""
        domain = _domain(call)
        if isinstance(domain, Refusal):
            return domain
        mapped = call.services.sip.mappings.under(call.account.sid, domain.sid)
        shown = [
            each
            for each in mapped
            if each.purpose is kind.purpose and each.sid.startswith(kind.prefix)
        ]
        return sip.page(call, kind.list_key, (kind.prefix,), shown, _body_maker(call, kind))

    async def fetch(call: Call) -> Result:
        """One list that the domain asks."""
        mapping = _mapping(call, kind)
        if isinstance(mapping, Refusal):
            return mapping
        return answer_json(_body_maker(call, kind)(mapping))

    async def delete(call: Call) -> Result:
        """Let the domain ask a list no more."""
        return await sip.removed(call, _CODES, sip.owned_by_rest(_mapping(call, kind)))

    return sip.operations(
        sip.Resource(
            name=kind.name,
            path=f"{_PATH}/{kind.path}",
            variable="Sid",
            list_key=kind.list_key,
            returns=kind.returns,
            create=_creator(kind),
            list_=list_all,
            fetch=fetch,
            delete=delete,
            create_params=(Param(name=kind.param, required=True, doc="The list's SID."),),
        )
    )


OPERATIONS: Final = tuple(operation for kind in _KINDS for operation in _declared(kind))
