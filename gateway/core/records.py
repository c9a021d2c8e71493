"""Jobs in the store: immutable rows, and one transition for each try that ended.

Both come in generations of an hour: a job and its transitions stand in the tables of the hour in
which its id was made, and are dropped with them. Statements and queries name their tables, so
each generation has its own; they are made once.

Generation 0 is what a database had before there were generations. The ids of its jobs say another
hour, so a job that was read carries where it was read from.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zlib import crc32

import msgspec

from gateway.sids import JOB
from gateway.store.base import Insert, Query, Row, Write

FAMILY: Final = "jobs"
GENERATION: Final = 3600  # seconds
UPGRADED: Final = 0  # the generation of jobs from before there were any
SHARDS: Final = 16
CUSTOMER: Final = "smpp:"  # how the endpoints of customers' deliveries begin
LAST: Final = f"{JOB}~"  # after every id

_MILLISECONDS: Final = GENERATION * 1000
BY_ITS_ID: Final = -1
TOGETHER: Final = 200  # resources that `open_of` looks for
_MAX_NOTE: Final = 300  # characters


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must happen; the columns of table `jobs`, but for `generation`.

    `id` is the idempotency token of every try. `kind` names the handler, `endpoint` the queue,
    `sequence` the jobs whose first tries start in order ("" for none), `sid` the resource that
    it is about. `payload` is JSON. `generation` is set by whoever read it.
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
    generation: int = BY_ITS_ID

    @property
    def place(self) -> tuple[int, str]:
        """Where it stands in the store; places sort by time."""
        known = self.generation
        return (generation_of(self.id) if known == BY_ITS_ID else known), self.id


class JobState(StrEnum):
    """What became of a job so far; another try follows the first two.

    What is `expired` is to be archived. `available` stands before any try, of a job that was made
    from another one; that one is `replayed`.
    """

    AVAILABLE = "available"
    AWAITING_RETRY = "awaiting_retry"
    SUCCEEDED = "succeeded"
    DISCARDED = "discarded"
    EXPIRED = "expired"
    ARCHIVED = "archived"
    REPLAYED = "replayed"


# Nothing needs to be done about these any more.
ENDED: Final = (
    JobState.SUCCEEDED,
    JobState.DISCARDED,
    JobState.ARCHIVED,
    JobState.REPLAYED,
)


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A job that needs something: `tries` have ended, the next is due at `retry_at` (0: now).

    One that is `expired` needs to be archived; `at` and `note` are those of its last try.
    """

    job: Job
    tries: int
    retry_at: float
    state: JobState
    at: float
    note: str


def generation_of(job_id: str) -> int:
    """The generation of a job that was made by this version."""
    return int(job_id[2:14], 16) // _MILLISECONDS  # `sids.made_at`, three times for each job


def generation_at(now: float) -> int:
    """The generation of a job that is made now."""
    return int(now) // GENERATION


@lru_cache(maxsize=4096)
def shard_of(endpoint: str) -> int:
    """Whose queue the jobs of `endpoint` stand in; a customer's deliveries are a shard of theirs.

    Two customers may share one by accident.
    """
    number = crc32(endpoint.encode("utf-8", "surrogateescape"))
    return -1 - number % 2**31 if endpoint.startswith(CUSTOMER) else number % SHARDS


_COLUMNS: Final = Job.__struct_fields__[:-1]
_STATES: Final = ", ".join(f"'{state}'" for state in ENDED)


_LAST: Final = (
    "{jobs} r LEFT JOIN {transitions} t ON t.job_id = r.id AND t.attempt ="
    " (SELECT max(attempt) FROM {transitions} WHERE job_id = r.id)"
)  # each job `r` beside its last transition `t`, if it has one
_FOUND: Final = (
    f"SELECT {', '.join('r.' + name for name in _COLUMNS)},"
    f" t.attempt, t.retry_at, t.to_state, t.at, t.note FROM {_LAST} WHERE"
)
_UNENDED: Final = f"COALESCE(t.to_state, '') NOT IN ({_STATES})"
_PENDING: Final = f"{_FOUND} {_UNENDED}"
# What has ended has no mark in `jobs`: these look at every row of a window, so the window has an
# end.
_WINDOW: Final = f"{_PENDING} AND r.id > $1 AND r.id <= $2"
_NAMED: Final = ", ".join(f"${at}" for at in range(1, TOGETHER + 1))
_IN_STATE: Final = "LIKE '%|' || COALESCE(t.to_state, 'available') || '|%'"  # between bars

