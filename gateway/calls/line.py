"""One call as it is kept while it lives: its status, its legs, and who is told of them.

Every change is put into the call's `Keeping` in the order in which it happened: the row, the fact
and the callbacks that it makes due, together.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from carriers.call_outcomes import CallEnd
from gateway.calls import callbacks
from gateway.calls.book import Book, advanced, changed_at
from gateway.calls.callbacks import Sound
from gateway.calls.keeping import Keeping
from gateway.calls.model import OVER, Call, CallDirection, CallLeg, CallStatus
from gateway.core.runner import Job
from gateway.store.base import Write
from gateway.webhooks.callbacks import Patience
from twiml.nouns import CallEvent

_EVENTS = {
    CallStatus.INITIATED: CallEvent.INITIATED,
    CallStatus.RINGING: CallEvent.RINGING,
    CallStatus.IN_PROGRESS: CallEvent.ANSWERED,
}


class Line:
    """See the module. `extra` are further parameters of what an app is told, as of SIP."""

    def __init__(
        self,
        call: Call,
        *,
        book: Book,
        keeping: Keeping,
        patience: Patience,
        clock: Callable[[], float],
        extra: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.call = call
        self.extra = extra
        self._book = book
        self._keeping = keeping
        self._patience = patience
        self._clock = clock
        self._told = 0
        self._is_held = False  # its end is told with what was recorded
        self._sound: Sound | None = None

    @property
    def is_over(self) -> bool:
        """Whether its status is one of the last ones."""
        return self.call.status in OVER

    def begin(self, leg: CallLeg | None) -> None:
        """Keep it for the first time, with `leg` if it has one: with its first attempt, or soon."""
        told = self.call.direction is not CallDirection.INBOUND
        jobs = self._tell(CallEvent.INITIATED) if told else []
        self._keep(self._book.begun(self.call, leg, jobs), jobs)

    def trying(self, leg: CallLeg) -> None:
        """Keep another leg of it."""
        self._keeping.put(self._book.trying(leg))

    def changed(self, leg: CallLeg) -> None:
        """Keep what a restart has to know of a leg from now on."""
        self._keeping.put(self._book.leg_changed(leg))

    def tried(self, leg: CallLeg) -> None:
        """Keep how a leg ended while the call goes on."""
        self._keeping.put(self._book.tried(self.call, leg))

    def move(self, status: CallStatus, leg: CallLeg | None = None, **changes: Any) -> None:
        """Go on to `status`, if that may follow; `leg` is what a restart has to know from now.

        Whoever promises something by it waits until that is durable.
        """
        moved = advanced(self.call, status, self._clock(), **changes)
        if moved is None:
            return
        self.call = moved
        jobs = self._tell(_EVENTS[status])
        self._keep(self._book.changed(moved, jobs, leg), jobs)

    def end(
        self,
        status: CallStatus,
        *,
        reason: str,
        sip_code: int = 0,
        error_code: int = 0,
        answered: float | None = None,
    ) -> None:
        """End it; one that was answered is completed, whatever broke it.

        `answered` is when its peer was told of the answer, 0 for never: that had to wait for the
        store. Its legs are kept by whoever has them, when all is known of them.
        """
        call = self.call
        if answered is not None and call.status is CallStatus.IN_PROGRESS:
            stood = CallStatus.IN_PROGRESS if answered else CallStatus.RINGING
            call = msgspec.structs.replace(call, status=stood, started=answered)
        if call.status is CallStatus.IN_PROGRESS:
            status = CallStatus.COMPLETED
        ended = advanced(
            call,
            status,
            self._clock(),
            reason=reason,
            sip_code=sip_code or self.call.sip_code,
            error_code=error_code,
        )
        if ended is None:
            return
        self.call = ended
        jobs = [] if self._is_held else self._tell(CallEvent.COMPLETED)
        self._keep(self._book.ended(ended, jobs=jobs), jobs)

    def await_sound(self) -> None:
        """Tell of its end when it `sounded`, and no sooner."""
        self._is_held = True

    def sounded(self, sound: Sound | None) -> list[Job]:
        """What is recorded of it is there, or came to nothing; who is told so in that commit."""
        self._is_held = False
        self._sound = sound
        return self._tell(CallEvent.COMPLETED) if self.is_over else []

    def tell_at(self, url: str, method: str) -> None:
        """Have another URL told of what happens from now on."""
        if not self.is_over:
            also = {"status_callback": url, "status_callback_method": method}
            self.call = changed_at(self.call, self._clock(), **also)
            self._keeping.put(self._book.updated(self.call))

    def note(self, writes: Iterable[Write]) -> None:
        """Keep what an app's developer should know."""
        kept = list(writes)
        if kept:
            self._keeping.gather(kept)

    def hasten(self) -> None:
        """Have all that happened written at once: an app is asked, and may look at the call."""
        self._keeping.hasten()

    def _keep(self, writes: Sequence[Write], jobs: Sequence[Job]) -> None:
        """Keep what happened: at once if somebody is to be told of it, else in a moment."""
        if jobs:
            self._keeping.put(writes, jobs)
        else:
            self._keeping.gather(writes)

    def _tell(self, event: CallEvent) -> list[Job]:
        if not self.call.status_callback:
            return []
        jobs = callbacks.for_event(
            self.call,
            event,
            sequence=self._told,
            now=self._clock(),
            policy=self._patience,
            extra=self.extra,
            sound=self._sound,
        )
        self._told += len(jobs)
        return jobs


STATUS_OF_END = {
    CallEnd.COMPLETED: CallStatus.COMPLETED,
    CallEnd.BUSY: CallStatus.BUSY,
    CallEnd.FAILED: CallStatus.FAILED,
    CallEnd.NO_ANSWER: CallStatus.NO_ANSWER,
    CallEnd.CANCELED: CallStatus.CANCELED,
}
"""What an attempt's end makes of a call that was never answered."""
