"""The rooms and queues that one call is in: its dials that call nobody are handed on from here."""

from typing import TYPE_CHECKING

from gateway.calls.attending import Attending
from gateway.calls.dial import CALLER_GONE
from gateway.calls.queueing import Enqueued, Serving
from gateway.calls.visitor import Visitor
from twiml.call import QueueResult
from twiml.nouns import Conference, Standing
from twiml.verbs import Dial, Enqueue

if TYPE_CHECKING:
    from gateway.calls.house import House

__all__ = ["Meetings", "is_meeting"]


def is_meeting(dial: Dial) -> bool:
    """Whether a dial, of one noun at least, calls nobody: it is of a room or a queue."""
    return isinstance(dial.nouns[0], Standing)


class Meetings:
    """See the module."""

    def __init__(self, house: "House", visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        self._dialled: Attending | Serving | None = None
        self._enqueued: Enqueued | None = None

    def dial(self, ask: int, dial: Dial) -> None:
        """Begin a dial that `is_meeting`."""
        attends = isinstance(dial.nouns[0], Conference)
        make = Attending if attends else Serving
        self._dialled = make(self._house, self._visitor, ask, dial)
        self._dialled.start()

    def enqueue(self, ask: int, enqueue: Enqueue) -> None:
        """See `twiml.call.Queueing`."""
        self._enqueued = Enqueued(self._house, self._visitor, ask, enqueue)
        self._enqueued.start()

    def stop(self) -> None:
        """Another document goes on."""
        if self._dialled is not None:
            self._dialled.stop("another document goes on")
        if self._enqueued is not None:
            self._enqueued.stop(QueueResult.REDIRECTED)

    def left(self) -> None:
        """The caller is gone."""
        if self._dialled is not None:
            self._dialled.stop(CALLER_GONE)
        if self._enqueued is not None:
            self._enqueued.stop(QueueResult.HANGUP)

    def on_key(self, key: str) -> None:
        """The caller pressed a key."""
        if self._dialled is not None:
            self._dialled.on_key(key)
        if self._enqueued is not None:
            self._enqueued.on_key(key)
