"""One leg's front: a call of rtpengine's with two sides, the leg's peer and what is within.

The side within is described first, by an offer that makes the port for the peer, and again as
often as it changes; the peer is the answer. Both keep their ports. A side takes packets from where
it is said to be and from nowhere else. Of a peer that has to be learnt rtpengine takes what comes
from anywhere, so nobody is within until something came from its host; from then on it is held to
that address, for good: rtpengine learns no side anew that it was told to hold.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from gateway.media.ng import NgForgotten, NgRefused
from gateway.media.rtpengine import descriptions
from gateway.media.rtpengine.descriptions import Peer
from gateway.media.wire import Address, Place
from protocols.addresses import address_of
from protocols.ng.bencode import Value

INSIDE: Final = "127.0.0.1"
"""Where workers receive what comes from rtpengine."""
_WITHIN: Final = "within"
_PEER: Final = "peer"
_FIXED: Final = "asymmetric"  # nothing is learnt from what comes
_LEARNT: Final = "endpoint-learning-heuristic"  # the host that SDP names goes before others
_KEPT: Final = ("strict source", "port latching")
_SURE: Final = 25  # packets after which a peer is where it says, if it was heard nowhere else
_NOWHERE: Final = Place(address=(INSIDE, descriptions.NOWHERE), control=descriptions.NOWHERE + 1)
_NOBODY: Final = Peer(address=_NOWHERE.address, control=_NOWHERE.control)


class Asks(Protocol):
    """Whoever asks rtpengine: `ng.Ng`, and its errors."""

    async def ask(self, command: str, **fields: Value) -> dict[str, Any]:
        """What it answers."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """How one side is so far: packets and octets that came, and from where, if from anywhere."""

    packets: int = 0
    octets: int = 0
    source: Address | None = None
    ssrc: int | None = None


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What rtpengine says of a front; `ssrcs` is its table of quality by SSRC."""

    peer: Side
    within: Side
    ssrcs: Mapping[str, Any] = {}


