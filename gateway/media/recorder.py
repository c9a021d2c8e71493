"""A recorder at work: what passes at a leg or in a room, written to a file as it comes.

Packets and samples are kept as they come and laid out in time once in a while, all together; so a
recording costs each packet next to nothing. Its time goes by the clock, whatever passes.
"""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final

import msgspec

from gateway.media import graph, wire
from gateway.media.footage import FRAMES, Footage, mixed
from gateway.media.graph import Track as Direction
from gateway.media.node import Tools
from gateway.media.track import Track
from gateway.media.transcode import format_of
from gateway.media.wav import Disk, WavFile
from protocols.rtp.audio import Samples
from protocols.rtp.formats import Format
from protocols.sdp.formats import Codec
from protocols.sdp.media import Stream

NARROW: Final = 8000  # samples a second of a file
WIDE: Final = 16_000  # the same where a leg speaks more than telephones do
PERIOD: Final = 0.8  # seconds after which is written what came
SOON: Final = 0.2  # the same where somebody waits for silence, and where decoding takes long
HELD: Final = 0.2  # seconds for which late packets are waited for
STUCK: Final = "the disk does not answer"
PATIENCE: Final = 5.0  # seconds that it has
_LOOK: Final = 0.02  # seconds between two looks whether a file is closed
_ROUNDED: Final = 1e-6  # of a frame


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of ends: `over` that a recording takes nothing more, `gone` that it was told."""

    over: Callable[["Recording"], None]
    gone: Callable[["Recording"], None]


class Recording:
    """See the module."""

    def __init__(
        self, call: str, node: graph.Recorder, tools: Tools, disk: Disk, ends: Ends, now: float
    ) -> None:
        self.due = inf
        self.call: Final = call
        self.node = node
        self._tools = tools
        self._disk = disk
        self._ends = ends
        self._origin = now  # when it would have begun if no pauses were left out
        self._paused_at = now
        self._inbound, self._outbound = Track(NARROW, now), Track(NARROW, now)
        self._tracks: tuple[Track, ...] = ()
        self._stream: Stream | None = None
        self._footage: Footage | None = None
        self._period = SOON if node.silence else PERIOD
        self._next = now + self._period * (1 + tools.chance())  # not all at one time
        self._ended: wire.RecordingEnded | None = None
        self.ended_at = inf
        self._defect = ""
        tools.wake(self, self._next)

    # What it hears

    @property
    def listens(self) -> bool:
        """Whether it takes anything now."""
        return self._ended is None and not self.node.is_paused

    @property
    def inbound(self) -> Track | None:
        """What takes what a leg's peer says."""
        return self._inbound if self.node.track is not Direction.OUTBOUND else None

    @property
    def outbound(self) -> Track | None:
        """What takes what a leg's peer hears."""
        return self._outbound if self.node.track is not Direction.INBOUND else None

    @property
    def room(self) -> Track:
        """What takes what is said in a room."""
        return self._inbound

    def begin(self) -> None:
        """It is of a room."""
        if self._ended is None:
            self._begin(NARROW)

    def tune(self, stream: Stream) -> None:
        """The leg speaks so from now on."""
        if self._ended is not None or stream == self._stream:
            return
        self._stream = stream
        first = format_of(stream.codecs[0].received)
        is_wide = first is not None and first.sample_rate > NARROW
        self._begin(WIDE if is_wide else NARROW)
        self._inbound.speak(_formats(each.received for each in stream.codecs))
        self._outbound.speak(_formats(each.sent for each in stream.codecs))

    def _begin(self, rate: int) -> Footage:
        """Have a file, at a rate that stays."""
        if self._footage is not None:
            return self._footage
        if rate == WIDE:
            self._period = SOON
        node = self.node
        self._inbound, self._outbound = Track(rate, self._origin), Track(rate, self._origin)
        self._tracks = tuple(each for each in (self.inbound, self.outbound) if each is not None)
        file = WavFile(node.path, rate=rate, channels=node.channels, disk=self._disk)
        self._footage = Footage(file, rate=rate, trims=node.trims)
        return self._footage

    def become(self, node: graph.Recorder, now: float) -> None:
        """Pause or go on, and end otherwise; what it is of and where it writes stays."""
        before, self.node = self.node, node
        if self._ended is not None or node.is_paused == before.is_paused:
            return
        if node.is_paused:
            self._write(now)
            self._paused_at = now
        elif before.skips:
            self._origin += now - self._paused_at
            for each in (self._inbound, self._outbound):
                each.begin(self._origin)
        self._tools.wake(self, now + self._period)

    # Time

    @property
    def _stands(self) -> bool:
        return self.node.is_paused and self.node.skips

    def timer(self, now: float) -> float:
        """See `node.Timed`."""
        if self._ended is not None:
            return inf if self._footage is None else now + _LOOK
        if self._stands:
            return inf
        ends = self._origin + self.node.limit + HELD if self.node.limit else inf
        return min(self._next, ends)

    def handle_timer(self, now: float) -> None:
        """See `node.Timed`."""
        if self._ended is not None:
            self._look(now)
            return
        if self._stands:
            return
        self._next = now + self._period
        footage = self._write(now - HELD)
        cause = self._cause(footage)
        if cause:
            self._end(cause, now)
            self._ends.over(self)

    def _cause(self, footage: Footage) -> str:
        node = self.node
        if footage.file.is_broken or self._defect:
            return "fault"
        if node.limit and footage.frames >= _frames(node.limit):
            return "limit"
        if node.silence and footage.quiet >= _frames(node.silence):
            return "silence"
        return ""

    def _write(self, until: float) -> Footage:
        """Write all from before this time, no more than the limit allows."""
        footage = self._begin(NARROW)
        end = int((until - self._origin) * FRAMES + _ROUNDED)
        if self.node.limit:
            end = min(end, _frames(self.node.limit))
        if end > footage.frames:
            try:
                tracks = [each.read(end * footage.frame) for each in self._tracks]
                footage.add(self._channels(tracks))
            except Exception as error:  # a defect of ours costs this recording, and no call
                self._defect = f"the recording broke: {error!r}"
        return footage

    def _channels(self, tracks: Sequence[Samples]) -> Sequence[Samples]:
        if self.node.channels == 1:
            return (mixed(tracks),)
        if len(tracks) == 1:
            silent = 0 * tracks[0]
            return (tracks[0], silent) if self.inbound is not None else (silent, tracks[0])
        return tracks

    # Its end

    def close(self, now: float) -> None:
        """It was taken away: what came until now is the whole."""
        if self._ended is None:
            if not self._stands:
                self._write(now)
            self._end("removed", now)

    def _end(self, cause: str, now: float) -> None:
        footage = self._begin(NARROW)
        seconds = footage.close()
        self._ended = wire.RecordingEnded(
            call=self.call,
            recorder=self.node.id,
            seconds=seconds,
            cause=cause,
            spoke=footage.spoke,
        )
        self.ended_at = now
        self._tracks = ()
        self._look(now)
        self._tools.wake(self, self.timer(now))

    def _look(self, now: float) -> None:
        """Tell the end when the file is closed."""
        footage, ended = self._footage, self._ended
        if footage is None or ended is None:
            return
        fault = footage.file.fault or self._defect
        if not footage.file.is_closed:
            if now < self.ended_at + PATIENCE:
                return
            fault = fault or STUCK
        self._footage = None
        self._tools.tell(msgspec.structs.replace(ended, fault=fault))
        self._ends.gone(self)


def _frames(seconds: float) -> int:
    return round(seconds * FRAMES)


def _formats(codecs: Iterable[Codec]) -> dict[int, Format]:
    """Those of ours, by their payload types."""
    found = ((each.payload_type, format_of(each)) for each in codecs)
    return {number: format for number, format in found if format is not None}
