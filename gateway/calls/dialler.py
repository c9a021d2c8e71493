"""Whom a call dials, and what that takes of it: a part of `scoped.Scoped`, which has the rest."""

from abc import abstractmethod
from collections.abc import Callable

from carriers.caller_id import Caller
from gateway.calls import endings
from gateway.calls.applied import Applications, Host
from gateway.calls.branch import Branch
from gateway.calls.caller_ids import caller_as
from gateway.calls.calling import Around
from gateway.calls.dial_run import DialRun, Parent
from gateway.calls.documented import Documented
from gateway.calls.endings import Ended
from gateway.calls.leg import Event, Leg, PeerLeg
from gateway.calls.places import Find, Joint
from gateway.calls.reach import Asked
from gateway.calls.transfer import Transfers
from gateway.calls.whisper import Whisper
from twiml.call import DialEnded, HungUp
from twiml.verbs import Dial
from twiml.voice import Pickup

__all__ = ["Dialler"]


class Dialler(Documented):
    """See the module."""

    _caller: Caller
    _find: Find

    def _equip(self, pickup: Pickup) -> None:
        self._dial = None
        self._unanswered: tuple[int, Ended] | None = None  # what the last dial came to
        self._whispers: dict[str, Whisper] = {}  # by the leg that hears one
        self._transfers: Transfers | None = None
        self._applications = Applications(self._house, self._host)
        super()._equip(pickup)

    @property
    @abstractmethod
    def _max_forwards(self) -> int:
        """How often an INVITE of its may be passed on."""

    @property
    @abstractmethod
    def _is_ours(self) -> bool:
        """Whether its first leg is a user of a domain of ours."""

    @abstractmethod
    def on(self, leg: Leg, event: Event) -> None:
        """Take what a leg of this call tells."""

    @abstractmethod
    def _track(self, leg: PeerLeg) -> None:
        """Await the end of a leg."""

    @abstractmethod
    def _leave(self, reason: str) -> None:
        """Nobody has the caller's place any more."""

    @abstractmethod
    def _later(self, take: Callable[..., None], *given: object) -> None:
        """Call something in a turn of its own; what raises there ends the call."""

    # What its dials ask

    def _parent(self, dial: Dial) -> Parent:
        caller, leg = caller_as(dial.caller_id, self._caller), self.leg
        return Parent(
            line=self.line,
            leg=leg,
            asked=Asked(call=self.line.call, caller=caller, codecs=leg.codecs),
            around=self._around,
            join=self._join,
            answer=self.answer,
            whisper=self._whisper,
            apply=self._applications.apply,
            ended=self._dial_ended,
        )

    def _join(self, leg: PeerLeg) -> None:
        self._media.join(self.leg.id, leg.id)

    def _whisper(self, dial: DialRun, branch: Branch) -> None:
        leg = branch.leg
        assert leg is not None
        whisper = self._whispers[leg.id] = Whisper(dial, branch, leg, self.hands_of)
        whisper.start()

    def _dial_ended(self, ended: DialEnded) -> None:
        self._dial = None
        self._unanswered = None if ended.bridged else endings.unanswered(ended)
        self._give(ended)
        if self._transfers is not None:
            self._transfers.parted()

    @property
    def _around(self) -> Around:
        return Around(
            media=self._media,
            keeping=self._keeping,
            spawn=self._spawn,
            max_forwards=self._max_forwards,
            tell=self.on,
            track=self._track,
            tapes=self._tapes,
        )

    def _host(self) -> Host:
        """The call as applications that it dials see it."""
        return Host(
            around=self._around,
            leg=self.leg,
            hands_of=self.hands_of,
            taken=self._taken,
            errand=self._errand,
            later=self._later,
            join=self._join,
            whisper=self._whisper,
        )

    # What is asked of it by its parties

    @property
    def transfers(self) -> Transfers:
        """Those of this call."""
        if self._transfers is None:
            joint = Joint(
                line=self.line,
                leg=self.leg,
                is_ours=self._is_ours,
                around=self._around,
                dial=lambda: self._dial,
                leave=self._leave,
                handed_over=lambda: self._give(HungUp()),
                follow=lambda found: self._interpreter.run(found.document, found.base),
                keep=lambda found: self._hands.keep(found.notes, found.exchanges),
                find=self._find,
            )
            self._transfers = Transfers(self._house, joint)
        return self._transfers
