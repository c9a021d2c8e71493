"""The life of one bind: connect, bind, carry traffic, and after each loss do it again.

When and where to try again `carriers/rebinding` decides, what travels over the bind is the
business of `carriers/traffic`. `Bind` ties both to a socket.
"""

import asyncio
import itertools
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from carriers import model
from carriers.events import BindDown, BindUp, CarrierEvent, Delivery, Submission, Unsent
from carriers.model import Carrier
from carriers.rebinding import ADVICE, Address, Rebinding, addresses_of
from carriers.traffic import Ledger, Traffic
from protocols.smpp.constants import describe_status
from protocols.smpp.endpoint import Connection, connect
from protocols.smpp.errors import ProtocolError
from protocols.smpp.events import BindKind, BindRefused, Bound, Closed, CloseReason, Event
from protocols.smpp.pdu import Bind as BindPdu
from protocols.smpp.pdu import BindReceiver, BindTransceiver, BindTransmitter
from protocols.smpp.session import Role, Session, SessionConfig
from protocols.smpp.states import BOUND

_log = structlog.get_logger(__name__)

CONNECT_TIMEOUT: Final = 10.0  # seconds
UNBIND_PATIENCE: Final = 2.0

# `Traffic` counts the window, by slots that outlive the response; the session's own bound is
# only ever a second line, and timed-out submissions are recognised for so many windows.
MOST_OUTSTANDING: Final = 10_000
LATE_WINDOWS: Final = 10


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """All that a bind needs to come up; a bind whose terms did not change is left alone.

    `request` is the bind PDU that is sent, of the class that goes with `kind`.
    """

    addresses: tuple[Address, ...]
    kind: BindKind
    request: BindPdu
    tls: bool
    response_timeout: float

    @property
    def transmits(self) -> bool:
        """Whether submit_sm may go over it."""
        return self.kind is not BindKind.RECEIVER


_REQUESTS: Final[dict[BindKind, type[BindPdu]]] = {
    BindKind.TRANSCEIVER: BindTransceiver,
    BindKind.TRANSMITTER: BindTransmitter,
    BindKind.RECEIVER: BindReceiver,
}
_KINDS: Final[dict[model.BindKind, tuple[BindKind, ...]]] = {
    model.BindKind.TRX: (BindKind.TRANSCEIVER,),
    model.BindKind.TX_RX: (BindKind.TRANSMITTER, BindKind.RECEIVER),
    model.BindKind.TX: (BindKind.TRANSMITTER,),
    model.BindKind.RX: (BindKind.RECEIVER,),
}


def terms_of(carrier: Carrier) -> list[Terms]:
    """One entry for each bind that `carrier` asks for; `tx_rx` makes two of each of its `binds`."""
    return [
        Terms(
            addresses=addresses_of(carrier),
            kind=kind,
            request=_REQUESTS[kind](
                system_id=carrier.system_id,
                password=carrier.password,
                system_type=carrier.system_type,
            ),
            tls=carrier.tls,
            response_timeout=carrier.response_timeout,
        )
        for _ in range(carrier.binds)
        for kind in _KINDS[carrier.bind]
    ]


class BindStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How a bind is at one moment: `number` is 0 while it is down, `in_use` are window slots."""

    kind: BindKind
    address: str
    number: int
    in_use: int


class Inbox:
    """Carrier events that wait for their one reader, in the order of arrival."""

    def __init__(self) -> None:
        self._events: list[CarrierEvent] = []
        self._filled = asyncio.Event()
        self._closed = False

    def put(self, events: Sequence[CarrierEvent]) -> None:
        """Add `events`."""
        if events:
            self._events += events
            self._filled.set()

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._filled.set()

    async def take(self) -> list[CarrierEvent]:
        """All events that wait, at least one; none only when it is closed and read to the end."""
        while not self._events and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        events, self._events = self._events, []
        return events


class Switchboard:
    """What all binds of the process share, whichever carrier they belong to."""

    __slots__ = ("_context", "_make_context", "clock", "inbox", "live", "numbers", "random")

    def __init__(
        self,
        clock: Callable[[], float],
        random: Callable[[], float],
        tls: Callable[[], ssl.SSLContext],
    ) -> None:
        """`clock` gives seconds since the epoch, `random` numbers from 0 to 1."""
        self.clock = clock
        self.random = random
        self._make_context = tls
        self._context: ssl.SSLContext | None = None
        self.inbox = Inbox()
        self.live: dict[int, Bind] = {}
        self.numbers = itertools.count(1)

    async def tls(self) -> ssl.SSLContext:
        """The context of every bind over TLS, made once: that reads all authorities from disk."""
        if self._context is None:
            self._context = await asyncio.to_thread(self._make_context)
        return self._context


class Bind:
    """One bind of a carrier, opened again whenever it is lost, until `stop`."""

    def __init__(self, terms: Terms, ledger: Ledger, switchboard: Switchboard) -> None:
        self.terms = terms
        self._ledger = ledger
        self._switchboard = switchboard
        self._rebinding = Rebinding(terms.addresses, switchboard.random)
        self._task: asyncio.Task[None] | None = None
        self._traffic: Traffic | None = None
        self._session: Session | None = None
        self._connection: Connection | None = None
        self._address = terms.addresses[0]
        self._stopping = False
        self._emptied = asyncio.Event()
        self._hurried = asyncio.Event()
        self._told = ""  # the failure that was logged last: the same one again is no news

    @property
    def carrier(self) -> str:
        """The name of the carrier that it belongs to."""
        return self._ledger.carrier

    # -- its life

    def start(self, after: Sequence["asyncio.Task[None]"] = ()) -> None:
        """Begin, when the tasks of `after` (binds that make room for this one) have ended."""
        self._task = asyncio.get_running_loop().create_task(
            self._run(after), name=f"bind: {self._ledger.carrier} {self.terms.kind}"
        )

    async def stop(self, patience: float | None) -> None:
        """Take nothing new, wait up to `patience` s (None: for good) for slots, then unbind."""
        self._stopping = True
        if self._task is None:
            return
        if self._traffic is not None and self._traffic.in_use:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._emptied.wait()
        self._part()
        await asyncio.wait((self._task,))

    def slots_freed(self) -> None:
        """Slots were freed: whoever waits in `stop` for the last one goes on."""
        if self._stopping and (self._traffic is None or not self._traffic.in_use):
            self._emptied.set()

    def _part(self) -> None:
        """Unbind if it is up, else give the attempt up."""
        session, connection = self._session, self._connection
        if self._traffic is None or session is None or connection is None:
            if self._task is not None:
                self._task.cancel()
        elif session.state in BOUND:
            loop = asyncio.get_running_loop()
            session.unbind(loop.time())
            connection.flush()
            # A peer that does not answer is not worth its response timeout.
            loop.call_later(UNBIND_PATIENCE, connection.close)

    async def _run(self, after: Sequence["asyncio.Task[None]"]) -> None:
        if after:
            await asyncio.wait(after)
        while not self._stopping:
            try:
                delay = await self._live()
            except (OSError, UnicodeError, ProtocolError) as error:
                delay = self._failed(str(error) or type(error).__name__)
            except Exception as error:
                # A defect of ours, or a peer beyond what was foreseen: the carrier is tried again.
                _log.exception("bind failed", carrier=self._ledger.carrier)
                delay = self._failed(f"internal error: {error!r}")
            if not self._stopping:
                await self._pause(delay)

    async def _pause(self, delay: float) -> None:
        self._hurried.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._hurried.wait()

    def try_now(self) -> None:
        """If it waits before its next attempt, it waits no longer."""
        self._hurried.set()

    async def _live(self) -> float:
        """One attempt and, if it succeeds, the life of the bind; the seconds to wait after it."""
        self._ledger.counters.bind_attempts += 1
        self._address = host, port = self._rebinding.next_address()
        loop = asyncio.get_running_loop()
        config = SessionConfig(
            response_timeout=self.terms.response_timeout,
            window=MOST_OUTSTANDING,
            late_memory=LATE_WINDOWS * self._ledger.window,
        )
        session = Session(Role.ESME, config, loop.time())
        tls = await self._switchboard.tls() if self.terms.tls else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                connection = await connect(host, port, session, clock=loop.time, ssl=tls)
        except TimeoutError:
            return self._failed(f"no connection within {CONNECT_TIMEOUT:g} s")
        self._session, self._connection = session, connection
        try:
            session.bind(self.terms.request, loop.time())
            connection.flush()
            return await self._talk(session, connection)
        finally:
            self._session = self._connection = None
            connection.close()
            await connection.wait_closed()

    async def _talk(self, session: Session, connection: Connection) -> float:
        """From the bind request to the end of the connection; the seconds to wait after it."""
        while True:
            events = await connection.events()
            for position, event in enumerate(events):
                match event:
                    case Bound():
                        return await self._carry(session, connection, events[position + 1 :])
                    case BindRefused():
                        return self._refused(event.command_status)
                    case Closed():
                        return self._failed(event.reason.value)
                    case _:
                        pass  # nothing else means anything before the bind

    async def _carry(
        self, session: Session, connection: Connection, events: Sequence[Event]
    ) -> float:
        """The time that the bind is up."""
        traffic = self._came_up(session)
        up_at = asyncio.get_running_loop().time()
        reason = "the bind's task was ended"
        clock, inbox = self._switchboard.clock, self._switchboard.inbox
        try:
            while True:
                if events:
                    inbox.put(traffic.translate(events, clock()))
                    last = events[-1]
                    if isinstance(last, Closed):
                        reason = last.reason.value
                        if last.reason is CloseReason.UNBOUND:
                            traffic.part()
                        break
                events = await connection.events()
        except Exception as error:
            # A defect of ours ends this bind and not all others; what it had is uncertain.
            reason = f"internal error: {error!r}"
            _log.exception("bind failed", carrier=self._ledger.carrier)
        finally:
            self._came_down(traffic, reason)
        return self._rebinding.lost(asyncio.get_running_loop().time() - up_at)

    def _came_up(self, session: Session) -> Traffic:
        board, ledger = self._switchboard, self._ledger
        now = board.clock()
        traffic = Traffic(next(board.numbers), ledger, session)
        self._traffic = traffic
        self._told = ""
        board.live[traffic.number] = self
        ledger.health.bind_up(now, int(self.terms.transmits))
        board.inbox.put((BindUp(carrier=ledger.carrier, bind=traffic.number, at=now),))
        _log.info("bound", **self._names())
        return traffic

    def _came_down(self, traffic: Traffic, reason: str) -> None:
        board, ledger = self._switchboard, self._ledger
        now = board.clock()
        self._traffic = None
        self._emptied.set()
        del board.live[traffic.number]
        ledger.counters.binds_lost += 1
        ledger.health.bind_down(now, int(self.terms.transmits), reason)
        board.inbox.put(traffic.abandon(f"bind lost: {reason}", now))
        down = BindDown(
            carrier=ledger.carrier,
            bind=traffic.number,
            reason=reason,
            at=now,
            unread=traffic.unread(),
        )
        board.inbox.put((down,))
        _log.info("bind ended", reason=reason, **self._names())

    def _refused(self, command_status: int) -> float:
        reason = f"bind refused: {describe_status(command_status)}"
        delay = self._rebinding.refused(command_status)
        advice = ADVICE.get(command_status)
        self._trouble(f"{reason}; {advice}" if advice else reason, delay)
        return delay

    def _failed(self, reason: str) -> float:
        delay = self._rebinding.failed()
        self._trouble(f"{self._address[0]}:{self._address[1]}: {reason}", delay)
        return delay

    def _trouble(self, reason: str, delay: float) -> None:
        now = self._switchboard.clock()
        self._ledger.health.bind_failed(now, reason, now + delay)
        if reason != self._told:
            self._told = reason
            _log.warning("no bind", reason=reason, next_try_in=round(delay, 1), **self._names())

    def _names(self) -> dict[str, str]:
        return {
            "carrier": self._ledger.carrier,
            "kind": self.terms.kind.value,
            "address": f"{self._address[0]}:{self._address[1]}",
            "system_id": self.terms.request.system_id,
        }

    # -- its traffic

    @property
    def free(self) -> int:
        """How many submissions it takes now."""
        traffic = self._traffic
        if traffic is None or not self.terms.transmits:
            return 0
        return traffic.free

    @property
    def status(self) -> BindStatus:
        """How it is, for people and metrics."""
        traffic = self._traffic
        return BindStatus(
            kind=self.terms.kind,
            address=f"{self._address[0]}:{self._address[1]}",
            number=0 if traffic is None else traffic.number,
            in_use=0 if traffic is None else traffic.in_use,
        )

    def submit(self, submissions: Sequence[Submission], now: float) -> list[CarrierEvent]:
        """Write `submissions`, at most `free`, in one go; return what could not be written."""
        traffic, connection = self._traffic, self._connection
        if traffic is None or connection is None:
            return [
                Unsent(
                    carrier=self._ledger.carrier, submission=submission, reason="bind lost", at=now
                )
                for submission in submissions
            ]
        failed = traffic.submit(submissions, now, asyncio.get_running_loop().time())
        connection.flush()
        return failed

    def answer(self, delivery: Delivery, command_status: int) -> None:
        """Answer what the carrier delivered; `flush` writes it."""
        if self._traffic is not None:
            now = asyncio.get_running_loop().time()
            self._traffic.answer(delivery, command_status, now)

    def take_read(self) -> list[Delivery]:
        """The texts whose answers the carrier has surely read; each is told once."""
        return [] if self._traffic is None else self._traffic.take_read()

    def flush(self) -> None:
        """Write the answers that were given since the last time."""
        if self._connection is not None:
            self._connection.flush()
