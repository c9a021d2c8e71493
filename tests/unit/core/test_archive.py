"""Jobs that were given up, on their way into the archive; a folder, and a server of S3."""

import asyncio
import gzip
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from job_bench import Bench, Log, id_at, on_store, until

from gateway.core import archiver
from gateway.core.archive import (
    Archive,
    ArchiveError,
    Folder,
    ids_in,
    objects_of,
    open_archive,
    packed,
    unpacked,
)
from gateway.core.records import JobState, Pending
from gateway.core.runner import Job, Retry
from tests.contract.backends import STORES
from tests.s3 import S3

NOON = 1_795_262_400.0  # of 2026-11-21, UTC


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    with S3.start() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def archive(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Archive:
    if request.param == "folder":
        return open_archive("", tmp_path / "archive")
    server: S3 = request.getfixturevalue("s3")
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    return open_archive(f"{server.url}/{tmp_path.name}", tmp_path)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with on_store(STORES["sqlite"](tmp_path)) as bench:
        yield bench


def given_up(account: str, made: float, payload: str = "{}") -> Pending:
    job = Job(
        id=id_at(made),
        kind="status",
        account_sid=account,
        endpoint="https://app.example",
        sequence="SM1",
        sid="SM1",
        payload=payload,
        created_at=made,
        expire_at=made + 60.0,
    )
    return Pending(
        job=job, tries=3, retry_at=0.0, state=JobState.EXPIRED, at=made + 61.0, note="HTTP 500"
    )


def test_an_object_holds_the_jobs_of_one_account_and_day() -> None:
    jobs = [
        given_up(account, NOON + hours * 3600.0) for hours in (-13, -1, 1) for account in ("A", "B")
    ]
    found = objects_of(reversed(jobs))
    assert {name.rpartition("/")[0]: each for name, each in found.items()} == {
        "A/2026-11-20": [jobs[0]],
        "A/2026-11-21": [jobs[2], jobs[4]],
        "B/2026-11-20": [jobs[1]],
        "B/2026-11-21": [jobs[3], jobs[5]],
    }
    assert [ids_in(name) for name in found][1] == (jobs[1].job.id, jobs[1].job.id)
    with pytest.raises(ValueError):
        ids_in("A/2026-11-21/notes.txt")


def test_a_line_is_json_and_holds_everything() -> None:
    one = given_up("A", NOON, payload='{"text": "naïve \\u2028 \\n"}')
    content = packed([one, given_up("A", NOON)])
    lines = gzip.decompress(content).splitlines()
    assert len(lines) == 2 and json.loads(lines[0])["payload"] == one.job.payload
    archived = unpacked(content)[0]
    assert archived.job() == one.job
    assert (archived.tries, archived.note, archived.given_up_at) == (3, "HTTP 500", NOON + 61.0)
    for broken in (b"not gzip", content[:-9], gzip.compress(b"{}\n")):
        with pytest.raises(ArchiveError, match="can't be read"):
            unpacked(broken)


async def test_what_is_put_can_be_found_and_read_back(archive: Archive) -> None:
    jobs = [given_up("A", NOON + at) for at in range(3)]
    names = [f"A/2026-11-21/{each.job.id}-{each.job.id}.ndjson.gz" for each in jobs]
    for name, each in zip(reversed(names), reversed(jobs), strict=True):
        await archive.put(name, packed([each]))
    await archive.put(names[0], packed([jobs[0]]))
    await archive.put("A/2026-11-22/x-y.ndjson.gz", b"")
    await archive.put("AB/2026-11-21/x-y.ndjson.gz", b"")
    assert await archive.names("A/2026-11-21/") == names
    assert await archive.names("A/2026-11-23/") == []
    assert unpacked(await archive.get(names[1]))[0].job() == jobs[1].job
    with pytest.raises(ArchiveError):
        await archive.get("A/2026-11-21/nothing")


async def test_a_file_is_for_its_owner_alone_and_no_half_of_one_is_shown(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "archive")
    await folder.put("A/2026-11-21/a-b.ndjson.gz", b"x")
    (tmp_path / "archive/A/2026-11-21/.c-d.ndjson.gz.new").write_bytes(b"half")
    assert await folder.names("A/2026-11-21/") == ["A/2026-11-21/a-b.ndjson.gz"]
    path = tmp_path / "archive/A/2026-11-21/a-b.ndjson.gz"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_where_it_is_and_what_it_says_when_it_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = open_archive(f"file://{tmp_path}/some%20where", tmp_path / "data")
    await elsewhere.put("A/d/a-b.ndjson.gz", b"x")
    assert (tmp_path / "some where/A/d/a-b.ndjson.gz").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArchiveError, match=r"\[webhooks\] archive.*make room, or let this user"):
        await open_archive("", tmp_path / "file").put("A/d/a-b.ndjson.gz", b"x")
    with pytest.raises(ArchiveError, match="s3:// or file://"):
        open_archive("ftp://host", tmp_path)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ArchiveError, match=r"pip install '\.\[aws\]'"):
        open_archive("s3://bucket", tmp_path)


