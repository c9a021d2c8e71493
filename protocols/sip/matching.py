"""Whose a message is, and the way back: keys of transactions (RFC 3261 §17.1.3, §17.2.3) and Via.

A request is stamped with where it came from before anybody sees it (§18.2.1, RFC 3581), so that
its responses go there whatever its sender believes its address to be. `maddr` is not followed:
it is for multicast, which nobody speaks, and would let a stranger aim our responses.
"""

from collections.abc import Hashable
from typing import Final

from msgspec.structs import replace

from protocols.sip.message import Request, Response, Via
from protocols.sip.transport import (
    PORTS,
    RELIABLE,
    SECURE,
    SOCKETS,
    Destination,
    Flow,
    Hop,
    Transport,
)

COOKIE: Final = "z9hG4bK"
"""What the branches of RFC 3261 begin with; without it a branch names nothing (§8.1.1.7)."""

_WRITTEN_BY_US: Final = frozenset({"received", "rport"})
# A browser can't be connected to.
_CALLABLE: Final = RELIABLE - SOCKETS


def client_key(message: Request | Response) -> Hashable:
    """What a response and its request have in common (§17.1.3)."""
    return message.vias[0].branch, message.method


def server_key(request: Request, method: str) -> Hashable:
    """What a request and its repetitions have in common (§17.2.3), taken for one of `method`.

    An ACK and a CANCEL are taken for INVITE to find what they are about. The requests of
    RFC 2543 have no branch to speak of and are told by all that made them one.
    """
    via = request.vias[0]
    branch = via.branch
    if has_identity(branch):
        return branch, via.host, via.port, method
    return (
        request.uri,
        request.from_.tag,
        request.to.tag,
        request.call_id,
        request.cseq,
        method,
        via,
    )


def legacy_ack_key(request: Request, tag: str) -> Hashable:
    """What the ACK of an INVITE of RFC 2543 is found by, `tag` being that of our response.

    None for any other: `server_key` finds it.
    """
    if has_identity(request.vias[0].branch):
        return None
    return server_key(replace(request, to=replace(request.to, params=(("tag", tag),))), "ACK")


def has_identity(branch: str) -> bool:
    """Whether `branch` is one of RFC 3261, and so the transaction's id."""
    return len(branch) > len(COOKIE) and branch.startswith(COOKIE)


def merge_key(request: Request) -> Hashable:
    """What two ways of one request have in common (§8.2.2.2); None inside a dialog."""
    if request.to.tag:
        return None
    return request.from_.tag, request.call_id, request.cseq, request.method


def stamp(via: Via, flow: Flow) -> Via:
    """The top Via of a request with `received`, where that differs from its host, and `rport`.

    What the peer wrote there itself is not believed.
    """
    host, port = flow.remote
    address = host.partition("%")[0]  # an IPv6 zone means nothing elsewhere
    asked = forged = False
    for name, _ in via.params:
        if name == "rport":
            asked = True
        elif name == "received":
            forged = True
    if not asked and not forged and via.host == address:
        return via
    params = tuple(each for each in via.params if each[0] not in _WRITTEN_BY_US)
    # RFC 3581 §4: whoever asks for the port gets the address with it, even if it is the same.
    if asked:
        params = (*params, ("received", address), ("rport", str(port)))
    elif via.host != address:
        params = (*params, ("received", address))
    return replace(via, params=params)


def way_back(via: Via, flow: Flow) -> tuple[Destination, Destination | None]:
    """Where the responses go to a request with this top Via as it came, by §18.2.2; and else.

    The connection that it came by, and when that is gone one to the port of its Via; over UDP
    its source if it asked for that (RFC 3581), and otherwise the port of its Via there.
    """
    transport = flow.transport
    host = flow.remote[0]
    port = via.port or PORTS[transport]
    if transport is Transport.UDP:
        if port == flow.remote[1] or any(name == "rport" for name, _ in via.params):
            return flow, None
        return Hop(transport=transport, host=host, port=port, source=flow.local), None
    if transport not in _CALLABLE:
        return flow, None
    domain = via.host if transport in SECURE else ""
    return flow, Hop(transport=transport, host=host, port=port, domain=domain)
