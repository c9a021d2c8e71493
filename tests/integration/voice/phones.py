"""Phones for tests: a user agent on its sockets, a socket that sends a tone and hears tones.

They share the wings with the gateway, so what they prove is the gateway's rooms; that the wire is
right is for the strangers of `tests/interop` to say.
"""

import asyncio
import math
import random
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from protocols.sdp import codec as sdp
from protocols.sdp.formats import PCMU, Codec
from protocols.sdp.media import LocalMedia, MediaPolicy, Stream
from protocols.sdp.negotiation import Negotiation
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Accept, Ask, HangUp, Invite, Provisional, Reply
from protocols.sip.digest import Credentials, Sessions
from protocols.sip.message import NO_HEADERS, Headers, NameAddr
from protocols.sip.session_offers import Body, Exchange
from protocols.sip.station import Event, Station, Terms, open_station
from protocols.sip.transport import Hop, Transport
from protocols.sip.uri import SipUri
from protocols.sip.wire import Listen, Tls

E = TypeVar("E", bound=Any)
PATIENCE = 60.0
RATE = 8000
FRAME = 160


def encoded(samples: "np.ndarray[Any, Any]") -> bytes:
    """PCMU by the formula of the continuous law: near enough for a tone."""
    scaled = np.clip(samples / 32768, -1, 1)
    level = np.log1p(255 * np.abs(scaled)) / np.log(256) * 127
    return bytes(np.where(scaled < 0, 127 - level, 255 - level).astype(np.uint8))


def decoded(octets: bytes) -> "np.ndarray[Any, Any]":
    """The samples, from -32768 to 32767."""
    codes = np.frombuffer(octets, np.uint8).astype(float)
    level = np.where(codes < 128, 127 - codes, 255 - codes) / 127
    sign = np.where(codes < 128, -1.0, 1.0)
    return sign * np.expm1(level * np.log(256)) / 255 * 32768