async def test_a_bucket_that_is_not_there_is_named(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environ.items():
        monkeypatch.setenv(name, value)
    nowhere = open_archive("s3://no-such-bucket/x", Path())
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: nowhere.put("A/d/a-b.ndjson.gz", b"x"),
        lambda: nowhere.get("A/d/a-b.ndjson.gz"),
        lambda: nowhere.names("A/d/"),
    ]
    for ask in asked:
        with pytest.raises(ArchiveError, match=r"s3://no-such-bucket/x .*AWS_ENDPOINT_URL"):
            await ask()


# -- the runner and the archiver ---------------------------------------------------------------


async def archived_lines(archive: Archive, bench: Bench, jobs: list[Job]) -> list[Any]:
    days = {objects for each in jobs for objects in objects_of([_pending(each)])}
    folders = sorted({name.rpartition("/")[0] + "/" for name in days})
    names = [name for folder in folders for name in await archive.names(folder)]
    return [line for name in names for line in unpacked(await archive.get(name))]


def _pending(job: Job) -> Pending:
    return Pending(job=job, tries=1, retry_at=0.0, state=JobState.EXPIRED, at=0.0, note="")


async def test_what_is_given_up_is_archived_and_then_noted(bench: Bench, archive: Archive) -> None:
    """By its last try, while it waits, and before its first try."""
    runner = bench.runner(Log(Retry(after=60.0, note="busy")), archive=archive)
    runner.start()
    runner.close_endpoint("closed")
    now = bench.clock()
    tried = bench.job("tried", expire_at=now + 30)
    waits = bench.job("waits", endpoint="closed", expire_at=now + 40)
    late = bench.job("late", expire_at=now - 1)
    await bench.insert(tried, waits, late)
    for job in (tried, late):
        runner.offer(job)
    await bench.until_stored(4)
    runner.offer(waits)
    bench.clock.ahead = 50.0
    runner.wake()
    states = {}
    for job, attempt, to in await bench.until_stored(6):
        states.setdefault(job, []).append((attempt, to))
    assert set(map(tuple, states.values())) == {((1, "expired"), (2, "archived"))}
    lines = await archived_lines(archive, bench, [tried, waits, late])
    assert sorted(each.payload for each in lines) == ["late", "tried", "waits"]
    notes = {row[0]: row[3] for row in await bench.transitions() if row[2] == "archived"}
    assert late.id in notes[late.id] and notes[late.id].startswith("AC1/")
    assert await bench.runner(Log()).recover() == 0
    await until(lambda: runner.stats().unarchived == 0)


async def test_jobs_wait_for_an_archive_that_is_away_and_over_a_crash(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(archiver, "_LONGEST_PAUSE", 0.01)
    blocked = tmp_path / "archive"
    blocked.write_text("in the way")
    folder = Folder(blocked)
    now = bench.clock()
    jobs = [bench.job(str(at), expire_at=now - 1) for at in range(5)]
    await bench.insert(*jobs)
    first = bench.runner(Log(), archive=folder)
    await first.recover()
    first.start()
    assert {to for _, _, to in await bench.until_stored(5)} == {"expired"}
    await until(lambda: first.stats().unarchived == 5)
    await first.close(0.0)
    second = bench.runner(Log(), archive=folder)
    second.start()
    assert await second.recover() == 0
    assert second.stats().unarchived == 5
    blocked.unlink()
    states = await bench.until_stored(10)
    assert sorted(states) == sorted(
        [(job.id, at, to) for job in jobs for at, to in ((1, "expired"), (2, "archived"))]
    )
    assert len(await archived_lines(folder, bench, jobs)) == 5


async def test_what_memory_has_no_room_for_is_archived_later(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver, "_MOST", 10)
    monkeypatch.setattr(archiver, "_BATCH", 4)
    monkeypatch.setattr("gateway.core.intake._LOOK_BACK", 0.01)
    now = bench.clock()
    jobs = [bench.job(str(at), expire_at=now - 1) for at in range(35)]
    await bench.insert(*jobs)
    folder = Folder(tmp_path / "archive")
    runner = bench.runner(Log(), archive=folder)
    await runner.recover()
    runner.start()
    await bench.until_stored(70)
    lines = await archived_lines(folder, bench, jobs)
    assert sorted(each.id for each in lines) == sorted(job.id for job in jobs)


async def test_a_crash_between_the_object_and_its_note_archives_again(
    bench: Bench, tmp_path: Path
) -> None:
    class Dies(Folder):
        async def put(self, name: str, content: bytes) -> None:
            await super().put(name, content)
            written.set()
            await asyncio.Event().wait()

    written = asyncio.Event()
    job = bench.job("a", expire_at=bench.clock() - 1)
    await bench.insert(job)
    first = bench.runner(Log(), archive=Dies(tmp_path / "archive"))
    await first.recover()
    first.start()
    await asyncio.wait_for(written.wait(), 30)
    await first.close(0.0)
    folder = Folder(tmp_path / "archive")
    second = bench.runner(Log(), archive=folder)
    second.start()
    await second.recover()
    await bench.until_stored(2)
    assert [each.id for each in await archived_lines(folder, bench, [job])] == [job.id]


def test_the_gateway_starts_without_the_package_for_buckets() -> None:
    """It is imported only when a bucket is configured."""
    code = "import sys, gateway.core.archive; sys.exit('obstore' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
