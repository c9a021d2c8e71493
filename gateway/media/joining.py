"""Who hears whom: what the joins of calls that lend each other legs come to.

Whom a leg hears is said by its own call, or else by one that has it as a guest; who hears it, by
all of them. So calls that share legs are joined together, and anew when one of them changes.
"""

from collections.abc import Iterable, Mapping

from gateway.media.call import Call
from gateway.media.graph import Join
from gateway.media.leg import Leg
from gateway.media.node import Heard, Listener, Seat


class Joining:
    """The joins of calls that share legs with each other and with no others of all `calls`."""

    def __init__(self, names: Iterable[str], calls: Mapping[str, Call]) -> None:
        self._calls = [calls[name] for name in names if name in calls]
        self._guests = {call.name: dict(_lent(call, calls)) for call in self._calls}
        self._sources: dict[Leg, tuple[Call, Join]] = {}
        self._hearers: dict[Leg, list[Leg]] = {}
        self._listeners: dict[Leg, list[Listener]] = {}

    def join(self, now: float) -> None:
        """Connect all of them."""
        for call in self._calls:
            self._find_sources(call, call.legs)
        for call in self._calls:
            self._find_sources(call, self._guests[call.name])
        legs = [leg for call in self._calls for leg in call.legs.values()]
        for leg in legs:
            self._turn(leg, now)
        for call in self._calls:
            self._fill_rooms(call, now)
        for leg in legs:
            leg.connect(self._hearers.get(leg, ()), self._listeners.get(leg, ()))

    def _find_sources(self, call: Call, legs: Mapping[str, Leg]) -> None:
        """Have those of these that hear nobody yet hear whom their call says."""
        for join in call.joins:
            leg = legs.get(join.hearer)
            if leg is not None:
                self._sources.setdefault(leg, (call, join))

    def _turn(self, leg: Leg, now: float) -> None:
        found = self._sources.get(leg)
        if found is None:
            leg.hear(None, None, now)
            return
        call, join = found
        sound, source = call.sound(join.source), self._leg(call, join.source)
        if source is not None:
            self._hearers.setdefault(source, []).append(leg)
        leg.hear(call.mixers.get(join.source) or sound or source, sound, now)

    def _fill_rooms(self, call: Call, now: float) -> None:
        """Have each mixer of a call hear, and be heard by, whom it is to."""
        for name, mixer in call.mixers.items():
            heard: list[Heard] = []
            legs: list[tuple[str, Leg]] = []
            for join in call.joins:
                if join.hearer != name:
                    continue
                leg, sound = self._leg(call, join.source), call.sound(join.source)
                if sound is not None:
                    heard.append(Heard(id=join.source, sound=sound, only=join.only))
                elif leg is not None:
                    heard.append(Heard(id=join.source, stream=leg.stream, only=join.only))
                    legs.append((join.source, leg))
            mixer.connect(heard, list(self._seats(call, name)), now)
            for source, leg in legs:
                self._listeners.setdefault(leg, []).append(mixer.listener(source))

    def _seats(self, call: Call, name: str) -> Iterable[Seat]:
        """The legs that hear a mixer: a guest may hear what its own call says instead."""
        for leg, (said_by, join) in self._sources.items():
            if said_by is call and join.source == name and leg.stream is not None:
                yield Seat(id=join.hearer, stream=leg.stream, outlet=leg.outlet)

    def _leg(self, call: Call, name: str) -> Leg | None:
        return call.legs.get(name) or self._guests[call.name].get(name)


def _lent(call: Call, calls: Mapping[str, Call]) -> Iterable[tuple[str, Leg]]:
    """The guests of a call that are there."""
    for name, guest in call.guests.items():
        lender = calls.get(guest.call)
        leg = lender.legs.get(guest.leg) if lender is not None else None
        if leg is not None:
            yield name, leg
