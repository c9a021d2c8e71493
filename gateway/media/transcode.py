"""From one codec to another, for two legs that have none in common: the only place that decodes.

Digits as events go through as they are; where the two sides count them by different clocks, the
durations and timestamps are made over too.

What comes in is made over as it comes, without a buffer that waits for late packets: one that
comes behind a newer one is left out. Where packets were lost or the speaker paused, the numbers
that go out leave the same gap, and the peer conceals it as it does any other.
"""

from struct import Struct
from typing import Final

import numpy as np

from gateway.media.outlet import Outlet
from protocols.rtp import codecs, formats
from protocols.rtp.audio import Pcm
from protocols.rtp.packet import (
    HEADER,
    Malformed,
    payload_bounds,
    sequences_ahead,
    timestamps_ahead,
)
from protocols.rtp.resample import Resampler
from protocols.sdp.formats import Codec

_WORD: Final = 0xFFFF_FFFF
_DIGIT: Final = Struct(">BBH")  # code, flags with the volume, duration (RFC 4733 §2.3)
_LONGEST_DIGIT: Final = 0xFFFF  # units; a longer one is told as that long
_LONGEST_GAP: Final = 3000  # packets; more is a source that began anew


class Transcoder:
    """One direction between two legs; `ssrc` tells its packets from others at the outlet."""

    def __init__(
        self,
        heard: formats.Format,
        said: formats.Format,
        *,
        payload_type: int,
        ptime: int,
        ssrc: int,
        outlet: Outlet,
    ) -> None:
        self._decoder = codecs.decoder(heard)
        self._encoder = codecs.encoder(said, ptime)
        self._resampler = Resampler(self._decoder.rate, self._encoder.rate)
        self._heard, self._said = heard, said
        self._payload_type = payload_type
        self._outlet = outlet
        self._ssrc = ssrc
        self._frame = said.samples(ptime)
        self._ticks = said.clock_rate * ptime // 1000
        self._waiting = np.zeros(0, dtype=np.int16)
        self._source = -1
        self._newest = 0  # sequence number of the source
        self._expected = 0  # its next timestamp, if nothing is lost
        self._sequence = 0  # ours
        self._timestamp = 0

    def __call__(self, octets: bytes, now: float) -> None:
        """Take a packet of the codec that is heard."""
        bounds = payload_bounds(octets)
        if isinstance(bounds, Malformed):
            return
        _, _, sequence, timestamp, ssrc = HEADER.unpack_from(octets)
        payload = octets[bounds[0] : bounds[1]]
        if not self._goes_on(ssrc, sequence, timestamp):
            return
        pcm = self._decoder.decode(payload)
        if pcm is None:
            return
        self._expected = (timestamp + self._heard.ticks(payload)) & _WORD
        self._say(self._resampler.convert(pcm), now)

    def _goes_on(self, ssrc: int, sequence: int, timestamp: int) -> bool:
        """Whether a packet is the newest; a gap before it becomes one of ours."""
        if ssrc == self._source:
            ahead = sequences_ahead(sequence, self._newest)
            if -_LONGEST_GAP < ahead <= 0:
                return False
            if 0 < ahead < _LONGEST_GAP:
                self._sequence += ahead - 1
                gap = timestamps_ahead(timestamp, self._expected)
                self._timestamp += max(0, gap) * self._said.clock_rate // self._heard.clock_rate
        self._source, self._newest = ssrc, sequence
        return True

    def _say(self, pcm: Pcm, now: float) -> None:
        waiting = np.concatenate((self._waiting, pcm.samples))
        while len(waiting) >= self._frame:
            frame, waiting = waiting[: self._frame], waiting[self._frame :]
            payload = self._encoder.encode(Pcm(rate=pcm.rate, samples=frame))
            head = HEADER.pack(
                0x80, 0, self._sequence & 0xFFFF, self._timestamp & _WORD, self._ssrc
            )
            self._outlet.relay(self._payload_type, head + payload, now)
            self._sequence += 1
            self._timestamp += self._ticks
        self._waiting = waiting


def between(
    heard: Codec, said: Codec, *, ptime: int, ssrc: int, outlet: Outlet
) -> Transcoder | None:
    """What makes `heard` over to `said`; None if one of them is none of our codecs."""
    from_format = formats.find(heard.name, heard.clock_rate)
    to_format = formats.find(said.name, said.clock_rate)
    if from_format is None or to_format is None or formats.CN in (from_format, to_format):
        return None
    length = max((each for each in to_format.ptimes if each <= ptime), default=to_format.ptimes[0])
    return Transcoder(
        from_format,
        to_format,
        payload_type=said.payload_type,
        ptime=length,
        ssrc=ssrc,
        outlet=outlet,
    )


class DigitTranslator:
    """Digits as events from one clock to another, packet by packet, for one direction.

    `clock_rate` is that of the events that come in, in Hz; `said` the telephone-event of whoever
    hears them; `ssrc` as for `Transcoder`.
    """

    def __init__(self, clock_rate: int, said: Codec, *, ssrc: int, outlet: Outlet) -> None:
        self._from, self._to = clock_rate, said.clock_rate
        self._payload_type = said.payload_type
        self._ssrc = ssrc
        self._outlet = outlet

    def __call__(self, octets: bytes, now: float) -> None:
        """Take a packet of the payload type telephone-event."""
        bounds = payload_bounds(octets)
        if isinstance(bounds, Malformed) or bounds[1] - bounds[0] < _DIGIT.size:
            return
        _, second, sequence, timestamp, _ = HEADER.unpack_from(octets)
        code, flags, units = _DIGIT.unpack_from(octets, bounds[0])
        digit = _DIGIT.pack(code, flags, min(_LONGEST_DIGIT, self._scaled(units)))
        head = HEADER.pack(0x80, second, sequence, self._scaled(timestamp) & _WORD, self._ssrc)
        self._outlet.relay(self._payload_type, head + digit, now)

    def _scaled(self, units: int) -> int:
        return units * self._to // self._from
