"""What passed on the wire, kept by Call-ID until its call takes it: the SIP ladder.

Every message of the process comes by here. A ladder begins with an INVITE. One that came is
anybody's until a call claims it, in the turn in which it came: such have little room, and go when
the INVITE is refused. The bounds hold whoever sends what.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from operator import attrgetter
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
_REFUSALS: Final = (b"SIP/2.0 3", b"SIP/2.0 4", b"SIP/2.0 5", b"SIP/2.0 6")
_HEAD: Final = 1024  # octets that a header part is taken for
_AT: Final = attrgetter("at")


class _Rungs:
    """What is kept under one Call-ID, and how much came, with what was fetched of it."""

    __slots__ = ("crossed", "messages", "octets")

    def __init__(self) -> None:
        self.crossed: list[Crossed] = []
        self.messages = self.octets = 0


class Ladder:
    """`clock` is epoch seconds, `steady` the clock of the station, `local` how we are reached.

    `messages` and `octets` are the most of one call, `unclaimed` the octets of all that no call
    has claimed.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        steady: Callable[[], float],
        local: Callable[[Destination], tuple[str, int]],
        calls: int = 50_000,
        messages: int = 200,
        octets: int = 512 * 1024,
        unclaimed: int = 4 * 1024 * 1024,
    ) -> None:
        self._clock = clock
        self._steady = steady
        self._local = local
        self._calls = calls
        self._messages = messages
        self._octets = octets
        self._most_unclaimed = unclaimed
        self._kept: OrderedDict[str, _Rungs] = OrderedDict()
        self._unclaimed: OrderedDict[str, _Rungs] = OrderedDict()
        self._octets_unclaimed = 0

    def __len__(self) -> int:
        return len(self._kept) + len(self._unclaimed)

    def see(self, crossed: Crossed) -> None:
        """Keep a message."""
        content = crossed.content
        call_id = _call_id(content) if isinstance(content, bytes) else content.call_id
        kept = self._kept.get(call_id)
        if kept is not None:
            self._add(kept, crossed)
        elif isinstance(content, bytes):
            self._see_ours(call_id, content, crossed)
        else:
            self._see_stranger(content, crossed)

    def add(self, call_id: str, crossed: Crossed) -> None:
        """Keep a message that is not SIP's, of a call of ours under this name."""
        self._add(self._kept.get(call_id) or self._keep(call_id, _Rungs()), crossed)

    def _see_ours(self, call_id: str, octets: bytes, crossed: Crossed) -> None:
        if octets.startswith(_INVITE):
            self._add(self._keep(call_id, _Rungs()), crossed)
        elif octets.startswith(_REFUSALS):
            self._drop(call_id)

    def _see_stranger(self, message: Message, crossed: Crossed) -> None:
        rungs = self._unclaimed.get(message.call_id)
        if rungs is None:
            if not isinstance(message, Request) or message.method != "INVITE":
                return
            rungs = self._unclaimed[message.call_id] = _Rungs()
        before = rungs.octets
        self._add(rungs, crossed)
        self._octets_unclaimed += rungs.octets - before
        while self._octets_unclaimed > self._most_unclaimed:
            self._drop(next(iter(self._unclaimed)))

    def _drop(self, call_id: str) -> None:
        rungs = self._unclaimed.pop(call_id, None)
        if rungs is not None:
            self._octets_unclaimed -= rungs.octets

    def _keep(self, call_id: str, rungs: _Rungs) -> _Rungs:
        self._kept[call_id] = rungs
        if len(self._kept) > self._calls:
            self._kept.popitem(last=False)
        return rungs

    def _add(self, rungs: _Rungs, crossed: Crossed) -> None:
        if rungs.messages < self._messages and rungs.octets < self._octets:
            rungs.crossed.append(crossed)
            rungs.messages += 1
            rungs.octets += len(crossed.octets) or _size(crossed.content)

    def claim(self, call_id: str) -> None:
        """It is a call's that came in just now: it is kept until that takes it."""
        if call_id not in self._kept:
            rungs = self._unclaimed.get(call_id) or _Rungs()
            self._drop(call_id)
            self._keep(call_id, rungs)

    def expect(self, call_id: str) -> None:
        """Keep what passes of a call whose INVITE another process saw."""
        self.claim(call_id)

    def fetch(self, call_ids: Iterable[str]) -> list[Crossing]:
        """What passed under these Call-IDs since it was last fetched; more may follow."""
        found: list[Crossed] = []
        for rungs in map(self._kept.get, call_ids):
            if rungs is not None:
                found += rungs.crossed
                rungs.crossed = []
        return self._crossings(found)

    def take(self, call_ids: Iterable[str]) -> list[Crossing]:
        """The rest of it, in the order of time; they are forgotten."""
        return self._crossings(
            [crossed for each in call_ids for crossed in _crossed(self._kept.pop(each, None))]
        )

    def forget(self, call_id: str) -> None:
        """Nobody wants it."""
        self._kept.pop(call_id, None)
        self._drop(call_id)

    def _crossings(self, kept: list[Crossed]) -> list[Crossing]:
        kept.sort(key=_AT)
        offset = self._clock() - self._steady()
        return [self._crossing(each, offset) for each in kept]

    def _crossing(self, crossed: Crossed, offset: float) -> Crossing:
        way = crossed.way
        if isinstance(way, Flow):
            local, remote = way.local, way.remote
        else:
            local, remote = self._local(way), (way.host, way.port)
        return Crossing(
            at=crossed.at + offset,
            sent=not crossed.came,
            transport=way.transport,
            local=local,
            remote=remote,
            octets=crossed.octets or _octets(crossed.content),
        )


def _crossed(rungs: _Rungs | None) -> list[Crossed]:
    return [] if rungs is None else rungs.crossed


def _size(content: Message | bytes) -> int:
    """About how many octets it takes."""
    return len(content) if isinstance(content, bytes) else _HEAD + len(content.body)


def _octets(content: Message | bytes) -> bytes:
    return content if isinstance(content, bytes) else encode(content)


def _call_id(octets: bytes) -> str:
    for name in (_CALL_ID, _SHORT):
        start = octets.find(name)
        if start >= 0:
            start += len(name)
            return octets[start : octets.find(_END, start)].decode("utf-8", "surrogateescape")
    return ""
