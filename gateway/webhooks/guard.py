"""Which addresses a webhook may reach: public ones, and the networks that the config names.

The check is made on the address that a socket is about to be connected to, so neither DNS nor a
redirect nor an unusual way of writing an address gets around it. Ranges: the IANA special-purpose
registries (RFC 6890), as `ipaddress` has them, narrowed to global unicast.
"""

import ipaddress
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are IPv4
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")  # RFC 4291 2.4
_RELAY_ANYCAST: Final = ipaddress.IPv4Network("192.88.99.0/24")  # RFC 7526: 6to4, withdrawn


class AddressRefused(OSError):
    """An address that is neither public nor allowed.

    The text is the same for every address, so that a host with several of them gives one error;
    `address` is the one that was refused.
    """

    def __init__(self, address: str) -> None:
        super().__init__("the address is not public and [webhooks] allow does not name it")
        self.address = address


class Guard:
    """Decides over addresses and makes the sockets that are connected to them."""

    def __init__(self, allow: Sequence[Network] = ()) -> None:
        self._allow = tuple(allow)
        self._decide = lru_cache(maxsize=4096)(self._judge)

    def permits(self, address: str) -> bool:
        """Whether `address` (IPv4 or IPv6, as text; a scope id is ignored) may be reached."""
        return self._decide(address)

    def open_socket(self, info: AddressInfo) -> socket.socket:
        """A socket for `info` (as `getaddrinfo` gives it); raises `AddressRefused`."""
        family, kind, protocol, _, where = info
        if not self.permits(str(where[0])):
            raise AddressRefused(str(where[0]))
        return socket.socket(family, kind, protocol)

    def _judge(self, text: str) -> bool:
        try:
            address: Address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        address = _unwrapped(address)
        return _is_public(address) or any(address in network for network in self._allow)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one, by whichever way it got in."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        return address in _GLOBAL_UNICAST and address.is_global
    return address.is_global and not address.is_multicast and address not in _RELAY_ANYCAST
