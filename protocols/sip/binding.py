"""What a registration says of one contact, as values (RFC 3261 §10.2, RFC 3327, RFC 5626 §4.2).

A binding ties a contact to an address-of-record until a time. `registrar` keeps them; this is
how they are read out of a REGISTER.
"""

import math
import re
from enum import StrEnum
from typing import Final

import msgspec

from protocols.sip.errors import RemoteProtocolError
from protocols.sip.grammar import unquote
from protocols.sip.message import NameAddr, Request
from protocols.sip.parts import read_routes
from protocols.sip.transport import RELIABLE, Flow
from protocols.sip.uri import STAR, Params, SipUri, parameter

MAX_CONTACT: Final = 1024  # octets of a contact and its Call-ID, as a store keeps them
MAX_PATH: Final = 8  # hops
MAX_PATH_OCTETS: Final = 2048
MAX_USER_AGENT: Final = 128
MALFORMED_EXPIRES: Final = 3600  # seconds, RFC 3261 §20.19
MAX_EXPIRES: Final = 2**32 - 1


class Cause(StrEnum):
    """Why a binding came, stayed or went."""

    REGISTERED = "registered"
    REFRESHED = "refreshed"
    UNREGISTERED = "unregistered"
    EXPIRED = "expired"
    FLOW_CLOSED = "its connection was closed"
    CROWDED_OUT = "newer ones of the same user took its place"


