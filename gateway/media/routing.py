"""How what one peer says gets to those who hear it: for each payload type the ways that it goes.

Where a hearer speaks a codec too, packets are passed on as they are. What it does not speak is made
over into the first codec that it does, in a transcoder that stays while both sides do: a graph that
changes elsewhere is not heard.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import Final, Protocol

from gateway.media import transcode
from gateway.media.node import Listener, Way
from gateway.media.outlet import Outlet
from gateway.media.transcode import DigitTranslator, Standby
from protocols.rtp import formats
from protocols.sdp.formats import Codec, is_same
from protocols.sdp.media import Chosen, Stream


class Hearer(Protocol):
    """A leg, as far as what it hears goes."""

    @property
    def stream(self) -> Stream | None:
        """What was agreed on with it."""

    @property
    def outlet(self) -> Outlet:
        """Its way out."""


class _Made:
    """The transcoders from one peer to one hearer, by the payload types that each takes."""

    def __init__(self, by_type: dict[int, Standby]) -> None:
        self.by_type = by_type
        self.hushes = tuple(each.hush for each in dict.fromkeys(by_type.values()))


_NOTHING_MADE: Final = _Made({})


class Routing:
    """One peer's ways; `ways` has them by the payload types that come in.

    `ssrc` gives random numbers of 32 bits, `wake` is called with a time when `timer` came nearer,
    and `late` for each packet that came too late to be heard.
    """

    def __init__(
        self,
        *,
        ssrc: Callable[[], int],
        wake: Callable[[float], None],
        late: Callable[[], None],
    ) -> None:
        self.ways: dict[int, tuple[Way, ...]] = {}
        self._ssrc = ssrc
        self._wake = wake
        self._late = late
        self._transcoders: dict[object, Standby] = {}

    def connect(
        self,
        stream: Stream,
        hearers: Sequence[Hearer],
        press: Way,
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Let these hear what comes as `stream` says; `press` hears its digits in any case."""
        kept, self._transcoders = self._transcoders, {}
        ways: dict[int, list[Way]] = {
            each.received.payload_type: [] for each in (*stream.codecs, *stream.noise)
        }
        for each in stream.events:
            ways[each.received.payload_type] = [press]
        for hearer in hearers:
            theirs = hearer.stream
            if theirs is None:
                continue
            made = self._make_over(stream, theirs, hearer.outlet, kept)
            for each in (*stream.codecs, *stream.noise, *stream.events):
                found = ways[each.received.payload_type]
                found += self._ways(each, stream, theirs, hearer.outlet, made)
        for listener in listeners:
            for each in (*stream.codecs, *stream.noise):
                ways[each.received.payload_type].append(listener.take)
            for each in stream.events:
                ways[each.received.payload_type].append(listener.hush)
        self.ways = {number: tuple(each) for number, each in ways.items()}

    def disconnect(self) -> None:
        """Let nothing in: nothing is agreed on."""
        self.ways = {}
        self._transcoders = {}

    def _ways(
        self, chosen: Chosen, stream: Stream, theirs: Stream, outlet: Outlet, made: _Made
    ) -> Iterable[Way]:
        """How what comes as `chosen` gets to one hearer."""
        spoken = _spoken((*theirs.codecs, *theirs.events, *theirs.noise), chosen.received)
        if spoken is not None:
            return (partial(outlet.relay, spoken.payload_type), *made.hushes)
        if law := _law(chosen, stream, theirs, outlet):
            return (law, *made.hushes)
        transcoder = made.by_type.get(chosen.received.payload_type)
        if transcoder is not None:
            return (transcoder.push,)
        if theirs.events and chosen.received.name.lower() == theirs.events[0].sent.name.lower():
            digits = DigitTranslator(
                chosen.received.clock_rate,
                theirs.events[0].sent,
                ssrc=self._ssrc(),
                outlet=outlet,
            )
            return (digits, *made.hushes)
        return made.hushes

    def _make_over(
        self, stream: Stream, theirs: Stream, outlet: Outlet, kept: dict[object, Standby]
    ) -> _Made:
        """Transcoders for the codecs that a hearer doesn't speak, one for each RTP clock."""
        foreign = [each for each in stream.codecs if not _spoken(theirs.codecs, each.received)]
        if not foreign:
            return _NOTHING_MADE
        said = theirs.codecs[0].sent
        to_format = transcode.format_of(said)
        by_clock: dict[int, dict[int, formats.Format]] = {}
        for each in foreign:
            found = transcode.format_of(each.received)
            if found is None or _law(each, stream, theirs, outlet):
                continue
            heard = by_clock.setdefault(found.clock_rate, {})
            heard[each.received.payload_type] = found
        made: dict[int, Standby] = {}
        for clock_rate, heard in by_clock.items() if to_format is not None else ():
            noises = frozenset(
                each.received.payload_type
                for each in stream.noise
                if each.received.clock_rate == clock_rate
                and not _spoken(theirs.noise, each.received)
            )
            key = (outlet, said, theirs.ptime, noises, *heard.items())
            transcoder = kept.get(key) or self._transcoder(heard, noises, theirs, outlet)
            self._transcoders[key] = transcoder
            made |= dict.fromkeys((*heard, *noises), transcoder)
        return _Made(made)

    def _transcoder(
        self,
        heard: dict[int, formats.Format],
        noises: frozenset[int],
        theirs: Stream,
        outlet: Outlet,
    ) -> Standby:
        make = partial(
            transcode.between,
            heard,
            theirs.codecs[0].sent,
            noises=noises,
            ptime=theirs.ptime,
            ssrc=self._ssrc(),
            outlet=outlet,
            wake=self._wake,
            late=self._late,
        )
        return Standby(make)

    # Time

    def timer(self) -> float:
        """When `handle_timer` wants to be called, at the latest; infinity for never."""
        return min((each.timer() for each in self._transcoders.values()), default=inf)

    def handle_timer(self, now: float) -> None:
        """Play what is due by `now`."""
        for each in self._transcoders.values():
            each.handle_timer(now)


def _law(
    chosen: Chosen, stream: Stream, theirs: Stream, outlet: Outlet
) -> transcode.LawTranslator | None:
    """The other law of G.711, unless the two sides want packets of other lengths."""
    if stream.ptime != theirs.ptime:
        return None
    return transcode.between_laws(chosen.received, theirs.codecs[0].sent, outlet)


def _spoken(theirs: Iterable[Chosen], codec: Codec) -> Codec | None:
    """As what a hearer of these takes a codec, packets as they are; None if it does not."""
    for each in theirs:
        if is_same(codec, each.sent):
            return each.sent
    return None
