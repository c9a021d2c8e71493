"""A browser's stand-in that shares no code with ours: aiortc's whole peer connection, on loopback.

What it offers and answers is written and read here by a few lines of text, so that neither side's
reading of descriptions is in the way of what media do.
"""

import asyncio
import contextlib
import fractions
from collections.abc import Iterator, Sequence
from typing import Any

import aioice.ice
import numpy as np
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from av import AudioFrame
from av.audio.resampler import AudioResampler

from protocols.sdp.ice import Fingerprint, IceSide, Setup

HOST = "127.0.0.1"
RATE = 8000
FRAME = 160


@pytest.fixture
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have aiortc's own connections gather there, where it never looks by itself."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **kinds: [HOST])
    yield


class Tone(MediaStreamTrack):
    """A sine of one frequency, a frame of 20 ms at a time."""

    kind = "audio"

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self._frequency = frequency
        self._at = 0
        self._begun: float | None = None

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        if self._begun is None:
            self._begun = loop.time()
        await asyncio.sleep(max(0.0, self._begun + self._at / RATE - loop.time()))
        at = np.arange(self._at, self._at + FRAME) / RATE
        samples = (np.sin(2 * np.pi * self._frequency * at) * 8000).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, self._at
        frame.time_base = fractions.Fraction(1, RATE)
        self._at += FRAME
        return frame


def side_of(sdp: str) -> IceSide:
    """The first m= line's."""
    said: dict[str, list[str]] = {}
    for line in sdp.splitlines():
        name, _, value = line.partition(":")
        said.setdefault(name, []).append(value)
    algorithm, _, value = next(
        each for each in said["a=fingerprint"] if each.startswith("sha-256")
    ).partition(" ")
    return IceSide(
        ufrag=said["a=ice-ufrag"][0],
        password=said["a=ice-pwd"][0],
        fingerprints=(Fingerprint(algorithm=algorithm, value=value),),
        candidates=tuple(said.get("a=candidate", ())),
        setup=Setup(said["a=setup"][0]),
    )


def sdp_of(side: IceSide, codecs: tuple[str, ...] = ("0 PCMU/8000",)) -> str:
    """A description that says so, as a browser takes it."""
    types = " ".join(each.split()[0] for each in codecs)
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        f"m=audio 9 UDP/TLS/RTP/SAVPF {types}",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        f"a=ice-ufrag:{side.ufrag}",
        f"a=ice-pwd:{side.password}",
        *(f"a=fingerprint:{each.algorithm} {each.value}" for each in side.fingerprints),
        f"a=setup:{side.setup}",
        *(f"a=rtpmap:{each}" for each in codecs),
        *(f"a=candidate:{each}" for each in side.candidates),
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"


def frequency_of(parts: Sequence[Any]) -> float:
    """What is heard most of the last half second of these samples; 0 while there are fewer."""
    if sum(len(each) for each in parts) < RATE // 2:
        return 0.0
    samples = np.concatenate(parts)[-RATE // 2 :].astype(np.float64)
    return float(np.abs(np.fft.rfft(samples))[1:].argmax() + 1) * RATE / len(samples)


class Stranger:
    """The peer connection, which says a tone and keeps what it hears: packets, and samples."""

    def __init__(self, frequency: float = 1000.0) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.payloads: list[bytes] = []
        self.sent: list[bytes] = []
        self._samples: list[Any] = []
        self._hearing: asyncio.Task[None] | None = None
        self.connection.on("track", self._begin)
        self.connection.addTrack(Tone(frequency))
        self._prefer_pcmu()

    def _prefer_pcmu(self) -> None:
        for each in self.connection.getTransceivers():
            codecs = RTCRtpSender.getCapabilities("audio").codecs
            each.setCodecPreferences([one for one in codecs if one.mimeType == "audio/PCMU"])

    def _begin(self, track: MediaStreamTrack) -> None:
        self._keep_payloads()
        self._hearing = asyncio.get_running_loop().create_task(self._hear(track))

    async def _hear(self, track: MediaStreamTrack) -> None:
        resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
        with contextlib.suppress(Exception):  # aiortc's way to say that it is over
            while True:
                for frame in resampler.resample(await track.recv()):
                    self._samples.append(frame.to_ndarray().ravel())

    def _keep_payloads(self) -> None:
        (receiver,) = self.connection.getReceivers()
        handle = receiver._handle_rtp_packet

        async def keep(packet: Any, arrival_time_ms: int) -> None:
            self.payloads.append(packet.payload)
            await handle(packet, arrival_time_ms=arrival_time_ms)

        receiver._handle_rtp_packet = keep

    async def offer(self) -> IceSide:
        """What it offers."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return side_of(self.connection.localDescription.sdp)

    async def accept(self, answer: IceSide) -> None:
        """Take the answer to that."""
        told = RTCSessionDescription(sdp=sdp_of(answer), type="answer")
        await self.connection.setRemoteDescription(told)

    async def answer(self, offer: IceSide) -> IceSide:
        """What it answers to an offer."""
        told = RTCSessionDescription(sdp=sdp_of(offer), type="offer")
        await self.connection.setRemoteDescription(told)
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return side_of(self.connection.localDescription.sdp)

    @property
    def heard(self) -> float:
        """The frequency that it heard most of the last half second; 0 while it heard less."""
        return frequency_of(self._samples)

    async def close(self) -> None:
        """Be no more."""
        await self.connection.close()
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.gather(self._hearing, return_exceptions=True)
