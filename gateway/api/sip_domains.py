"""SIP/Domains: the names that phones register with and calls come in by, and what runs then.

Any name of a host that no other domain has can be had. What the config file names is shown here
and cannot be changed here.
"""

from typing import Any, Final

import msgspec

from gateway.api import sip
from gateway.api.http import answer_json, refuse, rfc2822
from gateway.api.resources import Call, Kind, Param, Result
from gateway.messages.asked import is_http_url
from gateway.messages.draft import Refusal
from gateway.sids import SIP_DOMAIN, new_sid
from gateway.sip.directory import SipDirectory
from gateway.sip.model import Domain, Need, Purpose
from gateway.sip.rules import read_domain_name, read_friendly_name

VARIABLE: Final = "DomainSid"
PATH: Final = f"{sip.PATH}/Domains"
_CODES: Final = sip.Codes(invalid=21231, full=21230)

# Parameters that are kept as they are given, and the names under which `settings` holds them.
_URLS: Final = {
    "VoiceUrl": "voice_url",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceStatusCallbackUrl": "voice_status_callback_url",
}
_METHODS: Final = {
    "VoiceMethod": "voice_method",
    "VoiceFallbackMethod": "voice_fallback_method",
    "VoiceStatusCallbackMethod": "voice_status_callback_method",
}
_FLAGS: Final = {
    "SipRegistration": "sip_registration",
    "EmergencyCallingEnabled": "emergency_calling_enabled",
    "Secure": "secure",
}
_SIDS: Final = {"ByocTrunkSid": "byoc_trunk_sid", "EmergencyCallerSid": "emergency_caller_sid"}
_SETTINGS: Final = {**_URLS, **_METHODS, **_FLAGS, **_SIDS}


class SipDomainBody(msgspec.Struct, frozen=True, kw_only=True):
    """A domain as REST shows it; `auth_type` says what lists it asks for calls."""

    account_sid: str
    api_version: str = sip.API_VERSION
    auth_type: str
    byoc_trunk_sid: str | None
    date_created: str
    date_updated: str
    domain_name: str
    emergency_caller_sid: str | None
    emergency_calling_enabled: bool
    friendly_name: str
    secure: bool
    sid: str
    sip_registration: bool
    subresource_uris: dict[str, str]
    uri: str
    voice_fallback_method: str
    voice_fallback_url: str
    voice_method: str
    voice_status_callback_method: str
    voice_status_callback_url: str
    voice_url: str


def _body(directory: SipDirectory, domain: Domain) -> SipDomainBody:
    kept, place = domain.settings, ("Domains", domain.sid)
    shown: dict[str, Any] = {name: kept.get(name, "") for name in _URLS.values()}
    shown.update((name, kept.get(name) or "POST") for name in _METHODS.values())
    shown.update((name, kept.get(name) == "true") for name in _FLAGS.values())
    shown.update((name, kept.get(name) or None) for name in _SIDS.values())
    needs = directory.needs(domain, Purpose.CALLS)
    return SipDomainBody(
        account_sid=domain.account_sid,
        auth_type=",".join(need for need in Need if need in needs),
        date_created=rfc2822(domain.date_created),
        date_updated=rfc2822(domain.date_updated),
        domain_name=domain.domain_name,
        friendly_name=domain.friendly_name,
        sid=domain.sid,
        subresource_uris={
            "credential_list_mappings": sip.uri_of(
                domain.account_sid, *place, "CredentialListMappings"
            ),
            "ip_access_control_list_mappings": sip.uri_of(
                domain.account_sid, *place, "IpAccessControlListMappings"
            ),
        },
        uri=sip.uri_of(domain.account_sid, *place),
        **shown,
    )


