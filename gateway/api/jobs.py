"""Jobs: `/v1/jobs`, the work of an account that is still to be done, newest first."""

from typing import Final

import msgspec

from gateway.api.http import answer_json, iso8601, refuse
from gateway.api.resources import Access, Call, Kind, Operation, Param, Result
from gateway.store.base import Query, Row

_MAX_LIMIT: Final = 1000
_DEFAULT_LIMIT: Final = 50
_BEYOND: Final = "~"

OPEN: Final = Query(
    "jobs_open_of_account",
    "SELECT j.id, j.kind, j.endpoint, j.sid, j.created_at, j.expire_at,"
    " t.attempt, t.to_state, t.at, t.retry_at, t.note"
    " FROM jobs j LEFT JOIN job_state_transitions t ON t.job_id = j.id AND t.attempt ="
    " (SELECT MAX(attempt) FROM job_state_transitions WHERE job_id = j.id)"
    " WHERE j.account_sid = $1 AND j.id < $2"
    " AND COALESCE(t.to_state, '') NOT IN ('succeeded', 'discarded', 'expired')"
    " ORDER BY j.id DESC LIMIT $3",
)


class JobBody(msgspec.Struct, frozen=True, kw_only=True):
    """A job that waits for its first try (`available`) or for the next (`awaiting_retry`)."""

    id: str
    kind: str
    endpoint: str
    sid: str
    state: str
    attempts: int
    created_at: str | None
    expires_at: str | None
    tried_at: str | None
    retry_at: str | None
    note: str


class JobsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Open jobs; `next` is the `before` of the following page, null at the end."""

    jobs: list[JobBody]
    next: str | None


def _job_body(row: Row) -> JobBody:
    job_id, kind, endpoint, sid, created_at, expire_at, attempt, state, at, retry_at, note = row
    return JobBody(
        id=job_id,
        kind=kind,
        endpoint=endpoint,
        sid=sid,
        state=state or "available",
        attempts=attempt or 0,
        created_at=iso8601(created_at),
        expires_at=iso8601(expire_at),
        tried_at=iso8601(at or 0.0),
        retry_at=iso8601(retry_at or 0.0),
        note=note or "",
    )


async def list_(call: Call) -> Result:
    """The account's jobs that are neither done nor given up, newest first."""
    limit = int(call.text("limit") or _DEFAULT_LIMIT)
    if not 1 <= limit <= _MAX_LIMIT:
        return refuse(20001, f"'limit' should be 1 to {_MAX_LIMIT}, not {limit}")
    before = call.text("before") or _BEYOND
    rows = await call.services.store.fetch(OPEN, call.account.sid, before, limit + 1)
    jobs = [_job_body(row) for row in rows[:limit]]
    return answer_json(JobsBody(jobs=jobs, next=jobs[-1].id if len(rows) > limit else None))


OPERATIONS: Final = (
    Operation(
        id="ListJobs",
        method="GET",
        path="/v1/jobs",
        doc=list_.__doc__ or "",
        handler=list_,
        access=Access.READ,
        params=(
            Param(name="limit", kind=Kind.INTEGER, doc="How many: 1 to 1000, 50 if absent."),
            Param(name="before", doc="Only jobs older than this one: `next` of the page before."),
        ),
        returns=JobsBody,
    ),
)
