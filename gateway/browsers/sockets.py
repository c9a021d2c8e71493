"""The door of WebSockets: whose pages may open one, and how much one of them and one place takes.

A browser lets any page open a WebSocket to anybody and says only in `Origin` whose page it is, so
that has to be checked here. `Host` is no help where it is a name: whoever owns a name may have it
lead here for a moment, and then both say the same. What is no browser sends no `Origin`, and proves
who it is in another way.
"""

import time
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec
from aiohttp import hdrs, web

from gateway.browsers.places import Places, Refused, Strangers, Visit
from gateway.proxies import NONE, Proxies
from gateway.sip import refusals
from gateway.sip.refusals import RefusalLog
from protocols.addresses import address_of
from protocols.sip.sockets.addresses import peer_of
from protocols.sip.transport import Flow, Transport

LARGEST_FRAME: Final = 64 * 1024  # octets; a description of a browser has some 4,000
EVERYBODY: Final = "*"
_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_LONGEST_SHOWN: Final = 100
_MADE_WAY: Final = (
    "it had shown neither a token nor a password, and another wanted its place: [http] "
    "max_unproven_sockets, max_unproven_sockets_per_address"
)


class Origins(msgspec.Struct, frozen=True, kw_only=True):
    """Whose pages may open a socket: `named` are origins, or "*"; pages of our own host always.

    Our own host is that of `public_url`, or an address at which we are asked. With `loopback` pages
    that this machine serves may too, at whatever port.
    """

    named: tuple[str, ...] = ()
    public_url: str = ""
    loopback: bool = False

    def allow(self, origin: str | None, host: str) -> bool:
        """Whether a page of `origin` may; `host` is the Host of the request."""
        if origin is None or EVERYBODY in self.named:
            return True
        page = _split(origin)
        if page is None:
            return False
        if any(_same(page, _split(each)) for each in (*self.named, self.public_url)):
            return True
        if _authority(page) == _authority(_split(f"{page.scheme}://{host}")):
            return self._is_ours(page.hostname or "")
        return self.loopback and is_loopback(page.hostname or "")

    def _is_ours(self, host: str) -> bool:
        """Whether nobody else can have a page at `host`, at which we are asked."""
        public = _split(self.public_url)
        return _is_address(host) or (public is not None and host == public.hostname)


class Door:
    """What stands before the sockets: `most` at once, `per_address` from one place.

    All begin as strangers, who have places of their own until they show a user's password or a
    token: so many of them, and so many of one place, but never one of those that others have. Who
    is turned away, or has to make way for another stranger, is in the log, as those of SIP are.
    """

    def __init__(
        self,
        origins: Origins,
        *,
        most: int = 10_000,
        per_address: int = 200,
        strangers: int = 1000,
        strangers_per_address: int = 200,
        proxies: Proxies = NONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._origins = origins
        self._proxies = proxies
        self._clock = clock
        self._log = RefusalLog(what="a socket was refused")
        self._seats = Places(most, per_address, "sockets")
        self._strangers = Strangers(strangers, strangers_per_address, "sockets of strangers", clock)

    def __len__(self) -> int:
        """How many are open."""
        return len(self._seats) + len(self._strangers)

    @property
    def strangers(self) -> int:
        """How many of them have yet to show who they are."""
        return len(self._strangers)

    def enter(self, request: web.Request) -> Visit | Refused:
        """Let a socket in, or say why not; a visit is to `prove` who it is, and has to `leave`."""
        peer = self._proxies.peer(request)
        place = _place(peer.host)
        refused = self._objection(request, place)
        if refused is not None:
            self._tell(request, place, refused.reason)
            return refused
        self._flush()
        return Visit(
            peer,
            place,
            self._strangers,
            self._seats,
            left=self._flush,
            cut=partial(self._cut, request, place),
        )

    def _cut(self, request: web.Request, place: str) -> None:
        """End a stranger's socket: who does not say what it came for may not read either."""
        self._tell(request, place, _MADE_WAY)
        if request.transport is not None:
            request.transport.abort()

    def _tell(self, request: web.Request, place: str, rule: str) -> None:
        told = refusals.Refused(
            method=request.method, domain=request.host, user="", source=place, rule=rule
        )
        self._log.tell(told, self._clock())

    def _objection(self, request: web.Request, place: str) -> Refused | None:
        origin = request.headers.get(hdrs.ORIGIN)
        if not self._origins.allow(origin, request.host):
            shown = (origin or "")[:_LONGEST_SHOWN].encode("utf-8", "backslashreplace").decode()
            return Refused(
                status=403,
                reason=f"pages of {shown} may not come in: [http] origins does not name them, and "
                "[http] public_url is another",
            )
        return self._seats.objection(place) or self._strangers.objection(place)

    def _flush(self) -> None:
        self._log.flush(self._clock())


def refusal(refused: Refused) -> web.Response:
    """A refusal as an answer."""
    return web.Response(status=refused.status, text=f"{refused.reason}\n")


def flow_of(request: web.Request, visit: Visit) -> Flow:
    """Both ends of a socket's connection, the far one as proxies tell of it."""
    transport = request.transport
    known = None if transport is None else transport.get_extra_info("sockname")
    peer = visit.peer
    return Flow(
        id=0,
        transport=Transport.WSS if peer.is_secure else Transport.WS,
        local=_end(known),
        remote=(peer.host, peer.port),
    )


def _end(address: object) -> tuple[str, int]:
    match address:
        case (str(host), int(port), *_):
            return host, port
        case _:
            return "127.0.0.1", 0  # a socket of this machine's without an address


def _place(host: str) -> str:
    """Whom a socket is counted as."""
    return peer_of(str(address_of(host) or host))


def _is_address(host: str) -> bool:
    """Whether a host is an IP address, or the name that each machine has for itself."""
    try:
        ip_address(host)
    except ValueError:
        return is_loopback(host)
    return True


def is_loopback(host: str) -> bool:
    """Whether a host names this machine to itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _split(origin: str) -> SplitResult | None:
    try:
        parts = urlsplit(origin)
        return parts if parts.hostname and parts.scheme in _PORTS and _port(parts) else None
    except ValueError:
        return None


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _authority(parts: SplitResult | None) -> tuple[str, int] | None:
    return None if parts is None else (parts.hostname or "", _port(parts))


def _same(page: SplitResult, other: SplitResult | None) -> bool:
    return other is not None and (page.scheme, _authority(page)) == (
        other.scheme,
        _authority(other),
    )
