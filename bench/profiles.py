"""Profiles that `bench/sampled.py` writes: asked for, and read."""

import json
import os
import signal
import time
from pathlib import Path


class Profile:
    """The profile of one process, in the file `path`; start it with `launcher`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.launcher = (str(Path(__file__).parent / "sampled.py"), str(path))

    def read(self, pid: int) -> dict[str, dict[str, float]]:
        """What the process `pid` has noted so far."""
        self._path.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR1)
        deadline = time.monotonic() + 10
        while not self._path.exists():
            if time.monotonic() > deadline:
                raise SystemExit("the gateway does not tell its profile")
            time.sleep(0.02)
        found: dict[str, dict[str, float]] = json.loads(self._path.read_text())
        return found
