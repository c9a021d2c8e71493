"""Documents, run one after the other, verb by verb.

It is pure: it asks a call for what is to happen, and for the time, and is told by events what did;
it does no I/O. Which verbs there are is a table. What was asked for has a number, and an event with
any other is a late one and changes nothing: documents that are left in the middle of a verb have
one outcome, whichever comes first. Who runs them says what comes of their end.

Documents may lead to each other for as long as the call lasts, as with Twilio, but not without end
in no time: `Pace` holds them to that.
"""

from abc import ABC, abstractmethod
from functools import partial
from typing import Final

from twiml.ahead import upcoming
from twiml.call import Event, Fetched, HungUp, KeyPressed, NotFetched, Running, Told
from twiml.errors import DOCUMENT_LIMIT, Finding, Level
from twiml.machine import Debt, Desk, Instant, Machine, Verbs
from twiml.outcome import Begun, End, Goto, Next, Over, Wait
from twiml.parser import Document
from twiml.references import absolute
from twiml.verbs import MAX_DOCUMENTS, Pause, Play, Redirect, Say, VoiceVerb

_HEARD: Final = (Say, Play, Pause)
PER_SECOND: Final = 5.0
"""Documents that may lead on in the long run: more than keys and short sounds ever take."""


class Pace:
    """How many documents led on lately: `MAX_DOCUMENTS` may at once, and then `PER_SECOND`."""

    def __init__(self) -> None:
        self._count = 0.0
        self._counted_at = 0.0

    def lets(self, now: float) -> bool:
        """Count one more; whether it may be run."""
        self._count = max(0.0, self._count - (now - self._counted_at) * PER_SECOND) + 1
        self._counted_at = now
        return self._count <= MAX_DOCUMENTS


class Runner(ABC):
    """See the module; to the machines of verbs it is their `Desk`.

    `verbs` are what the call can do, `own` those beside them: they lead on, or end it.
    """

    def __init__(self, call: Running, verbs: Verbs, own: Verbs) -> None:
        self._call = call
        self._runnable = verbs
        self._own = own
        self._verbs: tuple[VoiceVerb, ...] = ()
        self._at = 0
        self._base = ""
        self._began = 0.0  # when the document that runs did
        self._pace = Pace()
        self._asks = 0
        self._awaited: int | None = None
        self._machine: Machine | None = None
        self._debts: dict[int, Machine] = {}
        self._is_over = False

    def start(self, goto: Goto) -> None:
        """Leave whatever runs for the document at an absolute URL."""
        if self._leave():
            self._fetch(goto)

    def run(self, document: Document[VoiceVerb], base: str) -> None:
        """Leave whatever runs for `document`; `base` is what its URLs are relative to, or empty."""
        if self._leave():
            self._begin_document(document, base)

    def on(self, event: Event) -> None:
        """Take what the call tells."""
        match event:
            case HungUp():
                self._end(Debt.HUNG_UP)
            case KeyPressed(key=key):
                self._pressed(key)
            case _ if event.ask in self._debts:
                self._settle(self._debts.pop(event.ask).on(event))
            case _ if event.ask == self._awaited:
                self._awaited = None
                self._told(event)

    # What machines ask of it: `Desk`

    @property
    def base(self) -> str:
        """See `Desk`."""
        return self._base

    def ask(self) -> int:
        """See `Desk`."""
        self._asks += 1
        self._awaited = self._asks
        return self._asks

    def let_go(self) -> None:
        """See `Desk`."""
        if self._awaited is not None:
            self._call.stop(self._awaited)
            self._awaited = None

    # What differs between those who have documents run

    @abstractmethod
    def _before(self, verb: VoiceVerb | None) -> None:
        """`verb` is about to begin; None is a document that has none."""

    @abstractmethod
    def _refuse(self, verb: VoiceVerb) -> Begun:
        """`verb` is none that can be run here."""

    @abstractmethod
    def _documents_ended(self) -> None:
        """Nothing of the last document is left to do."""

    @abstractmethod
    def _fail(self) -> None:
        """There is no document to go on with."""

    # Inside

    def _leave(self) -> bool:
        """Stop the verb that runs; whether there is anybody to go on with."""
        if self._is_over:
            return False
        self._keep_debt(Debt.SENT_ON)
        self.let_go()
        self._call.foresee(None)
        self._machine = None
        self._pace = Pace()
        return True

    def _end(self, debt: Debt) -> None:
        self._is_over = True
        self._keep_debt(debt)
        self._awaited = None
        self._machine = None

    def _keep_debt(self, debt: Debt) -> None:
        if self._awaited is not None and self._machine and debt in self._machine.owes:
            self._debts[self._awaited] = self._machine

    def _settle(self, outcome: Begun) -> None:
        """What a verb comes to that no document waits for: its action is told, and that is all."""
        if isinstance(outcome, Goto) and outcome.url:
            self._call.report(outcome)

    def _told(self, event: Told) -> None:
        match event:
            case Fetched(document=document, base=base):
                self._begin_document(document, base)
            case NotFetched():
                self._fail()
            case _:
                assert self._machine is not None, "only verbs and documents are waited for"
                self._go(self._machine.on(event))

    def _pressed(self, key: str) -> None:
        """A key is for the verb that runs; between verbs it is lost, as with Twilio."""
        if self._machine is not None and self._awaited is not None:
            self._go(self._machine.pressed(key))

    def _begin_document(self, document: Document[VoiceVerb], base: str) -> None:
        self._verbs, self._at, self._base = document.verbs, 0, base
        self._began = self._call.clock()
        if not document.verbs:
            self._before(None)
        self._go(Next())

    def _go(self, outcome: Begun) -> None:
        while isinstance(outcome, Next):
            self._machine = None
            if self._at == len(self._verbs):
                outcome = End()
                break
            verb = self._verbs[self._at]
            self._at += 1
            outcome = self._begin(verb)
        match outcome:
            case Goto():
                self._machine = None
                self._fetch(outcome)
            case End():
                self._documents_ended()
            case Over():
                self._is_over = True
                self._machine = None
            case Wait():
                pass

    def _begin(self, verb: VoiceVerb) -> Begun:
        make = self._runnable.get(type(verb)) or self._own.get(type(verb))
        if make is None:
            return self._refuse(verb)
        self._before(verb)
        self._machine = make(verb, self)
        begun = self._machine.begin()
        if isinstance(verb, _HEARD):
            self._call.foresee(upcoming(self._verbs[self._at :], self._base))
        return begun

    def _fetch(self, goto: Goto) -> None:
        if not self._pace.lets(self._call.clock()):
            why = (
                f"documents lead to the next without doing anything: of {MAX_DOCUMENTS} and more,"
                f" {PER_SECOND:g} in a second are run; let the caller hear something in between"
            )
            self._note(DOCUMENT_LIMIT, Level.ERROR, why)
            self._fail()
        elif goto.url:
            self._call.foresee(None)
            self._call.fetch(self.ask(), goto)
        else:  # the document came without a URL, and leads to itself
            self._at = 0
            self._go(Next())

    def _note(self, code: int, level: Level, message: str) -> None:
        self._call.note(Finding(code=code, level=level, line=0, message=message))


def _redirect(verb: Redirect, desk: Desk) -> Begun:
    return Goto(url=absolute(desk.base, verb.url), method=verb.method)


REDIRECTING: Final[Verbs] = {Redirect: partial(Instant, _redirect)}
"""Going on with another document."""
