"""Where the gateways of SIP trunks are: their hops by DNS (RFC 3263), and which of them are silent.

A hop that did not answer is tried after the others for a while (RFC 3263 §4.3), so that not every
call finds out anew.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from carriers.trunks import Gateway, TransportChoice, gateway_uri
from protocols.sip.locating import Located, Unlocated
from protocols.sip.resolver import Resolver
from protocols.sip.transport import Hop
from protocols.sip.uri import SipUri, parameter

LAST_FOR: Final = 60.0
"""Seconds for which a hop that was silent is tried last."""

_MAX_SILENT: Final = 1024


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway and where it was found, best first; `pinned`: over UDP, however large."""

    gateway: Gateway
    hops: tuple[Hop, ...]
    pinned: bool = False


class Places:
    """See the module; `now` counts seconds and never goes back."""

    def __init__(self, resolver: Resolver, now: Callable[[], float]) -> None:
        self._resolver = resolver
        self._now = now
        self._silent: OrderedDict[Hop, float] = OrderedDict()

    async def find(self, gateway: Gateway, transport: TransportChoice) -> Door | Unlocated:
        """The hops of `gateway`; takes as long as name servers may."""
        found = await self._resolver.locate(target(gateway, transport))
        match found:
            case Located(hops=hops):
                pinned = transport is TransportChoice.UDP
                return Door(gateway=gateway, hops=self._ordered(hops), pinned=pinned)
            case Unlocated():
                return found

    def _ordered(self, hops: tuple[Hop, ...]) -> tuple[Hop, ...]:
        if not self._silent:
            return hops
        now = self._now()
        return tuple(sorted(hops, key=lambda hop: self._silent.get(hop, now) > now))

    def failed(self, hop: Hop) -> None:
        """Nothing came back from `hop`."""
        self._silent[hop] = self._now() + LAST_FOR
        self._silent.move_to_end(hop)
        while len(self._silent) > _MAX_SILENT:
            self._silent.popitem(last=False)

    def reached(self, hop: Hop) -> None:
        """`hop` answered, whatever it said."""
        self._silent.pop(hop, None)


@lru_cache(maxsize=1024)  # each call asks
def target(gateway: Gateway, transport: TransportChoice) -> SipUri:
    """What is asked of DNS: the gateway's URI, over what the trunk says."""
    uri = gateway_uri(gateway)
    if transport is TransportChoice.AUTO or parameter(uri.params, "transport") is not None:
        return uri
    return msgspec.structs.replace(uri, params=(*uri.params, ("transport", transport.value)))
