"""Phones whose keys are pressed and heard: as events, as sound, and in INFO."""

import asyncio
from collections import deque
from typing import Any

import numpy as np

from protocols.rtp import codecs, formats, stillness, tones
from protocols.rtp.audio import Pcm, Samples, silence
from protocols.rtp.dtmf import DigitReceiver, DigitSender
from protocols.rtp.dtmf_sound import KeyListener
from protocols.rtp.events import DigitEnded
from protocols.rtp.packet import Malformed, Packet, read, write
from protocols.sdp.media import DtmfMode, LocalMedia, MediaPolicy
from protocols.sip import agent_events as events
from protocols.sip.agent_commands import Reply
from protocols.sip.session_offers import Body
from protocols.sip.station import Event
from tests.integration.voice.phones import FRAME, PATIENCE, RATE, Phone, Sound

Keys = list[tuple[str, float]]
EVENTS = 101
_STILL = {stillness.payload(each, 20) for each in (formats.PCMU, formats.PCMA, formats.G722)}
_HUM = 64
_SETTLES = 15  # packets
_CODECS = {0: formats.PCMU, 8: formats.PCMA, 9: formats.G722}


class KeySound(Sound):
    """Silence but for its keys, in the codec of payload type `speaks`; keeps whole packets."""

    def __init__(self, speaks: int = 0) -> None:
        super().__init__(0.0)
        self.packets: list[Packet] = []
        self.speaks = speaks
        self.hum = 0  # the value of what is between its keys
        self.frames: deque[Samples] = deque()
        self.sender = DigitSender(clock_rate=RATE)
        self._encoder = codecs.encoder(_CODECS[speaks], 20)
        self._decoder = codecs.decoder(_CODECS[speaks])
        self._listener = KeyListener(self._decoder.rate)
        self._listened = 0
        self._sounds: Keys = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        super().datagram_received(data, addr)
        packet = read(data)
        if not isinstance(packet, Malformed):
            self.packets.append(packet)

    def _send(self) -> None:
        loop = asyncio.get_running_loop()
        due = [] if self.remote is None else self._due(loop.time())
        for payload_type, stamp, payload in due:
            packet = Packet(
                payload_type=payload_type,
                sequence=self._sequence & 0xFFFF,
                timestamp=stamp & 0xFFFF_FFFF,
                ssrc=self._ssrc,
                payload=payload,
            )
            self.transport.sendto(write(packet), self.remote)
            self._sequence += 1
        self._stamp += FRAME
        self._go_on()

    def _due(self, now: float) -> list[tuple[int, int, bytes]]:
        if self.sender.busy:
            made = []
            while (packet := self.sender.next_packet(now)) is not None:
                made.append((EVENTS, packet.timestamp, packet.payload))
            return made
        rate = self._encoder.rate
        between = np.full(rate // 50, self.hum, dtype=np.int16)
        samples = self.frames.popleft() if self.frames else between
        payload = self._encoder.encode(Pcm(rate=rate, samples=samples))
        return [(self.speaks, self._stamp, payload)]

    @property
    def is_joined(self) -> bool:
        """Whether the sound of another phone came."""
        sounds = (each.payload for each in self.packets if each.payload_type != EVENTS)
        return any(each not in _STILL for each in sounds)

    def forget(self) -> None:
        """Keep nothing of what came so far."""
        self.packets.clear()
        self._listened = 0

    def press(self, keys: str) -> None:
        """Press keys as events."""
        self.sender.press(keys, timestamp=self._stamp, now=asyncio.get_running_loop().time())

    def sing(self, keys: str, duration: float = 0.1) -> None:
        """Press keys as sound."""
        rate = self._encoder.rate
        parts = []
        for key in keys:
            count = round(rate * duration)
            parts.append(tones.render(tones.KEYS[key], rate=rate, start=0, count=count).samples)
            parts.append(silence(rate, rate // 10).samples)
        samples, size = np.concatenate(parts), rate // 50
        for at in range(0, len(samples) - size + 1, size):
            self.frames.append(samples[at : at + size])

    @property
    def events(self) -> Keys:
        """The keys that came as events."""
        receiver = DigitReceiver(clock_rate=RATE)
        for number, each in enumerate(self.packets):
            if each.payload_type == EVENTS:
                receiver.receive(
                    each.payload,
                    ssrc=each.ssrc,
                    sequence=each.sequence,
                    timestamp=each.timestamp,
                    now=number * 0.02,
                )
        found: Keys = []
        while (event := receiver.next_event()) is not None:
            if isinstance(event, DigitEnded):
                found.append((event.digit, event.duration))
        return found

    @property
    def sounds(self) -> Keys:
        """The keys that were in the sound, and are over; each packet is decoded once."""
        for each in self.packets[self._listened :]:
            mine = each.payload_type == self.speaks
            pcm = self._decoder.decode(each.payload) if mine else None
            if pcm is not None:
                self._listener.hear(pcm.samples)
        self._listened = len(self.packets)
        while (event := self._listener.next_event()) is not None:
            if isinstance(event, DigitEnded):
                self._sounds.append((event.digit, event.duration))
        return list(self._sounds)


class KeyPhone(Phone):
    """A phone with keys; one whose `dtmf` is not rfc4733 has no telephone-event in its SDP."""

    def __init__(self, *given: Any, speaks: int = 0, dtmf: DtmfMode = DtmfMode.RFC4733) -> None:
        super().__init__(*given)
        self.keys = KeySound(speaks)
        self.sound = self.keys
        self.dtmf = dtmf
        self.answers_info = True

    @property
    def local(self) -> LocalMedia:
        policy = MediaPolicy(codecs=self.codecs, dtmf=self.dtmf)
        return LocalMedia(address="127.0.0.1", port=self.sound.port, policy=policy)

    def take(self, event: Event) -> None:
        super().take(event)
        if isinstance(event, events.InfoReceived) and self.answers_info:
            self.station.agent.respond(event.key, Reply(status=200), self.station.now())

    @property
    def infos(self) -> list[events.InfoReceived]:
        """What came in INFO."""
        return [each for each in self.told if isinstance(each, events.InfoReceived)]

    def inform(self, text: str, type: str = "application/dtmf-relay") -> None:
        """Send INFO."""
        body = Body(octets=text.encode(), type=type)
        self.station.agent.info(self.session, body, self.station.now())
        self.station.wake()


async def until(holds: Any) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


def digits(keys: Keys) -> str:
    """Which keys they are."""
    return "".join(digit for digit, _ in keys)


async def joined(*phones: KeyPhone) -> None:
    """Wait until each hears another phone, and until that is silent.

    They hum till then, for the gateway's own silence is like theirs.
    """
    sounds = [each.keys for each in phones]
    for each in sounds:
        each.hum = _HUM
    await until(lambda: all(each.is_joined for each in sounds))
    for each in sounds:
        each.hum = 0
    awaited = [(each, len(each.packets) + _SETTLES) for each in sounds]
    await until(lambda: all(len(each.packets) >= count for each, count in awaited))
