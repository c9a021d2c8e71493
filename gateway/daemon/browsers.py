"""Browsers at the HTTP listener of a process with the role `voice`, put together."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from gateway.browsers import insights, signal, sip_socket
from gateway.browsers.desk import Desk
from gateway.browsers.insights import Insights
from gateway.browsers.signal import Signal
from gateway.browsers.sip_socket import Patience, SipSockets
from gateway.browsers.sockets import Door, Origins, is_loopback
from gateway.browsers.verdicts import Judge
from gateway.calls.browser_calls import BrowserCalls
from gateway.calls.call_messages import CallMessages
from gateway.calls.house import House
from gateway.calls.service import Calls
from gateway.daemon.ground import Ground
from gateway.sections import Http

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_EDGE: Final = "trunkline"
_MESSAGE: Final = "KX"


class Browsers:
    """Made before the calls, which call who is here; `open_to` them when they are there."""

    def __init__(self, ground: Ground, messages: CallMessages) -> None:
        judge = Judge(ground.access.verify, ground.access.doubt, ground.look, ground.clock)
        self.desk = Desk(
            verify=judge.judge,
            doubt=judge.doubt,
            heard=messages.heard,
            clock=ground.clock,
            message_sid=lambda: _MESSAGE + secrets.token_hex(16),
            gateway=_EDGE,
            edge=_EDGE,
        )
        self._judge = judge.judge
        http = ground.config.http
        self._patience = Patience(proof=http.prove_within)
        self.door = Door(
            origins_of(http),
            most=http.max_sockets,
            per_address=http.max_sockets_per_address,
            strangers=http.max_unproven_sockets,
            strangers_per_address=http.max_unproven_sockets_per_address,
            proxies=ground.proxies,
        )
        self.handlers: Mapping[str, Handler] = {}

    def open_to(self, calls: Calls, house: House) -> None:
        """Let them call and be called."""
        self.desk.furnish(calls.open_to(lambda **given: BrowserCalls(house, **given)))
        sockets = Signal(self.door, self.desk, house.ladder.add)
        phones = SipSockets(self.door, lambda: house.tools.station.endpoint, self._patience)
        told = Insights(
            judge=self._judge,
            find=house.book.get,
            keep=house.book.commit,
            clock=house.clock,
        )
        self.handlers = {
            signal.PATH: sockets.handle,
            sip_socket.PATH: phones.handle,
            insights.EVENTS: told.handle,
            insights.METRICS: told.handle,
        }


def origins_of(http: Http) -> Origins:
    """Whose pages may open WebSockets."""
    listens = [each.host for each in (http.listen, http.tls_listen) if each is not None]
    return Origins(
        named=http.origins,
        public_url=http.public_url,
        loopback=not http.proxies and all(map(is_loopback, listens)),
    )
