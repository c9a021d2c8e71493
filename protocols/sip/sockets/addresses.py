"""Which of our addresses reaches whom, and how we are to be reached there."""

import ipaddress
import socket
from typing import Final

from protocols.sip.transport import PORTS, SOCKETS, Destination, Flow, Transport
from protocols.sip.wire import Address, Listen

KEPT: Final = 1024
"""Destinations for which the choice is kept."""

Bound = tuple[Listen, Address]


class Addresses:
    """Our listen addresses and where they were bound."""

    def __init__(self) -> None:
        self._all: list[Bound] = []
        self._chosen: dict[tuple[Transport, Address, str], Bound | None] = {}

    @property
    def bound(self) -> tuple[Bound, ...]:
        """All, in the order in which they were added."""
        return tuple(self._all)

    def add(self, listen: Listen, bound: Address) -> None:
        """Take one more; choices are made anew."""
        self._all.append((listen, bound))
        self._chosen.clear()

    def nearest(self, transport: Transport, local: Address, remote: str) -> Bound | None:
        """Of this transport and the family of `remote`, the one that is or stands for `local`.

        Where `local` is ("", 0) it is the one that the system's routes speak from. None if there
        is none, or if `local` is no address of ours.
        """
        key = (transport, local, remote)
        try:
            return self._chosen[key]
        except KeyError:
            if len(self._chosen) >= KEPT:
                self._chosen.clear()
            chosen = self._chosen[key] = self._choose(transport, local, remote)
            return chosen

    def _choose(self, transport: Transport, local: Address, remote: str) -> Bound | None:
        fits = [
            each
            for each in self._all
            if each[0].transport is transport and (":" in each[1][0]) == (":" in remote)
        ]
        if not local[0]:
            if len(fits) < 2:
                return fits[0] if fits else None
            local = (source_to(remote), 0)
            return min(fits, key=lambda each: _distance(each[1], local))
        near = [each for each in fits if each[1][0] == local[0] or is_any(each[1][0])]
        return min(near, key=lambda each: _distance(each[1], local), default=None)

    def advertised(self, destination: Destination) -> Address:
        """What Via and Contact say of us to `destination`.

        Without an address of ours that fits: the one that we speak from, and the transport's port.
        """
        transport = destination.transport
        if isinstance(destination, Flow):
            if transport in SOCKETS:
                return destination.local
            local, remote = destination.local, destination.remote[0]
        else:
            local, remote = destination.source, destination.host
        nearest = self.nearest(transport, local, remote)
        host, port = "", PORTS[transport]
        if nearest is not None:
            listen, bound = nearest
            host, port = listen.advertised[0] or bound[0], listen.advertised[1] or bound[1]
        if host and not is_any(host):
            return host, port
        spoken = local[0] if local[0] and not is_any(local[0]) else ""
        return spoken or source_to(remote), port


def _distance(bound: Address, wanted: Address) -> tuple[int, bool]:
    """How far an address of ours is from the one that is wanted."""
    if bound[0] == wanted[0]:
        return 0, bound[1] != wanted[1]
    return (1 if is_any(bound[0]) else 2), bound[1] != wanted[1]


def is_any(host: str) -> bool:
    """Whether it stands for all addresses of a family."""
    return host in ("0.0.0.0", "::")


def source_to(remote: str) -> str:
    """The address from which the system speaks to `remote`; "" if it knows no way."""
    kind = socket.AF_INET6 if ":" in remote else socket.AF_INET
    with socket.socket(kind, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((remote, 9))  # sends nothing
            host: str = probe.getsockname()[0]
        except OSError:
            return ""
        return host


def peer_of(host: str) -> str:
    """Whom an address is counted as: itself, or the /64 that one place has of IPv6.

    Raises `ValueError` if it is no address.
    """
    address = ipaddress.ip_address(host)
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
