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
from twiml.verbs import (
    Dial,
    Enqueue,
    Play,
    Record,
    Refer,
    RejectReason,
    Say,
    Sms,
    StartRecording,
    VoiceVerb,
)


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
    recording_sid: str = ""
    recording_duration: int = 0
    queue_sid: str = ""
    queue_result: str = ""
    queue_time: int = 0
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


class Prompted(msgspec.Struct, frozen=True, kw_only=True):
    """All of a `<Say>` or `<Play>` was heard, or nothing can be: what was wrong has been noted."""

    ask: int
    is_heard: bool = True


class KeyPressed(msgspec.Struct, frozen=True, kw_only=True):
    """The call's party pressed a key, one of 0-9, *, #, A-D; it comes whether asked for or not."""

    key: str


class RecordEnd(StrEnum):
    """What ended a `<Record>`; `FINISHED` is what the interpreter asked for, by a key."""

    FINISHED = "finished"
    SILENCE = "silence"
    LIMIT = "limit"
    HANGUP = "hangup"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A `<Record>` is over, after `duration` seconds; `sid` is empty if nothing was to be heard."""

    ask: int
    end: RecordEnd
    sid: str = ""
    url: str = ""
    duration: int = 0


class QueueResult(StrEnum):
    """How a wait in a queue ended, or how a `<Dial><Queue>` found it."""

    BRIDGED = "bridged"
    BRIDGING = "bridging-in-process"
    ERROR = "error"
    HANGUP = "hangup"
    LEAVE = "leave"
    REDIRECTED = "redirected"
    REDIRECTED_FROM_BRIDGED = "redirected-from-bridged"
    QUEUE_FULL = "queue-full"
    SYSTEM_ERROR = "system-error"
    QUEUE_NOT_FOUND = "queue-not-found"
    QUEUE_EMPTY = "queue-empty"


class QueueLeft(msgspec.Struct, frozen=True, kw_only=True):
    """The wait in a queue is over; `seconds` is how long it was."""

    ask: int
    result: QueueResult
    queue_sid: str = ""
    seconds: int = 0


class Texted(msgspec.Struct, frozen=True, kw_only=True):
    """A `<Sms>` was accepted, or refused with `error_code`; `status` in Twilio's words."""

    ask: int
    status: str
    message_sid: str = ""
    error_code: int = 0


class ReferStatus(StrEnum):
    """`ReferCallStatus`."""

    COMPLETED = "completed"
    FAILED = "failed"
    NO_ANSWER = "no-answer"


class Referred(msgspec.Struct, frozen=True, kw_only=True):
    """A `<Refer>` is over: the answer to it, and the code of the last NOTIFY; 0 for none."""

    ask: int
    status: ReferStatus
    sip_code: int = 0
    notify_code: int = 0


class HungUp(msgspec.Struct, frozen=True):
    """The call is over, whoever ended it, and everything that was asked for is let go of.

    `DialEnded`, `Recorded`, `QueueLeft` and `Referred` of what was asked for still come.
    """


Told = (
    Paused | DialEnded | Fetched | NotFetched | Prompted | Recorded | QueueLeft | Texted | Referred
)
"""What ends something that was asked for."""

Event = Told | KeyPressed | HungUp


class Running(Protocol):
    """What any document needs, whoever it is for."""

    def clock(self) -> float:
        """Seconds on a clock that only goes forward, from whenever."""

    def pause(self, ask: int, seconds: int) -> None:
        """Keep the line for so long, then give `Paused`."""

    def fetch(self, ask: int, goto: Goto) -> None:
        """Fetch a document and give `Fetched` or `NotFetched`."""

    def report(self, goto: Goto) -> None:
        """Ask a URL as `fetch` does; what it answers is of no interest."""

    def foresee(self, prompt: Say | Play | None) -> None:
        """Have ready what is likely to be heard next, in place of what was foreseen before."""

    def stop(self, ask: int) -> None:
        """Let go of what was asked for, in the middle of a word if need be."""

    def note(self, finding: Finding) -> None:
        """Keep what was found wrong while a document ran."""


class Speaking(Running, Protocol):
    """What is heard on a call, from when it is answered. Each ends with `Prompted`."""

    def say(self, ask: int, say: Say) -> None:
        """Speak a text, as often as it says."""

    def play(self, ask: int, play: Play) -> None:
        """Play a file, of which the URL is absolute, as often as it says, or press digits."""


class Recording(Protocol):
    """What is kept of a call's sound; URLs are absolute."""

    def record(self, ask: int, record: Record) -> None:
        """Beep, record the party, and give `Recorded` at silence, the limit or hang-up.

        `stop` of it keeps what there is, and no `Recorded` comes.
        """

    def finish(self, ask: int) -> None:
        """End a recording that runs: `Recorded` follows."""

    def start_recording(self, start: StartRecording) -> None:
        """Record the call beside what else happens, until it ends or is told to stop."""

    def stop_recording(self) -> None:
        """End what `start_recording` began; harmless when nothing runs."""


class Queueing(Protocol):
    """Waiting for somebody."""

    def enqueue(self, ask: int, enqueue: Enqueue) -> None:
        """Wait in a queue, hearing its documents, of which URLs are absolute.

        `QueueLeft` ends it, and comes after `stop` as well, for the action is owed a report.
        """


class Sending(Protocol):
    """What goes elsewhere in the middle of a call."""

    def text(self, ask: int, sms: Sms) -> None:
        """Send a text; `Texted` when it was accepted or refused."""

    def refer(self, ask: int, refer: Refer) -> None:
        """Send the SIP peer elsewhere; `Referred` when it is known what came of it."""

    def echo(self, ask: int) -> None:
        """Let the party hear itself until `stop`; it has no other end than that and hang-up."""


class Call(Running, Protocol):
    """A live call, as far as a document that makes no sound can touch it."""

    def answer(self) -> None:
        """Take the call that rings; asked for once at most. A joining dial takes it unasked."""

    def reject(self, reason: RejectReason) -> None:
        """Refuse the call that rings; nothing is asked of it after that."""

    def hang_up(self, ending: Ending) -> None:
        """End the call, answered or not; nothing is asked of it after that."""

    def connect(self) -> None:
        """Join the leg whose own document is done to who dialled it."""

    def dial(self, ask: int, dial: Dial) -> None:
        """Call the nouns of `dial`, of which URLs are absolute, join, and give `DialEnded`.

        If the call itself still rings, `dial` has `answer_on_bridge`, and joining answers it.
        """


class FullCall(Call, Speaking, Recording, Queueing, Sending, Protocol):
    """A live call, as far as any document can touch it."""


class Queued(Speaking, Protocol):
    """Who waits in a queue, as far as a document for them can touch the call."""

    def hang_up(self, ending: Ending) -> None:
        """End the call; nothing is asked by the document after that."""

    def leave(self) -> None:
        """Leave the queue; nothing is asked by the document after that."""
