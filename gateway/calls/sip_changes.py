"""Offers in the middle of a leg's session: hold, another codec, another port, another network.

The leg answers them by itself. One that begins ICE anew needs another place first, so its answer
takes a moment; the agent lets no other offer in meanwhile. A browser that came back from another
network is offered that by us, unless its own offer comes within a moment: while ours is not said it
gives way. After that theirs has to wait (RFC 3261 §14.2), for which some libraries end the call.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog

from gateway.calls.description import Description, Disagreed
from gateway.calls.media import NoMedia
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.agent_events import SessionId
from protocols.sip.station import Station

_log = structlog.get_logger(__name__)

OWN_OFFER: Final = 2.0
"""Seconds in which a browser that came back may begin ICE anew itself, before we do."""

_NOT_ACCEPTABLE: Final = 488
_FAULT: Final = 500
_FAULTY: Final = "the gateway had a fault"
_GLARE: Final = 491
_FULL: Final = 503


class Peer(Protocol):
    """A leg, as far as its offers need to know it."""

    id: str
    session: SessionId

    @property
    def described(self) -> Description:
        """What it and its peer agree on."""
        ...

    def agreed(self) -> None:
        """Something was agreed on."""
        ...

    def hang_up(self, status: int, reason: str) -> None:
        """End it."""
        ...


class Changes:
    """See the module."""

    def __init__(self, peer: Peer, station: Station) -> None:
        self._peer = peer
        self._station = station
        self._moving: asyncio.Task[None] | None = None  # their offer is being answered
        self._waiting: asyncio.TimerHandle | None = None  # for theirs, before we make ours
        self._readying: asyncio.Task[None] | None = None  # ours, which is not said yet
        self._is_offering = False

    def take(self, event: Any) -> None:
        """Take an event of an offer, of either side."""
        _HANDLERS[type(event)](self, event)

    def mend(self) -> None:
        """Have ICE begin anew, by the peer or by us: the path to it is not where it was."""
        is_moving = self._moving is not None and not self._moving.done()
        if not (is_moving or self._waiting or self._readying or self._is_offering):
            self._waiting = asyncio.get_running_loop().call_later(OWN_OFFER, self._begin)

    def end(self) -> None:
        """Make no offer any more."""
        self._give_way()

    def _begin(self) -> None:
        self._waiting = None
        self._readying = asyncio.get_running_loop().create_task(self._offer_anew())

    def _give_way(self) -> bool:
        """Take back what of our offer is not said yet; whether there was anything."""
        waiting, readying = self._waiting, self._readying
        self._waiting = self._readying = None
        if waiting is not None:
            waiting.cancel()
        if readying is not None:
            readying.cancel()
            self._peer.described.stay()
        return waiting is not None or readying is not None

    async def _offer_anew(self) -> None:
        peer, agent = self._peer, self._station.agent
        try:
            body = await peer.described.offer_restart()
            self._readying, self._is_offering = None, True
            agent.offer(peer.session, body, self._now())
        except NoMedia as error:  # whoever waits for a path ends the leg
            self._readying = None
            _log.warning("ICE does not begin anew", leg=peer.id, reason=str(error))
        except Exception:
            self._readying = None
            _log.exception("a leg fell", leg=peer.id, at="our restart of ICE")
            peer.hang_up(_FAULT, _FAULTY)
        self._station.wake()

    def _on_received(self, event: events.OfferReceived) -> None:
        if self._is_offering:
            self._refuse(event, Reply(status=_GLARE))
            return
        is_due = self._give_way()
        if not event.unchanged and self._peer.described.restarts(event.body):
            self._moving = asyncio.get_running_loop().create_task(self._move(event))
            return
        if event.unchanged:
            self._station.agent.answer(self._peer.session, None, self._now(), fork=event.fork)
        else:
            self._answer(event)
        if is_due:
            self.mend()

    def _answer(self, event: events.OfferReceived) -> None:
        agent, peer = self._station.agent, self._peer
        try:
            body = peer.described.answer(event.fork, event.body)
        except Disagreed as error:
            self._refuse(event, error.reply)
            return
        peer.agreed()
        agent.answer(peer.session, body, self._now(), fork=event.fork)

    def _refuse(self, event: events.OfferReceived, reply: Reply) -> None:
        agent = self._station.agent
        agent.refuse_offer(self._peer.session, self._now(), reply, fork=event.fork)

    async def _move(self, event: events.OfferReceived) -> None:
        """Answer an offer that begins ICE anew, from another place."""
        peer = self._peer
        try:
            await peer.described.ready(event.body)
            self._answer(event)
        except NoMedia as error:
            self._refuse(event, Reply(status=_FULL if error.is_full else _FAULT))
        except Exception:
            _log.exception("a leg fell", leg=peer.id, at="a restart of ICE")
            peer.hang_up(_FAULT, _FAULTY)
        self._station.wake()

    def _on_wanted(self, event: events.OfferWanted) -> None:
        is_due = self._give_way()
        body = self._peer.described.offer(event.fork)
        self._station.agent.answer(self._peer.session, body, self._now(), fork=event.fork)
        if is_due:
            self.mend()

    def _on_answered(self, event: events.OfferAnswered) -> None:
        self._is_offering = False
        try:
            self._peer.described.accept_again(event.fork, event.body)
        except Disagreed as error:
            self._peer.hang_up(_NOT_ACCEPTABLE, str(error))
            return
        self._peer.agreed()

    def _on_refused(self, event: events.OfferRefused) -> None:
        self._is_offering = False
        self._peer.described.withdraw(event.fork)

    def _now(self) -> float:
        return self._station.now()


_HANDLERS: Final[dict[type[Any], Callable[[Changes, Any], None]]] = {
    events.OfferReceived: Changes._on_received,
    events.OfferWanted: Changes._on_wanted,
    events.OfferAnswered: Changes._on_answered,
    events.OfferRefused: Changes._on_refused,
}

OFFERS: Final = tuple(_HANDLERS)
"""The events that `Changes.take` takes."""