class Front:
    """`place` is what the peer is told, `inner` where those within send to, once there is a peer.

    Methods raise `NgAway` and `NgRefused`, `NgForgotten` if rtpengine knows nothing of it any more.
    """

    def __init__(self, ng: Asks, name: str, interfaces: Sequence[str] = ()) -> None:
        self.name: Final = name
        self.place: Place | None = None
        self.inner: Place | None = None
        self.worker: Place | None = None  # the leg's behind it
        self.turns = 0  # how often the worker has had it back
        self.was_bridged = False
        self.peer: Peer | None = None
        self._ng = ng
        self._interfaces = interfaces
        self._learnt: Address | None = None
        self._before: int | None = None  # packets that came before it was listened for the peer
        self._is_held = False  # rtpengine was told to learn nothing of the peer
        self._true: tuple[Place, Peer] | None = None

    @property
    def codec(self) -> str:
        """What the peer says first of all."""
        return self.peer.codecs[0].name if self.peer is not None and self.peer.codecs else ""

    @property
    def is_learning(self) -> bool:
        """Whether where the peer sends from is not known yet, or `aim` has yet to hold it there."""
        if self.peer is None or not self.peer.is_learnt:
            return False
        return self._learnt is None or not self._is_held

    @property
    def _is_unknown(self) -> bool:
        return self.peer is not None and self.peer.is_learnt and self._learnt is None

    async def create(self, host: str) -> None:
        """Have a port for the peer; `host` is the address that it would have in a worker."""
        family = "IP6" if ":" in host else "IP4"
        self.place = await self._offer(_NOBODY, address_family=family)

    def describe(self, peer: Peer) -> None:
        """Say who the peer is, to be made true by `aim`; one that was held is where it says."""
        before, self.peer = self.peer, peer
        is_elsewhere = before is None or before.address != peer.address
        if self._is_held and (is_elsewhere or self._learnt is None):
            self._learnt = peer.address
        elif is_elsewhere:
            self._learnt = None

    async def aim(self, target: Place) -> None:
        """Have the side within be `target`; nothing is asked if all is as it was.

        While the peer is not learnt it is nobody instead. What fails is to be asked again. A look
        that can't be read says only that the peer is not learnt yet.
        """
        assert self.peer is not None, "the front has nobody before it"
        if self._is_unknown and self._true is not None:
            try:
                await self.look()
            except NgForgotten:
                raise
            except NgRefused:
                pass
        peer = self._pinned(self.peer)
        place = _NOWHERE if self._is_unknown else target
        if self._true == (place, peer):
            return
        self._true = self._before = None
        within = Peer(address=place.address, control=place.control, codecs=peer.codecs)
        await self._offer(within)
        flags = [*_KEPT, _LEARNT if peer.is_learnt else _FIXED]
        self._is_held = self._is_held or not peer.is_learnt
        answer = await self._say("answer", peer, flags=flags, to_tag=_PEER)
        self.inner = descriptions.read(answer)
        self._true = (place, peer)

    def _pinned(self, peer: Peer) -> Peer:
        if not peer.is_learnt or self._learnt is None:
            return peer
        host, port = self._learnt
        control = port + 1 if peer.control == peer.address[1] + 1 else peer.control
        return msgspec.structs.replace(peer, address=(host, port), control=control, is_learnt=False)

    async def look(self) -> Seen:
        """How it is; a peer that had to be learnt is known from its first packet on."""
        seen = read_seen(await self._ng.ask("query", call_id=self.name))
        if self._is_unknown and self._true is not None:
            self._learn(seen.peer)
        return seen

    def _learn(self, side: Side) -> None:
        """Hold the peer to where it was heard from; after a stranger it is listened for anew.

        Until something came since rtpengine listens for it, it says what we said ourselves; so
        that takes more than one packet to be believed.
        """
        source = side.source
        if self._before is None:
            self._before = side.packets
        if source is None or self.peer is None:
            return
        if side.packets < self._before + (_SURE if source == self.peer.address else 1):
            return
        if address_of(source[0]) == address_of(self.peer.address[0]):
            self._learnt = source
        else:
            self._true = None

    async def delete(self) -> Seen:
        """Have nothing any more; how it was in the end."""
        answer = await self._ng.ask("delete", call_id=self.name, from_tag=_WITHIN, delete_delay=0)
        self.place = None
        return read_seen(answer)

    async def _offer(self, within: Peer, **fields: Value) -> Place:
        if self.inner is not None:
            fields["to_tag"] = _PEER
        if self._interfaces:
            fields["direction"] = list(self._interfaces)
        fields["rtcp_mux"] = ["offer"]
        place = descriptions.read(
            await self._say("offer", within, flags=[*_KEPT, _FIXED], **fields)
        )
        if self.place is not None and self.place.address != place.address:
            raise NgForgotten("it has begun the call anew, on other ports")
        return place

    async def _say(self, command: str, side: Peer, **fields: Value) -> dict[str, Any]:
        return await self._ng.ask(
            command,
            call_id=self.name,
            from_tag=_WITHIN,
            sdp=descriptions.write(side),
            ICE="remove",
            replace=["origin"],
            **fields,
        )


def read_seen(answer: Mapping[str, Any]) -> Seen:
    """What `query` and `delete` say; `NgRefused` if it is not what they say."""
    tags = answer.get("tags", {})
    try:
        return Seen(
            peer=_side(tags.get(_PEER)),
            within=_side(tags.get(_WITHIN)),
            ssrcs=answer.get("SSRC", {}),
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise NgRefused("its answer is none that is known") from error


def _side(tag: Mapping[str, Any] | None) -> Side:
    if not tag or not tag["medias"]:
        return Side()
    rtp = tag["medias"][0]["streams"][0]
    at = rtp.get("endpoint")
    return Side(
        packets=int(rtp["stats"]["packets"]),
        octets=int(rtp["stats"]["bytes"]),
        source=None if at is None else (str(at["address"]), int(at["port"])),
        ssrc=rtp.get("SSRC"),
    )
