"""Whether rtpengine is there: it is asked once a second, and its calls are given up if it is not.

While there are fronts it is asked for its statistics, which say whether it may have forgotten any,
as one that restarted did; only then each front is asked for. While there are none it is pinged.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from gateway.media.ng import NgAway, NgForgotten, NgRefused
from gateway.media.rtpengine import pulse
from gateway.media.rtpengine.front import Front
from gateway.media.rtpengine.heard import Heard
from gateway.media.rtpengine.leftovers import Leftovers
from gateway.media.rtpengine.pulse import Pulse

_log = structlog.get_logger(__name__)

PAUSE: Final = 1.0  # seconds
GIVEN_UP: Final = 5.0  # seconds without an answer to anything after which fronts are lost
_AT_ONCE: Final = 16  # fronts that are asked for at one time


class Keeper:
    """`is_there` says how it was at last; `fronts` gives those that there are.

    `lost` is told of fronts that rtpengine knows no more, or of all of them.
    """

    def __init__(
        self,
        ng: Heard,
        fronts: Callable[[], list[Front]],
        lost: Callable[[list[Front]], None],
        look: Callable[[], Awaitable[None]],
        leftovers: Leftovers,
    ) -> None:
        """`look` is awaited after each answer."""
        self._ng = ng
        self._fronts = fronts
        self._lost = lost
        self._look = look
        self._leftovers = leftovers
        self._there = asyncio.Event()
        self._pulse: Pulse | None = None
        self._is_blind = False
        self._task: asyncio.Task[None] | None = None

    @property
    def is_there(self) -> bool:
        """See the class."""
        return self._there.is_set()

    async def start(self) -> None:
        """Ask for the first time, and from now on."""
        self._ng.now()
        await self._ask_once()
        if not self.is_there:
            _log.warning("calls have their media in the workers alone until rtpengine answers")
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def leave(self, name: str) -> None:
        """Have a front deleted when rtpengine answers again, if it has it."""
        self._leftovers.add(name)

    def failed(self, error: Exception) -> None:
        """Something got no answer."""
        if self.is_there:
            self._there.clear()
            _log.error("rtpengine is away; new calls do without it", reason=str(error))

    async def back(self) -> None:
        """Wait until it answers."""
        await self._there.wait()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self._ask_once()
                if self.is_there:
                    await self._look()
            except NgAway as error:
                self.failed(error)
            except NgRefused as error:
                _log.warning("rtpengine could not be looked at", reason=str(error))
            except Exception:
                _log.exception("the look at rtpengine failed")

    async def _ask_once(self) -> None:
        fronts = self._fronts()
        try:
            if fronts:
                await self._count(fronts)
            else:
                await self._ng.ask("ping")
            self._answered()
        except NgAway as error:
            self.failed(error)
            if asyncio.get_running_loop().time() - self._ng.at >= GIVEN_UP:
                self._lost(self._fronts())
            return
        try:
            await self._leftovers.clear()
        except NgAway as error:
            self.failed(error)

    async def _count(self, fronts: list[Front]) -> None:
        """See whether it knows all fronts."""
        try:
            now = pulse.read(await self._ng.ask("statistics"))
        except NgRefused as error:
            if not self._is_blind:
                _log.warning("whether rtpengine forgot calls can't be seen", reason=str(error))
            self._is_blind = True
            return
        self._is_blind = False
        if pulse.may_have_forgotten(self._pulse, now, len(fronts)):
            gone = await self._unknown(fronts)
            if gone:
                self._lost(gone)
        self._pulse = now

    async def _unknown(self, fronts: list[Front]) -> list[Front]:
        """Those that it knows no more."""
        gone: list[Front] = []
        for first in range(0, len(fronts), _AT_ONCE):
            some = fronts[first : first + _AT_ONCE]
            known = await asyncio.gather(*(self._knows(each) for each in some))
            gone += [each for each, is_known in zip(some, known, strict=True) if not is_known]
        return gone

    async def _knows(self, front: Front) -> bool:
        try:
            await front.look()
        except NgForgotten:
            return front.place is None  # it was deleted meanwhile
        except NgRefused as error:
            _log.warning("a front could not be looked at", name=front.name, reason=str(error))
        return True

    def _answered(self) -> None:
        if not self.is_there:
            self._there.set()
            _log.info("rtpengine answers; new calls go by it")
