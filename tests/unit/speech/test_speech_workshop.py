"""The process that speaks and decodes: what breaks there costs one task."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.speech import wire
from gateway.speech.workshop import Workshop
from tests.unit.speech.speech_world import encoded, strongest, tone


@pytest.fixture
async def workshop() -> AsyncIterator[Workshop]:
    made = Workshop("test", waiting=3, deadline=20.0)
    yield made
    await made.close()
    assert made.pid is None


@pytest.fixture
def task(tmp_path: Path) -> wire.Decode:
    path = encoded(tmp_path / "in.wav", tone(440, 0.5, 8000), 8000, "wav", "pcm_s16le")
    return again(path, tmp_path / "out.wav")


def again(source: Path, target: Path) -> wire.Decode:
    return wire.Decode(pieces=(wire.Clip(path=str(source)),), target=str(target))


def files_of(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def environment_of(pid: int | None) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_what_is_asked_is_done_by_one_process(
    workshop: Workshop, task: wire.Decode, tmp_path: Path
) -> None:
    assert workshop.pid is None
    made = await workshop.ask(task)
    assert isinstance(made, wire.Made)
    assert made.seconds == pytest.approx(0.5)
    assert strongest(tmp_path / "out.wav") == pytest.approx(440, abs=3)
    pid = workshop.pid
    refused = await workshop.ask(again(Path("/etc/passwd"), tmp_path / "b.wav"))
    assert isinstance(refused, wire.Unmade)
    missing = await workshop.ask(again(tmp_path / "nowhere", tmp_path / "c.wav"))
    assert isinstance(missing, wire.Unmade)
    assert "No such file" in missing.reason
    there = await workshop.ask(task)  # its target is there by now: nobody's file is written over
    assert isinstance(there, wire.Unmade)
    assert workshop.pid == pid
    assert files_of(tmp_path) == {"in.wav", "out.wav"}


async def test_a_process_that_dies_costs_its_task_alone(
    workshop: Workshop, task: wire.Decode, tmp_path: Path
) -> None:
    await workshop.ask(task)
    first = workshop.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)  # so that it surely dies with a task in hand
    asked = [
        asyncio.create_task(workshop.ask(again(tmp_path / "in.wav", tmp_path / f"{each}.wav")))
        for each in range(2)
    ]
    await asyncio.sleep(0)
    assert workshop.waiting == 2
    os.kill(first, signal.SIGKILL)
    one, other = await asyncio.gather(*asked)
    assert one == wire.Unmade(reason="the process that did it died")
    assert isinstance(other, wire.Made)
    assert workshop.pid != first


async def test_a_process_that_hangs_is_killed(task: wire.Decode, tmp_path: Path) -> None:
    workshop = Workshop("test", waiting=2, deadline=20.0)
    await workshop.ask(task)
    pid = workshop.pid
    assert pid is not None
    workshop._deadline = 0.05
    os.kill(pid, signal.SIGSTOP)
    late = await workshop.ask(again(tmp_path / "in.wav", tmp_path / "b.wav"))
    assert late == wire.Unmade(reason="it took longer than 0.05 s")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await workshop.close()


async def test_more_than_may_wait_are_refused(workshop: Workshop, tmp_path: Path) -> None:
    tasks = [again(tmp_path / "nowhere", tmp_path / f"{each}.wav") for each in range(4)]
    answers = await asyncio.gather(*map(workshop.ask, tasks))
    reasons = [each.reason for each in answers if isinstance(each, wire.Unmade)]
    assert [each for each in reasons if "others wait" in each] == [
        "3 others wait for it: try it again later"
    ]
    assert workshop.waiting == 0


async def test_who_leaves_in_the_middle_takes_the_process_along(
    workshop: Workshop, task: wire.Decode, tmp_path: Path
) -> None:
    await workshop.ask(task)
    pid = workshop.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    asked = asyncio.create_task(workshop.ask(again(tmp_path / "in.wav", tmp_path / "b.wav")))
    await asyncio.sleep(0)
    assert workshop.waiting == 1
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asked
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    made = await workshop.ask(again(tmp_path / "in.wav", tmp_path / "c.wav"))
    assert isinstance(made, wire.Made)


async def test_where_no_process_can_be_started_nothing_is_made(
    workshop: Workshop, task: wire.Decode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    assert await workshop.ask(task) == wire.Unmade(reason="no process can be started for it")


async def test_the_music_of_the_house_is_made_there(workshop: Workshop, tmp_path: Path) -> None:
    task = wire.Compose(name="music", target=str(tmp_path / "music.wav"))
    assert await workshop.ask(task) == wire.Made(seconds=16.0)


async def test_secrets_stay_here(
    workshop: Workshop, task: wire.Decode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUNKLINE_AUTH_TOKEN", "secret")
    await workshop.ask(task)
    environment = environment_of(workshop.pid)
    assert b"PATH=" in environment
    assert b"TRUNKLINE" not in environment
