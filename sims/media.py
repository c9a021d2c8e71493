"""The sound of simulated phones: a pair of UDP ports per call, and a clock of its own.

Each line sends a packet per 20 ms (or what was agreed on), silence where its phone says nothing, as
phones do, and listens to what comes. An echo sends payloads back as they were, one for one, so that
loss and order can be measured at the far end.
"""

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from protocols.rtp import codecs, formats
from protocols.rtp.audio import Decoder, Encoder, Pcm, silence
from protocols.rtp.dtmf import PAUSES, DigitReceiver, DigitSender
from protocols.rtp.endpoint import PortPair, PortRange, Reader
from protocols.rtp.events import Address, DigitStarted
from protocols.rtp.formats import Format
from protocols.rtp.latch import LatchPolicy
from protocols.rtp.packet import Kind, Malformed, Packet, kind, read, write
from protocols.rtp.reporting import ReporterConfig
from protocols.rtp.session import Remote, Session, SessionConfig
from protocols.sdp.formats import Codec
from protocols.sdp.media import Stream
from sims.media_hearing import Hearing
from sims.media_sounds import Sound, key

FIRST_PORT, LAST_PORT = 22_000, 31_999
"""Beside the gateway's own, and below those that systems give to clients."""

_LATE: Final = 0.2  # seconds that are made up for; what is later is left out


class Studio:
    """The ports and the reader that all lines of a process share."""

    def __init__(self, host: str, first: int = FIRST_PORT, last: int = LAST_PORT) -> None:
        self.host = host
        self.loop = asyncio.get_running_loop()
        self.reader = Reader(self.loop, self.loop.time)
        self.lines = 0
        self._ports = PortRange(first, last, random.random())

    def open(self) -> "Line | None":
        """A line with ports of its own; None if there are none left, or no descriptors."""
        try:
            pair = self._ports.open(self.host)
        except OSError:
            return None
        return None if pair is None else Line(pair, self)

    def close(self) -> None:
        """Read no more; lines are closed by their calls."""
        self.reader.close()


class _Spoken(msgspec.Struct, kw_only=True):
    """A codec that was agreed on, with what is needed to speak and to hear it."""

    stream: Stream
    format: Format
    encoder: Encoder
    decoders: dict[int, tuple[Format, Decoder]]
    echoes: dict[int, int]  # payload types as they come, and as they are sent


