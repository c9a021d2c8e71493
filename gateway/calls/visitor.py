"""A call as rooms and queues see it: who dials them, or waits in them."""

from collections.abc import Awaitable, Callable

import msgspec

from gateway.calls.aside import MakeHands
from gateway.calls.hands import Spawn
from gateway.calls.leg import PeerLeg
from gateway.calls.line import Line
from gateway.calls.media import CallMedia
from gateway.calls.recording import Tapes
from twiml.call import Ending, Event
from twiml.errors import Finding

__all__ = ["Visitor"]


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """See the module.

    `tapes` record its leg, `ready` returns when the caller can hear, `hands_of` makes hands for
    what they hear then, `note` keeps what was wrong, `give` tells the call's documents, and
    `hang_up` ends it.
    """

    line: Line
    leg: Callable[[], PeerLeg]
    media: CallMedia
    tapes: Tapes
    spawn: Spawn
    ready: Callable[[], Awaitable[None]]
    hands_of: MakeHands
    note: Callable[[Finding], None]
    give: Callable[[Event], None]
    hang_up: Callable[[Ending], None]
