"""Jobs in the store: immutable rows of `jobs`, and one transition for each try that ended."""

from enum import StrEnum
from typing import Final

import msgspec

from gateway.sids import JOB
from gateway.store.base import Delete, Insert, Query, Row, Write


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must happen; the columns of table `jobs`.

    `id` is the idempotency token of every try. `kind` names the handler, `endpoint` the queue,
    `sequence` the jobs whose first tries start in order ("" for none), `sid` the resource that
    it is about. `payload` is JSON.
    """

    id: str
    kind: str
    account_sid: str
    endpoint: str
    sequence: str
    sid: str
    payload: str
    created_at: float
    expire_at: float


class JobState(StrEnum):
    """What a try led to; the first is the only one that another try follows."""

    AWAITING_RETRY = "awaiting_retry"
    SUCCEEDED = "succeeded"
    DISCARDED = "discarded"
    EXPIRED = "expired"


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is not done: `tries` have ended, the next is due at `retry_at` (0: now)."""

    job: Job
    tries: int
    retry_at: float


_COLUMNS: Final = Job.__struct_fields__
_INSERT: Final = Insert(table="jobs", columns=_COLUMNS)
_TRANSITION: Final = Insert(
    table="job_state_transitions",
    columns=("job_id", "attempt", "to_state", "at", "retry_at", "note"),
    ignore_taken=("job_id", "attempt"),  # a try whose end was stored already, run again
)
DELETE: Final = Delete(table="jobs", key=("id",))
DELETE_TRANSITION: Final = Delete(table="job_state_transitions", key=("job_id", "attempt"))

_PENDING: Final = (
    f"SELECT {', '.join('j.' + name for name in _COLUMNS)}, t.attempt, t.retry_at"
    " FROM jobs j LEFT JOIN job_state_transitions t ON t.job_id = j.id AND t.attempt ="
    " (SELECT max(last.attempt) FROM job_state_transitions last WHERE last.job_id = j.id)"
    " WHERE (t.to_state IS NULL OR t.to_state = 'awaiting_retry') AND j.id > $1 AND j.id <= $2"
)
# What is done has no mark in `jobs`: these look at every row of a window, so the window has an end.
PENDING: Final = Query("jobs_pending", f"{_PENDING} ORDER BY j.id LIMIT $3")
PENDING_OF: Final = Query(
    "jobs_pending_of", f"{_PENDING} AND j.endpoint = $3 ORDER BY j.id LIMIT $4"
)
WINDOW_END: Final = Query(
    "jobs_window_end", "SELECT id FROM jobs WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2"
)
NEWEST: Final = Query("jobs_newest", "SELECT id FROM jobs ORDER BY id DESC LIMIT 1 OFFSET $1")
LAST: Final = f"{JOB}~"  # after every id
DONE: Final = Query(
    "jobs_done",
    "SELECT job_id, attempt FROM job_state_transitions WHERE job_id > $1 AND job_id < $2"
    " AND to_state <> 'awaiting_retry' AND at < $3 ORDER BY job_id LIMIT $4",
)


def insert(job: Job) -> Write:
    """The write that makes `job` due, for the commit of whatever it follows from."""
    return _INSERT, msgspec.structs.astuple(job)


def transition(
    job_id: str, attempt: int, state: JobState, at: float, retry_at: float = 0.0, note: str = ""
) -> Write:
    """The write that says how try number `attempt` ended."""
    return _TRANSITION, (job_id, attempt, state.value, at, retry_at, note)


def pending_of(row: Row) -> Pending:
    """The value of a row of `PENDING` or `PENDING_OF`."""
    *fields, attempt, retry_at = row
    job = Job(**dict(zip(_COLUMNS, fields, strict=True)))
    return Pending(job=job, tries=attempt or 0, retry_at=retry_at or 0.0)
