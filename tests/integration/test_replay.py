"""Jobs that have ended, made again: through REST and the command line, from store and archive."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rest_world import World, rest_world
from typer.testing import CliRunner, Result

from gateway.cli import app
from gateway.cli.client import GatewayError
from gateway.core.archive import Folder, objects_of, packed
from gateway.core.breaker import Circuit
from gateway.core.jobs import QueuePolicy, RetryPolicy, Scheduler, policies
from gateway.core.queue_states import QueueReports
from gateway.core.records import (
    FAMILY,
    Job,
    JobState,
    Pending,
    insert,
    pending_of,
    tables,
    transition,
)
from gateway.core.runner import EVERYTHING, JobOutcome, JobRunner, Retry, Sign
from gateway.model import Account
from gateway.sids import JOB, first_sid, new_sid

APP = "https://app.example"
HOUR = 3600.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with rest_world(tmp_path) as world:
        yield world


def job(owner: Account, hours_ago: float = 0.0, endpoint: str = APP) -> Job:
    made = time.time() - HOUR * hours_ago
    return Job(
        id=new_sid(JOB, made) if not hours_ago else f"{first_sid(JOB, made)}{'7' * 16}",
        kind="status",
        account_sid=owner.sid,
        endpoint=endpoint,
        sequence="SM1",
        sid="SM1",
        payload=f'{{"made": {hours_ago}}}',
        created_at=made,
        expire_at=made + 100.0,
    )


async def stored(world: World, *jobs: tuple[Job, JobState | None]) -> None:
    """Jobs in the store, with how they ended."""
    await world.services.store.commit(
        [
            write
            for each, state in jobs
            for write in (
                insert(each),
                *([transition(each, 1, state, each.created_at)] if state else ()),
            )
        ]
    )


async def archived(folder: Path, *jobs: Job) -> None:
    """Jobs in the archive alone."""
    given_up = [
        Pending(job=each, tries=5, retry_at=0.0, state=JobState.EXPIRED, at=0.0, note="")
        for each in jobs
    ]
    for name, each in objects_of(given_up).items():
        await Folder(folder / "archive").put(name, packed(each))


async def found(world: World, job_id: str, account: Account) -> Pending:
    store = world.services.store
    for number in await store.generations(FAMILY):
        for row in await store.fetch(tables(number).one, account.sid, job_id):
            return pending_of(row, number)
    raise AssertionError(f"there is no job {job_id}")


async def test_a_replay_is_a_new_job_with_the_same_payload(world: World) -> None:
    old = job(world.main)
    await stored(world, (old, JobState.SUCCEEDED))
    status, body, _ = await world.ask("POST", "/v1/jobs/replay", world.main, data={"id": old.id})
    assert status == 201 and body["open"] == body["unknown"] == [] and body["next"] is None
    ((new_id, replay_of),) = [(each["id"], each["replay_of"]) for each in body["replayed"]]
    assert replay_of == old.id != new_id
    new = await found(world, new_id, world.main)
    assert (new.state, new.tries, new.note) == (JobState.AVAILABLE, 0, f"a replay of {old.id}")
    assert new.job.expire_at - new.job.created_at == pytest.approx(100.0)
    for name in ("kind", "account_sid", "endpoint", "sequence", "sid", "payload"):
        assert getattr(new.job, name) == getattr(old, name)
    was = await found(world, old.id, world.main)
    assert (was.state, was.note) == (JobState.REPLAYED, f"as {new_id}")
    assert [each.id for each in world.offered] == [new_id], "its first try is due"


async def test_what_is_open_stays_and_what_is_not_there_is_told(
    world: World, tmp_path: Path
) -> None:
    """Another account's jobs are not there, in the store nor in the archive."""
    open_, theirs, lost = job(world.main), job(world.stranger), job(world.main)
    gone = job(world.stranger, 50.0)
    await stored(world, (open_, None), (theirs, JobState.DISCARDED))
    await archived(tmp_path, gone)
    asked = [open_.id, theirs.id, lost.id, gone.id, "JB1", "../x"]
    status, body, _ = await world.ask(
        "POST", "/v1/jobs/replay", world.main, data=[("id", each) for each in asked]
    )
    assert status == 201 and body["replayed"] == [] and body["open"] == [open_.id]
    assert body["unknown"] == asked[1:]
    assert world.offered == []


