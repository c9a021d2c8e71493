"""Prompts on the disk: bounded, whole, and there again after a restart."""

from pathlib import Path

import pytest

from gateway.speech.shelf import IN_USE, Shelf
from gateway.speech.wav import WavFile

HALF = 8000 + 44  # octets of half a second


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def opened(folder: Path, clock: Clock, most: int = 1_000_000) -> Shelf:
    shelf = Shelf(folder / "prompts", most=most, clock=clock)
    await shelf.open()
    return shelf


def put(shelf: Shelf, name: str, about: bytes = b"") -> bool:
    scratch = shelf.scratch()
    with WavFile(scratch, 8000) as written:
        written.silence(0.5)
    kept = shelf.put(name, scratch, written.seconds, about)
    assert not scratch.exists()
    return kept is not None


async def test_what_is_put_is_found_also_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    shelf = await opened(tmp_path, clock)
    assert put(shelf, "one", b'{"etag":"1"}')
    for each in (shelf, await opened(tmp_path, clock)):
        found = each.find("one")
        assert found is not None
        assert (found.seconds, found.about) == (0.5, b'{"etag":"1"}')
        assert found.path.stat().st_mode & 0o777 == 0o600
        assert each.octets == HALF + len(found.about)
    assert (tmp_path / "prompts").stat().st_mode & 0o777 == 0o700


async def test_what_is_unused_longest_goes_first(tmp_path: Path, clock: Clock) -> None:
    shelf = await opened(tmp_path, clock, most=HALF * 3)
    for name in ("a", "b", "c"):
        assert put(shelf, name)
        clock.now += IN_USE + 1
    assert shelf.find("a") is not None
    assert put(shelf, "d")
    assert shelf.find("b") is None
    assert shelf.find("a") is not None
    assert shelf.octets == HALF * 3
    files = {path.stem for path in (tmp_path / "prompts").iterdir()}
    assert files == {"a", "c", "d"}


async def test_a_restart_remembers_what_was_used(tmp_path: Path, clock: Clock) -> None:
    shelf = await opened(tmp_path, clock)
    for name in ("a", "b", "c"):
        put(shelf, name)
        clock.now += 10
        shelf.find("a")
    clock.now += 1000
    again = await opened(tmp_path, clock, most=HALF * 3)
    assert put(again, "d")
    assert again.find("b") is None
    assert again.find("a") is not None


async def test_what_is_in_use_stays_and_the_new_one_is_refused(
    tmp_path: Path, clock: Clock
) -> None:
    shelf = await opened(tmp_path, clock, most=HALF * 2)
    assert put(shelf, "a")
    assert put(shelf, "b")
    assert not put(shelf, "c")
    assert shelf.find("a") is not None
    clock.now += IN_USE + 1
    shelf.find("b")
    assert put(shelf, "c")
    assert shelf.find("a") is None


async def test_one_takes_the_place_of_another_of_its_name(tmp_path: Path, clock: Clock) -> None:
    shelf = await opened(tmp_path, clock, most=HALF + 10)
    assert put(shelf, "a", b"1")
    assert put(shelf, "a", b"2")
    found = shelf.find("a")
    assert found is not None
    assert found.about == b"2"
    assert shelf.octets == HALF + 1


async def test_one_that_is_larger_than_all_has_no_room(tmp_path: Path, clock: Clock) -> None:
    shelf = await opened(tmp_path, clock, most=HALF - 1)
    assert not put(shelf, "a")
    assert shelf.octets == 0


async def test_what_a_crash_left_half_is_gone_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    shelf = await opened(tmp_path, clock)
    put(shelf, "whole")
    folder = tmp_path / "prompts"
    whole = (folder / "whole.wav").read_bytes()
    (folder / "cut.wav").write_bytes(whole[:-100])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "strange.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt ")
    (folder / "tmp-1-2").write_bytes(b"half")
    again = await opened(tmp_path, clock)
    assert {path.name for path in folder.iterdir()} == {"whole.wav"}
    assert again.octets == HALF


async def test_a_file_that_somebody_took_away_is_not_there(tmp_path: Path, clock: Clock) -> None:
    shelf = await opened(tmp_path, clock)
    put(shelf, "a")
    (tmp_path / "prompts" / "a.wav").unlink()
    assert shelf.find("a") is None
    assert shelf.octets == 0


async def test_what_is_dismissed_goes_when_it_is_not_in_use(tmp_path: Path, clock: Clock) -> None:
    shelf = await opened(tmp_path, clock)
    put(shelf, "a")
    shelf.dismiss("a")
    shelf.sweep()
    assert (tmp_path / "prompts" / "a.wav").exists()
    clock.now += IN_USE + 1
    shelf.sweep()
    assert not (tmp_path / "prompts" / "a.wav").exists()
    assert shelf.octets == 0
