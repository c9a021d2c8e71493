"""The interpreter for calls: runs a call's documents one after the other, verb by verb.

It is pure: it asks a `Call` for what is to happen and is told by events what did; it has no clock
and does no I/O. One interpreter serves one leg from its first document to its end. What was asked
for has a number, and an event with any other is a late one and changes nothing: a call that is
redirected in the middle of a verb has one outcome, whichever comes first.
"""

from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from twiml.call import (
    Call,
    DialEnded,
    DialStatus,
    Ending,
    Event,
    Fetched,
    HungUp,
    NotFetched,
    Paused,
)
from twiml.errors import DIAL_IN_WHISPER, DOCUMENT_LIMIT, Finding, Level
from twiml.nouns import Noun
from twiml.outcome import Begun, End, Goto, Next, Outcome, Wait
from twiml.parameters import dial_parameters
from twiml.parser import Document
from twiml.references import absolute
from twiml.verbs import (
    MAX_DOCUMENTS,
    Dial,
    Hangup,
    Pause,
    Redirect,
    Reject,
    RejectReason,
    VoiceVerb,
)

__all__ = ["Interpreter", "Part", "Pickup"]

S = TypeVar("S", bound=msgspec.Struct)


class Pickup(StrEnum):
    """Whether the call was answered before its first document came."""

    RINGING = "ringing"
    ANSWERED = "answered"


class Part(StrEnum):
    """Whose documents are run: the call's own, or those for who was dialled, before joining."""

    CALL = "call"
    WHISPER = "whisper"