async def test_jobs_come_back_from_the_archive(world: World, tmp_path: Path) -> None:
    jobs = [job(world.main, 50.0 + at) for at in range(3)]
    await archived(tmp_path, *jobs)
    (tmp_path / "archive" / world.main.sid / "notes.ndjson.gz").write_bytes(b"a stranger's")
    _, body, _ = await world.ask("POST", "/v1/jobs/replay", world.main, data={"id": jobs[1].id})
    assert [each["replay_of"] for each in body["replayed"]] == [jobs[1].id]
    assert world.offered[0].payload == jobs[1].payload


async def test_an_archive_that_cannot_be_read_is_named(world: World, tmp_path: Path) -> None:
    old = job(world.main, 50.0)
    (tmp_path / "archive").write_text("in the way")
    status, body, _ = await world.ask("POST", "/v1/jobs/replay", world.main, data={"id": old.id})
    assert status == 503 and str(tmp_path / "archive") in body["message"]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"id": "JB1", "endpoint": APP},
        {"endpoint": APP, "since": "yesterday"},
        {"endpoint": APP, "after": "soon"},
        [("id", f"JB{at}") for at in range(1001)],
    ],
)
async def test_a_request_that_says_nothing_clear_is_refused(world: World, form: Any) -> None:
    status, body, _ = await world.ask("POST", "/v1/jobs/replay", world.main, data=form)
    assert (status, body["code"]) == (400, 20001)


