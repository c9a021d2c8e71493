"""Jobs: `/v1/jobs`, the work of an account and how its queues stand, and replays."""

from typing import Final

import msgspec

from gateway.api.http import answer_json, iso8601, refuse
from gateway.api.lists import day_of
from gateway.api.paging import LIMIT, limit_of
from gateway.api.resources import Access, Call, Kind, Operation, Param, Result
from gateway.core import listing, queue_states
from gateway.core.archive import ArchiveError
from gateway.core.backlog import END, Place
from gateway.core.queue_states import QueueState
from gateway.core.records import JobState, Pending
from gateway.core.replay import MOST, Replayed
from gateway.messages.draft import Refusal

_AFTER_ENDS: Final = frozenset({JobState.ARCHIVED, JobState.REPLAYED})
_A_DAY: Final = 86400.0


class JobBody(msgspec.Struct, frozen=True, kw_only=True):
    """A job, and how it stands: `available` waits for its first try, `awaiting_retry` for the
    next; `expired` was given up and is on its way to the archive, where `archived` is.
    """

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


class QueueBody(msgspec.Struct, frozen=True, kw_only=True):
    """What the account has in memory for one endpoint, as its owner saw it at `at`.

    While the endpoint does not answer its `circuit` is `open`, and it is tried again at
    `probe_at`. `more` says that further jobs wait in the store alone.
    """

    endpoint: str
    waiting: int
    running: int
    retrying: int
    more: bool
    circuit: str
    probe_at: str | None
    at: str | None


class JobsBody(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs; `next` is the `before` of the following page, null at the end. A page may be short."""

    jobs: list[JobBody]
    queues: list[QueueBody]
    next: str | None


class ReplayBody(msgspec.Struct, frozen=True, kw_only=True):
    """A new job, and the one that it is made from."""

    id: str
    replay_of: str


class ReplaysBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is replayed; `open` were left because they are still to be tried, `unknown` are none.

    `next` is the `after` of the following request, null when everything was found.
    """

    replayed: list[ReplayBody]
    open: list[str]
    unknown: list[str]
    next: str | None


def _job_body(found: Pending) -> JobBody:
    job = found.job
    return JobBody(
        id=job.id,
        kind=job.kind,
        endpoint=job.endpoint,
        sid=job.sid,
        state=found.state,
        attempts=found.tries - (found.state in _AFTER_ENDS),
        created_at=iso8601(job.created_at),
        expires_at=iso8601(job.expire_at),
        tried_at=iso8601(found.at if found.tries else 0.0),
        retry_at=iso8601(found.retry_at),
        note=found.note,
    )


def _queue_body(state: QueueState) -> QueueBody:
    return QueueBody(
        endpoint=state.endpoint,
        waiting=state.waiting,
        running=state.running,
        retrying=state.retrying,
        more=state.more,
        circuit=state.circuit,
        probe_at=iso8601(state.probe_at),
        at=iso8601(state.at),
    )


async def list_(call: Call) -> Result:
    """The account's jobs that are neither done nor given up, or in `state`, newest first."""
    limit = limit_of(call)
    if isinstance(limit, Refusal):
        return limit
    before = _place(call.text("before"))
    if isinstance(before, Refusal):
        return before
    states = call.form.get("state")
    account_sid, endpoint = call.account.sid, call.text("endpoint")
    page = await listing.newest_first(
        call.services.store,
        account_sid,
        states=map(JobState, states) if states else listing.OPEN,
        endpoint=endpoint,
        before=before or END,
        limit=limit,
    )
    queues = await queue_states.of_account(call.services.store, account_sid)
    return answer_json(
        JobsBody(
            jobs=[_job_body(each) for each in page.jobs],
            queues=[_queue_body(each) for each in queues if endpoint in ("", each.endpoint)],
            next=_token(page.next),
        )
    )


async def replay(call: Call) -> Result:
    """Make jobs again that have ended: those with these ids, or what was given up of an endpoint.

    Each is a new job with the same payload and an idempotency token of its own; the oldest first.
    """
    ids, endpoint = call.form.get("id", []), call.text("endpoint")
    if bool(ids) is bool(endpoint):
        return refuse(20001, "Either 'id' or 'endpoint' should say which jobs")
    if len(ids) > MOST:
        return refuse(20001, f"At most {MOST} jobs can be replayed at once, not {len(ids)}")
    again = call.services.replay
    if again is None:
        return refuse(20503, "This gateway has no archive")
    try:
        if ids:
            return _replayed(await again.by_ids(call.account.sid, ids))
        after = _place(call.text("after"))
        if isinstance(after, Refusal):
            return after
        since = day_of(call.text("since"))[0] if call.text("since") else call.now - _A_DAY
        return _replayed(await again.of_endpoint(call.account.sid, endpoint, since, after, MOST))
    except ArchiveError as error:
        return refuse(20503, f"Nothing was replayed: {error}")


def _replayed(found: Replayed) -> Result:
    return answer_json(
        ReplaysBody(
            replayed=[ReplayBody(id=new.id, replay_of=old) for old, new in found.jobs.items()],
            open=found.open,
            unknown=found.unknown,
            next=_token(found.next),
        ),
        201,
    )


def _token(place: Place | None) -> str | None:
    """A place as clients carry it: its generation and its id."""
    return None if place is None else f"{place[0]}.{place[1]}"


def _place(token: str) -> Place | Refusal | None:
    generation, _, job_id = token.partition(".")
    if token and not (generation.isdecimal() and len(generation) < 12):
        return refuse(20001, "The place to go on from should be the 'next' of the page before")
    return (int(generation), job_id) if token else None


OPERATIONS: Final = (
    Operation(
        *("ListJobs", "GET", "/v1/jobs", list_, Access.READ),
        params=(
            LIMIT,
            Param(name="before", doc="Only jobs older than this one: `next` of the page before."),
            Param(
                name="state",
                doc="Only jobs in this state; repeated, in one of these.",
                repeated=True,
                choices=tuple(JobState),
            ),
            Param(name="endpoint", doc="Only jobs of this endpoint, as a list shows it."),
        ),
        returns=JobsBody,
    ),
    Operation(
        *("ReplayJobs", "POST", "/v1/jobs/replay", replay, Access.WRITE),
        params=(
            Param(name="id", doc="A job's id; repeated, up to 1000 of them.", repeated=True),
            Param(name="endpoint", doc="Instead: what was given up of this endpoint."),
            Param(
                name="since",
                kind=Kind.DATE,
                doc="With endpoint: made then or later (ISO 8601, UTC); a day ago if absent,"
                " 400 days at most.",
            ),
            Param(name="after", doc="With endpoint: `next` of the request before."),
        ),
        status=201,
        returns=ReplaysBody,
    ),
)
