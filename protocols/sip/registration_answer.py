"""What a 200 to a REGISTER of ours grants (RFC 3261 §10.2.4, RFC 3608, RFC 5626)."""

import re
from typing import Final

import msgspec

from protocols.sip.errors import RemoteProtocolError
from protocols.sip.headers import read_addresses, read_count, read_tokens
from protocols.sip.message import Headers, NameAddr, Request, Response
from protocols.sip.uri import equivalent, parameter

_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_MAX_ROUTES: Final = 8


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A registration that stands until `expires_at`; `contact` is ours as it was asked for."""

    contact: NameAddr
    expires_at: float
    service_route: tuple[NameAddr, ...] = ()
    outbound: bool = False
    flow_timer: int = 0


def read_granted(asked: Request, response: Response, now: float) -> Granted | None:
    """What the 2xx `response` grants; None if it says that our contact is not kept.

    Registrars list all contacts of the account: ours is the one with our instance and reg-id, or
    our URI. Where a gateway on the way rewrote it, the first to end of those listed counts; where
    nothing is listed, Expires, or what we asked for.
    """
    ours = asked.contacts[0]
    seconds = _granted_to(ours, response)
    if seconds is None:
        seconds = _count(response.headers, "Expires")
    if seconds is None:
        seconds = int(parameter(ours.params, "expires") or 0)
    if seconds <= 0:
        return None
    return Granted(
        contact=ours,
        expires_at=now + seconds,
        service_route=_service_route(response.headers),
        outbound=_requires(response.headers, "outbound"),
        flow_timer=_count(response.headers, "Flow-Timer") or 0,
    )


def _granted_to(ours: NameAddr, response: Response) -> int | None:
    listed = [
        (each, int(said))
        for each in response.contacts
        if _DIGITS.fullmatch(said := parameter(each.params, "expires") or "")
    ]
    for each, seconds in listed:
        if _is_same(ours, each):
            return seconds
    if any(_is_same(ours, each) for each in response.contacts):
        return None  # it is there, and Expires says for how long
    return min((seconds for _, seconds in listed), default=None)


def _is_same(ours: NameAddr, listed: NameAddr) -> bool:
    flow = [parameter(ours.params, name) for name in _FLOW]
    if all(flow) and flow == [parameter(listed.params, name) for name in _FLOW]:
        return True
    return equivalent(ours.uri, listed.uri)


_FLOW: Final = ("+sip.instance", "reg-id")


def _service_route(headers: Headers) -> tuple[NameAddr, ...]:
    try:
        return read_addresses(headers, "Service-Route")[:_MAX_ROUTES]
    except RemoteProtocolError:
        return ()


def _requires(headers: Headers, option: str) -> bool:
    try:
        return option in map(str.lower, read_tokens(headers, "Require") or ())
    except RemoteProtocolError:
        return False


def _count(headers: Headers, name: str) -> int | None:
    try:
        return read_count(headers, name)
    except RemoteProtocolError:
        return None
