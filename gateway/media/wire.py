"""What goes over the local socket between the plane and a worker: commands, and what happened.

A frame is the length of what follows in four octets, big-endian, and a value in MessagePack.
Audio never goes this way.
"""

from typing import Final

import msgspec

from gateway.media.graph import Graph
from protocols.rtp.dtmf import DURATION
from protocols.rtp.quality import StreamQuality
from protocols.sdp.ice import IceSide

LARGEST: Final = 1 << 20  # octets of a frame
_LENGTH: Final = 4

Address = tuple[str, int]


class WireError(Exception):
    """The other side of the local socket writes what is no frame."""


# Commands


class SetUp(msgspec.Struct, frozen=True, kw_only=True, tag="set-up"):
    """The first frame to a worker: its ports, `first` to `last`, and how many calls it takes.

    `cname` is its name in RTCP (RFC 7022). `advertised` is how browsers reach its address, "" as it
    is, and `set_ups` how many of them it takes up in a second.
    """

    first: int
    last: int
    calls: int
    cname: str
    advertised: str = ""
    set_ups: int = 20


class Apply(msgspec.Struct, frozen=True, kw_only=True, tag="apply", gc=False):
    """Make this graph true; `Applied` or `Refused` answers."""

    graph: Graph


class Press(msgspec.Struct, frozen=True, kw_only=True, tag="press"):
    """Press keys towards a leg's peer, after those that are under way.

    `Pressed` answers each, when the last of all of them is pressed.

    `digits` are 0-9, *, #, A-D, w for half a second's pause and W for a second's. Each is pressed
    for `duration` seconds, within reason.
    """

    call: str
    leg: str
    digits: str
    duration: float = DURATION


class Measure(msgspec.Struct, frozen=True, kw_only=True, tag="measure"):
    """Tell how the legs of a call are: `Measured` for each."""

    call: str


class End(msgspec.Struct, frozen=True, kw_only=True, tag="end", gc=False):
    """Release all that a call has: `LegClosed` for each leg, `RecordingEnded` for each recorder
    that had not ended, then `Ended`.
    """

    call: str


Command = SetUp | Apply | Press | Measure | End


# Answers


