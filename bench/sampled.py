"""Runs the gateway and samples where its main thread spends its CPU: `bench/stages.py` starts it.

    python bench/sampled.py PROFILE serve …

Every 2 ms of CPU the stack is noted with what the main thread used since the last note, so that
the notes sum to its CPU. SIGUSR1 writes what was noted so far to PROFILE (JSON): stacks, outermost
frame first, in seconds; and the CPU of each thread by name, the process of the store's writer among
them.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType

from processes import cpu_of, family

_EVERY = 0.002  # CPU seconds
_TICKS = os.sysconf("SC_CLK_TCK")
_ROOT = str(Path(__file__).parent.parent) + os.sep
_WRITER = b"gateway.store.sqlite_apart"


class Sampler:
    """Seconds of CPU by stack."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._stacks: defaultdict[tuple[CodeType, ...], float] = defaultdict(float)
        self._used = time.thread_time()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._write)
        signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        used = time.thread_time()
        stack = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        self._stacks[tuple(stack)] += used - self._used
        self._used = used

    def _write(self, _: int, __: FrameType | None) -> None:
        stacks: defaultdict[str, float] = defaultdict(float)
        # A copy: samples go on while this is written.
        for codes, seconds in list(self._stacks.items()):
            stacks[";".join(named(code) for code in reversed(codes))] += seconds
        fresh = self._profile.with_suffix(".new")
        fresh.write_text(json.dumps({"stacks": stacks, "threads": threads()}))
        fresh.replace(self._profile)


def named(code: CodeType) -> str:
    """`gateway/daemon.py:run`; files of packages from their package on."""
    path = code.co_filename.removeprefix(_ROOT).rpartition("site-packages/")[2]
    return f"{path}:{code.co_name}"


def threads() -> dict[str, float]:
    """CPU seconds of each thread by its name in Python; threads of libraries have none."""
    names = {str(thread.native_id): thread.name for thread in threading.enumerate()}
    found: defaultdict[str, float] = defaultdict(float)
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / _TICKS
        found[names.get(task.name, "unnamed")] += used
    for child in family(os.getpid())[1:]:
        if _WRITER in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
            found["store-write"] += cpu_of(child)
    return found


if __name__ == "__main__":
    sampler = Sampler(Path(sys.argv.pop(1)))
    sys.path.insert(0, _ROOT)
    sampler.start()
    from gateway.cli import main

    try:
        main()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
