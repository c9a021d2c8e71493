"""Whose call it is: the trunk that a request from outside belongs to, by where it came from.

A trunk with `inbound = "digest"` is known by its username, "both" by address and password; that
the password is right, the digest's server says. The most exact network wins, as in a route table.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

from carriers.trunks import Inbound, Trunk
from protocols.addresses import address_of

_Network = IPv4Network | IPv6Network


class Belongs(msgspec.Struct, frozen=True, kw_only=True):
    """A request came from an address of `trunk`; `username` must be proven first if it isn't ""."""

    trunk: str
    username: str = ""


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """No trunk says that it calls from there; with a username one may prove to be."""

    usernames: Mapping[str, str]
    """Trunks by the username that they prove, wherever they call from."""


class Doorkeeper:
    """Knows the trunks by their addresses; made anew when the config or DNS changes."""

    def __init__(
        self, trunks: Mapping[str, Trunk], resolved: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        """`resolved` has the IP addresses of each trunk's gateways, which call as well."""
        self._networks: list[tuple[_Network, Belongs]] = []
        self._usernames: dict[str, str] = {}
        for name, trunk in trunks.items():
            if trunk.inbound is Inbound.DIGEST:
                self._usernames.setdefault(trunk.username, name)
                continue
            username = trunk.username if trunk.inbound is Inbound.BOTH else ""
            whose = Belongs(trunk=name, username=username)
            written = (*trunk.addresses, *(resolved or {}).get(name, ()))
            self._networks += [(ip_network(each), whose) for each in written]
        self._networks.sort(key=lambda each: -each[0].prefixlen)  # stable: the file's order

    def whose(self, address: str) -> Belongs | Unknown:
        """The trunk that calls from `address`, an IP address without brackets."""
        source = address_of(address)
        for network, whose in self._networks:
            if source is not None and source in network:
                return whose
        return Unknown(usernames=self._usernames)
