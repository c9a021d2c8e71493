"""The join of two calls: a leg of each that is no peer's, with RTP between them on this machine.

The legs of a call stand in one media worker, and two calls may be in different ones. Whoever is
joined across them stays where it is: each call gets a hop, and what the one's party says goes by
the two hops to the other's. So nobody has to be told another port in mid-call, which a peer may
refuse or meet with an offer of its own, and each call goes on to be kept, timed and ended as it
was. It costs one more way through the media plane.
"""

import asyncio
from typing import Final

from gateway.calls.leg import Finished, Gone, Tell
from gateway.calls.media import CallMedia, NoMedia
from gateway.calls.model import CallLeg, Party
from gateway.media import graph
from gateway.media.wire import Place
from protocols.sdp import formats
from protocols.sdp.description import Direction
from protocols.sdp.formats import DYNAMIC
from protocols.sdp.media import Chosen, Stream
from protocols.sip.agent_events import Source

HOST: Final = "127.0.0.1"
"""Workers are processes of this machine."""


class Hop:
    """One end, a `Leg`; `open` joins two of them, and the end of one is the other's."""

    def __init__(self, media: CallMedia, tell: Tell, *, id: str, record: CallLeg) -> None:
        self.id = id
        self.record = record
        self.stream: Stream | None = None
        self._media = media
        self._tell = tell
        self._other: Hop | None = None
        self._is_over = False

    @property
    def is_up(self) -> bool:
        """See `Leg`."""
        return not self._is_over

    @property
    def hears(self) -> bool:
        """See `Leg`."""
        return not self._is_over

    @property
    def codecs(self) -> tuple[str, ...]:
        """See `Leg`."""
        return () if self.stream is None else tuple(each.sent.name for each in self.stream.codecs)

    def ring(self, *, status: int = 180) -> None:
        """See `Leg`: nobody is there to be told."""

    async def answer(self) -> None:
        """See `Leg`: it stands from the beginning."""

    def hang_up(self, status: int, reason: str) -> None:
        """See `Leg`."""
        self._end(Party.GATEWAY, reason)

    def tie(self, other: "Hop") -> None:
        """Let two of them end together, from now on."""
        self._other, other._other = other, self

    async def open(self, heard: Stream, names: tuple[str, ...]) -> None:
        """Open the way to the hop that it is tied to; raises `NoMedia`.

        `heard` is the stream of whom the other's call has, `names` the codecs of whom this one has.
        """
        other = self._other
        if other is None:  # they ended together
            raise _left()
        ours, theirs = await asyncio.gather(self._place(), other._place())
        if self._is_over:
            raise _left()
        codecs = _spoken(heard, names)
        events = tuple(_plain(each) for each in heard.events) or (_events_beside(codecs),)
        self._describe(ours, theirs, codecs, events)
        other._describe(theirs, ours, codecs, events)
        await asyncio.gather(self._media.settled(), other._media.settled())

    async def _place(self) -> Place:
        if self._is_over:
            raise _left()
        leg = graph.Leg(id=self.id, host=HOST, signalling=HOST, is_hop=True)
        return await self._media.place(leg)

    def _describe(
        self, here: Place, there: Place, codecs: tuple[Chosen, ...], events: tuple[Chosen, ...]
    ) -> None:
        self.stream = Stream(
            slot=0,
            local=here.address,
            local_rtcp=(HOST, here.control),
            remote=there.address,
            remote_rtcp=(HOST, there.control),
            is_private=False,
            rtcp_mux=False,
            direction=Direction.SENDRECV,
            codecs=codecs,
            events=events,
        )
        self._media.describe(self.id, self.stream, 1)

    def _end(self, by: Party, reason: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._media.remove(self.id)
        self._tell(self, Gone(by=by, status=0, source=Source.PEER, reason=reason))
        self._tell(self, Finished())
        other, self._other = self._other, None  # they know each other
        if other is not None:
            other._end(Party.PEER, reason)


def _left() -> NoMedia:
    return NoMedia("a party left before it was joined", is_full=False)


def _spoken(heard: Stream, names: tuple[str, ...]) -> tuple[Chosen, ...]:
    """What goes over the hops: what both speak, else what one does, and the other's call makes."""
    known = {name.lower() for name in names}
    both = tuple(each for each in heard.codecs if each.sent.name.lower() in known)
    return tuple(_plain(each) for each in both or heard.codecs[:1])


def _events_beside(codecs: tuple[Chosen, ...]) -> Chosen:
    """Keys go over the hops as events, however the parties press them."""
    taken = {each.sent.payload_type for each in codecs}
    free = next(number for number in DYNAMIC if number not in taken)
    made = formats.events(codecs[0].sent.clock_rate, free)
    return Chosen(sent=made, received=made)


def _plain(chosen: Chosen) -> Chosen:
    return Chosen(sent=chosen.sent, received=chosen.sent)
