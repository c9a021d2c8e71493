"""When rtpengine was heard at last: whatever is asked of it goes by here."""

import asyncio
from typing import Any

from gateway.media.ng import NgRefused
from gateway.media.rtpengine.front import Asks
from protocols.ng.bencode import Value


class Heard:
    """`at` is when it answered at last, in the loop's seconds; to refuse is to answer."""

    def __init__(self, ng: Asks) -> None:
        self.at = 0.0
        self._ng = ng

    async def ask(self, command: str, **fields: Value) -> dict[str, Any]:
        """See `Asks`."""
        try:
            answer = await self._ng.ask(command, **fields)
        except NgRefused:
            self.now()
            raise
        self.now()
        return answer

    def now(self) -> None:
        """Count from here."""
        self.at = asyncio.get_running_loop().time()
