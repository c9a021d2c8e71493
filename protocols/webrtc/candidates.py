"""Where the two sides of a session may meet (RFC 8445 §5, RFC 8839): our place, and the peer's.

Ours is one: the socket that the media come in on, by the address that others reach it at. Of the
peer's those are left that we could send to; names that end in `.local` are known to browsers of
one network alone and are never looked up, for a peer is found by where its checks come from.
"""

from collections.abc import Iterable
from typing import Final

from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority

from protocols.addresses import address_of

MOST: Final = 20
"""Candidates of a peer that are checked; each is sent to some ten times."""

_COMPONENT: Final = 1  # RTP; RTCP comes with it
_KINDS: Final = frozenset({"host", "srflx", "relay"})
_PORTS: Final = range(1, 0x10000)
_PRIORITIES: Final = range(1, 1 << 31)
_BROADCAST: Final = "255.255.255.255"


def ours(host: str, port: int) -> Candidate:
    """The one that we have."""
    return Candidate(
        foundation=candidate_foundation("host", "udp", host)[:8],
        component=_COMPONENT,
        transport="udp",
        priority=candidate_priority(_COMPONENT, "host"),
        host=host,
        port=port,
        type="host",
    )


def usable(lines: Iterable[str], local: str) -> list[Candidate]:
    """Those of the peer's that we can send to from `local`, an IP address, the first `MOST`.

    What can't be read is passed over like what can't be used: a browser of next year may write it.
    """
    found = []
    for line in lines:
        candidate = _read(line)
        if candidate is not None and _is_usable(candidate, local):
            found.append(candidate)
    return found[:MOST]


def _read(line: str) -> Candidate | None:
    try:
        return Candidate.from_sdp(line)
    except ValueError:
        return None


def _is_usable(candidate: Candidate, local: str) -> bool:
    if candidate.transport.lower() != "udp" or candidate.component != _COMPONENT:
        return False
    if candidate.type not in _KINDS or candidate.priority not in _PRIORITIES:
        return False
    host, here = address_of(candidate.host), address_of(local)
    if host is None or here is None or candidate.port not in _PORTS:
        return False
    if host.version != here.version or "%" in candidate.host or str(host) == _BROADCAST:
        return False
    if host.is_multicast or host.is_unspecified:
        return False
    return here.is_loopback or not host.is_loopback  # ours are no business of a stranger's
