"""Fronts that are nobody's: what could not be deleted in its time, and what a crash left."""

from typing import Final

import structlog

from gateway.media.ng import NgAway, NgRefused
from gateway.media.rtpengine.front import Asks
from gateway.media.rtpengine.names import Names

_log = structlog.get_logger(__name__)

_ROOM: Final = 50_000  # octets of names that an answer surely has room for: it is one datagram
_FIRST: Final = 32  # names that are asked for at first, to see how long they are
_MOST: Final = 10_000


class Leftovers:
    """`clear` has them deleted; what fails is tried again by the next."""

    def __init__(self, ng: Asks, names: Names) -> None:
        self._ng = ng
        self._names = names
        self._left: list[str] = []
        self._is_swept = False

    def add(self, name: str) -> None:
        """One may be there and is nobody's."""
        self._left.append(name)

    async def clear(self) -> None:
        """Delete all of them; for the first time also what a process before left. `NgAway`."""
        if not self._is_swept:
            await self._sweep()
            self._is_swept = True
        while self._left:
            await self._delete(self._left.pop())

    async def _sweep(self) -> None:
        """Delete what a process before left, as far as it is to be seen."""
        tried: set[str] = set()
        try:
            while True:
                names, is_whole = await self._listed()
                left = [each for each in self._names.left_over(names) if each not in tried]
                tried.update(left)
                for each in left:
                    await self._delete(each)
                if left:
                    _log.info("rtpengine was asked to delete what a crash left", fronts=len(left))
                if is_whole or not left:
                    break
        except NgRefused as error:
            _log.warning("what a crash left in rtpengine can't be found", reason=str(error))
            return
        if not is_whole:
            _log.warning("rtpengine has more calls than it can list; some may be a crash's")

    async def _listed(self) -> tuple[list[str], bool]:
        """Names of rtpengine's calls, as many as an answer has room for, and if they are all."""
        limit = _FIRST
        while True:
            found = (await self._ng.ask("list", limit=limit)).get("calls")
            if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
                raise NgRefused("its list is none that is known")
            if len(found) < limit:
                return found, True
            longest = max(len(each.encode()) for each in found)
            most = min(_MOST, _ROOM // (longest + 5))
            if limit >= most:
                return found, False
            limit = min(most, limit * 8)

    async def _delete(self, name: str) -> None:
        try:
            await self._ng.ask("delete", call_id=name, delete_delay=0)
        except NgAway:
            self._left.append(name)
            raise
        except NgRefused as error:
            _log.warning("rtpengine keeps a front", name=name, reason=str(error))