# The queries of a generation by the fields of `Tables`; `str.format` puts its tables in.
_QUERIES: Final = {
    "pending": (
        f"{_WINDOW} AND ($3 = '' OR $4 LIKE '%|' || r.shard || '|%') ORDER BY r.id LIMIT $5"
    ),
    "pending_of": f"{_WINDOW} AND r.endpoint = $3 ORDER BY r.id LIMIT $4",
    # `{arrived}` is for the store to fill
    "arrived": _PENDING + " AND r.shard = ANY($1::bigint[]) AND {{arrived}}",
    "window_end": "SELECT id FROM {jobs} WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2",
    "newest": "SELECT id FROM {jobs} ORDER BY id DESC LIMIT 1 OFFSET $1",
    "count": "SELECT count(*) FROM (SELECT id FROM {jobs} LIMIT $1) AS counted",
    "open": (
        f"SELECT r.id FROM {_LAST} WHERE {_UNENDED}"
        " AND r.id > $1 AND r.id <= $2 ORDER BY r.id LIMIT 1"
    ),
    "open_of": f"{_PENDING} AND r.sid IN ({_NAMED})",
    "of_sid": (
        "SELECT r.id, r.kind, r.endpoint, r.created_at, t.attempt, t.to_state, t.at, t.note"
        " FROM {jobs} r LEFT JOIN {transitions} t ON t.job_id = r.id"
        " WHERE r.sid = $1 ORDER BY r.id, t.attempt"
    ),
    # For people, an account at a time, in windows too.
    "window_start": "SELECT id FROM {jobs} WHERE id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2",
    "listed": (
        f"{_FOUND} r.account_sid = $1 AND r.id >= $2 AND r.id < $3"
        f" AND ($4 = '' OR r.endpoint = $5) AND $6 {_IN_STATE} ORDER BY r.id DESC LIMIT $7"
    ),
    "given_up": (
        f"{_FOUND} r.account_sid = $1 AND r.id > $2 AND r.id <= $3 AND r.endpoint = $4"
        f" AND $5 {_IN_STATE} ORDER BY r.id LIMIT $6"
    ),
    "one": f"{_FOUND} r.account_sid = $1 AND r.id = $2",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tables:
    """The statements and queries of one generation; `tables` makes them."""

    number: int
    jobs: str
    transitions: str
    insert: Insert
    transition: Insert
    pending: Query
    pending_of: Query
    arrived: Query
    window_end: Query
    newest: Query
    count: Query
    open: Query
    open_of: Query
    of_sid: Query
    window_start: Query
    listed: Query
    given_up: Query
    one: Query


@lru_cache(maxsize=512)
def tables(generation: int) -> Tables:
    """Those of `generation`, made once."""
    jobs, transitions = f"jobs_{generation}", f"job_state_transitions_{generation}"
    queries = {
        name: Query(f"{jobs}_{name}", sql.format(jobs=jobs, transitions=transitions))
        for name, sql in _QUERIES.items()
    }
    return Tables(
        number=generation,
        jobs=jobs,
        transitions=transitions,
        insert=Insert(table=jobs, columns=(*_COLUMNS, "shard")),
        transition=Insert(
            table=transitions,
            columns=("job_id", "attempt", "to_state", "at", "retry_at", "note"),
            ignore_taken=("job_id", "attempt"),  # a try whose end was stored already, run again
        ),
        **queries,
    )


def insert(job: Job) -> Write:
    """The write that makes `job` due, for the commit of whatever it follows from."""
    row = msgspec.structs.astuple(job)
    return tables(generation_of(job.id)).insert, (*row[:-1], shard_of(job.endpoint))


def transition(
    job: Job, attempt: int, state: JobState, at: float, retry_at: float = 0.0, note: str = ""
) -> Write:
    """The write that says how try number `attempt` of `job` ended, or what happened after it."""
    number = job.generation
    if number == BY_ITS_ID:
        number = generation_of(job.id)
    row = (job.id, attempt, state.value, at, retry_at, note[:_MAX_NOTE])
    return tables(number).transition, row


def pending_of(row: Row, generation: int) -> Pending:
    """The value of a row of `pending`, `pending_of` or `arrived` of `generation`."""
    *fields, attempt, retry_at, state, at, note = row
    job = Job(**dict(zip(_COLUMNS, fields, strict=True)), generation=generation)
    return Pending(
        job=job,
        tries=attempt or 0,
        retry_at=retry_at or 0.0,
        state=JobState(state or JobState.AVAILABLE),
        at=at or 0.0,
        note=note or "",
    )
