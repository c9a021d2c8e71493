"""A conference's media: who hears whom, as a graph of its own beside those of the calls in it.

A seat is a node for one who is in: a guest, where their call is in the same worker, else a hop's
leg. Who waits or is on hold hears what their own call plays, and the room does not hear them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.calls.conference import Conference, Ear
from gateway.media.graph import BUFFERS, Graph, Guest, Join, Leg, Mixer, Node, Player, Recorder

__all__ = ["MIXER", "Seat", "graph_of", "seats_of"]

MIXER: Final = "room"


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody at the node `id`; `is_heard` by all, or by the node `only` if that is not "".

    `buffer` is for how many seconds their packets may be waited for.
    """

    id: str
    is_heard: bool = True
    only: str = ""
    buffer: float = BUFFERS["large"]


def seats_of(conference: Conference, nodes: Mapping[str, str]) -> tuple[Seat, ...]:
    """Who takes part now, of those that have a node in `nodes`, by the SIDs of their calls.

    A coach whom nobody is there to hear is heard by nobody.
    """
    talking = [
        person
        for person in conference.people
        if person.call_sid in nodes and conference.ear(person) is Ear.ROOM
    ]
    there = {person.call_sid: nodes[person.call_sid] for person in talking}
    return tuple(
        Seat(
            id=nodes[person.call_sid],
            is_heard=not person.muted and (not person.coached or person.coached in there),
            only=there.get(person.coached, ""),
            buffer=BUFFERS[person.buffer.value],
        )
        for person in talking
    )


def graph_of(
    call: str,
    version: int,
    *,
    mixer: Mixer,
    places: Iterable[Leg | Guest],
    seats: Sequence[Seat],
    players: Iterable[Player] = (),
    recorders: Iterable[Recorder] = (),
) -> Graph:
    """The graph of a room; `places` are the nodes of all who are in, `players` all hear."""
    sounds = tuple(players)
    nodes: tuple[Node, ...] = (mixer, *places, *sounds, *recorders)
    known = {each.id for each in nodes}
    joins: list[Join] = []
    for seat in seats:
        if seat.id in known:
            joins.append(Join(source=mixer.id, hearer=seat.id))
        if seat.id in known and seat.is_heard and (not seat.only or seat.only in known):
            joins.append(Join(source=seat.id, hearer=mixer.id, only=seat.only, buffer=seat.buffer))
    joins += [Join(source=each.id, hearer=mixer.id) for each in sounds]
    return Graph(call=call, version=version, nodes=nodes, joins=tuple(joins))
