"""A domain of the config file as the entries that REST shows and the voice role asks.

Its users are a credential list that has the domain's name, which it asks for calls and for
registrations. All SIDs are made of names, so they stay the same.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from gateway.sids import CREDENTIAL, CREDENTIAL_LIST, SIP_DOMAIN
from gateway.sip.model import Credential, CredentialList, Domain, Entry, Mapping, Purpose
from gateway.sip.rules import hashes_of


def declared_domain(
    account_sid: str,
    domain_name: str,
    settings: dict[str, str],
    users: Iterable[tuple[str, str]],
    now: float,
) -> list[Entry]:
    """The entries of one domain; `users` are names and passwords."""
    common: dict[str, Any] = {
        "account_sid": account_sid,
        "date_created": now,
        "date_updated": now,
        "declared": True,
    }
    domain = Domain(
        sid=_sid(SIP_DOMAIN, domain_name),
        domain_name=domain_name,
        friendly_name=domain_name,
        settings={**settings, "sip_registration": "true"},
        **common,
    )
    list_ = CredentialList(
        sid=_sid(CREDENTIAL_LIST, domain_name), friendly_name=domain_name, **common
    )
    credentials = [
        Credential(
            sid=_sid(CREDENTIAL, f"{username}@{domain_name}"),
            credential_list_sid=list_.sid,
            username=username,
            hashes=hashes_of(username, password),
            **common,
        )
        for username, password in users
    ]
    if not credentials:
        return [domain]
    mappings = [
        Mapping(sid=list_.sid, domain_sid=domain.sid, purpose=purpose, **common)
        for purpose in Purpose
    ]
    return [domain, list_, *credentials, *mappings]


def _sid(prefix: str, name: str) -> str:
    return f"{prefix}{hashlib.sha256(name.encode()).hexdigest()[:32]}"
