"""What nodes at work are to each other, whatever their kind: who speaks, who listens, who mixes.

A leg says packets, each to its hearers. A tone and a player make packets for a leg by a speaker of
its own, and samples for a mixer. A mixer takes packets and samples in, and gives packets to the
outlets of those who hear it. Whoever wants the time is woken by it. What a node can do is all that
another one knows of it.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from gateway.media import graph, wire
from gateway.media.outlet import Outlet
from protocols.rtp.audio import Pcm, Samples
from protocols.rtp.endpoint import Reader
from protocols.sdp.media import Stream

Way = Callable[[bytes, float], object]
"""Takes a packet that is a peer's, and the time."""

Tap = Callable[[Pcm, float], None]
"""Takes samples that are heard from a time on."""


class Timed(Protocol):
    """What is told the time; `due` is when it asked to be woken and is its waker's, infinity first.

    It asks by `Tools.wake`, and after each `handle_timer` is asked by `timer`.
    """

    due: float

    def timer(self, now: float) -> float:
        """When `handle_timer` wants to be called, at the latest; infinity for never."""

    def handle_timer(self, now: float) -> None:
        """Do what is due by `now`; harmless when nothing is."""


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What all nodes of a worker share.

    `chance` gives numbers evenly spread over 0 to 1, 1 excluded, and `ssrc` random ones of 32
    bits. `unix` is what a clock on the wall shows, in seconds since 1970, when ours shows 0.
    `tell` takes what happened, `wake` a node that wants `handle_timer` by a time. `advertised` is
    how browsers reach our address, "" as it is.
    """

    reader: Reader
    chance: Callable[[], float]
    ssrc: Callable[[], int]
    unix: float
    cname: str
    tell: Callable[[wire.Told], None]
    wake: Callable[[Timed, float], None]
    advertised: str = ""


class Speaker(Protocol):
    """Something that speaks on a leg."""

    def timer(self) -> float:
        """When `handle_timer` wants to be called; infinity when all is said."""

    def handle_timer(self, now: float) -> None:
        """Send what is due by `now`."""


class Listener(Protocol):
    """Whoever takes what a leg's peer says as packets, in the order in which they come."""

    def take(self, octets: bytes, now: float, /) -> object:
        """A packet of one of the codecs of the leg's stream, or of its comfort noise."""

    def hush(self, octets: bytes, now: float, /) -> object:
        """A packet of another kind, such as a key: the sound that is missing was never said."""


class Pulled(Protocol):
    """Sound whenever some is wanted."""

    def pull(self, count: int) -> Samples | None:
        """The next `count` samples, the last ones filled up with silence; None after the end."""


class Sounding(Protocol):
    """A node that makes its sound itself, a tone or a player."""

    def speaker(self, stream: Stream, *, ssrc: int, outlet: Outlet, now: float) -> Speaker | None:
        """What says it to a peer in the first codec of `stream`; None if that is none of ours."""

    def pcm(self, rate: int, now: float) -> Pulled:
        """The same as samples, `rate` of them a second; one of `protocols/rtp/resample`."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a mixer hears, under the name `id` that its own graph has for it.

    A leg has the `stream` that was agreed on with it, and comes as packets; what makes its sound
    itself is `sound`. With `only`, the node of that name alone hears it in the mix. `buffer` is
    for how many seconds its packets wait at most.
    """

    id: str
    stream: Stream | None = None
    sound: Sounding | None = None
    only: str = ""
    buffer: float = graph.BUFFERS["large"]


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A leg that hears a mixer: packets of the first codec of `stream` go to its `outlet`."""

    id: str
    stream: Stream
    outlet: Outlet


class Mixing(Timed, Protocol):
    """A mixer at work.

    It is made by `Mixer(call, node, tools, now)` with a `graph.Mixer`, and as long as it is in its
    call's graph it is the same one.
    """

    id: str

    def connect(self, heard: Sequence[Heard], seats: Sequence[Seat], now: float) -> None:
        """Hear these and be heard by these from now on, whoever it was before.

        Whoever stays with the same stream and outlet, or sound, goes on without a break. No leg
        is twice among `heard` nor among `seats`; one that is in both doesn't hear itself.
        """

    def listener(self, id: str) -> Listener:
        """Who takes the packets of one of those legs that it hears, until the next `connect`."""

    def tap(self, taps: Sequence[Tap]) -> None:
        """Give all that is heard, of everybody, to these too, from now on; the frames in order.

        It mixes while it has a tap, though nobody sits there; silence need not be given.
        """

    def close(self, now: float) -> None:
        """Be nothing any more: tell nobody, hold nobody."""
