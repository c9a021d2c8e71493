"""Which legs of a graph only pass on to each other what comes: nobody here has to see that."""

from collections.abc import Container, Iterable

from gateway.media.graph import Graph, Leg, Recorder
from protocols.sdp.description import Direction
from protocols.sdp.formats import is_same
from protocols.sdp.media import Chosen, DtmfMode, Stream


def bridges(graph: Graph, able: Container[str]) -> dict[str, str]:
    """By leg, which other one its packets go to and come from, of those that are `able`.

    Two are bridged that hear each other and nobody else, are neither recorded nor listened to for
    keys, and take all that the other may send under the numbers that it has there.
    """
    legs = {each.id: each for each in graph.nodes if isinstance(each, Leg) and each.id in able}
    taped = {each.of for each in graph.nodes if isinstance(each, Recorder)}
    hears: dict[str, list[str]] = {}
    heard_by: dict[str, list[str]] = {}
    for join in graph.joins:
        hears.setdefault(join.hearer, []).append(join.source)
        heard_by.setdefault(join.source, []).append(join.hearer)
    found: dict[str, str] = {}
    for id, leg in legs.items():
        others = hears.get(id, [])
        other = legs.get(others[0]) if len(others) == 1 else None
        if other is None or other is leg or {id, other.id} & taped:
            continue
        alone = hears.get(other.id) == [id] and heard_by[id] == [other.id]
        if alone and heard_by[other.id] == [id] and _passes(leg, other) and _passes(other, leg):
            found[id] = other.id
    return found


def _passes(leg: Leg, other: Leg) -> bool:
    """Whether what the peer of `leg` says gets to that of `other` as it is."""
    ours, theirs = leg.stream, other.stream
    if ours is None or theirs is None or leg.listens_for_keys:
        return False
    if ours.srtp is not None or ours.remote is None or ours.direction is not Direction.SENDRECV:
        return False
    if _sounds_keys(leg, ours) and other.dtmf is DtmfMode.INFO:
        return False
    return (
        _takes(ours.codecs, theirs.codecs)
        and _takes(ours.noise, theirs.noise)
        and _takes(ours.events, theirs.events)
    )


def _takes(said: Iterable[Chosen], heard: Iterable[Chosen]) -> bool:
    return all(
        any(
            is_same(each.received, other.sent)
            and each.received.payload_type == other.sent.payload_type
            for other in heard
        )
        for each in said
    )


def _sounds_keys(leg: Leg, stream: Stream) -> bool:
    if leg.dtmf is DtmfMode.AUTO:
        return not stream.events
    return leg.dtmf is DtmfMode.INBAND