async def test_all_that_was_given_up_of_an_endpoint_is_replayed_in_its_order(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generations that were dropped lie between those that are still there."""
    monkeypatch.setattr("gateway.api.jobs.MOST", 3)
    monkeypatch.setattr("gateway.core.replay._WINDOW", 4)
    ended = [JobState.DISCARDED, JobState.EXPIRED, JobState.ARCHIVED]
    in_store = [job(world.main, hours) for hours in (40.2, 30.3, 30.1, 5.5, 2.1, 0.0)]
    in_archive = [job(world.main, hours) for hours in (45.0, 44.9, 38.5, 33.3, 10.0)]
    others = [job(world.main, 30.2, "https://other.example"), job(world.stranger, 30.25)]
    await stored(
        world,
        *((each, ended[at % 3]) for at, each in enumerate(in_store)),
        *((each, JobState.DISCARDED) for each in others),
        (job(world.main, 30.15), JobState.SUCCEEDED),
        (job(world.main, 30.16), None),
    )
    double = in_store[3]  # in the archive already, still in the store
    await archived(tmp_path, *in_archive, double, job(world.main, 33.4, "https://other.example"))
    too_old = job(world.main, 60.0)
    await archived(tmp_path, too_old)
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 50 * HOUR))
    seen: list[str] = []
    form = {"endpoint": APP, "since": since}
    while True:
        status, body, _ = await world.ask("POST", "/v1/jobs/replay", world.main, data=form)
        assert status == 201 and len(body["replayed"]) <= 3
        seen += [each["replay_of"] for each in body["replayed"]]
        if body["next"] is None:
            break
        form["after"] = body["next"]
    expected = sorted([*in_store, *in_archive], key=lambda each: each.id)
    assert seen == [each.id for each in expected]
    assert [each.payload for each in world.offered] == [each.payload for each in expected]
    form = {"endpoint": APP, "since": since}
    _, body, _ = await world.ask("POST", "/v1/jobs/replay", world.main, data=form)
    again = {each["replay_of"] for each in body["replayed"]}
    assert again.isdisjoint(each.id for each in in_store), "what was replayed is not given up"


# -- how queues stand --------------------------------------------------------------------------


async def test_queues_are_shown_to_whose_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_EVERY", "_SELDOM"):  # the runner would tell of them, too
        monkeypatch.setattr(f"gateway.core.queue_states.{name}", HOUR)

    async def handler(_: Job, __: int) -> JobOutcome:
        return Retry(note="down", after=50.0, sign=Sign.FAILED)

    store = world.services.store
    scheduler: Scheduler[Job] = Scheduler(
        policies(QueuePolicy(concurrency=1), {}), RetryPolicy(base=1.0, cap=60.0)
    )
    runner = JobRunner(
        store, scheduler, {"status": handler}, workers=2, clock=time.time, fraction=lambda: 0.0
    )
    reports = QueueReports(
        store, None, scheduler, lambda: EVERYTHING, "https://other.example".__eq__, time.time
    )
    jobs = [
        *(msgspec.structs.replace(job(world.main), sequence="") for _ in range(14)),
        job(world.stranger, endpoint="https://other.example"),
    ]
    await stored(world, *((each, None) for each in jobs))
    runner.close_endpoint("https://other.example")
    for each in jobs:
        runner.offer(each)
    runner.start()
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.005)
            if scheduler.standing(APP).circuit is Circuit.OPEN and not runner.stats().busy:
                break
    await reports.tell()
    _, body, _ = await world.ask("GET", "/v1/jobs", world.main)
    (queue,) = body["queues"]
    assert queue.pop("at") and queue.pop("probe_at")
    assert queue == {
        "endpoint": APP,
        "waiting": 4,
        "running": 0,
        "retrying": 10,
        "more": False,
        "circuit": "open",
    }
    _, body, _ = await world.ask("GET", f"/v1/jobs?endpoint={APP}", world.stranger)
    assert body["queues"] == []
    _, body, _ = await world.ask("GET", "/v1/jobs", world.stranger)
    assert [(each["waiting"], each["more"]) for each in body["queues"]] == [(1, True)]
    printed = await cli(world, "jobs", "list", "--limit", "1")
    assert "open, tried at" in printed.stdout and APP in printed.stdout
    await runner.close(5.0)
    # Whoever is the owner after a crash takes the rows away that it does not find true.
    empty: Scheduler[Job] = Scheduler(
        policies(QueuePolicy(concurrency=1), {}), RetryPolicy(base=1.0, cap=60.0)
    )
    await QueueReports(store, None, empty, lambda: EVERYTHING, "".__eq__, time.time).tell()
    _, body, _ = await world.ask("GET", "/v1/jobs", world.main)
    assert body["queues"] == []


# -- the command -------------------------------------------------------------------------------


async def cli(world: World, *arguments: str) -> Result:
    environ = {
        "TRUNKLINE_URL": world.url,
        "TRUNKLINE_ACCOUNT_SID": world.main.sid,
        "TRUNKLINE_AUTH_TOKEN": world.main.auth_token,
    }
    return await world.call(lambda: CliRunner().invoke(app, arguments, env=environ))


async def test_the_command_lists_and_replays(world: World, tmp_path: Path) -> None:
    jobs = [job(world.main) for _ in range(3)]
    old = job(world.main, 50.0)
    await stored(
        world, (jobs[0], None), (jobs[1], JobState.DISCARDED), (jobs[2], JobState.SUCCEEDED)
    )
    await archived(tmp_path, old)
    shown = await cli(world, "jobs", "list", "--json")
    assert [each["id"] for each in json.loads(shown.stdout)["jobs"]] == [jobs[0].id]
    shown = await cli(
        world, "jobs", "list", "--state", "discarded", "--state", "succeeded", "--json"
    )
    assert [each["id"] for each in json.loads(shown.stdout)["jobs"]] == [jobs[2].id, jobs[1].id]
    shown = await cli(world, "jobs", "list", "--endpoint", APP)
    assert jobs[0].id in shown.stdout and "available" in shown.stdout
    replayed = await cli(world, "jobs", "replay", jobs[0].id, jobs[2].id, old.id)
    assert replayed.exit_code == 0, replayed.output
    assert f"{jobs[0].id} is still to be tried" in replayed.stdout
    assert f"{jobs[2].id} again as {world.offered[0].id}" in replayed.stdout
    assert f"{old.id} again as {world.offered[1].id}" in replayed.stdout
    replayed = await cli(world, "jobs", "replay", "--endpoint", APP)
    assert f"{jobs[1].id} again as {world.offered[2].id}" in replayed.stdout
    assert len(world.offered) == 3


async def test_the_command_says_what_is_wrong(world: World) -> None:
    nothing = await cli(world, "jobs", "replay")
    assert isinstance(nothing.exception, GatewayError)
    assert "jobs replay ID…, or --endpoint" in str(nothing.exception)
    unknown = await cli(world, "jobs", "replay", "JB1")
    assert "no jobs of this account: JB1" in str(unknown.exception)