class Sound(asyncio.DatagramProtocol):
    """RTP of one call: sends a tone of PCMU every 20 ms and keeps what comes."""

    def __init__(self, tone: float) -> None:
        self.tone = tone
        self.heard: list[bytes] = []
        self.sources: set[tuple[str, int]] = set()
        self.remote: tuple[str, int] | None = None
        self._sequence = random.randrange(1 << 15)
        self._stamp = random.randrange(1 << 30)
        self._ssrc = random.randrange(1 << 32)
        self._at = 0
        self._news = asyncio.Event()
        self._beat: asyncio.TimerHandle | None = None
        self._next = 0.0
        self.transport: asyncio.DatagramTransport

    async def open(self, host: str = "127.0.0.1") -> "Sound":
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, (host, 0))
        return self

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) > 12 and data[1] & 0x7F == 0:
            self.heard.append(data[12:])
            self.sources.add(addr)
            self._news.set()

    def begin(self, remote: tuple[str, int]) -> None:
        self.remote = remote
        if self._beat is None:
            self._next = asyncio.get_running_loop().time()
            self._send()

    def _send(self) -> None:
        times = (np.arange(FRAME) + self._at) / RATE
        samples = (np.sin(2 * math.pi * self.tone * times) * 8000).astype(np.int16)
        header = bytes([0x80, 0]) + (self._sequence & 0xFFFF).to_bytes(2, "big")
        header += (self._stamp & 0xFFFFFFFF).to_bytes(4, "big") + self._ssrc.to_bytes(4, "big")
        if self.remote is not None:
            self.transport.sendto(header + encoded(samples), self.remote)
        self._sequence += 1
        self._stamp += FRAME
        self._at += FRAME
        self._go_on()

    def _go_on(self) -> None:
        """Send the next frame at its time, or at once if a busy machine has passed that."""
        self._next += 0.02
        self._beat = asyncio.get_running_loop().call_at(self._next, self._send)

    async def hears(self, tone: float, frames: int = 10) -> None:
        """Wait until the last `frames` frames are this tone, or were since the wait began."""
        ends = len(self.heard)
        async with asyncio.timeout(PATIENCE):
            while True:
                ends = min(ends, len(self.heard))
                # A machine that stood still has many frames come at once.
                while ends <= len(self.heard):
                    if self._is(tone, self.heard[max(ends - frames, 0) : ends], frames):
                        return
                    ends += 1
                self._news.clear()
                await self._news.wait()

    @staticmethod
    def _is(tone: float, heard: list[bytes], frames: int) -> bool:
        if len(heard) < frames:
            return False
        samples = decoded(b"".join(heard))
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        loudest = float(np.fft.rfftfreq(len(samples), 1 / RATE)[int(spectrum.argmax())])
        return bool(abs(loudest - tone) < 20 and spectrum.max() > 1000)

    def close(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        self.transport.close()


class Phone:
    """A user agent that calls and is called; `on_call` says what it does with a call that comes."""

    def __init__(self, user: str, domain: str, tone: float = 440.0, password: str = "") -> None:
        self.user, self.domain, self.password = user, domain, password
        self.sound = Sound(tone)
        self.told: list[Event] = []
        self.on_call: Callable[[Phone, events.Invited], None] | None = Phone.pick_up
        self.session = events.SessionId(0)
        self.streams: list[Stream | None] = []
        self.codecs: tuple[Codec, ...] = (PCMU,)
        self.sdp_address = "127.0.0.1"
        self.station: Station
        self.negotiation: Negotiation
        self._news = asyncio.Event()

    async def open(
        self,
        transport: Transport = Transport.UDP,
        host: str = "127.0.0.1",
        port: int = 0,
        files: Tls | None = None,
    ) -> "Phone":
        await self.sound.open(host)
        self.station = await open_station(
            Terms(
                listens=(Listen(transport=transport, host=host, port=port),),
                files=files,
                user=self.user,
            ),
            self.take,
            token=lambda: secrets.token_hex(8),
            chance=random.random,
        )
        self._renew()
        return self

    async def close(self) -> None:
        self.sound.close()
        await self.station.close()

    def _renew(self) -> None:
        self.negotiation = Negotiation(
            session_id=random.randrange(1 << 40), key=secrets.token_bytes
        )

    @property
    def local(self) -> LocalMedia:
        return LocalMedia(
            address=self.sdp_address,
            port=self.sound.port,
            policy=MediaPolicy(codecs=self.codecs),
        )

    @property
    def aor(self) -> NameAddr:
        return NameAddr(uri=SipUri(user=self.user, host=self.domain))

    def sessions(self) -> Sessions:
        known = Credentials(username=self.user, password=self.password)
        return Sessions((known,), cnonce=lambda: secrets.token_hex(8))

    async def register(self, hop: Hop, expires: int = 600) -> events.Responded:
        """Register, or with 0 not any more; the final response."""
        before = len(self.told)
        contact = self.station.contact(hop)
        self.station.agent.request(
            Ask(
                method="REGISTER",
                uri=SipUri(host=self.domain),
                from_=self.aor,
                to=self.aor,
                contacts=(contact,),
                headers=Headers((("Expires", str(expires)),)),
            ),
            hop,
            self.station.now(),
            self.sessions(),
        )
        self.station.wake()
        return await self.until(events.Responded, since=before)

    def call(
        self, to: str, hop: Hop, *, headers: Headers = NO_HEADERS, host: str = ""
    ) -> events.SessionId:
        self._renew()
        offer = self.negotiation.offer(self.local)
        self.session = self.station.agent.invite(
            Invite(
                uri=SipUri(user=to, host=host or self.domain),
                from_=self.aor,
                to=NameAddr(uri=SipUri(user=to, host=host or self.domain)),
                headers=headers,
                body=Body(octets=sdp.write(offer)),
            ),
            hop,
            self.station.now(),
            self.sessions(),
        )
        self.station.wake()
        return self.session

    def hang_up(self) -> None:
        self.station.agent.hang_up(self.session, self.station.now(), HangUp())
        self.station.wake()

    def pick_up(self, event: events.Invited) -> None:
        """Ring, and answer at once."""
        self.session = event.session
        self._renew()
        agent, now = self.station.agent, self.station.now()
        agent.provisional(event.session, Provisional(status=180), now)
        assert event.offer is not None
        self.negotiation.receive_offer(sdp.read(event.offer.octets))
        answered: Any = self.negotiation.answer(self.local)
        self._begin(answered.plan.audio)
        body = Body(octets=sdp.write(answered.description))
        agent.accept(event.session, Accept(body=body), now)

    @staticmethod
    def refusing(status: int) -> "Callable[[Phone, events.Invited], None]":
        def refuse(phone: Phone, event: events.Invited) -> None:
            agent, now = phone.station.agent, phone.station.now()
            phone.session = event.session
            agent.refuse(event.session, Reply(status=status), now)

        return refuse

    @staticmethod
    def ringing(phone: "Phone", event: events.Invited) -> None:
        phone.session = event.session
        phone.station.agent.provisional(event.session, Provisional(status=180), phone.station.now())

    def take(self, event: Event) -> None:
        self.told.append(event)
        self._news.set()
        if isinstance(event, events.Invited) and self.on_call is not None:
            self.on_call(self, event)
        answers = isinstance(event, events.Answered | events.Progressed)
        if answers and event.body and event.exchange in (Exchange.ANSWER, Exchange.PREVIEW):
            accepted: Any = self.negotiation.accept(sdp.read(event.body.octets))
            self._begin(accepted.plan.audio)

    def _begin(self, stream: Stream | None) -> None:
        self.streams.append(stream)
        if stream is not None and stream.remote is not None:
            self.sound.begin(stream.remote)

    async def until(
        self, kind: type[E], *, since: int = 0, where: Callable[[Any], bool] = lambda each: True
    ) -> E:
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self.told[since:]:
                    if isinstance(event, kind) and where(event):
                        return event
                self._news.clear()
                await self._news.wait()
