"""What all SIP trunks of a process share: the station, whose answer is whose, and what waits.

A request leaves when its hop was found, which may take DNS: each waits in a task of its own. They
are few: registrations and signs of life, never calls.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from carriers.trunk_places import Places
from protocols.sip.agent_commands import Ask
from protocols.sip.agent_events import RequestId, Responded
from protocols.sip.registration_events import Patience
from protocols.sip.station import Station
from protocols.sip.transport import Hop

Taker = Callable[[Responded], None]


class Desk:
    """See the module; `changed` is called when something is due at another time than before."""

    def __init__(
        self,
        station: Station,
        places: Places,
        *,
        clock: Callable[[], float],
        chance: Callable[[], float],
        token: Callable[[], str],
        changed: Callable[[], None],
        patience: Patience,
    ) -> None:
        self.station = station
        self.places = places
        self.clock = clock
        self.chance = chance
        self.token = token
        self.changed = changed
        self.patience = patience
        self._asked: dict[RequestId, Taker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        """How many requests and tasks there are."""
        return len(self._asked) + len(self._tasks)

    def epoch(self, at: float) -> float:
        """A time of the station's clock as seconds since the epoch."""
        return self.clock() + at - self.station.now()

    def ask(self, command: Ask, hop: Hop, taker: Taker) -> None:
        """Send a request to `hop`; `taker` is told what became of it."""
        station = self.station
        request = station.agent.request(command, hop, station.now())
        self._asked[request] = taker
        station.wake()

    def take(self, event: Responded) -> bool:
        """Whether `event` is about a request of `ask`."""
        taker = self._asked.pop(event.request, None)
        if taker is None:
            return False
        if not self._closed:
            taker(event)
        return True

    def do(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do something that may have to wait."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """End what waits, and be deaf to what is still answered."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": f"a trunk's work failed: {task.get_name()}", "exception": error}
            )
