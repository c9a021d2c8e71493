"""What every call of a process is given: its tools, and the way to make new ones."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.calls.book import Book
from gateway.calls.browser import Devices
from gateway.calls.caller_ids import Holder
from gateway.calls.documents import Documents
from gateway.calls.keeping import Keeping
from gateway.calls.ladder import Ladder
from gateway.calls.line import Line
from gateway.calls.model import Call
from gateway.calls.reach import Reach
from gateway.calls.sip_tools import Tools
from gateway.core.runner import Job
from gateway.media.plane import Plane
from gateway.messages.draft import Draft, Refusal
from gateway.model import Message
from gateway.recordings.book import Book as Recordings
from gateway.sids import new_sid
from gateway.speech.prompts import Prompts
from gateway.store.base import Lease, Store
from gateway.webhooks.callbacks import Patience
from protocols.sip.sizes import Sizes

if TYPE_CHECKING:
    from gateway.calls.queue_run import Queues
    from gateway.calls.rooms import Rooms

CALL: Final = "CA"

Accept = Callable[[Draft], Awaitable[Message | Refusal]]


class House(msgspec.Struct, frozen=True, kw_only=True):
    """See the module; `owner` is this process's name as a member, `clock` epoch seconds.

    `browsers` are where clients of the Voice SDK are, `holder` gives whose a phone number is,
    `texts` takes texts to send.
    """

    tools: Tools
    plane: Plane
    reach: Reach
    browsers: Devices
    documents: Documents
    prompts: Prompts
    recordings: Recordings
    rooms: "Rooms"
    queues: "Queues"
    texts: Accept
    book: Book
    store: Store
    lease: Callable[[], Lease | None]
    offer: Callable[[Job], None]
    patience: Patience
    ladder: Ladder
    sizes: Sizes
    holder: Holder
    owner: str
    clock: Callable[[], float]

    def keeping(self, sid: str) -> Keeping:
        """What makes a call's changes durable."""
        return Keeping(self.store, self.lease, self.offer, sid)

    def line(self, call: Call, keeping: Keeping, extra: tuple[tuple[str, str], ...] = ()) -> Line:
        """A call that begins."""
        return Line(
            call,
            book=self.book,
            keeping=keeping,
            patience=self.patience,
            clock=self.clock,
            extra=extra,
        )

    def sid(self) -> str:
        """A new call's."""
        return new_sid(CALL, self.clock())
