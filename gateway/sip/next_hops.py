"""Names among the next hops of calls, looked up (RFC 3263): what is asked goes there from then on.

Until DNS has answered, and when it knows no better place, requests go on where they went.
"""

import asyncio
from typing import Final

import structlog

from protocols.sip.agent_events import NextHopNeeded
from protocols.sip.locating import Located
from protocols.sip.next_hop import chosen, with_transport
from protocols.sip.resolver import Resolver
from protocols.sip.station import Station
from protocols.sip.uri import SipUri

_log = structlog.get_logger(__name__)

MOST: Final = 256
"""Names that are looked up at once; beyond it calls go on where they went."""


class NextHops:
    """See the module."""

    def __init__(self, resolver: Resolver, station: Station) -> None:
        self._resolver = resolver
        self._station = station
        self._asking: set[asyncio.Task[None]] = set()

    def find(self, event: NextHopNeeded) -> None:
        """Look up what the dialog of a call names, and send its requests there."""
        uri = event.uri
        if isinstance(uri, SipUri) and len(self._asking) < MOST:
            task = asyncio.get_running_loop().create_task(self._find(event, uri))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _find(self, event: NextHopNeeded, uri: SipUri) -> None:
        agent = self._station.agent
        way = agent.way(event.session, event.fork)
        if way is None:
            return
        found = await self._resolver.locate(with_transport(uri, way))
        if not isinstance(found, Located):
            _log.warning("a call's next hop is not found", host=uri.host, reason=found.reason)
            return
        hop = chosen(way, found.hops)
        if hop is not None and agent.way(event.session, event.fork) == way:
            agent.redirect(event.session, hop)
