"""Whose certificate it is: names that it shows, and whether it stands for a SIP domain (RFC 5922).

A certificate is what `ssl` makes of one that it has verified, as text in nested tuples.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

Shown = Mapping[str, Any]


def names(certificate: Shown | None) -> tuple[str, ...]:
    """The SIP identities in small letters: URIs of `sip:` alone, else names of hosts (§7.1)."""
    if not certificate:
        return ()
    others = [(kind, str(value)) for kind, value in certificate.get("subjectAltName", ())]
    domains = [value[4:].lower() for kind, value in others if kind == "URI" and _is_domain(value)]
    if domains:
        return tuple(domains)
    hosts = [value.lower() for kind, value in others if kind in ("DNS", "IP Address")]
    if hosts or others:
        return tuple(hosts)
    subject = certificate.get("subject", ())
    return tuple(
        str(value).lower() for part in subject for key, value in part if key == "commonName"
    )


def stands_for(certificate: Shown | None, domain: str) -> bool:
    """Whether one of its names is this domain: no wildcards (§7.2), addresses by their value."""
    wanted = _plain(domain)
    return any(_plain(name) == wanted for name in names(certificate))


def _is_domain(uri: str) -> bool:
    """RFC 5922 §7.1: a URI with a user is a person, not a domain."""
    return uri[:4].lower() == "sip:" and "@" not in uri


def _plain(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return name.lower().rstrip(".")
