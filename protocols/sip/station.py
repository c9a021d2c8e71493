"""A user agent on its sockets: what comes in goes to the agent, what it says goes out, in time.

A turn is what happens at once: a batch of the endpoint's, a timer, or commands between `wake` and
the next turn of the loop. At its end all events have been handed over and all that is to be written
is. Whoever commands outside of a turn calls `wake` after it. Nothing here knows what a call is.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final

import msgspec

from protocols.sip import wire
from protocols.sip.agent import Agent
from protocols.sip.agent_commands import Settings
from protocols.sip.agent_events import Event as AgentEvent
from protocols.sip.codec import Malformed, Names, encode
from protocols.sip.endpoint import Endpoint, open_endpoint
from protocols.sip.ledger import Limits
from protocols.sip.message import Message, NameAddr
from protocols.sip.overload import Lag, Overload
from protocols.sip.transport import SECURE, SOCKETS, Destination, Flow, Transport
from protocols.sip.uri import SipUri
from protocols.sip.wire import Bounds, Closed, Failed, Listen, Opened, Patience, Refused, Tls

BRANCH: Final = "z9hG4bK"
"""RFC 3261 §8.1.1.7."""
_APART: Final = 0.01  # seconds between two looks at what is due: no timer is shorter than 200 ms


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """What came by `flow` is no message; it was answered, where it can be."""

    malformed: Malformed
    flow: Flow


Event = AgentEvent | Opened | Closed | Failed | Refused | Unread


class Crossed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A message that came or went at `at`; what went is octets, what came was read of them.

    `way` is the flow that it came by, or where it went. `octets` are as they were on the wire,
    b"" for what came in a stream.
    """

    content: Message | bytes
    way: Destination
    came: bool
    at: float
    octets: bytes = b""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """How a station stands: what it listens at, and what holds for all that it does.

    `user` is that of its Contact, `names` how headers are written.
    """

    listens: tuple[Listen, ...]
    settings: Settings = Settings()
    limits: Limits = Limits()
    bounds: Bounds = Bounds()
    patience: Patience = Patience()
    lag: Lag = Lag()
    files: Tls | None = None
    user: str = "trunkline"
    names: Names = Names.FULL


