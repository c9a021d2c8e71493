"""The keys of one call: pressed by a leg's peer, told to who hears it, and pressed towards a peer.

Where a leg's media carry them its worker presses them, and says when each was pressed; else who
speaks to the peer does.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from gateway.calls.info_keys import Key
from gateway.media.plane import Plane
from protocols.rtp.dtmf import DURATION, GAP, PAUSES

Press = Callable[[Key], None]
Hearers = Callable[[], Iterable[str]]
"""Who hears a leg at that moment: what a key does may part them."""


class Keyboard:
    """That of `call`, its name in the plane; `told` is told of each key and of whose it is."""

    def __init__(
        self, plane: Plane, call: str, told: Callable[[str, Key], None] | None = None
    ) -> None:
        self._plane = plane
        self._call = call
        self._told = told
        self._presses: dict[str, Press] = {}  # by leg
        # By leg, who waits for keys that are under way.
        self._pressing: dict[str, deque[asyncio.Future[None] | None]] = {}

    def tie(self, id: str, press: Press) -> None:
        """Let `press` press keys towards a leg's peer: they do not go with its media."""
        self._presses[id] = press

    def heard(self, id: str, key: Key, hearers: Hearers) -> None:
        """A leg's peer pressed a key in its media, which went on to those that carry it."""
        self._tell(id, key)
        for hearer in hearers():
            if (press := self._presses.get(hearer)) is not None:
                press(key)

    def signalled(self, id: str, key: Key, hearers: Hearers) -> None:
        """A leg's peer pressed a key in its signalling."""
        self._tell(id, key)
        for hearer in hearers():
            if (press := self._presses.get(hearer)) is not None:
                press(key)
            else:
                self._pressing.setdefault(hearer, deque()).append(None)
                self._plane.press(self._call, hearer, key.digit, key.duration)

    async def press(self, id: str, digits: str, ready: Callable[[], Awaitable[None]]) -> None:
        """Press keys towards a leg's peer, and return when they are: as `wire.Press` has them.

        A worker is asked when it is `ready`.
        """
        press = self._presses.get(id)
        if press is None:
            await ready()
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._pressing.setdefault(id, deque()).append(done)
            self._plane.press(self._call, id, digits)
            await done
            return
        for digit in digits:
            if digit not in PAUSES:
                press(Key(digit=digit))
            await asyncio.sleep(PAUSES.get(digit, DURATION + GAP))

    def pressed(self, id: str) -> None:
        """The worker has pressed all that it was asked for on a leg, once."""
        waiting = self._pressing.get(id)
        if waiting:
            _settle(waiting.popleft())

    def remove(self, id: str) -> None:
        """A leg is gone, and whoever waits for its keys need not."""
        self._presses.pop(id, None)
        for done in self._pressing.pop(id, ()):
            _settle(done)

    def close(self) -> None:
        """Press nothing towards anybody any more."""
        self._presses.clear()

    def _tell(self, id: str, key: Key) -> None:
        if self._told is not None:
            self._told(id, key)


def _settle(done: "asyncio.Future[None] | None") -> None:
    if done is not None and not done.done():
        done.set_result(None)
