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
    """Silence in a codec, while nobody said anything for `patience` seconds.

    With 0 it begins when the last packet is over, and goes on until something else is heard.
    """

    def __init__(
        self,
        codec: Codec,
        payload: bytes,
        *,
        ptime: int,
        ssrc: int,
        outlet: Outlet,
        now: float,
        patience: float = 0.0,
    ) -> None:
        super().__init__(codec, ptime=ptime, ssrc=ssrc, outlet=outlet)
        self._payload = payload
        self._patience = patience
        self._at = now + patience if patience else outlet.next(now)

    def handle_timer(self, now: float) -> None:
        """See `Speaker`."""
        if self._at <= now and not self._outlet.follows(self._ssrc):
            since = self._outlet.over(now)
            if self._patience and since is not None and since + self._patience > now:
                self._at = since + self._patience
                return
            self._outlet.turn()
        super().handle_timer(now)

    def _next(self, number: int) -> bytes | None:
        return self._payload


def towards(
    stream: Stream, *, ssrc: int, outlet: Outlet, now: float, patience: float = 0.0
) -> Stillness | None:
    """What a peer is to hear that hears nobody; None if it takes nothing, or no sound of ours."""
    codec = stream.codecs[0].sent
    format = format_of(codec)
    if format is None or not stream.direction.sends:
        return None
    ptime = format.ptime(stream.ptime)
    payload = stillness.payload(format, ptime)
    return Stillness(
        codec,
        payload,
        ptime=ptime,
        ssrc=ssrc,
        outlet=outlet,
        now=now,
        patience=patience,
    )
