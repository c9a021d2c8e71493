"""The book of recordings: which writes go with each thing that happens to one, and who is told.

State, fact and callbacks of one thought are made together, and committed together by whoever keeps
the call or the conference.
"""

from collections.abc import AsyncIterator, Callable

import msgspec

from gateway.core.runner import Job
from gateway.core.runner import insert as job_inserted
from gateway.events import FactType, fact
from gateway.messages.notifications import noted
from gateway.recordings import callbacks, tables
from gateway.recordings.encoding import Encoder
from gateway.recordings.files import Files, mended
from gateway.recordings.model import (
    Recording,
    RecordingSource,
    RecordingStatus,
    Trouble,
    Wanted,
    advanced,
)
from gateway.sids import RECORDING, new_sid
from gateway.store.base import Store, Write, member_name
from gateway.webhooks.callbacks import Patience
from twiml.errors import Level

_PAGE = 200

_FACTS = {
    RecordingStatus.IN_PROGRESS: FactType.RECORDING_STARTED,
    RecordingStatus.PAUSED: FactType.RECORDING_UPDATED,
    RecordingStatus.STOPPED: FactType.RECORDING_UPDATED,
    RecordingStatus.PROCESSING: FactType.RECORDING_UPDATED,
    RecordingStatus.COMPLETED: FactType.RECORDING_COMPLETED,
    RecordingStatus.ABSENT: FactType.RECORDING_ABSENT,
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A recording as it is now, with what makes that durable."""

    recording: Recording
    writes: list[Write]
    jobs: list[Job]


class Book:
    """See the module; `base` gives the URL under which REST is reached, `owner` this member."""

    def __init__(
        self,
        *,
        store: Store,
        files: Files,
        base: Callable[[], str],
        patience: Patience,
        clock: Callable[[], float],
        owner: str,
    ) -> None:
        self.files = files
        self.encoder = Encoder(files)
        self._store = store
        self._base = base
        self._patience = patience
        self._clock = clock
        self._owner = owner

    def sid(self) -> str:
        """A new recording's."""
        return new_sid(RECORDING, self._clock())

    def url(self, recording: Recording) -> str:
        """Where its sound is, as apps are told: a suffix names its form."""
        return (
            f"{self._base()}/2010-04-01/Accounts/{recording.account_sid}/Recordings/{recording.sid}"
        )

    def begun(
        self,
        account_sid: str,
        wanted: Wanted,
        *,
        call_sid: str = "",
        conference_sid: str = "",
        sid: str = "",
    ) -> Change:
        """A recording begins; `sid` is a new one unless it is given."""
        recording = self._made(account_sid, wanted, call_sid, conference_sid, sid)
        return self._change(recording, [tables.inserted(recording)])

    def failed(
        self,
        account_sid: str,
        wanted: Wanted,
        trouble: Trouble,
        *,
        call_sid: str = "",
        conference_sid: str = "",
    ) -> Change:
        """A recording can't be made: there is one with nothing in it, and its app is told why."""
        made = self._made(account_sid, wanted, call_sid, conference_sid)
        absent = msgspec.structs.replace(
            made, status=RecordingStatus.ABSENT, error_code=trouble.error_code
        )
        writes = [tables.inserted(absent), *self.noted(absent, trouble)]
        return self._change(absent, writes)

    def noted(self, recording: Recording, trouble: Trouble) -> list[Write]:
        """The writes that tell the developer of its app what is wrong with a recording."""
        return noted(
            recording.account_sid,
            recording.call_sid or recording.conference_sid,
            trouble.error_code,
            Level.ERROR.value,
            self._clock(),
            message=trouble.reason,
        )

    def _made(
        self, account_sid: str, wanted: Wanted, call_sid: str, conference_sid: str, sid: str = ""
    ) -> Recording:
        now = self._clock()
        return Recording(
            account_sid=account_sid,
            sid=sid or self.sid(),
            call_sid=call_sid,
            conference_sid=conference_sid,
            source=wanted.source,
            channels=wanted.channels,
            track=wanted.track,
            owner=self._owner,
            status_callback=wanted.told.url,
            status_callback_method=wanted.told.method,
            status_callback_events=tuple(each.value for each in wanted.told.events),
            start_time=now,
            date_created=now,
            date_updated=now,
        )

    def moved(self, recording: Recording, status: RecordingStatus) -> Change | None:
        """A recording goes on in another state; None if that can't follow."""
        return self._advanced(recording, status)

    def ended(self, recording: Recording, seconds: float, *, spoke: bool = True) -> Change | None:
        """A recording's file is closed; None if that was known.

        Twilio's rule: there is none of a `<Record>` in which nobody spoke.
        """
        nothing = seconds <= 0 or (recording.source is RecordingSource.RECORD_VERB and not spoke)
        if nothing:
            change = self._advanced(recording, RecordingStatus.ABSENT, owner=self._owner)
        else:
            change = self._advanced(
                recording, RecordingStatus.COMPLETED, duration=seconds, owner=self._owner
            )
        if change is not None and nothing:
            self.files.remove(recording.account_sid, recording.sid)
        return change

    def broken(self, recording: Recording) -> Change | None:
        """Nobody has closed a recording's file: it ends with what there is of it."""
        found = mended(self.files.path(recording.account_sid, recording.sid))
        return self.ended(recording, 0.0 if found is None else found.seconds)

    def _advanced(
        self, recording: Recording, status: RecordingStatus, **also: object
    ) -> Change | None:
        after = advanced(recording, status, self._clock(), **also)
        return None if after is None else self._change(after, [tables.updated(after)])

    def _change(self, recording: Recording, writes: list[Write]) -> Change:
        now = recording.date_updated
        jobs = callbacks.for_state(recording, self.url(recording), now, self._patience)
        told = {"call_sid": recording.call_sid, "conference_sid": recording.conference_sid}
        data = {name: value for name, value in told.items() if value}
        kind = _FACTS[recording.status]
        written = fact(recording.account_sid, recording.sid, recording.version, kind, now, data)
        return Change(
            recording=recording,
            writes=[*writes, written, *map(job_inserted, jobs)],
            jobs=jobs,
        )

    # -- reads

    async def get(self, account_sid: str, sid: str) -> Recording | None:
        """A recording of the account."""
        rows = await self._store.fetch(tables.GET, account_sid, sid)
        return tables.recording_of(rows[0]) if rows else None

    async def whole_of(self, account_sid: str, call_sid: str) -> Recording | None:
        """The recording of all of a call that REST made, if it asked for one."""
        rows = await self._store.fetch(tables.WHOLE, call_sid, account_sid)
        return tables.recording_of(rows[0]) if rows else None

    async def orphaned(self) -> list[str]:
        """The owners of recordings that are not over which are members no more."""
        owners = await self._store.fetch(tables.OPEN_OWNERS)
        alive = {lease.name for lease in await self._store.leases()}
        return sorted(owner for owner, _ in owners if member_name(owner) not in alive)

    async def open_of(self, owner: str) -> AsyncIterator[list[Recording]]:
        """Pages of the recordings of `owner` that are not over."""
        after = ""
        while rows := await self._store.fetch(tables.OPEN, owner, after, _PAGE):
            found = [tables.recording_of(row) for row in rows]
            after = found[-1].sid
            yield found
