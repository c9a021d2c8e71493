"""Documents that are only heard: by who waits, again and again, or once, as an announcement.

What they ask for is done by hands of the call whose leg hears them, or of the room that does.
"""

from collections.abc import Callable

import msgspec

from gateway.calls.hands import Handed, Hands
from twiml.call import Ending, Event, HungUp, KeyPressed
from twiml.outcome import Goto
from twiml.parameters import Parameters
from twiml.verbs import Dial, RejectReason
from twiml.voice import Interpreter, Part, Pickup, aside_verbs
from twiml.waiting import Waiter, in_queue, in_room

__all__ = ["Aside", "InQueue", "InRoom", "MakeHands"]

MakeHands = Callable[[Callable[[Event], None]], Hands]
"""Makes hands that give what they are told to somebody."""


class InRoom(Handed):
    """Who waits for a conference, or is on hold in one."""

    def __init__(self, hands_of: MakeHands) -> None:
        self._waiter: Waiter = in_room(self)
        self._hands = hands_of(self._waiter.on)

    def start(self, goto: Goto) -> None:
        """Fetch and run it."""
        self._waiter.start(goto)

    def close(self) -> None:
        """Nobody hears it any more."""
        self._waiter.on(HungUp())
        self._hands.part(self._waiter)


class InQueue(Handed):
    """Who waits in a queue; `told` gives what each request says of where they stand.

    `left` is told when the document has them leave, `hang_up` ends their call.
    """

    def __init__(
        self,
        hands_of: MakeHands,
        *,
        told: Callable[[], Parameters],
        left: Callable[[], None],
        hang_up: Callable[[Ending], None],
    ) -> None:
        self._told = told
        self._left = left
        self._hang_up = hang_up
        self._waiter: Waiter = in_queue(self)
        self._hands = hands_of(self._waiter.on)

    def start(self, goto: Goto) -> None:
        """Fetch and run it."""
        self._waiter.start(goto)

    def pressed(self, key: str) -> None:
        """Who waits pressed a key."""
        self._waiter.on(KeyPressed(key=key))

    def close(self) -> None:
        """Nobody hears it any more."""
        self._waiter.on(HungUp())
        self._hands.part(self._waiter)

    def fetch(self, ask: int, goto: Goto) -> None:
        """See `twiml.call.Running`."""
        parameters = (*goto.parameters, *self._told())
        super().fetch(ask, msgspec.structs.replace(goto, parameters=parameters))

    def leave(self) -> None:
        """See `twiml.call.Queued`."""
        self._left()

    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Queued`."""
        self._hang_up(ending)


class Aside(Handed):
    """What is announced, once; `done` is told whether it could be, from inside its last turn."""

    def __init__(self, hands_of: MakeHands, done: Callable[[Ending], None]) -> None:
        self._done = done
        self._interpreter = Interpreter(
            self, pickup=Pickup.ANSWERED, part=Part.ASIDE, verbs=aside_verbs(self)
        )
        self._hands = hands_of(self._interpreter.on)

    def start(self, goto: Goto) -> None:
        """Fetch and run it."""
        self._interpreter.start(goto)

    def close(self) -> None:
        """Nobody hears it any more."""
        self._interpreter.on(HungUp())
        self._hands.part(self._interpreter)

    def connect(self) -> None:
        """See `twiml.call.Call`: it was heard."""
        self._done(Ending.DONE)

    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Call`: it is no call that could be."""
        self._done(ending)

    def answer(self) -> None:
        """Who hears it is answered."""

    def reject(self, reason: RejectReason) -> None:
        """Who hears it is answered."""

    def dial(self, ask: int, dial: Dial) -> None:
        """What is announced doesn't dial."""
