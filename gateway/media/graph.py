"""What the media of one call are to be: a graph that signalling writes and a worker makes true.

Nodes are where sound comes from or goes to: a leg, towards one peer, a tone, what plays, mixes
or records. A join says which node hears which. A graph is always whole: a newer version takes the
place of the older one, and the worker does what differs.
"""

from enum import StrEnum
from typing import Final

import msgspec

from protocols.rtp.latch import LatchPolicy
from protocols.rtp.tones import RINGING, Sound
from protocols.sdp.ice import IceSide
from protocols.sdp.media import DtmfMode, Stream

MOST_NODES: Final = 512  # a room has a node for each of its people
MOST_JOINS: Final = 2048


class WebRtc(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """That a leg is spoken with over ICE and DTLS (WebRTC), and what is known of that.

    `is_offerer` says that the first offer was ours: then we control ICE. `remote` is the peer's
    side once it is known; its description says no address that is used. `restarts` counts how
    often ICE began anew: with a higher number the leg gets another name and password on the same
    port, waits for a `remote` with others, and goes on under the same DTLS unless that one has
    other fingerprints. What it had holds meanwhile, and for good with the lower number again.
    """

    is_offerer: bool = False
    remote: IceSide | None = None
    restarts: int = 0


class Leg(msgspec.Struct, frozen=True, kw_only=True, tag="leg", gc=False):
    """A peer's media.

    `host` is the IP address of ours on which it is received, `signalling` the one that the peer's
    signalling comes from, `claimed` the host that the peer has for itself, as far as it said so
    before there is a stream, "" if not; all three stay. `stream` is what offer and answer came to,
    None before there is an answer: then the leg has its ports and takes nothing. `offers` counts
    the offers that were answered; with a higher number the peer may latch anew. `dtmf` says how
    its peer presses keys and hears them; where they are in its sound they are listened for while
    somebody who hears it takes them in another way, and always if the leg `listens_for_keys`.
    `silence` is the time in seconds without media after which that is told, 0 for never.
    A leg with `webrtc` has ICE and DTLS in the place of ports, latch and keys. One that `is_hop`
    has another leg of ours for its peer.
    """

    id: str
    host: str
    signalling: str
    claimed: str = ""
    latch: LatchPolicy = LatchPolicy.SIGNALLED
    dtmf: DtmfMode = DtmfMode.RFC4733
    stream: Stream | None = None
    offers: int = 0
    silence: float = 0.0
    listens_for_keys: bool = False
    webrtc: WebRtc | None = None
    is_hop: bool = False


class Tone(msgspec.Struct, frozen=True, kw_only=True, tag="tone"):
    """A sound for whoever hears it, from when it is joined on; it hears nobody."""

    id: str
    sound: Sound


class File(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """A sound in a file: WAV, 16 bits, one channel, at a rate of `protocols/rtp/resample`."""

    path: str


class Silence(msgspec.Struct, frozen=True, kw_only=True, tag="silence"):
    """So many seconds of nothing."""

    seconds: float


class Note(msgspec.Struct, frozen=True, kw_only=True, tag="note"):
    """So many seconds of a tone, such as a beep."""

    sound: Sound
    seconds: float


Clip = File | Silence | Note


class Player(msgspec.Struct, frozen=True, kw_only=True, tag="player"):
    """Clips one after the other, all of them `loop` times, 0 without end, from when it is joined.

    It hears nobody. What it plays never changes: other clips are another player. Its end is told
    by `PlayerEnded`, that of one that is taken away is not.
    """

    id: str
    clips: tuple[Clip, ...]
    loop: int = 1


class Mixer(msgspec.Struct, frozen=True, kw_only=True, tag="mixer"):
    """A room: whoever hears it hears all that it hears but themselves.

    With `tells_speech` it is told who of those that it hears speaks, by `SpeechBegan` and
    `SpeechEnded`.
    """

    id: str
    tells_speech: bool = False


class Track(StrEnum):
    """Which directions of a leg: what its peer says, what its peer hears, or both."""

    BOTH = "both"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Recorder(msgspec.Struct, frozen=True, kw_only=True, tag="recorder"):
    """Writes what passes at the node `of`, a leg or a mixer, to a WAV file, as it comes.

    With two `channels` the first has what a leg's peer says and the second what it hears; a mixer
    has one. Nothing is written while it `is_paused`: with `skips` the time is left out, else it is
    silence. It ends after `silence` seconds in which nobody speaks, and after `limit` seconds
    recorded, 0 for never; with `trims` silence at both ends is cut off then. Its end is told by
    `RecordingEnded`, also when it is taken away. `of`, `path`, `track`, `channels` and `trims`
    stay while it is; the file has 8,000 samples a second, or 16,000 of a leg that speaks a wider
    codec.
    """

    id: str
    of: str
    path: str
    track: Track = Track.BOTH
    channels: int = 1
    is_paused: bool = False
    skips: bool = False
    silence: float = 0.0
    limit: float = 0.0
    trims: bool = False


class Guest(msgspec.Struct, frozen=True, kw_only=True, tag="guest"):
    """A leg of another call in the same worker, lent to this graph: joins name it by `id`.

    While its call says nothing of whom it hears it hears what this graph says. It is silent while
    there is no such leg.
    """

    id: str
    call: str
    leg: str


Node = Leg | Tone | Player | Mixer | Recorder | Guest


def ringing(id: str, country: str = "us") -> Tone:
    """What a caller hears while the other end rings, as in one of `tones.RINGING`.

    A country that is not there rings as the first of them all, the USA.
    """
    return Tone(id=id, sound=RINGING.get(country.lower(), RINGING["us"]))


BUFFERS: Final = {"off": 0.02, "small": 0.06, "medium": 0.15, "large": 0.3}
"""How long packets may wait for late ones in a room, in seconds, by the sizes that TwiML knows."""
_LONGEST_BUFFER: Final = 1.0


class Join(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The node `hearer` gets what comes from the node `source`.

    If the hearer is a mixer, `only` may name the one of its hearers to whom it passes this on;
    while that one doesn't hear it, nobody does. `buffer` is for how many seconds a packet of a leg
    waits at most to be mixed: it waits no longer than its path makes it, and what comes later is
    lost.
    """

    source: str
    hearer: str
    only: str = ""
    buffer: float = BUFFERS["large"]


class Graph(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call's media in its version `version`, which begins at 1 and goes up."""

    call: str
    version: int
    nodes: tuple[Node, ...] = ()
    joins: tuple[Join, ...] = ()


def both_ways(one: str, other: str) -> tuple[Join, Join]:
    """Two nodes that hear each other."""
    return Join(source=one, hearer=other), Join(source=other, hearer=one)


_LEGS: Final = (Leg, Guest)
_SPEAKING: Final = (*_LEGS, Tone, Player)
_HEARS: Final[dict[type[Node], tuple[type[Node], ...]]] = {
    Leg: (*_SPEAKING, Mixer),
    Guest: (*_SPEAKING, Mixer),
    Mixer: _SPEAKING,
}
"""Whom a node of a kind may hear; who is not here hears nobody."""


def fault(graph: Graph) -> str | None:
    """Why a graph can't be made true, whatever the worker has; None if it can."""
    if len(graph.nodes) > MOST_NODES or len(graph.joins) > MOST_JOINS:
        return f"a graph has at most {MOST_NODES} nodes and {MOST_JOINS} joins"
    kinds = {each.id: type(each) for each in graph.nodes}
    if len(kinds) < len(graph.nodes):
        return "two nodes have the same id"
    found = set(kinds.values())
    return (
        (_fault_of_joins(graph.joins, kinds) if graph.joins else None)
        or (_fault_of_guests(graph) if Guest in found else None)
        or (_fault_of_recorders(graph, kinds) if Recorder in found else None)
    )


def _fault_of_joins(joins: tuple[Join, ...], kinds: dict[str, type[Node]]) -> str | None:
    for join in joins:
        reason = _fault_of_join(join, kinds)
        if reason is not None:
            return reason
    if len({(each.source, each.hearer) for each in joins}) < len(joins):
        return "a node hears another one twice"
    hearers = [each.hearer for each in joins if kinds[each.hearer] is not Mixer]
    if len(set(hearers)) < len(hearers):
        return "a leg hears one other; to hear more of them takes a node that mixes"
    return None


def _fault_of_join(join: Join, kinds: dict[str, type[Node]]) -> str | None:
    source, hearer = kinds.get(join.source), kinds.get(join.hearer)
    if source is None or hearer is None:
        return f"no node for the join of {join.source} and {join.hearer}"
    if hearer not in _HEARS:
        return f"{join.hearer} is a {hearer.__name__.lower()}, which hears nobody"
    if source not in _HEARS[hearer]:
        return f"{join.hearer} can't hear {join.source}"
    if not 0 <= join.buffer <= _LONGEST_BUFFER:  # nor what is no number
        return f"{join.hearer} can't wait {join.buffer} s for {join.source}"
    if join.only and (hearer is not Mixer or kinds.get(join.only) not in _LEGS):
        return f"{join.hearer} can't pass {join.source} on to {join.only} alone"
    return None


def _fault_of_guests(graph: Graph) -> str | None:
    guests = [each for each in graph.nodes if isinstance(each, Guest)]
    if any(each.call == graph.call for each in guests):
        return "a call can't be its own guest"
    if len({(each.call, each.leg) for each in guests}) < len(guests):
        return "two guests are the same leg"
    return None


def _fault_of_recorders(graph: Graph, kinds: dict[str, type[Node]]) -> str | None:
    for each in graph.nodes:
        if not isinstance(each, Recorder):
            continue
        of = kinds.get(each.of)
        if of not in (Leg, Mixer):
            return f"{each.id} records {each.of}, which is no leg of the call and no mixer"
        if of is Mixer and each.channels != 1:
            return f"{each.id} has {each.channels} channels of a mixer, which has one"
    return None
