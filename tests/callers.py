"""A party to many calls at once: what calls the gateway and what it calls, on one socket.

It speaks by the wings of this project, so what it proves is the gateway's rooms. All its calls
share a description and a socket for media, on which frames of silence go to whoever is told of.
"""

import asyncio
import random
import re
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Accept, HangUp, Invite, Provisional, Reply, Settings
from protocols.sip.agent_events import SessionId
from protocols.sip.message import NameAddr, Request
from protocols.sip.session_offers import Body
from protocols.sip.station import Crossed, Event, Station, Terms, open_station
from protocols.sip.timers import Timers
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import SipUri
from protocols.sip.wire import Listen

HOST: Final = "127.0.0.1"
_MEDIA: Final = re.compile(rb"m=audio (\d+)")
_FRAME: Final = b"\xff" * 160  # 20 ms of silence in PCMU
_DESCRIPTION: Final = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


class Side:
    """A call as this party has it; times are seconds since the epoch, 0 for never.

    `number` is the other party's, or our own where the party has many. `end` is what ended it: the
    name of the event, with the status where there is one.
    """

    def __init__(self, number: str, session: SessionId, call_id: str = "") -> None:
        self.number = number
        self.session = session
        self.call_id = call_id
        self.answered_at = self.ended_at = 0.0
        self.end = ""
        self.reason = ""
        self.media = 0
        """The port of the far end."""
        self.sent = 0
        """Frames of media."""
        self.progress = 0
        self.answered = asyncio.Event()
        self.over = asyncio.Event()


class Party:
    """`user` names it; `on_call` says what it does with calls to it, by default it answers."""

    def __init__(
        self,
        user: str,
        on_call: "Callable[[Party, Side], None] | None" = None,
        t1: float = 0.5,
    ) -> None:
        """`t1` is the timer of that name, seconds."""
        self.user = user
        self._t1 = t1
        self.sides: dict[SessionId, Side] = {}
        self.past: list[Side] = []
        self.heard: Counter[str] = Counter()
        """Requests by method, and responses by status: all that came."""
        self.keeps = True
        """Whether `past` grows."""
        self.drops: Callable[[Crossed], bool] = lambda crossed: False
        self.station: Station
        self._on_call = on_call or Party.answer
        self._news = asyncio.Event()
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    async def open(self, port: int = 0) -> "Party":
        """Listen over UDP."""
        self._rtp.bind((HOST, 0))
        self._rtp.setblocking(False)
        self.station = await open_station(
            Terms(
                listens=(Listen(transport=Transport.UDP, host=HOST, port=port),),
                settings=Settings(timers=Timers(t1=self._t1)),
                user=self.user,
            ),
            self._take,
            token=lambda: secrets.token_hex(8),
            chance=random.random,
            passes=self._passes,
        )
        return self

    async def close(self) -> None:
        """Be silent: calls are not ended by it."""
        await self.station.close()
        self._rtp.close()

    @property
    def port(self) -> int:
        """Where it is called."""
        return self.station.endpoint.addresses()[0][1][1]

    @property
    def body(self) -> Body:
        """Its description."""
        return Body(octets=_DESCRIPTION.format(port=self._rtp.getsockname()[1]).encode())

    # What it does

    def call(self, number: str, port: int, from_: str = "") -> Side:
        """Call a number of the gateway that listens at `port`, as `from_` or as itself."""
        call_id = secrets.token_hex(12)
        session = self.station.agent.invite(
            Invite(
                uri=SipUri(user=number, host=HOST, port=port),
                from_=NameAddr(uri=SipUri(user=from_ or self.user, host=HOST)),
                to=NameAddr(uri=SipUri(user=number, host=HOST)),
                body=self.body,
                call_id=call_id,
            ),
            Hop(transport=Transport.UDP, host=HOST, port=port),
            self.station.now(),
        )
        side = self.sides[session] = Side(from_ or number, session, call_id)
        self.station.wake()
        return side

    def ring(self, side: Side) -> None:
        """Say 180."""
        command = Provisional(status=180)
        self.station.agent.provisional(side.session, command, self.station.now())

    def answer(self, side: Side) -> None:
        """Ring, and answer at once."""
        self.ring(side)
        agent = self.station.agent
        agent.accept(side.session, Accept(body=self.body), self.station.now())
        self.station.wake()

    def refuse(self, side: Side, status: int) -> None:
        """Take no call."""
        self.station.agent.refuse(side.session, Reply(status=status), self.station.now())
        self.station.wake()

    def hang_up(self, side: Side) -> None:
        """BYE, CANCEL or a refusal."""
        self.station.agent.hang_up(side.session, self.station.now(), HangUp())
        self.station.wake()

    def speak(self, side: Side, frames: int = 1, frame: bytes = _FRAME) -> None:
        """Send frames of media, of silence unless `frame` is something else in PCMU."""
        for _ in range(frames if side.media else 0):
            side.sent += 1
            sequence, stamp = side.sent % 2**16, side.sent * 160 % 2**32
            head = bytes((0x80, 0)) + sequence.to_bytes(2, "big") + stamp.to_bytes(4, "big")
            packet = head + int(side.session).to_bytes(4, "big") + frame
            self._rtp.sendto(packet, (HOST, side.media))

    async def until(self, holds: Callable[[], bool], within: float, what: str) -> None:
        """Wait for what the station's events bring about."""
        try:
            async with asyncio.timeout(within):
                while not holds():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {within:g} s: {what}") from None

    # What it is told

    def _passes(self, crossed: Crossed) -> bool:
        content = crossed.content
        if crossed.came and not isinstance(content, bytes):
            name = content.method if isinstance(content, Request) else str(content.status)
            self.heard[name] += 1
        return not self.drops(crossed)

    def _take(self, event: Event) -> None:
        self._news.set()
        if isinstance(event, events.Invited):
            number = getattr(event.request.uri, "user", "")
            side = Side(number, event.session, event.request.call_id)
            self.sides[event.session] = side
            if event.offer is not None:
                side.media = _port_in(event.offer)
            self._on_call(self, side)
            return
        session: Any = getattr(event, "session", None)
        known = self.sides.get(session)
        if known is not None:
            self._note(known, event)

    def _note(self, side: Side, event: Event) -> None:
        match event:
            case events.Progressed(response=response):
                side.progress = max(side.progress, response.status)
            case events.Answered(body=body):
                side.media = 0 if body is None else _port_in(body)
                side.answered_at = time.time()
                side.answered.set()
            case events.Confirmed():
                side.answered_at = time.time()
                side.answered.set()
            case events.Refused(status=status, headers=headers):
                self._ended(side, f"Refused {status}", headers.first("Reason") or "")
            case events.Cancelled(headers=headers) | events.HungUp(headers=headers):
                self._ended(side, type(event).__name__, headers.first("Reason") or "")
            case events.Ended():
                self._ended(side, "Ended", "")
                del self.sides[side.session]
                if self.keeps:
                    self.past.append(side)

    def _ended(self, side: Side, end: str, reason: str) -> None:
        if not side.end:
            side.end, side.reason, side.ended_at = end, reason, time.time()
            side.over.set()


def _port_in(body: Body) -> int:
    found = _MEDIA.search(body.octets)
    return int(found[1]) if found else 0