class Place(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a leg receives: RTP at `address`, RTCP at the same host's port `control`.

    A leg over WebRTC has its side of `ice` besides, with all its candidates.
    """

    address: Address
    control: int
    ice: IceSide | None = None


class Applied(msgspec.Struct, frozen=True, kw_only=True, tag="applied", gc=False):
    """A graph is true; `places` has each leg by its id."""

    call: str
    version: int
    places: dict[str, Place]


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """A graph was not made true, the one before it holds.

    `is_full` says that there is no room, which another worker or a later time may have.
    """

    call: str
    version: int
    reason: str
    is_full: bool = False


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended", gc=False):
    """Nothing of a call is left."""

    call: str


# What happened


class Readings(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a leg's two directions are.

    `received` is what we counted, `sent` what the peer last reported beside our own counts.
    `round_trip` is in seconds, None if none was seen. `dropped` counts packets that were not the
    peer's or could not be used, by the reason.
    """

    received: StreamQuality
    sent: StreamQuality
    round_trip: float | None
    dropped: dict[str, int]


class Latched(msgspec.Struct, frozen=True, kw_only=True, tag="latched"):
    """A leg's media comes from `source` and goes there."""

    call: str
    leg: str
    source: Address


class FellSilent(msgspec.Struct, frozen=True, kw_only=True, tag="fell-silent"):
    """Nothing came on a leg for as long as its bound is."""

    call: str
    leg: str


class PathLost(msgspec.Struct, frozen=True, kw_only=True, tag="path-lost"):
    """Nothing comes on a leg with `webrtc` and nothing goes, until there is a path again.

    `cause` is "unreachable" when no path was found or the peer is silent on it, which a restart
    of ICE may mend; "refused" when the handshake of DTLS failed; "closed" when the peer ended it.
    `reason` says it to a person. That there is a path is told by `Latched`.
    """

    call: str
    leg: str
    cause: str
    reason: str


class Resumed(msgspec.Struct, frozen=True, kw_only=True, tag="resumed"):
    """Media came again after `FellSilent`; `silence` is in seconds."""

    call: str
    leg: str
    silence: float


class DigitPressed(msgspec.Struct, frozen=True, kw_only=True, tag="digit-pressed"):
    """A peer pressed a key and let it go after `duration` seconds."""

    call: str
    leg: str
    digit: str
    duration: float


class Pressed(msgspec.Struct, frozen=True, kw_only=True, tag="pressed"):
    """All keys that were to be pressed on a leg are; `fault` says why they are not, if so."""

    call: str
    leg: str
    fault: str = ""


class PlayerEnded(msgspec.Struct, frozen=True, kw_only=True, tag="player-ended"):
    """A player has played all that it had; `fault` says why it could not, if so."""

    call: str
    player: str
    fault: str = ""


class SpeechBegan(msgspec.Struct, frozen=True, kw_only=True, tag="speech-began"):
    """A node that a mixer hears speaks."""

    call: str
    node: str


class SpeechEnded(msgspec.Struct, frozen=True, kw_only=True, tag="speech-ended"):
    """It speaks no more."""

    call: str
    node: str


class RecordingEnded(msgspec.Struct, frozen=True, kw_only=True, tag="recording-ended"):
    """A recorder's file is closed, with `seconds` of sound in it.

    `cause` is "silence", "limit", "removed" or "fault", if the file could not be written on;
    `fault` says why it is not whole, if so.
    `spoke` is whether anybody was heard at all.
    """

    call: str
    recorder: str
    seconds: float
    cause: str
    spoke: bool
    fault: str = ""


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """How a leg is so far."""

    call: str
    leg: str
    readings: Readings


class LegClosed(msgspec.Struct, frozen=True, kw_only=True, tag="leg-closed", gc=False):
    """A leg's ports are released; `readings` is what it came to."""

    call: str
    leg: str
    readings: Readings


Told = (
    Latched
    | FellSilent
    | PathLost
    | Resumed
    | DigitPressed
    | Pressed
    | PlayerEnded
    | SpeechBegan
    | SpeechEnded
    | RecordingEnded
    | Measured
    | LegClosed
)
Answer = Applied | Refused | Ended
Report = Answer | Told

_COMMANDS: Final = msgspec.msgpack.Decoder(Command)
_REPORTS: Final = msgspec.msgpack.Decoder(Report)
_ENCODER: Final = msgspec.msgpack.Encoder()


def write(value: Command | Report) -> bytes:
    """A frame."""
    octets = _ENCODER.encode(value)
    return len(octets).to_bytes(_LENGTH, "big") + octets


class _Frames:
    """The octets of frames out of a stream, however it is cut."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, octets: bytes) -> list[bytes]:
        octets = self._rest + octets
        found, at = [], 0
        while len(octets) - at >= _LENGTH:
            begin = at + _LENGTH
            end = begin + int.from_bytes(octets[at:begin], "big")
            if end - at > LARGEST:
                raise WireError(f"a frame of {end - at} octets")
            if len(octets) < end:
                break
            found.append(octets[begin:end])
            at = end
        self._rest = octets[at:]
        return found


class CommandReader:
    """Commands out of a stream of octets; `WireError` for what is none."""

    def __init__(self) -> None:
        self._frames = _Frames()

    def read(self, octets: bytes) -> list[Command]:
        """The commands that are complete with `octets`."""
        try:
            return [_COMMANDS.decode(each) for each in self._frames.take(octets)]
        except msgspec.DecodeError as error:
            raise WireError(str(error)) from error


class ReportReader:
    """The same for what a worker says."""

    def __init__(self) -> None:
        self._frames = _Frames()

    def read(self, octets: bytes) -> list[Report]:
        """The reports that are complete with `octets`."""
        try:
            return [_REPORTS.decode(each) for each in self._frames.take(octets)]
        except msgspec.DecodeError as error:
            raise WireError(str(error)) from error
