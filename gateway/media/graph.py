"""What the media of one call are to be: a graph that signalling writes and a worker makes true.

Nodes are where sound comes from or goes to: a leg, towards one peer, or a tone. What plays files,
records or mixes is a node of another kind. A join says which node hears which. A graph is always
whole: a newer version takes the place of the older one, and the worker does what differs.
"""

from typing import Final

import msgspec

from protocols.rtp.latch import LatchPolicy
from protocols.rtp.tones import RINGING, Sound
from protocols.sdp.media import DtmfMode, Stream

MOST_NODES: Final = 64
MOST_JOINS: Final = 256


class Leg(msgspec.Struct, frozen=True, kw_only=True, tag="leg", gc=False):
    """A peer's media.

    `host` is the IP address of ours on which it is received, `signalling` the one that the peer's
    signalling comes from; both stay while the leg is. `stream` is what offer and answer came to,
    None before there is an answer: then the leg has its ports and takes nothing. `offers` counts
    the offers that were answered; with a higher number the peer may latch anew. `dtmf` says how
    its peer presses keys and hears them. `silence` is the time in seconds without media after
    which that is told, 0 for never.
    """

    id: str
    host: str
    signalling: str
    latch: LatchPolicy = LatchPolicy.SIGNALLED
    dtmf: DtmfMode = DtmfMode.RFC4733
    stream: Stream | None = None
    offers: int = 0
    silence: float = 0.0


class Tone(msgspec.Struct, frozen=True, kw_only=True, tag="tone"):
    """A sound for whoever hears it, from when it is joined on; it hears nobody."""

    id: str
    sound: Sound


Node = Leg | Tone


def ringing(id: str, country: str = "us") -> Tone:
    """What a caller hears while the other end rings, as in one of `tones.RINGING`.

    A country that is not there rings as the first of them all, the USA.
    """
    return Tone(id=id, sound=RINGING.get(country.lower(), RINGING["us"]))


class Join(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The node `hearer` gets what comes from the node `source`."""

    source: str
    hearer: str


class Graph(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call's media in its version `version`, which begins at 1 and goes up."""

    call: str
    version: int
    nodes: tuple[Node, ...] = ()
    joins: tuple[Join, ...] = ()


def both_ways(one: str, other: str) -> tuple[Join, Join]:
    """Two nodes that hear each other."""
    return Join(source=one, hearer=other), Join(source=other, hearer=one)


def fault(graph: Graph) -> str | None:
    """Why a graph can't be made true, whatever the worker has; None if it can."""
    if len(graph.nodes) > MOST_NODES or len(graph.joins) > MOST_JOINS:
        return f"a graph has at most {MOST_NODES} nodes and {MOST_JOINS} joins"
    known = {each.id for each in graph.nodes}
    if len(known) < len(graph.nodes):
        return "two nodes have the same id"
    deaf = {each.id for each in graph.nodes if isinstance(each, Tone)}
    hearers = [each.hearer for each in graph.joins]
    for join in graph.joins:
        if join.source == join.hearer:
            return f"{join.source} is to hear itself"
        if join.source not in known or join.hearer not in known:
            return f"no node for the join of {join.source} and {join.hearer}"
        if join.hearer in deaf:
            return f"{join.hearer} is a tone, which hears nobody"
    if len(set(hearers)) < len(hearers):
        return "a leg hears one other; to hear more of them takes a node that mixes"
    return None
