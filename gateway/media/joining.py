"""Who hears whom: what the joins of calls that lend each other legs come to.

Whom a leg hears is said by its own call, or else by one that has it as a guest; who hears it, by
all of them. So calls that share legs are joined together, and anew when one of them changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final

from gateway.media.call import Call
from gateway.media.graph import Join
from gateway.media.leg import Leg
from gateway.media.node import Heard, Listener, Mixing, Seat, Tap, Way
from gateway.media.recorder import Recording
from protocols.sdp.media import Stream

_HOLDING: Final = 0.2  # seconds between two packets of music on hold, at most


class _Room:
    """Who is to hear a mixer, and whom it hears; the legs among those by their names there."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.seats: list[Seat] = []
        self.legs: list[tuple[str, Leg]] = []
        self.taps: list[Tap] = []


class _Ends:
    """Who hears a leg: other legs, and who takes what it says, and what it hears, as packets."""

    def __init__(self) -> None:
        self.hearers: list[Leg] = []
        self.listeners: list[Listener] = []
        self.taps: list[Way] = []


class Joining:
    """The joins of calls that share legs with each other and with no others of all `calls`."""

    def __init__(self, names: Iterable[str], calls: Mapping[str, Call]) -> None:
        self._calls = [calls[name] for name in names if name in calls]
        self._guests = {call.name: dict(_lent(call, calls)) for call in self._calls}
        self._sources: dict[Leg, tuple[Call, Join]] = {}
        self._legs = {leg: _Ends() for call in self._calls for leg in call.legs.values()}
        self._rooms: dict[Mixing, _Room] = {
            mixer: _Room() for call in self._calls for mixer in call.mixers.values()
        }

    def join(self, now: float) -> None:
        """Connect all of them."""
        for call in self._calls:
            self._find_sources(call, call.legs)
        for call in self._calls:
            self._find_sources(call, self._guests[call.name])
        for leg in self._legs:
            self._turn(leg, now)
        for call in self._calls:
            self._fill(call)
            for recording in call.recordings:
                self._record(call, recording)
        for mixer, room in self._rooms.items():
            mixer.connect(room.heard, room.seats, now)
            mixer.tap(room.taps)
            for name, leg in room.legs:
                self._legs[leg].listeners.append(mixer.listener(name))
        for leg, ends in self._legs.items():
            leg.connect(ends.hearers, ends.listeners)
            leg.outlet.tap = _together(ends.taps)

    def _find_sources(self, call: Call, legs: Mapping[str, Leg]) -> None:
        """Have those of these that hear nobody yet hear whom their call says."""
        for join in call.joins:
            leg = legs.get(join.hearer)
            if leg is not None:
                self._sources.setdefault(leg, (call, join))

    def _turn(self, leg: Leg, now: float) -> None:
        """Have a leg hear its source, and the source know of it."""
        found = self._sources.get(leg)
        if found is None:
            leg.hear(None, None, now, patience=0.0)
            return
        call, join = found
        sound, source = call.sound(join.source), self._leg(call, join.source)
        mixer = call.mixers.get(join.source)
        if source is not None:
            self._legs[source].hearers.append(leg)
        if mixer is not None and leg.stream is not None:
            seat = Seat(id=join.hearer, stream=leg.stream, outlet=leg.outlet)
            self._rooms[mixer].seats.append(seat)
        patience = inf if mixer is not None else _patience(source)
        leg.hear(sound or source or mixer, sound, now, patience)

    def _leg(self, call: Call, name: str) -> Leg | None:
        return call.legs.get(name) or self._guests[call.name].get(name)

    def _fill(self, call: Call) -> None:
        """Have the rooms of a call hear whom they are to hear."""
        for join in call.joins:
            mixer = call.mixers.get(join.hearer)
            if mixer is None:
                continue
            room, leg = self._rooms[mixer], self._leg(call, join.source)
            stream = _heard(leg)
            sound = call.sound(join.source)
            if stream is not None or sound is not None:
                heard = Heard(
                    id=join.source,
                    stream=stream,
                    sound=sound,
                    only=join.only,
                    buffer=join.buffer,
                )
                room.heard.append(heard)
            if leg is not None and stream is not None:
                room.legs.append((join.source, leg))

    def _record(self, call: Call, recording: Recording) -> None:
        """Have a recording take what it is of, unless it takes nothing now."""
        leg, mixer = call.legs.get(recording.node.of), call.mixers.get(recording.node.of)
        if mixer is not None:
            recording.begin()
        elif leg is not None and leg.stream is not None:
            recording.tune(leg.stream)
        if not recording.listens:
            return
        inbound, outbound = recording.inbound, recording.outbound
        if mixer is not None:
            self._rooms[mixer].taps.append(recording.room.tap)
        if leg is not None and inbound is not None:
            self._legs[leg].listeners.append(inbound)
        if leg is not None and outbound is not None:
            self._legs[leg].taps.append(outbound.take)


def _heard(leg: Leg | None) -> Stream | None:
    """What a leg says its sound by, if it says anything."""
    stream = leg.stream if leg is not None else None
    return stream if stream is not None and stream.direction.receives else None


def _patience(source: Leg | None) -> float:
    """For how long who hears this leg hears nothing before it hears silence, in seconds.

    Who has us on hold plays music, or says that it will and plays none. All others have their
    pauses for themselves: what is heard in them is told by comfort noise (RFC 3389), or by Opus.
    """
    stream = source.stream if source is not None else None
    if stream is None or not stream.direction.receives:
        return 0.0
    return inf if stream.direction.sends else _HOLDING


def _together(taps: Sequence[Way]) -> Way | None:
    """Several as one, none as None."""
    if len(taps) < 2:
        return taps[0] if taps else None

    def tap(octets: bytes, now: float) -> None:
        for each in taps:
            each(octets, now)

    return tap


def _lent(call: Call, calls: Mapping[str, Call]) -> Iterable[tuple[str, Leg]]:
    """The guests of a call that are there."""
    for name, guest in call.guests.items():
        lender = calls.get(guest.call)
        leg = lender.legs.get(guest.leg) if lender is not None else None
        if leg is not None:
            yield name, leg
