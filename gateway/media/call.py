"""One call in a worker: its nodes at work, as its newest graph has them."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from gateway.media import graph
from gateway.media.leg import Leg
from gateway.media.mixer import Mixer
from gateway.media.node import Sounding, Tools
from gateway.media.player import Playing
from gateway.media.recorder import Recording
from gateway.media.shelf import Kind, Shelf
from gateway.media.speaker import Toned
from protocols.rtp.endpoint import PortPair


class Kinds(msgspec.Struct, frozen=True, kw_only=True):
    """How nodes are made that are no legs, the same for all calls of a worker."""

    tones: Kind[graph.Tone, Toned] = Kind(
        node=graph.Tone, make=lambda call, node, now: Toned(sound=node.sound)
    )
    players: Kind[graph.Player, Playing]
    mixers: Kind[graph.Mixer, Mixer]
    recorders: Kind[graph.Recorder, Recording]


class Call:
    """The call `name` and the `version` of its graph that is true; none is before the first."""

    def __init__(self, name: str, kinds: Kinds, tools: Tools) -> None:
        self.name: Final = name
        self.version = 0
        self.legs: dict[str, Leg] = {}
        self.guests: dict[str, graph.Guest] = {}
        self.joins: tuple[graph.Join, ...] = ()
        self._others: list[graph.Node] = []  # besides legs
        self._tools = tools
        self._tones = Shelf(kinds.tones, name)
        self._players = Shelf(kinds.players, name)
        self._mixers = Shelf(kinds.mixers, name)
        self._recorders = Shelf(kinds.recorders, name)
        self._shelves = (self._tones, self._players, self._mixers, self._recorders)

    def sound(self, name: str) -> Sounding | None:
        """A node that makes its sound itself."""
        return self._tones.at_work.get(name) or self._players.at_work.get(name)

    @property
    def mixers(self) -> Mapping[str, Mixer]:
        """The rooms, by their ids."""
        return self._mixers.at_work

    @property
    def recordings(self) -> Iterable[Recording]:
        """What is recorded of it."""
        return self._recorders.at_work.values()

    @property
    def is_mute(self) -> bool:
        """Whether it has ports and nothing else yet: nobody hears anything."""
        return (
            not self.joins
            and not self._others
            and all(leg.stream is None for leg in self.legs.values())
        )

    def change(self, wanted: graph.Graph, fresh: Mapping[str, PortPair], now: float) -> None:
        """Have the nodes of a newer graph, with ports for legs that are new; joins come after."""
        legs = {each.id: each for each in wanted.nodes if isinstance(each, graph.Leg)}
        for name in [name for name in self.legs if name not in legs]:
            self.legs.pop(name).close(now)
        for name, node in legs.items():
            if name in fresh:
                self.legs[name] = Leg(self.name, node, fresh[name], self._tools, now)
            self.legs[name].update(node, now)
        if self._others or len(legs) < len(wanted.nodes):
            self._keep([each for each in wanted.nodes if not isinstance(each, graph.Leg)], now)
        self.joins = wanted.joins
        self.version = wanted.version

    def _keep(self, others: list[graph.Node], now: float) -> None:
        """Have these besides the legs."""
        self._others = others
        for shelf in self._shelves:
            shelf.keep(others, now)
        self.guests = {each.id: each for each in others if isinstance(each, graph.Guest)}

    def close(self, now: float) -> None:
        """Have nothing any more."""
        if self._others:
            self._keep([], now)
        for leg in self.legs.values():
            leg.close(now)
        self.legs.clear()
        self.joins = ()
