"""Whether rtpengine is there: it is asked once a second, and its calls are given up if it is not.

What it is asked for are the fronts that there are, one after the other, so that one that restarted
and knows none of them is found out as well; a ping while there are none.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from gateway.media.ng import NgAway, NgRefused
from gateway.media.rtpengine.front import Asks, Front

_log = structlog.get_logger(__name__)

PAUSE: Final = 1.0  # seconds
GIVEN_UP: Final = 5.0  # seconds without an answer after which fronts are lost


class Keeper:
    """`is_there` says how it was at last; `fronts` gives those that there are.

    `lost` is told of a front that rtpengine knows no more, or of all of them.
    """

    def __init__(
        self,
        ng: Asks,
        fronts: Callable[[], list[Front]],
        lost: Callable[[list[Front]], None],
        look: Callable[[], Awaitable[None]],
    ) -> None:
        """`look` is awaited after each answer."""
        self.is_there = False
        self._ng = ng
        self._fronts = fronts
        self._lost = lost
        self._look = look
        self._left: list[str] = []  # names of fronts that may be there and are nobody's
        self._count = 0
        self._heard = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask for the first time, and from now on."""
        self._heard = asyncio.get_running_loop().time()
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
        self._left.append(name)

    def failed(self, error: Exception) -> None:
        """Something got no answer."""
        if self.is_there:
            self.is_there = False
            _log.error("rtpengine is away; new calls do without it", reason=str(error))

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            try:
                await self._ask_once()
                if self.is_there:
                    await self._look()
            except (NgAway, NgRefused) as error:
                _log.warning("rtpengine could not be looked at", reason=str(error))
            except Exception:
                _log.exception("the look at rtpengine failed")

    async def _ask_once(self) -> None:
        fronts = self._fronts()
        try:
            if not fronts:
                await self._ng.ask("ping")
            else:
                self._count += 1
                await self._find(fronts, fronts[self._count % len(fronts)])
            self._answered()
            while self._left:
                await self._delete(self._left.pop())
        except NgAway as error:
            self.failed(error)
            if asyncio.get_running_loop().time() - self._heard >= GIVEN_UP:
                self._lost(self._fronts())

    async def _find(self, fronts: list[Front], one: Front) -> None:
        """See whether it knows a front; if not, it may know none."""
        if await self._knows(one):
            return
        gone = [each for each in fronts if not await self._knows(each)]
        self._lost(gone)

    async def _knows(self, front: Front) -> bool:
        try:
            await front.look()
        except NgRefused:
            return front.place is None  # it was deleted meanwhile
        return True

    async def _delete(self, name: str) -> None:
        try:
            await self._ng.ask("delete", call_id=name, delete_delay=0)
        except NgAway:
            self._left.append(name)
            raise
        except NgRefused as error:
            _log.warning("rtpengine keeps a front", name=name, reason=str(error))

    def _answered(self) -> None:
        self._heard = asyncio.get_running_loop().time()
        if not self.is_there:
            self.is_there = True
            _log.info("rtpengine answers; new calls go by it")
