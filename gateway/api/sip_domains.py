"""SIP/Domains: the names that phones register with and calls come in by, and what runs then.

Any name of a host that no other domain has can be had. What the config file names is shown here
and cannot be changed here.
"""

from typing import Any, Final

import msgspec

from gateway.api import declare, sip
from gateway.api.resources import Call, Param
from gateway.api.resources import Kind as Type
from gateway.api.settings import Settings
from gateway.messages.draft import Refusal
from gateway.sids import SIP_DOMAIN
from gateway.sip.model import Domain, Need, Purpose
from gateway.sip.rules import read_domain_name, read_friendly_name

_SETTINGS: Final = Settings(
    urls=("VoiceUrl", "VoiceFallbackUrl", "VoiceStatusCallbackUrl"),
    methods=("VoiceMethod", "VoiceFallbackMethod", "VoiceStatusCallbackMethod"),
    flags=(
        Param(name="SipRegistration", kind=Type.BOOLEAN, doc="Whether phones may register: false."),
        Param(name="Secure", kind=Type.BOOLEAN, doc="Whether TLS and SRTP are needed: false."),
        Param(name="EmergencyCallingEnabled", kind=Type.BOOLEAN, doc="Kept and shown."),
    ),
    others=(
        Param(name="ByocTrunkSid", doc="Kept and shown."),
        Param(name="EmergencyCallerSid", doc="Kept and shown."),
    ),
)


class SipDomainBody(msgspec.Struct, frozen=True, kw_only=True):
    """A domain as REST shows it; `auth_type` says what lists it asks for calls."""

    account_sid: str
    api_version: str = declare.API_VERSION
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


def _show(call: Call, domain: Domain) -> dict[str, Any]:
    needs = call.services.sip.needs(domain, Purpose.CALLS)
    auth_type = ",".join(need for need in Need if need in needs)
    return {"auth_type": auth_type, **_SETTINGS.shown(domain.settings)}


def _made(call: Call) -> dict[str, Any] | Refusal:
    """Make a domain of a name that no other has."""
    settings = _SETTINGS.read(call)
    if isinstance(settings, Refusal):
        return settings
    name = read_domain_name(call.text("DomainName"))
    friendly_name = read_friendly_name(call.text("FriendlyName") or name[:64])
    return {"domain_name": name, "friendly_name": friendly_name, "settings": settings}


def _changed(call: Call, domain: Domain) -> dict[str, Any] | Refusal:
    """Rename a domain or change what runs for it; what is not given stays."""
    settings = _SETTINGS.read(call)
    if isinstance(settings, Refusal):
        return settings
    changes: dict[str, Any] = {"settings": settings}
    if name := call.text("DomainName"):
        changes["domain_name"] = read_domain_name(name)
    if name := call.text("FriendlyName"):
        changes["friendly_name"] = read_friendly_name(name)
    return changes


_SETTABLE: Final = (Param(name="FriendlyName", doc=sip.NAME), *_SETTINGS.params())

DOMAINS: Final = sip.Kind[Domain](
    name="SipDomain",
    segment="Domains",
    variable="DomainSid",
    prefix=SIP_DOMAIN,
    shelf=lambda directory: directory.domains,
    below={
        "credential_list_mappings": "CredentialListMappings",
        "ip_access_control_list_mappings": "IpAccessControlListMappings",
    },
    list_key="domains",
    codes=sip.Codes(invalid=21231, full=21230),
    one="One domain.",
    all="The account's domains, newest first.",
    removes="Let a domain go; the lists that it asks stay.",
    made=_made,
    changed=_changed,
    returns=SipDomainBody,
    show=_show,
    create_params=(
        Param(name="DomainName", required=True, doc="A host's name that no other domain has."),
        *_SETTABLE,
    ),
    update_params=(Param(name="DomainName", doc="Another name."), *_SETTABLE),
)
RESOURCES: Final = (sip.resource(DOMAINS),)