class Station:
    """See the module; made by `open_station`.

    `receiver` is told each event in its order and may command at once. `tap` sees what passes, and
    `passes` decides it: what it says no to is lost, whichever way it goes.
    """

    def __init__(
        self,
        terms: Terms,
        receiver: Callable[[Event], None],
        *,
        token: Callable[[], str],
        chance: Callable[[], float],
        tap: Callable[[Crossed], None] | None,
        passes: Callable[[Crossed], bool] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._terms = terms
        self._receiver = receiver
        self._tap = tap
        self._passes = passes
        self._endpoint: Endpoint | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0
        self._rang_at = -inf
        self._woken = False
        self._is_closed = False
        self.overload = Overload(terms.lag, self.now())
        """How late timers are, and with them all that comes in."""
        self.agent = Agent(
            branch=lambda: BRANCH + token(),
            tag=token,
            call_id=token,
            chance=chance,
            sent_by=self.advertised,
            contact=self.contact,
            encode=partial(encode, names=terms.names),
            settings=terms.settings,
            limits=terms.limits,
        )

    @property
    def endpoint(self) -> Endpoint:
        """Its sockets."""
        assert self._endpoint is not None, "the station is not open"
        return self._endpoint

    def now(self) -> float:
        """The clock that all of the agent's times are of: seconds, never back."""
        return self._loop.time()

    def wake(self) -> None:
        """Let a turn follow: something was commanded."""
        if not self._woken:
            self._woken = True
            self._loop.call_soon(self._turn)

    def advertised(self, destination: Destination) -> tuple[str, int]:
        """How whoever is at `destination` reaches us: a host and a port."""
        return self.endpoint.advertised(destination)

    def contact(self, destination: Destination) -> NameAddr:
        """Our Contact for whoever is at `destination`."""
        host, port = self.advertised(destination)
        transport = destination.transport
        params = () if transport is Transport.UDP else (("transport", _written(transport)),)
        return NameAddr(uri=SipUri(user=self._terms.user, host=host, port=port, params=params))

    async def close(self) -> None:
        """Write what is left to write, and close the sockets; sessions are not ended by it."""
        if self._endpoint is None:
            return
        self._turn()
        while self._woken and not self._is_closed:  # a fault left events untold
            self._turn()
        self._is_closed = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        await self._endpoint.close()

    # Inside

    async def _open(self, chance: Callable[[], float]) -> None:
        terms = self._terms
        self._endpoint = await open_endpoint(
            terms.listens,
            self._take,
            clock=self._loop.time,
            chance=chance,
            files=terms.files,
            bounds=terms.bounds,
            patience=terms.patience,
        )

    def _take(self, batch: list[wire.Event]) -> None:
        for event in batch:
            try:
                self._take_one(event)
            except Exception as error:
                self._complain(error)  # what one message does is not to cost the others
        self._turn()

    def _take_one(self, event: wire.Event) -> None:
        match event:
            case wire.Received(message=message, flow=flow, at=at, octets=octets):
                if isinstance(message, Malformed):
                    self._refuse(message, flow)
                elif self._is_let(message, flow, at, octets, came=True):
                    self.agent.receive(message, flow, at)
            case Closed(flow=flow, reason=reason):
                self.agent.transport_failed(flow, reason, self.now())
                self._receiver(event)
            case Failed(destination=destination, reason=reason):
                self.agent.transport_failed(destination, reason, self.now())
                self._receiver(event)
            case Opened() | Refused():
                self._receiver(event)

    def _complain(self, error: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "a receiver of SIP failed", "exception": error}
        )

    def _refuse(self, malformed: Malformed, flow: Flow) -> None:
        if malformed.answer is not None:
            self.agent.layer.refuse(malformed.answer, flow)
        self._receiver(Unread(malformed=malformed, flow=flow))

    def _turn(self) -> None:
        """Hand over what happened until nothing more does, write, and wait for what is due."""
        if self._is_closed:
            return
        self._woken = True  # what is commanded meanwhile goes out with the rest
        agent, receiver = self.agent, self._receiver
        try:
            while (event := agent.next_event()) is not None:
                receiver(event)
        except Exception as error:
            # One event's fault is not to keep the others from being told.
            self._complain(error)
            self._loop.call_soon(self._turn)
        else:
            self._woken = False
        self._write()
        self._arm()

    def _write(self) -> None:
        endpoint, at = self.endpoint, self._loop.time()
        for each in self.agent.outgoing():
            if self._is_let(each.octets, each.destination, at, each.octets, came=False):
                endpoint.send(each.octets, each.destination)

    def _is_let(
        self,
        content: Message | bytes,
        way: Destination,
        at: float,
        octets: bytes,
        *,
        came: bool,
    ) -> bool:
        """Whether a message passes; who taps is shown it if it does."""
        tap, passes = self._tap, self._passes
        if tap is None and passes is None:
            return True
        crossed = Crossed(content=content, way=way, came=came, at=at, octets=octets)
        if passes is not None and not passes(crossed):
            return False
        if tap is not None:
            tap(crossed)
        return True

    def _arm(self) -> None:
        due, alarm = self.agent.timer(), self._alarm
        if due is not None:
            due = max(due, self._rang_at + _APART)
        if alarm is not None:
            if due is not None and self._alarm_at <= due and not alarm.cancelled():
                return  # it wakes us early enough, and looks again
            alarm.cancel()
        self._alarm = None
        if due is not None:
            # Not every loop's handle of what is due at once knows when that was.
            self._alarm, self._alarm_at = self._loop.call_at(due, self._ring), due

    def _ring(self) -> None:
        self._alarm, self._rang_at = None, self._loop.time()
        self.overload.looked(max(0.0, self._rang_at - self._alarm_at), self._rang_at)
        try:
            self.agent.handle_timer(self._rang_at)
        except Exception as error:
            self._complain(error)  # the clock goes on
        self._turn()


async def open_station(
    terms: Terms,
    receiver: Callable[[Event], None],
    *,
    token: Callable[[], str],
    chance: Callable[[], float],
    tap: Callable[[Crossed], None] | None = None,
    passes: Callable[[Crossed], bool] | None = None,
) -> Station:
    """A station that listens at all that `terms` names, or at nothing and an error.

    `token` makes texts that nobody can guess, never the same twice; `chance` gives numbers from 0
    to below 1. Raises `OSError` and `LocalProtocolError` as `open_endpoint`.
    """
    station = Station(terms, receiver, token=token, chance=chance, tap=tap, passes=passes)
    await station._open(chance)
    return station


def _written(transport: Transport) -> str:
    # RFC 7118 §5.2.4 has one parameter for both.
    if transport in SOCKETS:
        return "ws"
    # RFC 3261 §26.2.2 deprecates "tls" there, RFC 5630 §3.1.4 keeps to it: all phones read it.
    return "tls" if transport in SECURE else transport.lower()
