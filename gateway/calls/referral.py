"""Who a Refer-To names, as a noun of a dial (RFC 3515 §2.1).

A number is called by carriers, a user of a domain of ours at the registered devices, and whoever
else at its address. A telephone has one button for all: what stands before our own domain and is
no user of it is taken for a number if it looks like one.
"""

import re
from typing import Final, Protocol

import msgspec

from protocols.sip.message import NameAddr
from protocols.sip.parts import format_name_addr
from protocols.sip.uri import SipUri, TelUri, format_uri
from twiml import nouns

_NUMBER: Final = re.compile(r"\+?[0-9]{3,15}")
_SEPARATORS: Final = str.maketrans("", "", "-.()")
# What says how a request is made, and not where to (RFC 3261 §19.1.1).
_PASSING: Final = frozenset({"method", "lr", "maddr", "ttl"})


class Known(Protocol):
    """Who is ours: `reach.Reach`."""

    def is_ours(self, host: str) -> bool:
        """Whether a host is a domain of ours, or the gateway itself."""
        ...

    def has_devices(self, account_sid: str, user: str, domain: str) -> bool:
        """Whether somebody of a domain is registered."""
        ...


def noun_of(
    refer_to: NameAddr, referred_by: NameAddr | None, known: Known, account_sid: str
) -> nouns.Noun | None:
    """The noun, or None for a scheme that nobody calls; `referred_by` is told to who is called."""
    uri = refer_to.uri
    if isinstance(uri, TelUri):
        return nouns.Number(number=uri.number.translate(_SEPARATORS))
    if not isinstance(uri, SipUri):
        return None
    ours = known.is_ours(uri.host)
    if ours and _is_number(uri) and not known.has_devices(account_sid, uri.user, uri.host):
        return nouns.Number(number=uri.user.translate(_SEPARATORS))
    params = tuple(each for each in uri.params if each[0].lower() not in _PASSING)
    target = msgspec.structs.replace(uri, password="", params=params, headers=())
    headers = () if referred_by is None else (("Referred-By", format_name_addr(referred_by)),)
    return nouns.Sip(uris=(nouns.SipUri(uri=format_uri(target)),), headers=headers)


def _is_number(uri: SipUri) -> bool:
    return _NUMBER.fullmatch(uri.user.translate(_SEPARATORS)) is not None
