"""What passed on the wire, kept by Call-ID until its call takes it: the SIP ladder.

Every message of the process comes by here. A ladder begins with an INVITE; one that no call took
is forgotten when others need the room: the bounds hold whoever sends what.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from gateway.calls.model import Crossing
from protocols.sip.codec import encode
from protocols.sip.message import Message, Request
from protocols.sip.station import Crossed
from protocols.sip.transport import Destination, Flow

_CALL_ID: Final = b"\r\nCall-ID: "
_SHORT: Final = b"\r\ni: "
_END: Final = b"\r\n"
_INVITE: Final = b"INVITE "


class Ladder:
    """`clock` is epoch seconds, `steady` the clock of the station, `local` how we are reached."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        steady: Callable[[], float],
        local: Callable[[Destination], tuple[str, int]],
        calls: int = 50_000,
        messages: int = 200,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._local = local
        self._calls = calls
        self._messages = messages
        self._kept: OrderedDict[str, list[Crossed]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def see(self, crossed: Crossed) -> None:
        """Keep a message."""
        content = crossed.content
        call_id = _call_id(content) if isinstance(content, bytes) else content.call_id
        kept = self._kept.get(call_id)
        if kept is None:
            if not _begins(content):
                return
            kept = self._kept[call_id] = []
            if len(self._kept) > self._calls:
                self._kept.popitem(last=False)
        if len(kept) < self._messages:
            kept.append(crossed)

    def expect(self, call_id: str) -> None:
        """Keep what passes of a call whose INVITE another process saw."""
        self._kept.setdefault(call_id, [])

    def peek(self, call_ids: Iterable[str]) -> list[Crossing]:
        """What passed under these Call-IDs so far, in the order of time."""
        return self._crossings(
            [crossed for each in call_ids for crossed in self._kept.get(each, ())]
        )

    def take(self, call_ids: Iterable[str]) -> list[Crossing]:
        """The same, and forget it."""
        return self._crossings(
            [crossed for each in call_ids for crossed in self._kept.pop(each, ())]
        )

    def forget(self, call_id: str) -> None:
        """Nobody wants it."""
        self._kept.pop(call_id, None)

    def _crossings(self, kept: list[Crossed]) -> list[Crossing]:
        kept.sort(key=lambda each: each.at)
        offset = self._clock() - self._steady()
        return [self._crossing(each, offset) for each in kept]

    def _crossing(self, crossed: Crossed, offset: float) -> Crossing:
        way = crossed.way
        remote = way.remote if isinstance(way, Flow) else (way.host, way.port)
        return Crossing(
            at=crossed.at + offset,
            sent=not crossed.came,
            transport=way.transport,
            local=way.local if isinstance(way, Flow) else self._local(way),
            remote=remote,
            octets=crossed.octets or _octets(crossed.content),
        )


def _begins(content: Message | bytes) -> bool:
    if isinstance(content, bytes):
        return content.startswith(_INVITE)
    return isinstance(content, Request) and content.method == "INVITE"


def _octets(content: Message | bytes) -> bytes:
    return content if isinstance(content, bytes) else encode(content)


def _call_id(octets: bytes) -> str:
    for name in (_CALL_ID, _SHORT):
        start = octets.find(name)
        if start >= 0:
            start += len(name)
            return octets[start : octets.find(_END, start)].decode("utf-8", "surrogateescape")
    return ""
