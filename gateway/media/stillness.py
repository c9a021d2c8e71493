"""What a peer hears while nobody speaks to it: silence, packet by packet, as sound would come.

Who gets no packets takes the call for broken: phones and carriers hang up, browsers warn, and
routers forget the way. So whoever hears neither another leg nor a room hears this between sounds.
"""

from gateway.media.outlet import Outlet
from gateway.media.speaker import Framed
from gateway.media.transcode import format_of
from protocols.rtp import stillness
from protocols.sdp.formats import Codec
from protocols.sdp.media import Stream


class Stillness(Framed):
    """Silence in a codec, from when the last packet is over until something else is heard."""

    def __init__(
        self, codec: Codec, payload: bytes, *, ptime: int, ssrc: int, outlet: Outlet, now: float
    ) -> None:
        super().__init__(codec, ptime=ptime, ssrc=ssrc, outlet=outlet)
        self._payload = payload
        self._at = outlet.next(self._step, now)

    def _next(self, number: int) -> bytes | None:
        return self._payload


def towards(stream: Stream, *, ssrc: int, outlet: Outlet, now: float) -> Stillness | None:
    """What a peer is to hear that hears nobody; None if it takes nothing, or no sound of ours."""
    codec = stream.codecs[0].sent
    format = format_of(codec)
    if format is None or not stream.direction.sends:
        return None
    ptime = format.ptime(stream.ptime)
    payload = stillness.payload(format, ptime)
    return Stillness(codec, payload, ptime=ptime, ssrc=ssrc, outlet=outlet, now=now)
