"""Starting what is measured, and reading what it used: CPU and memory from /proc, counters."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """A child that is ended by its pid; `stats` is a file that it writes, if it does."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        stats: Path | None = None,
        environ: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.stats_path = stats
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environ or {})},
                cwd=cwd,
            )
        self.pid = self._child.pid
        self._log = log

    def wait_for_stats(self, key: str, timeout: float = 30.0) -> Any:
        """The value of `key` once the child has written it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            value = self.stats().get(key)
            if value is not None:
                return value
            if self._child.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"{self._log.name}: did not start; see {self._log}")

    def stats(self) -> dict[str, Any]:
        """What the child wrote last."""
        if self.stats_path is None or not self.stats_path.exists():
            return {}
        found: dict[str, Any] = json.loads(self.stats_path.read_text())
        return found

    def cpu(self) -> float:
        """CPU seconds of the child and its descendants, user and system."""
        return sum(cpu_of(pid) for pid in family(self.pid))

    def memory(self) -> float:
        """Resident megabytes of the child and its descendants."""
        return sum(_memory_of(pid) for pid in family(self.pid))

    def running(self) -> bool:
        return self._child.poll() is None

    def end(self, timeout: float = 15.0) -> None:
        """SIGTERM, and SIGKILL if that does not do."""
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()


def family(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += children.get(each, [])
    return found


def cpu_of(pid: int) -> float:
    """CPU seconds of one process, user and system; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def cpu_with_ended(pid: int) -> float:
    """CPU seconds of `pid`, of all that descend from it, and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    ended = (int(fields[13]) + int(fields[14])) / _TICKS
    return ended + sum(cpu_of(each) for each in family(pid))


def _memory_of(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def machine_busy() -> float:
    """CPU seconds that the whole machine was busy since it started."""
    fields = [int(each) for each in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS
