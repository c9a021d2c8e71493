"""SIP's side of simulated phones: a station over UDP and TCP, and the calls that go over it.

Who is called, who may call and who may register, its house says: a carrier, or a phone that is
registered elsewhere.
"""

import asyncio
import random
import secrets
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import msgspec

from protocols.sdp.formats import COMFORT_NOISE, G722, OPUS, PCMA, PCMU, Codec
from protocols.sdp.media import DtmfMode, MediaPolicy
from protocols.sip import agent_events as events
from protocols.sip.agent import Agent
from protocols.sip.agent_commands import Invite, Reply, Settings
from protocols.sip.agent_events import RequestId
from protocols.sip.digest import Credentials, Sessions
from protocols.sip.message import NameAddr, Request, Response
from protocols.sip.station import Crossed, Event, Station, Terms, open_station
from protocols.sip.timers import Timers
from protocols.sip.transport import Destination, Transport
from protocols.sip.uri import SipUri, TelUri, Uri
from protocols.sip.wire import Closed, Listen, Tls
from sims.media import Studio
from sims.phone_calls import CallDirection, CallLog, CallRecord
from sims.phone_script import Manner
from sims.sip_call import SipCall, reliability_of, wish_of

CODECS: Final[dict[str, Codec]] = {
    "PCMU": PCMU,
    "PCMA": PCMA,
    "G722": G722,
    "opus": OPUS,
    "CN": COMFORT_NOISE,
}
_NO_PORTS: Final = Reply(status=503, reason="No Ports Left")
_TRIES: Final = 32  # to find a port that is free over UDP and TCP


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """Where an exchange stands: `port` 0 takes a free one, the same over each transport.

    `codecs` are names of `CODECS`; `software` is what it calls itself, `user` that of its Contact.
    """

    host: str = "127.0.0.1"
    port: int = 0
    transports: tuple[Transport, ...] = (Transport.UDP, Transport.TCP)
    tls: Tls | None = None
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    dtmf: DtmfMode = DtmfMode.RFC4733
    timers: Timers = Timers()
    software: str = "simulated carrier"
    user: str = "simulated"
    call_limit: int = 10_000


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a phone makes.

    `uri` is asked for, at `destination`; `from_` and `to` are what the headers say. With
    `credentials` a challenge is answered. `manner` has the script and the like; with `late_offer`
    the other side has to make the offer; after `give_up_after` seconds without an answer it is
    cancelled.
    """

    phone: str
    dialled: str
    uri: Uri
    from_: NameAddr
    to: NameAddr
    destination: Destination
    manner: Manner
    credentials: Credentials | None = None
    routes: tuple[NameAddr, ...] = ()
    late_offer: bool = False
    give_up_after: float | None = None


class NoPorts(Exception):
    """All ports for sound are in use."""


class House(Protocol):
    """Whose phones they are."""

    def judge(self, invited: events.Invited) -> Reply | None:
        """Why a call is not let in; None if it is."""

    def called(self, request: Request) -> tuple[str, str]:
        """The phone that a call is for, and the number as it is to be shown."""

    def manner(self, phone: str) -> Manner:
        """How a phone answers."""

    def register(self, event: events.RegisterReceived) -> Reply:
        """The answer to a REGISTER."""

    def responded(self, event: events.Responded) -> None:
        """What became of a request of the house's own."""

    def closed(self, event: Closed) -> None:
        """A connection is gone."""


class Exchange:
    """See the module; `open` makes it work. `clock` gives seconds since the epoch."""

    def __init__(self, stand: Stand, house: House, clock: Callable[[], float] = time.time) -> None:
        self.log = CallLog(stand.call_limit)
        self.studio = Studio(stand.host)
        self.policy = MediaPolicy(
            codecs=tuple(CODECS[each] for each in stand.codecs), dtmf=stand.dtmf
        )
        self._stand = stand
        self._house = house
        self._clock = clock
        self._calls: dict[events.SessionId, SipCall] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._dead: set[str] = set()
        self._station: Station | None = None
        self._is_closed = False

    # Its life

    async def open(self) -> int:
        """Listen; returns the port. Raises `OSError`."""
        for left in reversed(range(_TRIES)):
            port = self._stand.port or _free_port(self._stand.host)
            try:
                self._station = await self._listen(port)
            except OSError:
                if self._stand.port or not left:
                    raise
            else:
                return port
        raise AssertionError("the last try raises")

    async def _listen(self, port: int) -> Station:
        stand = self._stand
        return await open_station(
            Terms(
                listens=tuple(
                    Listen(transport=each, host=stand.host, port=port) for each in stand.transports
                ),
                settings=Settings(software=stand.software, timers=stand.timers),
                files=stand.tls,
                user=stand.user,
            ),
            self._take,
            token=lambda: secrets.token_hex(8),
            chance=random.random,
            passes=self._passes,
        )

    async def close(self) -> None:
        """Hang up, and stop; harmless when it has stopped."""
        if self._is_closed:
            return
        self._is_closed = True
        for call in list(self._calls.values()):
            call.hang_up()
            call.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._station is not None:
            await self._station.close()
        self.studio.close()

    # What its calls need

    @property
    def station(self) -> Station:
        """Its sockets and its agent."""
        assert self._station is not None, "the exchange is not open"
        return self._station

    @property
    def agent(self) -> Agent:
        """`Surroundings.agent`."""
        return self.station.agent

    @property
    def calls(self) -> int:
        """How many go on."""
        return len(self._calls)

    def now(self) -> float:
        """`Surroundings.now`."""
        return self.station.now()

    def wake(self) -> None:
        """`Surroundings.wake`."""
        self.station.wake()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """`Surroundings.spawn`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def play_dead(self, call_id: str) -> None:
        """`Surroundings.play_dead`."""
        self._dead.add(call_id)

    def ask(self, ask: Callable[[Agent, float], RequestId]) -> RequestId:
        """Let the house ask something by the agent."""
        found = ask(self.agent, self.now())
        self.wake()
        return found

    def call(self, order: Order) -> CallRecord:
        """Call somebody. Raises `NoPorts`."""
        line = self.studio.open()
        if line is None:
            raise NoPorts("all ports for sound are in use")
        record = self._record(order.phone, order.phone, order.dialled, CallDirection.OUTBOUND)
        call_id = secrets.token_hex(12)
        call = SipCall(self, record, order.manner, line, call_id=call_id, peer=order.destination)
        credentials = None
        if order.credentials is not None:
            credentials = Sessions((order.credentials,), cnonce=lambda: secrets.token_hex(8))
        invite = Invite(
            uri=order.uri,
            from_=order.from_,
            to=order.to,
            routes=order.routes,
            body=None if order.late_offer else call.first_offer(),
            call_id=call_id,
            reliable=reliability_of(order.manner),
            refresh=wish_of(order.manner),
        )
        call.session = self.agent.invite(invite, order.destination, self.now(), credentials)
        self._calls[call.session] = call
        if order.give_up_after is not None:
            call.give_up_after(order.give_up_after)
        self.wake()
        return record

    # What the station tells

    def _take(self, event: Event) -> None:
        match event:
            case events.Invited():
                self._invited(event)
            case events.RegisterReceived(key=key):
                self.agent.respond(key, self._house.register(event), self.now())
            case events.OptionsReceived(key=key):
                reply = Reply(status=200, headers=self.agent.abilities())
                self.agent.respond(key, reply, self.now())
            case events.MessageReceived(key=key):
                self.agent.respond(key, Reply(status=200), self.now())
            case events.Responded(session=None):
                self._house.responded(event)
            case Closed():
                self._house.closed(event)
            case _:
                self._take_of_call(event)

    def _take_of_call(self, event: Event) -> None:
        session = getattr(event, "session", None)
        call = self._calls.get(session) if session is not None else None
        if call is None:
            return
        call.take(event)
        if isinstance(event, events.Ended):
            del self._calls[event.session]
            self._dead.discard(call.call_id)

    def _invited(self, event: events.Invited) -> None:
        reply = self._house.judge(event)
        line = None if reply is not None else self.studio.open()
        if line is None:
            self.agent.refuse(event.session, reply or _NO_PORTS, self.now())
            return
        request = event.request
        phone, dialled = self._house.called(request)
        record = self._record(
            phone, shown_number(user_of(request.from_.uri)), dialled, CallDirection.INBOUND
        )
        call = SipCall(
            self,
            record,
            self._house.manner(phone),
            line,
            call_id=request.call_id,
            peer=event.flow,
        )
        self._calls[event.session] = call
        call.ring(event)

    def _record(
        self, phone: str, from_address: str, to_address: str, direction: CallDirection
    ) -> CallRecord:
        record = CallRecord(
            id=secrets.token_hex(8),
            phone=phone,
            from_address=from_address,
            to_address=to_address,
            direction=direction,
            clock=self._clock,
        )
        self.log.add(record)
        return record

    def _passes(self, crossed: Crossed) -> bool:
        """Whether a message is of a call that lives."""
        if not self._dead:
            return True
        match crossed.content:
            case Request(call_id=call_id) | Response(call_id=call_id):
                return call_id not in self._dead
            case octets:
                head = octets.partition(b"\r\n\r\n")[0]
                return not any(each.encode() in head for each in self._dead)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a simulated phone failed", "exception": error, "task": task}
            )


def shown_number(text: str) -> str:
    """A number as people write it: E.164 with +; anything else as it is."""
    digits = text.removeprefix("+")
    if digits.isascii() and digits.isdigit() and 7 <= len(digits) <= 15 and digits[0] != "0":
        return f"+{digits}"
    return text


def user_of(uri: Uri) -> str:
    """The number or the name in a URI; "" if it has none."""
    match uri:
        case SipUri(user=user):
            return user.partition(";")[0]
        case TelUri(number=number):
            return number
    return ""


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return port
