"""Who asks by HTTP where a proxy stands between: what trusted proxies say of the client.

Only a peer that is trusted is believed, and of what it says only what trusted ones added: a list
of hops grows at its right end, and whatever a client wrote itself stands to the left. So it is read
from the right, up to the first hop that is nobody's of ours. One header counts, for proxies pass
the other one on as the client sent it. Sources: RFC 7239, and for `X-Forwarded-For` its §7.4.
"""

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final

import msgspec
from aiohttp import web

from protocols.addresses import address_of

MOST_HOPS: Final = 20
"""Hops that are looked at."""

_LONGEST_HOP: Final = 64  # characters
_PROTO: Final = "X-Forwarded-Proto"
_SECURE: Final = {"https": True, "wss": True, "http": False, "ws": False}
# An address, IPv6 in brackets or bare, and a port: RFC 7239 §6, and what is written without rules.
_NODE: Final = re.compile(
    r"\[(?P<six>[^\[\]]+)\](?::(?P<six_port>\d{1,5}))?|(?P<four>[0-9.]+):(?P<four_port>\d{1,5})"
    r"|(?P<bare>[0-9A-Fa-f:.]+)"
)


class HopHeader(StrEnum):
    """In which header proxies say who asks."""

    X_FORWARDED_FOR = "X-Forwarded-For"
    FORWARDED = "Forwarded"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: an IP address and a port, and whether it came by TLS.

    The port is the proxy's where that one says none.
    """

    host: str
    port: int
    is_secure: bool = False


class _Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One hop as a proxy tells of it; what it does not say is "" or 0."""

    host: str
    port: int = 0
    proto: str = ""


class Proxies(msgspec.Struct, frozen=True, kw_only=True):
    """The proxies that are trusted: none unless they are named."""

    trusted: tuple[IPv4Network | IPv6Network, ...] = ()
    header: HopHeader = HopHeader.X_FORWARDED_FOR

    def peer(self, request: web.Request) -> Peer:
        """Who sent `request`: the connection's peer, or whom that one was asked by."""
        host = request.remote or ""
        if address_of(host) is None:
            host = "127.0.0.1"  # a socket of this machine's without an address
        peer = Peer(host=host, port=_port_of(request), is_secure=request.secure)
        return self._client(peer, request) if self._trusts(host) else peer

    def _client(self, proxy: Peer, request: web.Request) -> Peer:
        """The first hop from the right that is no proxy of ours, or the last that can be read."""
        values = request.headers.getall(self.header, ())
        protos = _last(request.headers.getall(_PROTO, ()))
        last, proto = _Hop(host=proxy.host, port=proxy.port), protos[-1] if protos else ""
        for at, written in enumerate(reversed(_last(values))):
            hop = _READ[self.header](written)
            if hop is None:
                break
            last = hop
            # Proxies that set it anew leave one for all hops.
            proto = hop.proto or (protos[-1 - min(at, len(protos) - 1)] if protos else "")
            if not self._trusts(hop.host):
                break
        return Peer(
            host=last.host,
            port=last.port or proxy.port,
            is_secure=_SECURE.get(proto.lower(), proxy.is_secure),
        )

    def _trusts(self, host: str) -> bool:
        if not self.trusted:
            return False
        address = address_of(host)
        return address is not None and any(address in network for network in self.trusted)


NONE: Final = Proxies()


def _last(values: Iterable[str]) -> Sequence[str]:
    """The last hops of a header that may stand there several times, as they are written."""
    return [each.strip() for each in ",".join(values).rsplit(",", MOST_HOPS)[-MOST_HOPS:]]


def _read_plain(written: str) -> _Hop | None:
    """A hop of `X-Forwarded-For`; None if it is no address."""
    match = _NODE.fullmatch(written) if len(written) <= _LONGEST_HOP else None
    if match is None:
        return None
    address = address_of(match["six"] or match["four"] or match["bare"])
    port = int(match["six_port"] or match["four_port"] or 0)
    return None if address is None or port > 65_535 else _Hop(host=str(address), port=port)


def _read_forwarded(written: str) -> _Hop | None:
    """An element of `Forwarded`; None without an address, as where a proxy hides it (§6.3)."""
    told: dict[str, str] = {}
    for pair in written.split(";"):
        name, _, value = pair.partition("=")
        told[name.strip().lower()] = value.strip().strip('"')
    hop = _read_plain(told.get("for", ""))
    return None if hop is None else msgspec.structs.replace(hop, proto=told.get("proto", ""))


_READ: Final = {
    HopHeader.X_FORWARDED_FOR: _read_plain,
    HopHeader.FORWARDED: _read_forwarded,
}


def _port_of(request: web.Request) -> int:
    """The port of the connection's peer, 0 if it has none."""
    transport = request.transport
    match None if transport is None else transport.get_extra_info("peername"):
        case (str(), int(port), *_):
            return port
        case _:
            return 0