REMOVED: Final = frozenset(Cause) - {Cause.REGISTERED, Cause.REFRESHED}


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A contact of an address-of-record, good until `expires_at` (seconds of the epoch).

    `id` names it among those of its `aor` for as long as it stays. `params` are the contact's as
    they were written, without `expires`. Whoever calls it goes by `path` if it has one, nearest
    hop first, else by `flow`: the contact alone is often an address that nobody else can reach.
    `reg_id` is 0 outside RFC 5626, where an `instance` with several of them is one device.
    msgspec encodes and decodes it, for a store.
    """

    aor: str
    id: str
    uri: SipUri
    call_id: str
    cseq: int
    registered_at: float
    expires_at: float
    flow: Flow
    display: str = ""
    params: Params = ()
    q: float = 1.0
    path: tuple[SipUri, ...] = ()
    instance: str = ""
    reg_id: int = 0
    user_agent: str = ""

    @property
    def connection(self) -> int | None:
        """The id of the flow that this ends with; None if it outlives it."""
        if self.path or self.flow.transport not in RELIABLE:
            return None
        return self.flow.id


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a REGISTER wants of one contact: `expires` in seconds, 0 to unbind it."""

    contact: NameAddr
    uri: SipUri
    expires: int
    q: float
    instance: str
    reg_id: int


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A REGISTER as it was read. `wishes` is None for `*`: unbind everything."""

    wishes: tuple[Wish, ...] | None
    path: tuple[SipUri, ...]
    outbound: bool
    user_agent: str


def read_registration(request: Request, *, default_expires: int) -> Registration:
    """What `request` asks for. Raises RemoteProtocolError with the status to answer."""
    path = _read_path(request)
    outbound = _is_outbound(request, path)
    wishes = None
    if any(contact.uri == STAR for contact in request.contacts):
        # RFC 3261 §10.3, 6: alone, and with Expires: 0.
        if len(request.contacts) > 1 or _seconds(request.headers.first("Expires")) != 0:
            raise RemoteProtocolError("Contact: * stands alone and with Expires: 0")
    else:
        wishes = tuple(
            _read_wish(contact, request, default_expires, outbound=outbound)
            for contact in request.contacts
        )
        if sum(wish.reg_id > 0 and wish.expires > 0 for wish in wishes) > 1:
            # RFC 5626 §4.2: one flow registers one contact.
            raise RemoteProtocolError("one request registers one reg-id")
    return Registration(
        wishes=wishes,
        path=path,
        outbound=outbound and any(wish.reg_id for wish in wishes or ()),
        user_agent=_shown(request.headers.first("User-Agent") or ""),
    )


def _read_path(request: Request) -> tuple[SipUri, ...]:
    lines = request.headers.all("Path")
    path = read_routes(lines) if lines else ()
    if len(path) > MAX_PATH:
        raise RemoteProtocolError(f"a path has at most {MAX_PATH} hops", header="Path")
    if _stored(path) > MAX_PATH_OCTETS:
        raise RemoteProtocolError(f"a path has over {MAX_PATH_OCTETS} octets", header="Path")
    return tuple(hop.uri for hop in path if isinstance(hop.uri, SipUri))


def _is_outbound(request: Request, path: tuple[SipUri, ...]) -> bool:
    """Whether reg-id counts: the first hop, ours or that of the path, must keep flows.

    RFC 5626 §6. A phone that relies on it where it can't work is told so by 439.
    """
    if len(request.vias) < 2 or any(parameter(hop.params, "ob") is not None for hop in path):
        return True
    relies = any(
        parameter(contact.params, "reg-id") is not None
        and parameter(contact.params, "+sip.instance") is not None
        for contact in request.contacts
    )
    if relies and _supports(request, "outbound"):
        raise RemoteProtocolError("First Hop Lacks Outbound Support", status=439)
    return False


def _supports(request: Request, option: str) -> bool:
    return any(
        option == each.strip().lower()
        for line in request.headers.all("Supported")
        for each in line.split(",")
    )


def _read_wish(
    contact: NameAddr, request: Request, default_expires: int, *, outbound: bool
) -> Wish:
    if not isinstance(contact.uri, SipUri):
        raise RemoteProtocolError("a contact is a SIP URI", header="Contact")
    if _stored((contact, request.call_id)) > MAX_CONTACT:
        raise RemoteProtocolError(f"a contact has over {MAX_CONTACT} octets", header="Contact")
    expires = _seconds(parameter(contact.params, "expires"))
    if expires is None:
        expires = _seconds(request.headers.first("Expires"))
    instance = unquote(parameter(contact.params, "+sip.instance") or "")
    return Wish(
        contact=contact,
        uri=contact.uri,
        expires=default_expires if expires is None else expires,
        q=_read_q(parameter(contact.params, "q")),
        instance=instance,
        # RFC 5626 §6: without an instance a reg-id says nothing.
        reg_id=_read_reg_id(parameter(contact.params, "reg-id")) if outbound and instance else 0,
    )


def _stored(value: object) -> int:
    """How many octets a store needs for `value`, which only UTF-8 gets into one."""
    try:
        return len(msgspec.json.encode(value))
    except UnicodeEncodeError:
        raise RemoteProtocolError("a registration is written in UTF-8") from None


def _shown(text: str) -> str:
    octets = text[:MAX_USER_AGENT].encode("utf-8", "surrogateescape")
    return octets.decode("utf-8", "replace")


_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_Q: Final = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def _seconds(text: str | None) -> int | None:
    """Seconds of Expires; None if there are none, an hour if it can't be read (§20.19)."""
    if text is None:
        return None
    if _DIGITS.fullmatch(text.strip()) is None or int(text) > MAX_EXPIRES:
        return MALFORMED_EXPIRES
    return int(text)


def _read_q(text: str | None) -> float:
    return float(text) if text is not None and _Q.fullmatch(text) else 1.0


def _read_reg_id(text: str | None) -> int:
    if text is None:
        return 0
    number = int(text) if _DIGITS.fullmatch(text) else 0
    if not 0 < number <= 2**31 - 1:
        raise RemoteProtocolError("reg-id is a number from 1 to 2147483647", header="Contact")
    return number


def by_device(bindings: tuple[Binding, ...]) -> tuple[tuple[Binding, ...], ...]:
    """`bindings` grouped: those of one device are ways to reach it, to be tried in turn.

    RFC 5626 §7: a call goes to each instance once, first by the flow registered last; a contact
    without reg-id is a device of its own. The order of the devices is that of their first binding.
    """
    devices: dict[str, list[Binding]] = {}
    for binding in bindings:
        name = f"instance {binding.instance}" if binding.reg_id else f"contact {binding.id}"
        devices.setdefault(name, []).append(binding)
    return tuple(tuple(device) for device in devices.values())


def contact_of(binding: Binding, now: float) -> NameAddr:
    """The binding as the answer to a REGISTER lists it, with the seconds that are left."""
    left = math.ceil(binding.expires_at - now)
    params = (*binding.params, ("expires", str(left)))
    return NameAddr(uri=binding.uri, display=binding.display, params=params)