def _read_settings(call: Call) -> dict[str, str] | Refusal:
    """The settings that the form gives, by the names they are kept under."""
    for name in _URLS:
        url = call.text(name)
        if url and not is_http_url(url):
            return refuse(21402, f"{name} is not an http or https URL: {url[:100]}")
    given = {kept: call.text(name) for name, kept in _SETTINGS.items() if name in call.form}
    for kept in _METHODS.values():
        if kept in given:
            given[kept] = given[kept].upper()
    for kept in _FLAGS.values():
        if kept in given:
            given[kept] = given[kept].lower()
    return given


async def create(call: Call) -> Result:
    """Make a domain of a name that no other has."""
    settings = _read_settings(call)
    if isinstance(settings, Refusal):
        return settings

    async def work() -> Result:
        name = read_domain_name(call.text("DomainName"))
        domain = Domain(
            sid=new_sid(SIP_DOMAIN, call.now),
            account_sid=call.account.sid,
            domain_name=name,
            friendly_name=read_friendly_name(call.text("FriendlyName") or name[:64]),
            settings=settings,
            date_created=call.now,
            date_updated=call.now,
        )
        await call.services.sip.add(domain)
        return answer_json(_body(call.services.sip, domain), 201)

    return await sip.answered(call, _CODES, work())


async def list_all(call: Call) -> Result:
    """The account's domains, newest first."""
    directory = call.services.sip
    domains = directory.domains.under(call.account.sid, call.account.sid)
    return sip.page(
        call, "domains", (SIP_DOMAIN,), domains, lambda domain: _body(directory, domain)
    )


async def fetch(call: Call) -> Result:
    """One domain."""
    domain = sip.found(call, call.services.sip.domains, call.path[VARIABLE])
    if isinstance(domain, Refusal):
        return domain
    return answer_json(_body(call.services.sip, domain))


async def update(call: Call) -> Result:
    """Rename a domain or change what runs for it; what is not given stays."""
    old = sip.owned_by_rest(sip.found(call, call.services.sip.domains, call.path[VARIABLE]))
    if isinstance(old, Refusal):
        return old
    settings = _read_settings(call)
    if isinstance(settings, Refusal):
        return settings

    async def work() -> Result:
        changes: dict[str, Any] = {"settings": settings}
        if name := call.text("DomainName"):
            changes["domain_name"] = read_domain_name(name)
        if name := call.text("FriendlyName"):
            changes["friendly_name"] = read_friendly_name(name)
        new = await call.services.sip.change(old, call.now, **changes)
        return answer_json(_body(call.services.sip, new))

    return await sip.answered(call, _CODES, work())


async def delete(call: Call) -> Result:
    """Let a domain go; the lists that it asks stay."""
    domain = sip.found(call, call.services.sip.domains, call.path[VARIABLE])
    return await sip.removed(call, _CODES, sip.owned_by_rest(domain))


_SETTABLE: Final = (
    Param(name="FriendlyName", doc="A name for people, up to 64 characters."),
    *(Param(name=name, doc="An http(s) URL, or empty for none.") for name in _URLS),
    *(
        Param(name=name, kind=Kind.METHOD, error_code=21403, doc="GET or POST (the default).")
        for name in _METHODS
    ),
    Param(name="SipRegistration", kind=Kind.BOOLEAN, doc="Whether phones may register: false."),
    Param(name="Secure", kind=Kind.BOOLEAN, doc="Whether TLS and SRTP are needed: false."),
    Param(name="EmergencyCallingEnabled", kind=Kind.BOOLEAN, doc="Kept and shown."),
    *(Param(name=name, doc="Kept and shown.") for name in _SIDS),
)

OPERATIONS: Final = sip.operations(
    sip.Resource(
        name="SipDomain",
        path=PATH,
        variable=VARIABLE,
        list_key="domains",
        returns=SipDomainBody,
        create=create,
        list_=list_all,
        fetch=fetch,
        update=update,
        delete=delete,
        create_params=(
            Param(name="DomainName", required=True, doc="A host's name that no other domain has."),
            *_SETTABLE,
        ),
        update_params=(Param(name="DomainName", doc="Another name."), *_SETTABLE),
    )
)
