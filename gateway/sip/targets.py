"""Where a call to a registered user goes: one target for each device, with other ways to it.

Devices ring at once; the ways to one device are tried in turn (RFC 5626 §7), the newest first. A
phone is called by the flow that it registered by, for its contact is often an address that nobody
else reaches, or by the edge that stands in its path (RFC 3327 §5.5).
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

import msgspec

from protocols.sip.binding import Binding, by_device
from protocols.sip.message import NameAddr
from protocols.sip.transport import PORTS, SECURE, Destination, Flow, Hop, Transport
from protocols.sip.uri import SipUri, parameter

_TRANSPORTS: Final = {each.lower(): each for each in Transport}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A device: the Request-URI, where to send to, and the Routes (RFC 3327).

    `alternates` are other ways to the same device; none of them has alternates of its own.
    """

    uri: SipUri
    destination: Destination
    routes: tuple[NameAddr, ...]
    binding: Binding
    alternates: "tuple[Target, ...]" = ()


def targets_of(bindings: Iterable[Binding]) -> tuple[Target, ...]:
    """The devices of one address-of-record, in the order of `bindings`."""
    return tuple(
        msgspec.structs.replace(_target(first), alternates=tuple(map(_target, others)))
        for first, *others in by_device(tuple(bindings))
    )


def _target(binding: Binding) -> Target:
    return Target(
        uri=binding.uri,
        destination=_edge(binding.path[0], binding.flow) if binding.path else binding.flow,
        routes=tuple(NameAddr(uri=hop) for hop in binding.path),
        binding=binding,
    )


def _edge(hop: SipUri, flow: Flow) -> Destination:
    """The nearest hop of a path: its address if it says one, else where the REGISTER came from.

    Its connection may be another by now, so one is made where it has none.
    """
    said = _TRANSPORTS.get((parameter(hop.params, "transport") or "").lower(), flow.transport)
    transport = Transport.TLS if hop.scheme == "sips" and said not in SECURE else said
    literal = _is_address(hop.host)
    if not literal and transport is flow.transport is Transport.UDP:
        return flow
    return Hop(
        transport=transport,
        host=hop.host if literal else flow.remote[0],
        port=hop.port or PORTS[transport],
        domain=hop.host if transport in SECURE else "",
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