class Line:
    """One call's media; `close` releases its ports."""

    def __init__(self, pair: PortPair, studio: Studio) -> None:
        self.hearing = Hearing()
        self.received = self.sent = 0  # packets of sound and of keys
        self.keys_due = 0  # that were not begun yet
        self._pair = pair
        self._studio = studio
        self._loop = studio.loop
        self._session: Session | None = None
        self._spoken: _Spoken | None = None
        self._events_type: int | None = None
        self._digits: DigitReceiver | None = None
        self._keys: DigitSender | None = None
        self._sounds: deque[Sound] = deque()
        self._echo_offset: int | None = None
        self._is_echo = False
        self._is_dead = False
        self._sequence = secrets.randbelow(0x8000)
        self._timestamp = secrets.randbits(32)
        self._due = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        studio.lines += 1
        studio.reader.add(pair.rtp, self._take)
        studio.reader.add(pair.rtcp, self._take)

    @property
    def address(self) -> Address:
        """Where sound is received."""
        return self._pair.address

    @property
    def is_heard(self) -> bool:
        """Whether something was agreed on."""
        return self._spoken is not None

    def follow(self, stream: Stream | None, signalling: str) -> None:
        """Make true what was agreed on; `signalling` is the IP address that SIP comes from."""
        format = None if stream is None else _format_of(stream.codecs[0].sent)
        if stream is None or format is None:
            self._spoken = None
            return
        now = self._loop.time()
        remote = Remote(
            address=stream.remote,
            signalling=signalling,
            control=None if stream.rtcp_mux else stream.remote_rtcp,
            codec=format.name,
            clock_rate=format.clock_rate,
        )
        if self._session is None:
            self._session = self._new_session(remote, now)
        else:
            self._session.reoffered(remote, now)
        self._spoken = _spoken(stream, format, self._spoken)
        self._agree_keys(stream, format)
        if self._alarm is None:
            self._due = now
            self._tick()

    def _new_session(self, remote: Remote, now: float) -> Session:
        return Session(
            SessionConfig(
                reports=ReporterConfig(cname=secrets.token_hex(6), unix=time.time() - now),
                policy=LatchPolicy.SIGNALLED,
            ),
            remote,
            ssrc=secrets.randbits(32),
            new_ssrc=lambda: secrets.randbits(32),
            chance=random.random,
            now=now,
        )

    def _agree_keys(self, stream: Stream, format: Format) -> None:
        chosen = next(
            (each for each in stream.events if each.sent.clock_rate == format.clock_rate), None
        )
        if chosen is None:
            self._events_type = self._digits = self._keys = None
            return
        self._events_type = chosen.sent.payload_type
        if self._digits is None:
            self._digits = DigitReceiver(clock_rate=format.clock_rate)
            self._keys = DigitSender(clock_rate=format.clock_rate)

    # What its phone does

    async def play(self, sound: Callable[[int], Sound]) -> None:
        """Say something, made for so many samples a second; returns when it was said."""
        said = sound(self._rate())
        self._sounds.append(said)
        await self.until(lambda: said.is_over)

    async def press(self, keys: str) -> None:
        """Press keys: as events of RFC 4733 where the other side takes them, else as sound."""
        sender = self._keys
        self.keys_due += sum(each not in PAUSES for each in keys)
        if sender is not None:
            sender.press(keys, timestamp=self._timestamp, now=self._due)
            await self.until(lambda: not sender.busy)
            return
        for each in keys:
            if each in PAUSES:
                await asyncio.sleep(PAUSES[each])
            else:
                await self._sound_key(each.upper())

    async def _sound_key(self, name: str) -> None:
        said = key(name, self._rate())
        self._sounds.append(said)
        try:
            await self.until(lambda: said.is_over)
        finally:
            self.keys_due -= said.has_begun

    def echo(self) -> None:
        """Send back what comes, until `be_silent`; events of keys are heard, not sent back."""
        self._is_echo = True
        self._echo_offset = None

    def be_silent(self) -> None:
        """Say nothing any more."""
        self._is_echo = False
        self._sounds.clear()

    def die(self) -> None:
        """Send and take nothing from here on, and say so to nobody."""
        self._is_dead = True

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when something holds, looked at with each packet that comes or goes."""
        if holds():
            return
        found = self._loop.create_future()
        waiting = (holds, found)
        self._waiting.append(waiting)
        try:
            await found
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def close(self) -> None:
        """Release the ports; harmless when they are released."""
        if self._pair.rtp.fileno() < 0:
            return
        if self._session is not None and not self._is_dead:
            self._session.leave(self._loop.time())
            self._send_control(self._session)
        if self._alarm is not None:
            self._alarm.cancel()
        self._studio.reader.remove(self._pair.rtp)
        self._studio.reader.remove(self._pair.rtcp)
        self._pair.close()
        self._studio.lines -= 1

    def _rate(self) -> int:
        return 8000 if self._spoken is None else self._spoken.encoder.rate

    # What comes

    def _take(self, octets: bytes, source: Address, now: float) -> None:
        session = self._session
        if session is None or self._is_dead:
            return
        match kind(octets):
            case Kind.RTP:
                if session.receive_packet(octets, source, now).is_accepted:
                    packet = read(octets)
                    if not isinstance(packet, Malformed):
                        self._hear(packet, now)
            case Kind.RTCP:
                session.receive_control(octets, source, now)
        while session.next_event() is not None:
            pass
        self._look()

    def _hear(self, packet: Packet, now: float) -> None:
        spoken = self._spoken
        if spoken is None:
            return
        self.received += 1
        if packet.payload_type in {each.received.payload_type for each in spoken.stream.events}:
            self._hear_key(packet, now)
            return
        if self._is_echo:
            self._send_back(packet, spoken)
            return
        found = spoken.decoders.get(packet.payload_type)
        pcm = None if found is None else found[1].decode(packet.payload)
        if pcm is not None:
            self.hearing.take(pcm.samples, pcm.rate, now)

    def _hear_key(self, packet: Packet, now: float) -> None:
        digits = self._digits
        if digits is None:
            return
        digits.receive(
            packet.payload,
            ssrc=packet.ssrc,
            sequence=packet.sequence,
            timestamp=packet.timestamp,
            now=now,
        )
        self._read_keys(digits, now)

    def _read_keys(self, digits: DigitReceiver, now: float) -> None:
        while (event := digits.next_event()) is not None:
            if isinstance(event, DigitStarted):
                self.hearing.pressed(event.digit, now)

    def _send_back(self, packet: Packet, spoken: _Spoken) -> None:
        if self._echo_offset is None:
            self._echo_offset = (self._timestamp - packet.timestamp) & 0xFFFF_FFFF
        payload_type = spoken.echoes.get(packet.payload_type)
        if payload_type is not None and spoken.stream.direction.sends:
            timestamp = (packet.timestamp + self._echo_offset) & 0xFFFF_FFFF
            self._send(payload_type, packet.payload, timestamp, marker=packet.marker)

    # What goes

    def _tick(self) -> None:
        now, spoken, session = self._loop.time(), self._spoken, self._session
        step = 0.02 if spoken is None else spoken.stream.ptime / 1000
        if now - self._due > _LATE:
            self._due = now
        if session is not None and not self._is_dead:
            if spoken is not None:
                self._speak(spoken)
            session.handle_timer(now)
            self._send_control(session)
        if self._digits is not None:
            self._digits.handle_timer(now)
            self._read_keys(self._digits, now)
        self._look()
        self._due += step
        self._alarm = self._loop.call_at(self._due, self._tick)

    def _speak(self, spoken: _Spoken) -> None:
        ptime, format, encoder = spoken.stream.ptime, spoken.format, spoken.encoder
        count = encoder.rate * ptime // 1000
        sound = self._sounds[0] if self._sounds else None
        if self._keys is not None and self._keys.busy:
            self._speak_keys(self._keys)
        elif not self._is_echo:
            pcm = silence(encoder.rate, count)
            if sound is not None:
                pcm = Pcm(rate=encoder.rate, samples=sound.take(count))
            if spoken.stream.direction.sends:
                payload_type = spoken.stream.codecs[0].sent.payload_type
                self._send(payload_type, encoder.encode(pcm), self._timestamp)
        if sound is not None and sound.is_over:
            self._sounds.popleft()
        self._timestamp = (self._timestamp + format.clock_rate * ptime // 1000) & 0xFFFF_FFFF

    def _speak_keys(self, keys: DigitSender) -> None:
        while (packet := keys.next_packet(self._due)) is not None:
            if self._events_type is not None:
                self.keys_due -= packet.marker  # a key begins with it
                self._send(
                    self._events_type, packet.payload, packet.timestamp, marker=packet.marker
                )

    def _send(
        self, payload_type: int, payload: bytes, timestamp: int, *, marker: bool = False
    ) -> None:
        session = self._session
        destination = None if session is None else session.destination()
        if session is None or destination is None:
            return
        octets = write(
            Packet(
                payload_type=payload_type,
                sequence=self._sequence,
                timestamp=timestamp,
                ssrc=session.ssrc,
                payload=payload,
                marker=marker,
            )
        )
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._pair.send(octets, destination)
        session.packet_sent(octets, self._loop.time())
        self.sent += 1

    def _send_control(self, session: Session) -> None:
        spoken, destination = self._spoken, session.control_destination()
        for octets in session.control_to_send():
            if destination is None:
                continue
            if spoken is not None and spoken.stream.rtcp_mux:
                self._pair.send(octets, destination)
            else:
                self._pair.send_control(octets, destination)

    def _look(self) -> None:
        for waiting in list(self._waiting):
            holds, found = waiting
            if not found.done() and holds():
                found.set_result(None)


def _format_of(codec: Codec) -> Format | None:
    return formats.find(codec.name, codec.clock_rate)


def _spoken(stream: Stream, format: Format, before: _Spoken | None) -> _Spoken:
    decoders = {}
    for chosen in stream.codecs:
        found = _format_of(chosen.received)
        if found is not None:
            decoders[chosen.received.payload_type] = (found, codecs.decoder(found))
    same = before is not None and (before.format, before.stream.ptime) == (format, stream.ptime)
    return _Spoken(
        stream=stream,
        format=format,
        encoder=before.encoder if before and same else codecs.encoder(format, stream.ptime),
        decoders=decoders,
        echoes={
            each.received.payload_type: each.sent.payload_type
            for each in (*stream.codecs, *stream.noise)
        },
    )
