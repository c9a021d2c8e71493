"""A phone's registration at work: what it says goes out by its agent, in time."""

import asyncio
import random
import secrets
from functools import partial

from protocols.sip import agent_events as events
from protocols.sip.agent import Agent
from protocols.sip.agent_commands import Ask
from protocols.sip.agent_events import RequestId
from protocols.sip.digest import Sessions
from protocols.sip.message import Request
from protocols.sip.registration import Registration
from protocols.sip.registration_events import Event, Registered, State, Terms
from protocols.sip.transport import Destination
from protocols.sip.wire import Closed
from sims.sip_exchange import Exchange

_GOODBYE: float = 2.0  # seconds that a registrar has to answer our last word


class Registering:
    """Keeps one registration at `destination` until `close`."""

    def __init__(
        self, exchange: Exchange, terms: Terms, sessions: Sessions, destination: Destination
    ) -> None:
        self.last: Event | None = None
        self._exchange = exchange
        self._destination = destination
        self._machine = Registration(
            terms,
            sessions,
            call_id=secrets.token_hex(12),
            tag=lambda: secrets.token_hex(8),
            random=random.random,
        )
        self._asked: RequestId | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()

    def start(self) -> None:
        """Register, and go on trying."""
        self._machine.start(self._exchange.now())
        self._pump()

    async def until_known(self) -> Event:
        """What the registrar said first."""
        while self.last is None:
            self._news.clear()
            await self._news.wait()
        return self.last

    @property
    def stands(self) -> bool:
        """Whether the registrar has us."""
        return isinstance(self.last, Registered)

    def responded(self, event: events.Responded) -> None:
        """A request was answered, or was not."""
        if event.request != self._asked:
            return
        self._asked, now = None, self._exchange.now()
        if event.source is events.Source.PEER:
            self._machine.responded(event.response, now)
        else:
            self._machine.failed(event.response.reason, now)
        self._pump()

    def closed(self, event: Closed) -> None:
        """A connection is gone, perhaps the one that it went over."""
        self._machine.flow_lost(event.reason, self._exchange.now())
        self._pump()

    async def close(self) -> None:
        """Take it back, and wait a moment for the answer."""
        self._machine.close(self._exchange.now())
        self._pump()
        try:
            async with asyncio.timeout(_GOODBYE):
                while self._machine.standing().state is not State.CLOSED:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        if self._alarm is not None:
            self._alarm.cancel()

    def _pump(self) -> None:
        machine = self._machine
        sending = machine.next_request()
        if sending is not None:
            self._asked = self._exchange.ask(partial(self._ask, sending.request))
        while (event := machine.next_event()) is not None:
            self.last = event
            self._news.set()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = machine.timer()
        if due is not None:
            self._alarm = asyncio.get_running_loop().call_at(due, self._ring)

    def _ring(self) -> None:
        self._machine.handle_timer(self._exchange.now())
        self._pump()

    def _ask(self, request: Request, agent: Agent, now: float) -> RequestId:
        ask = Ask(
            method=request.method,
            uri=request.uri,
            from_=request.from_,
            to=request.to,
            contacts=request.contacts,
            headers=request.headers,
            call_id=request.call_id,
            cseq=request.cseq,
        )
        return agent.request(ask, self._destination, now)