class Interpreter:
    """One leg's documents, being run."""

    def __init__(self, call: Call, *, pickup: Pickup, part: Part = Part.CALL) -> None:
        self._call = call
        self._part = part
        self._ringing = pickup is Pickup.RINGING
        self._over = False
        self._verbs: tuple[VoiceVerb, ...] = ()
        self._at = 0
        self._base = ""
        self._hops = 0
        self._asks = 0
        self._awaited: int | None = None
        self._dialling: Dial | None = None
        self._held_off = False

    def start(self, goto: Goto) -> None:
        """Leave whatever runs for the document at an absolute URL."""
        if self._let_go():
            self._fetch(goto)

    def run(self, document: Document[VoiceVerb], base: str) -> None:
        """Leave whatever runs for `document`; `base` is what its URLs are relative to, or empty."""
        if self._let_go():
            self._begin_document(document, base)

    def on(self, event: Event) -> None:
        """Take what the call tells."""
        if isinstance(event, HungUp):
            self._hung_up()
            return
        if event.ask != self._awaited:
            return
        self._awaited = None
        match event:
            case Paused():
                self._hops = 0
                self._go(Next())
            case DialEnded():
                self._dial_ended(event)
            case Fetched(document=document, base=base):
                self._begin_document(document, base)
            case NotFetched():
                self._hang_up(Ending.FAILED)

    def _let_go(self) -> bool:
        """Stop the verb that runs; whether the call is there to go on with."""
        if self._over:
            return False
        if self._awaited is not None:
            self._call.stop(self._awaited)
        self._awaited = None
        self._hops = 0
        self._dialling = None
        return True

    def _hung_up(self) -> None:
        # A dial's end is still waited for: its action is owed a report.
        self._over = True
        if self._dialling is None:
            self._awaited = None

    def _begin_document(self, document: Document[VoiceVerb], base: str) -> None:
        self._verbs, self._at, self._base = document.verbs, 0, base
        # Twilio's rule: anything but a <Reject> takes the call, saying nothing as well; but what
        # waited for a bridge in vain is not taken just to be hung up.
        if not document.verbs and not self._held_off:
            self._answer()
        self._go(Next())

    def _go(self, outcome: Begun) -> None:
        while isinstance(outcome, Next):
            if self._at == len(self._verbs):
                outcome = End()
                break
            verb = self._verbs[self._at]
            self._at += 1
            outcome = self._begin(verb)
        match outcome:
            case Goto():
                self._fetch(outcome)
            case End() if not self._over:
                self._document_ended()

    def _begin(self, verb: VoiceVerb) -> Begun:
        match verb:
            case Pause(length=length):
                return self._pause(length)
            case Dial():
                return self._dial(verb)
            case Redirect(url=url, method=method):
                self._answer()
                return Goto(url=absolute(self._base, url), method=method)
            case Reject(reason=reason):
                return self._reject(reason)
            case Hangup():
                return self._hangup()

    def _pause(self, length: int) -> Begun:
        rest = self._verbs[self._at :]
        if not isinstance(next((v for v in rest if not isinstance(v, Pause)), None), Reject):
            self._answer()
        self._call.pause(self._ask(), length)
        return Wait()

    def _reject(self, reason: RejectReason) -> Begun:
        if not self._ringing:
            return self._hangup()
        self._over = True
        self._call.reject(reason)
        return End()

    def _hangup(self) -> Begun:
        # A call that waited for a bridge in vain is not taken just to be hung up.
        if not self._held_off:
            self._answer()
        self._hang_up(Ending.DONE)
        return End()

    def _dial(self, verb: Dial) -> Begun:
        if self._part is Part.WHISPER:
            self._note(DIAL_IN_WHISPER, "a document for who was dialled can't <Dial>")
            self._hang_up(Ending.FAILED)
            return End()
        dial = _resolved(verb, self._base)
        if verb.answer_on_bridge and self._ringing:
            self._held_off = True
        else:
            self._answer()
        if not dial.nouns:
            return _after(dial, DialEnded(ask=0, status=DialStatus.FAILED))
        self._dialling = dial
        self._call.dial(self._ask(), dial)
        return Wait()

    def _dial_ended(self, ended: DialEnded) -> None:
        dial, self._dialling = self._dialling, None
        if dial is None:
            return
        if ended.bridged:
            self._ringing = False
        # A dial that fails takes no time; a document that leads to itself by one would spin.
        if ended.status is not DialStatus.FAILED:
            self._hops = 0
        outcome = _after(dial, ended)
        if not self._over:
            self._go(outcome)
        elif isinstance(outcome, Goto):
            self._call.report(outcome)

    def _document_ended(self) -> None:
        if self._part is Part.WHISPER:
            self._over = True
            self._call.connect()
        else:
            self._hang_up(Ending.DONE)

    def _fetch(self, goto: Goto) -> None:
        self._hops += 1
        if self._hops > MAX_DOCUMENTS:
            why = f"more than {MAX_DOCUMENTS} documents in a row did nothing but lead to the next"
            self._note(DOCUMENT_LIMIT, why)
            self._hang_up(Ending.FAILED)
            return
        self._call.fetch(self._ask(), goto)

    def _answer(self) -> None:
        if self._ringing:
            self._ringing = False
            self._call.answer()

    def _hang_up(self, ending: Ending) -> None:
        self._over = True
        self._call.hang_up(ending)

    def _ask(self) -> int:
        self._asks += 1
        self._awaited = self._asks
        return self._asks

    def _note(self, code: int, message: str) -> None:
        self._call.note(Finding(code=code, level=Level.ERROR, line=0, message=message))


def _after(dial: Dial, ended: DialEnded) -> Outcome:
    """Twilio's rule: with an `action`, what stands below the `<Dial>` is never reached."""
    if not dial.action:
        return Next()
    return Goto(url=dial.action, method=dial.method, parameters=dial_parameters(ended))


_DIAL_URLS: Final = ("action", "recording_status_callback", "refer_url")
_NOUN_URLS: Final = ("url", "status_callback")


def _resolved(dial: Dial, base: str) -> Dial:
    nouns: tuple[Noun, ...] = tuple(_absolute_urls(noun, _NOUN_URLS, base) for noun in dial.nouns)
    return msgspec.structs.replace(_absolute_urls(dial, _DIAL_URLS, base), nouns=nouns)


def _absolute_urls(value: S, fields: tuple[str, ...], base: str) -> S:
    urls = {field: url for field in fields if (url := getattr(value, field))}
    return msgspec.structs.replace(
        value, **{field: absolute(base, url) for field, url in urls.items()}
    )
