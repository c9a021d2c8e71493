"""Who calls, as a trunk tells a carrier and as a carrier tells us (RFC 3325, RFC 3323).

From is what a phone shows, P-Asserted-Identity what networks that trust each other vouch for. A
caller who wants to stay unknown is Anonymous in From and stands in P-Asserted-Identity alone, with
Privacy: the network must know it, the callee must not.
"""

from typing import Final

import msgspec

from carriers.dialling import number_of, written
from carriers.trunks import CallerIdHeader, Trunk
from protocols.sip.headers import (
    read_identities,
    read_privacy,
    write_addresses,
    write_privacy,
)
from protocols.sip.message import NameAddr, Request
from protocols.sip.uri import SipUri

ANONYMOUS: Final = NameAddr(
    display="Anonymous", uri=SipUri(host="anonymous.invalid", user="anonymous")
)
"""RFC 3323 §4.1.1.3: From of who stays unknown; a tag is added by whoever sends it."""

_HIDING: Final = frozenset({"id", "user", "header"})
_NOBODY: Final = frozenset({"anonymous", "unknown", "unavailable", "restricted", "private"})
_MAX_DISPLAY: Final = 80


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls: a number (E.164, a short code, "" if nobody knows), a name, and whom to tell.

    `anonymous` callers are known to the network alone. `asserted`: a carrier vouches for it.
    """

    number: str
    display: str = ""
    anonymous: bool = False
    asserted: bool = False


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What an INVITE says of the caller: `from_` without a tag, and headers."""

    from_: NameAddr
    headers: tuple[tuple[str, str], ...] = ()


def identity_of(caller: Caller, trunk: Trunk, domain: str) -> Identity:
    """`caller` as the carrier wants it; `domain` is the host of From.

    With `caller_id_header = "pai"` From bears the trunk's username, as carriers that know their
    customers by From want it. Someone unknown is asserted to the carrier all the same.
    """
    user = written(caller.number, trunk.caller_id, trunk)
    named = NameAddr(uri=SipUri(host=domain, user=user), display=_shown(caller.display), params=())
    if caller.anonymous or not user:
        # A carrier knows numbers; who has none, a user of a domain of ours, is named to nobody.
        is_number = user and not caller.number.startswith(("sip:", "sips:"))
        asserted = _asserted(named) if is_number else ()
        return Identity(from_=ANONYMOUS, headers=(*asserted, write_privacy(("id",))))
    match trunk.caller_id_header:
        case CallerIdHeader.FROM:
            return Identity(from_=named)
        case CallerIdHeader.BOTH:
            return Identity(from_=named, headers=_asserted(named))
        case CallerIdHeader.PAI:
            ours = NameAddr(uri=SipUri(host=domain, user=trunk.username or user))
            return Identity(from_=ours, headers=_asserted(named))


def wants_to_hide(request: Request) -> bool:
    """Whether who calls is not to be named to who is called (RFC 3323 §4.2, RFC 3325 §7)."""
    return not _HIDING.isdisjoint(read_privacy(request.headers))


def caller_of(request: Request, trunk: Trunk) -> Caller:
    """Who calls by an INVITE from the carrier.

    P-Asserted-Identity counts where the trunk trusts the carrier (§8.1 of RFC 3325), of several
    the first with a number; then From, which anybody may write.
    """
    hidden = wants_to_hide(request)
    if trunk.trust_identity:
        for each in read_identities(request.headers, "P-Asserted-Identity"):
            number = number_of(each.uri, trunk)
            if number and number.lower() not in _NOBODY:
                unknown = hidden or _is_nobody(request.from_)
                return Caller(number=number, display=each.display, anonymous=unknown, asserted=True)
    if _is_nobody(request.from_):
        return Caller(number="", anonymous=True)
    number = number_of(request.from_.uri, trunk)
    return Caller(number=number, display=request.from_.display, anonymous=hidden or not number)


def _asserted(party: NameAddr) -> tuple[tuple[str, str], ...]:
    return (write_addresses("P-Asserted-Identity", (party,)),)


def _is_nobody(party: NameAddr) -> bool:
    if not isinstance(party.uri, SipUri):
        return False
    return party.uri.host == "anonymous.invalid" or party.uri.user.lower() in _NOBODY


def _shown(display: str) -> str:
    """A name of a peer as it may go into a header of ours."""
    return "".join(each for each in display if each.isprintable())[:_MAX_DISPLAY]
