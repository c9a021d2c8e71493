"""From one codec to another, for two legs that have none in common.

The two laws of G.711 become each other octet by octet, as packets come. Everything else that comes
in goes through a playout of its own: late packets are waited for, lost ones concealed,
and what goes out has a packet's length of its own. While the peer is silent nothing goes out,
unless it says what its silence sounds like. Digits as events go through as they are; where the two
sides count them by different clocks, the durations and timestamps are made over too.
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from struct import Struct
from typing import Final

import numpy as np

from gateway.media.outlet import Outlet
from gateway.media.playout import Playout
from protocols.rtp import codecs, formats, g711
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.errors import LocalProtocolError
from protocols.rtp.jitter import Arrival
from protocols.rtp.packet import HEADER, HEADER_OCTETS, Malformed, payload_bounds
from protocols.rtp.resample import Resampler
from protocols.sdp.formats import PCMA, PCMU, Codec

_WORD: Final = 0xFFFF_FFFF
_DIGIT: Final = Struct(">BBH")  # code, flags with the volume, duration (RFC 4733 §2.3)
_LONGEST_DIGIT: Final = 0xFFFF  # units; a longer one is told as that long
_LATE: Final = 0.2  # seconds; a driver that comes later than that leaves out what it missed
_STILL: Final = 1.0  # seconds without a packet after which nobody has to look
_LOOK: Final = 0.01  # seconds between two looks during a pause
_FEC: Final = ("useinbandfec", "1")
_PLAIN: Final = b"\x80"  # the first octet of a packet with neither CSRCs, extension nor padding
_LAWS: Final = {
    (PCMU.key, PCMA.key): g711.ulaw_to_alaw,
    (PCMA.key, PCMU.key): g711.alaw_to_ulaw,
}
_NOTHING: Final[Samples] = np.zeros(0, dtype=np.int16)


class Transcoder:
    """One direction between two legs, of all codecs of one clock that the hearer does not speak.

    Its driver gives it packets and calls `handle_timer` when `timer` says so. `ssrc` tells its
    packets from others at the outlet; `wake` is called with a time when `timer` came nearer, and
    `late` for each packet that came too late to be heard. With `doubles` the hearer takes FEC
    (RFC 7587 §6.1), and gets it once it loses packets: till then Opus has better uses for its bits.
    """

    def __init__(
        self,
        playout: Playout,
        said: formats.Format,
        *,
        payload_type: int,
        ptime: int,
        ssrc: int,
        outlet: Outlet,
        wake: Callable[[float], None],
        late: Callable[[], None],
        doubles: bool = False,
    ) -> None:
        self._playout = playout
        self._doubled = formats.OPUS_WITH_FEC if doubles else None
        self._encoder = codecs.encoder(said, ptime)
        self._resampler = Resampler(playout.rate, self._encoder.rate)
        self._payload_type = payload_type
        self._outlet = outlet
        self._ssrc = ssrc
        self._wake = wake
        self._late = late
        self._frame = said.samples(ptime)
        self._clock_rate = said.clock_rate
        self._step = ptime / 1000
        self._waiting = _NOTHING
        self._anchor = 0.0  # when the timestamp was 0
        self._sequence = 0
        self._speaks = False
        self._at = inf  # when the next packet is due
        self._heard = -inf

    def push(self, octets: bytes, now: float) -> None:
        """Take a packet of a codec that is heard, or of comfort noise."""
        arrival = self._playout.push(octets, now)
        if arrival is None:
            return
        if arrival is Arrival.LATE:
            self._late()
        self._heard = now
        if self._at == inf:
            self._anchor = self._anchor or now
            self._at = now
            self._wake(now)

    def hush(self, octets: bytes, now: float) -> None:
        """The source says something that does not come this way."""
        self._playout.hush(now)

    def timer(self) -> float:
        """When `handle_timer` wants to be called, at the latest."""
        return self._at

    def handle_timer(self, now: float) -> None:
        """Send what is due by `now`."""
        if now - self._at > _LATE:
            self._at = now
        while self._at <= now:
            if self._fill():
                self._say(now)
                self._at += self._step
            elif now - self._heard > _STILL:
                self._at = inf
            else:
                self._speaks = False
                self._waiting = _NOTHING
                self._at += _LOOK

    def _fill(self) -> bool:
        """Pull until there is a packet; whether there is."""
        rate = self._encoder.rate
        while len(self._waiting) < self._frame:
            pcm = self._playout.pull(self._at + len(self._waiting) / rate)
            if pcm is None:
                return False
            if pcm.rate != self._resampler.from_rate:
                self._resampler = Resampler(pcm.rate, rate)
            self._waiting = np.concatenate((self._waiting, self._resampler.convert(pcm).samples))
        return True

    def _say(self, now: float) -> None:
        if self._doubled is not None and self._outlet.loses:
            self._encoder = codecs.encoder(self._doubled, round(self._step * 1000))
            self._doubled = None
        frame, self._waiting = self._waiting[: self._frame], self._waiting[self._frame :]
        payload = self._encoder.encode(Pcm(rate=self._encoder.rate, samples=frame))
        timestamp = round((self._at - self._anchor) * self._clock_rate) & _WORD
        marker = 0 if self._speaks else 0x80
        head = HEADER.pack(0x80, marker, self._sequence, timestamp, self._ssrc)
        self._outlet.relay(self._payload_type, head + payload, now)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._speaks = True


class Standby:
    """A transcoder that its first packet makes: of what two agree on most is never spoken.

    Pages agree on Opus beside PCMU, and a decoder of Opus for each call would be for nothing.
    """

    def __init__(self, make: Callable[[], Transcoder]) -> None:
        self._make = make
        self._made: Transcoder | None = None

    def push(self, octets: bytes, now: float) -> None:
        """See `Transcoder`."""
        if self._made is None:
            self._made = self._make()
        self._made.push(octets, now)

    def hush(self, octets: bytes, now: float) -> None:
        """See `Transcoder`."""
        if self._made is not None:
            self._made.hush(octets, now)

    def timer(self) -> float:
        """See `Transcoder`."""
        return inf if self._made is None else self._made.timer()

    def handle_timer(self, now: float) -> None:
        """See `Transcoder`."""
        if self._made is not None:
            self._made.handle_timer(now)


def format_of(codec: Codec) -> formats.Format | None:
    """What of ours a codec of SDP is; None if it is none, or no sound by itself."""
    found = formats.find(codec.name, codec.clock_rate)
    return None if found is formats.CN else found


def between(
    heard: Mapping[int, formats.Format],
    said: Codec,
    *,
    noises: Iterable[int],
    ptime: int,
    ssrc: int,
    outlet: Outlet,
    wake: Callable[[float], None],
    late: Callable[[], None],
) -> Transcoder:
    """What makes over payload types of one clock, and comfort noise of that clock, to `said`.

    `said` is a codec that `format_of` knows; its packets are the longest that it has and that are
    not longer than `ptime` milliseconds.
    """
    to_format = format_of(said)
    if to_format is None:
        raise LocalProtocolError(f"{said.name} is no codec of ours")
    clock_rate = next(iter(heard.values())).clock_rate
    return Transcoder(
        Playout(dict(heard), clock_rate=clock_rate, noises=noises, seed=ssrc),
        to_format,
        payload_type=said.payload_type,
        ptime=to_format.ptime(ptime),
        ssrc=ssrc,
        outlet=outlet,
        wake=wake,
        late=late,
        doubles=to_format is formats.OPUS and _FEC in said.params,
    )


class LawTranslator:
    """PCMU as PCMA or the other way round, packet by packet: octets for octets, as a relay does."""

    def __init__(self, convert: Callable[[bytes], bytes], payload_type: int, outlet: Outlet):
        self._convert = convert
        self._payload_type = payload_type
        self._outlet = outlet

    def __call__(self, octets: bytes, now: float) -> None:
        """Take a packet of the law that is heard."""
        bounds = payload_bounds(octets)
        if not isinstance(bounds, Malformed):
            payload = self._convert(octets[bounds[0] : bounds[1]])
            head = _PLAIN + octets[1:HEADER_OCTETS]
            self._outlet.relay(self._payload_type, head + payload, now)


def between_laws(heard: Codec, said: Codec, outlet: Outlet) -> LawTranslator | None:
    """What makes one law of G.711 over to the other; None if these two are not they."""
    convert = _LAWS.get((heard.key, said.key))
    return None if convert is None else LawTranslator(convert, said.payload_type, outlet)


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
