"""Where messages come from and go to, as values (RFC 3261 §18)."""

from enum import StrEnum
from typing import Final

import msgspec


class Transport(StrEnum):
    """As Via writes it."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"
    WS = "WS"
    WSS = "WSS"


RELIABLE: Final = frozenset({Transport.TCP, Transport.TLS, Transport.WS, Transport.WSS})
SECURE: Final = frozenset({Transport.TLS, Transport.WSS})
SOCKETS: Final = frozenset({Transport.WS, Transport.WSS})
"""WebSockets (RFC 7118): their peers open them, and are reached by no other way."""
PORTS: Final = {
    Transport.UDP: 5060,
    Transport.TCP: 5060,
    Transport.TLS: 5061,
    Transport.WS: 80,
    Transport.WSS: 443,
}


class Flow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A path that octets came by: a connection, or a UDP socket and the peer's address.

    `id` names the connection or the socket in the endpoint that made it. What goes out by a flow
    comes from `local` and reaches `remote`; a connection that is gone is not made again.
    """

    id: int
    transport: Transport
    local: tuple[str, int]
    remote: tuple[str, int]


class Hop(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A place to reach, found by DNS or given: an IP address without brackets, and a port.

    `domain` is the name that its certificate must show; "" outside TLS. `source` is the address
    that we speak from, ("", 0) for whichever fits.
    """

    transport: Transport
    host: str
    port: int
    domain: str = ""
    source: tuple[str, int] = ("", 0)


Destination = Flow | Hop
