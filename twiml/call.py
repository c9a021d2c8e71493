"""What an interpreter may ask of a live call, and what it is told in return.

Nothing here waits: what takes time is asked for under a number (`ask`), and the event that ends it
carries the same one. The call gives events when the method that asked has returned, never from
inside it. After `stop` of a number its event is not awaited any more; it may still come.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from twiml.errors import Finding
from twiml.outcome import Goto
from twiml.parser import Document
from twiml.verbs import Dial, RejectReason, VoiceVerb


class Ending(StrEnum):
    """Why a call is hung up: its documents are done, or it could not be told what to do."""

    DONE = "done"
    FAILED = "failed"


class DialStatus(StrEnum):
    """`DialCallStatus`: what became of what was called; `ANSWERED` is for conferences."""

    COMPLETED = "completed"
    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """The seconds are over."""

    ask: int


class DialEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody is joined to the call any more, or nobody could be.

    `call_sid` is the leg that was joined, or the last that was tried; empty if there was none.
    `duration` is whole seconds from its answer, None if it was not answered. `sip_*` are of a SIP
    leg's final response: 0 and empty if there was none.
    """

    ask: int
    status: DialStatus
    call_sid: str = ""
    duration: int | None = None
    bridged: bool = False
    recording_url: str = ""
    sip_response_code: int = 0
    sip_call_id: str = ""
    sip_headers: tuple[tuple[str, str], ...] = ()


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """The document that was asked for, and the URL it came from in the end."""

    ask: int
    document: Document[VoiceVerb]
    base: str


class NotFetched(msgspec.Struct, frozen=True, kw_only=True):
    """Neither the URL nor its fallback gave a document that can be run."""

    ask: int


class HungUp(msgspec.Struct, frozen=True):
    """The call is over, whoever ended it. A `DialEnded` that was asked for still comes."""


Event = Paused | DialEnded | Fetched | NotFetched | HungUp


class Call(Protocol):
    """A live call, as far as a document can touch it."""

    def answer(self) -> None:
        """Take the call that rings; asked for once at most. A joining dial takes it unasked."""

    def reject(self, reason: RejectReason) -> None:
        """Refuse the call that rings; nothing is asked of it after that."""

    def hang_up(self, ending: Ending) -> None:
        """End the call, answered or not; nothing is asked of it after that."""

    def connect(self) -> None:
        """Join the leg whose own document is done to who dialled it."""

    def pause(self, ask: int, seconds: int) -> None:
        """Keep the line for so long, then give `Paused`."""

    def dial(self, ask: int, dial: Dial) -> None:
        """Call the nouns of `dial`, of which URLs are absolute, join, and give `DialEnded`.

        If the call itself still rings, `dial` has `answer_on_bridge`, and joining answers it.
        """

    def fetch(self, ask: int, goto: Goto) -> None:
        """Fetch a document and give `Fetched` or `NotFetched`."""

    def report(self, goto: Goto) -> None:
        """Ask a URL as `fetch` does; what it answers is of no interest."""

    def stop(self, ask: int) -> None:
        """Let go of what was asked for: stop pausing, release who was dialled."""

    def note(self, finding: Finding) -> None:
        """Keep what was found wrong while a document ran."""
