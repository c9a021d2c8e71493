"""The document of who answered a dial, before the caller is joined."""

from collections.abc import Callable

from gateway.calls import endings
from gateway.calls.branch import Branch
from gateway.calls.dial_run import DialRun
from gateway.calls.hands import Handed, Hands
from gateway.calls.leg import PeerLeg
from gateway.calls.line import Line
from twiml.call import Ending, Event, HungUp, KeyPressed
from twiml.outcome import Goto
from twiml.verbs import Dial, RejectReason
from twiml.voice import Interpreter, Part, Pickup, whisper_verbs


class Whisper(Handed):
    """A `twiml.call.Call` whose call is answered; `close` ends it, when its leg is gone."""

    def __init__(
        self,
        dial: DialRun,
        branch: Branch,
        leg: PeerLeg,
        hands_of: Callable[[Line, Callable[[Event], None], PeerLeg], Hands],
    ) -> None:
        self._dial = dial
        self._branch = branch
        self._leg = leg
        self._interpreter = Interpreter(
            self, pickup=Pickup.ANSWERED, part=Part.WHISPER, verbs=whisper_verbs(self)
        )
        self._hands = hands_of(branch.line, self._interpreter.on, leg)

    def start(self) -> None:
        """Fetch and run it."""
        self._interpreter.start(Goto(url=self._branch.noun.url, method=self._branch.noun.method))

    def pressed(self, key: str) -> None:
        """Who hears it pressed a key."""
        self._interpreter.on(KeyPressed(key=key))

    def close(self) -> None:
        """Nobody hears it any more."""
        self._interpreter.on(HungUp())
        self._hands.part(self._interpreter)

    def answer(self) -> None:
        """It is answered."""

    def reject(self, reason: RejectReason) -> None:
        """It is answered, and is hung up."""
        self.hang_up(Ending.DONE)

    def hang_up(self, ending: Ending) -> None:
        """See `twiml.call.Call`: the caller is not wanted."""
        self._leg.hang_up(endings.UNAVAILABLE, "the whisper hung up")

    def connect(self) -> None:
        """See `twiml.call.Call`."""
        self._dial.ready(self._branch)

    def dial(self, ask: int, dial: Dial) -> None:
        """Whispers don't dial: the interpreter refuses it."""
