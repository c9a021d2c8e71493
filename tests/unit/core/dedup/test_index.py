"""The index: what is kept, for how long, and what is said when the disk will not have it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import structlog
from rocksdict import AccessType, Options, Rdict

from gateway.core.dedup.index import Index, IndexDamaged, IndexHeld, IndexTrouble, Memory
from gateway.core.dedup.shelf import open_index
from gateway.core.dedup.state import State
from gateway.core.dedup.steady import SteadyClock

WINDOW = 100.0
MEMORY = Memory(cache=2**20, buffers=2**22)
KEYS = [bytes([number]) * 16 for number in range(10)]
ROOT = Path(__file__).parents[4]


def opened(folder: Path) -> Index:
    return Index(folder, window=WINDOW, memory=MEMORY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


def test_keys_and_state_are_there_after_it_was_opened_again(folder: Path) -> None:
    index = opened(folder)
    assert index.state is None
    assert index.seen(KEYS, 1000.0) == [False] * 10
    first, second = State(inputs={"primary": 1}), State(inputs={"primary": 2}, highest=7)
    index.commit([(1000.0, KEYS[:3])], first)
    index.commit([(1000.0, KEYS[3:4]), (1050.0, KEYS[4:5])], second)
    index.close()
    index = opened(folder)
    assert index.state == second
    assert index.seen(KEYS, 1000.0) == [True] * 5 + [False] * 5
    assert index.seen([], 1000.0) == []
    index.close()


def test_a_key_counts_until_the_window_ends_to_the_second(folder: Path) -> None:
    index = opened(folder)
    index.commit([(1000.0, KEYS[:1]), (1001.0, KEYS[1:2])], State())
    assert index.seen(KEYS[:2], 1000.0 + WINDOW) == [True, True]
    assert index.seen(KEYS[:2], 1001.0 + WINDOW) == [False, True]
    assert index.seen(KEYS[:2], 1.0) == [True, True]  # a clock that went back forgets nothing
    index.commit([(1200.0, KEYS[:1])], State())
    assert index.seen(KEYS[:2], 1200.0) == [True, False]
    for odd in (-5.0, 1e12):
        index.commit([(odd, KEYS[2:3])], State())
    index.close()


def test_a_second_owner_finds_it_held(folder: Path) -> None:
    index = opened(folder)
    with pytest.raises(IndexHeld, match="in use by another process"):
        opened(folder)
    index.close()


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "CURRENT").write_text("nonsense"),
        lambda folder: [each.unlink() for each in folder.glob("*.sst")],
        lambda folder: [each.write_bytes(b"x" * 99) for each in folder.glob("MANIFEST*")],
        lambda folder: stored(folder, b'{"format":99}'),
        lambda folder: stored(folder, b"nonsense"),
    ],
)
def test_a_damaged_one_is_named(folder: Path, harm: object) -> None:
    index = opened(folder)
    index.commit([(1000.0, KEYS)], State())
    index.close()
    opened(folder).close()  # what was in the log is in a file then
    assert callable(harm)
    harm(folder)
    with pytest.raises(IndexDamaged, match=f"the index {folder} is "):
        opened(folder)


def stored(folder: Path, state: bytes) -> None:
    database = Rdict(str(folder), Options(raw_mode=True), access_type=AccessType.with_ttl(10**6))
    database[b"state"] = state
    database.close()


def test_a_place_that_is_taken_is_named(folder: Path) -> None:
    folder.write_text("in the way")
    with pytest.raises(IndexTrouble, match="a file is in the place of a folder"):
        opened(folder)


FILLS_THE_DISK = """
import sys
from pathlib import Path
from gateway.core.dedup.index import Index, IndexTrouble, Memory
from gateway.core.dedup.state import State
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
index = Index(folder, window=100.0, memory=Memory())
index.commit([(1000.0, [os.urandom(16)])], State(highest=1))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
good = 1
try:
    while good < 10_000:
        index.commit([(1000.0, [os.urandom(16) for _ in range(100)])], State(highest=good + 1))
        good += 1
