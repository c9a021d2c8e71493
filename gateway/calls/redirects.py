"""Where a redirect leads: the contacts of a 3xx, as whoever gave it prefers them."""

from collections.abc import Collection, Iterable
from typing import Final

from gateway.calls.leg import Gone
from protocols.sip.message import NameAddr
from protocols.sip.uri import SipUri, parameter

MOST_CONTACTS: Final = 5
"""Contacts of one redirect that are tried; each is an INVITE to whom its sender likes."""


def may_follow(gone: Gone, stop_codes: Collection[int]) -> bool:
    """Whether a leg's end is a redirect that may be followed."""
    return bool(gone.contacts) and 300 <= gone.status < 400 and gone.status not in stop_codes


def led_to(contacts: Iterable[NameAddr], tried: Collection[SipUri]) -> list[SipUri]:
    """The addresses to try, by their q (RFC 3261 §8.1.3.4), none that was tried before."""
    ordered = sorted(contacts, key=_q, reverse=True)
    uris = dict.fromkeys(each.uri for each in ordered if isinstance(each.uri, SipUri))
    return [uri for uri in uris if uri not in tried][:MOST_CONTACTS]


def _q(contact: NameAddr) -> float:
    """1 for who says none, or none that can be read (§20.10)."""
    try:
        return min(1.0, max(0.0, float(parameter(contact.params, "q") or "1")))
    except ValueError:
        return 1.0
