"""Where the requests of a dialog go (RFC 3261 §12.2.1.1, RFC 3263 §4).

The next hop is the first route or the target, which is what peers say of themselves. A carrier says
which of its machines has the call: that one wants the ACK and the BYE. A phone behind NAT names
an address that nobody reaches, and is reached by the way that it came. Which of the two a peer is
shows in its Record-Route, in its Via (RFC 3581) and in the kind of its address.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from protocols.addresses import address_of, is_private
from protocols.sip.dialog import Dialog
from protocols.sip.message import Via
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
from protocols.sip.uri import SipUri, Uri, parameter

_WRITTEN: Final = {"udp": Transport.UDP, "tcp": Transport.TCP, "tls": Transport.TLS}


def leads_to(way: Destination, uri: Uri) -> bool:
    """Whether `way` is plainly where `uri` says, without asking anybody for names."""
    if not isinstance(uri, SipUri):
        return False
    transport = _transport(way, uri)
    place = way.remote if isinstance(way, Flow) else (way.host, way.port)
    return (way.transport, *place) == (transport, uri.host, uri.port or PORTS[transport])


def found(way: Destination, dialog: Dialog, via: Via | None) -> Hop | Uri | None:
    """Where the requests of a dialog go instead of `way`; None: nowhere else.

    A URI has a name that is to be looked up. `via` is the topmost of the peer's INVITE that came by
    `way`; None in a call of ours.
    """
    uri = dialog.next_hop
    if leads_to(way, uri) or not _is_believed(way, dialog, via):
        return None
    return hop_to(way, uri) or uri


def hop_to(way: Destination, uri: Uri) -> Hop | None:
    """The place that `uri` says, for who comes by `way`; None for a name, which is to be found."""
    if not isinstance(uri, SipUri) or address_of(uri.host) is None:
        return None
    transport = _transport(way, uri)
    return Hop(
        transport=transport,
        host=uri.host,
        port=uri.port or PORTS[transport],
        domain=way.domain if isinstance(way, Hop) and transport in SECURE else "",
        source=_source(way, uri.host),
    )


def _is_believed(way: Destination, dialog: Dialog, via: Via | None) -> bool:
    """Whether the peer is reached where its dialog says."""
    uri = dialog.next_hop
    if not isinstance(uri, SipUri) or way.transport in SOCKETS:
        return False
    routed = bool(dialog.routes)
    if _is_behind(_host(way), uri.host):
        return False
    if isinstance(way, Hop):
        return True
    if way.transport in RELIABLE:
        return routed and address_of(uri.host) != address_of(way.remote[0])
    # Who asks for the source's port, or was called by it, may be reached by that alone.
    return routed or (via is not None and not _asks_port(via))


def with_transport(uri: SipUri, way: Destination) -> SipUri:
    """`uri` as it is looked up for who comes by `way`: what is secured stays so."""
    if way.transport not in SECURE or uri.scheme == "sips":
        return uri
    params = tuple(each for each in uri.params if each[0] != "transport")
    return replace(uri, params=(*params, ("transport", "tls")))


def chosen(way: Destination, hops: Sequence[Hop]) -> Hop | None:
    """Which of the places that a name was found at to go to instead of `way`; None: none.

    Where `way` leads already is best, and a connection that stands there is kept.
    """
    kept = isinstance(way, Flow) and way.transport in RELIABLE
    place = way.remote if isinstance(way, Flow) else (way.host, way.port)
    for hop in hops:
        there = hop.transport is way.transport and hop.host == place[0]
        if there and (kept or hop.port == place[1]):
            return None
    able = [each for each in hops if not is_behind(way, each)]
    same = [each for each in able if each.transport is way.transport]
    best = next(iter(same or able), None)
    return None if best is None else replace(best, source=_source(way, best.host))


def is_behind(way: Destination, hop: Hop) -> bool:
    """Whether `hop` is an address behind NAT, or none, in the eyes of who is at `way`."""
    return _is_behind(_host(way), hop.host)


def _is_behind(here: str, there: str) -> bool:
    known, said = address_of(here), address_of(there)
    if said is None or known is None:
        return False
    if said.is_unspecified or said.is_multicast:
        return True
    return is_private(said) and not is_private(known)


def _host(way: Destination) -> str:
    return way.remote[0] if isinstance(way, Flow) else way.host


def _asks_port(via: Via) -> bool:
    return any(name == "rport" for name, _ in via.params)


def _transport(way: Destination, uri: SipUri) -> Transport:
    """What carries a request to `uri`: what is secured stays so, and what is not said, too."""
    if way.transport in SECURE or uri.scheme == "sips":
        return way.transport if way.transport in SECURE else Transport.TLS
    said = (parameter(uri.params, "transport") or "").lower()
    return _WRITTEN.get(said, way.transport)


def _source(way: Destination, host: str) -> tuple[str, int]:
    """Where to speak from: as before, but to the other family of addresses."""
    if (":" in _host(way)) != (":" in host):
        return "", 0
    if isinstance(way, Hop):
        return way.source
    return way.local if way.transport is Transport.UDP else (way.local[0], 0)