except IndexTrouble as error:
    print(error)
try:
    index.close()
except IndexTrouble:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
index = Index(folder, window=100.0, memory=Memory())
print(index.state.highest >= good, good)
index.commit([(1000.0, [os.urandom(16)])], State(highest=1))
index.close()
"""


def test_a_disk_that_takes_no_more_is_named_and_nothing_is_lost(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILLS_THE_DISK, str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    trouble, after = done.stdout.splitlines()
    assert "raise it (ulimit -f)" in trouble
    assert after.startswith("True") and int(after.split()[1]) < 10_000


WORKS_UNTIL_KILLED = """
import os, sys
from pathlib import Path
from gateway.core.dedup.index import Index, Memory
from gateway.core.dedup.state import State
index = Index(Path(sys.argv[1]), window=100.0, memory=Memory())
number = 0
while True:
    keys = [(number * 100 + each).to_bytes(16, "big") for each in range(100)]
    index.commit([(1000.0, keys)], State(highest=number + 1))
    number += 1
    print(number, flush=True)
"""


def test_what_was_committed_before_a_kill_is_there_keys_and_state_alike(folder: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WORKS_UNTIL_KILLED, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert child.stdout is not None
    told = 0
    for line in child.stdout:
        told = int(line)
        if told == 50:
            break
    os.kill(child.pid, signal.SIGKILL)
    told = max([told, *(int(line) for line in child.stdout if line.endswith("\n"))])
    child.wait()
    child.stdout.close()
    index = opened(folder)
    assert index.state is not None
    batches = index.state.highest
    assert batches >= told
    keys = [number.to_bytes(16, "big") for number in range(batches * 100 + 100)]
    assert index.seen(keys, 1000.0) == [True] * (batches * 100) + [False] * 100
    index.close()


# -- which one is used


def test_the_newest_that_is_free_is_used_and_the_others_are_removed(tmp_path: Path) -> None:
    first = open_index(tmp_path, 3, opened)
    assert first.folder == tmp_path / "3"
    second = open_index(tmp_path, 4, opened)  # the first is held
    assert second.folder == tmp_path / "4"
    third = open_index(tmp_path, 4, opened)
    assert third.folder == tmp_path / "5"
    for each in (first, second, third):
        each.close()
    again = open_index(tmp_path, 9, opened)
    assert again.folder == tmp_path / "5"
    assert [each.name for each in tmp_path.iterdir()] == ["5"]
    again.close()


def test_a_damaged_one_is_moved_aside_in_the_place_of_the_last(tmp_path: Path) -> None:
    for words in ("first", "second"):
        open_index(tmp_path, 1, opened).close()
        (tmp_path / "1" / "CURRENT").write_text(words)
        with structlog.testing.capture_logs() as logs:
            open_index(tmp_path, 1, opened).close()
        assert [each["event"] for each in logs] == [
            "an index of dedup is rebuilt from the clean topic"
        ]
        assert (tmp_path / "damaged" / "CURRENT").read_text() == words
        shutil.rmtree(tmp_path / "1")


# -- the clock


def test_a_clock_that_is_set_is_named_and_not_followed() -> None:
    wall, steady = [5000.0], [10.0]
    clock = SteadyClock(lambda: wall[0], lambda: steady[0])
    steady[0], wall[0] = 20.0, 5010.5
    with structlog.testing.capture_logs() as logs:
        assert clock.now() == 5010.0
        assert not logs
        wall[0] += 86_400
        assert clock.now() == clock.now() == 5010.0
    assert [each["by_seconds"] for each in logs] == [86_400.5]
    with structlog.testing.capture_logs() as logs:
        wall[0] -= 86_400
        assert clock.now() == 5010.0
    assert [each["by_seconds"] for each in logs] == [0.5]
