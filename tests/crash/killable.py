"""`python -m tests.crash.killable serve …`: the gateway, which may end itself at a named point.

A point of the store's writer is passed in the process that writes, which runs this file as well:
there it ends the gateway, and then itself.

The file that `CRASH_ORDER` names says where, and at which passage; without the file this is the
plain command line. What it does at the point is `kill -9` to itself: no handler, no flush.
"""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gateway.cli import main
from gateway.store import sqlite_apart, sqlite_process
from tests.crash.points import BY_NAME, arm

ORDER: Final = "CRASH_ORDER"


def soon(die: Callable[[], None]) -> None:
    """Call `die` two turns of the loop later: what was queued for sockets is written then."""
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.call_soon, die)


def obey(path: Path, dying: Sequence[int]) -> None:
    """Arm what the order at `path` says, and leave a mark beside it when it is carried out.

    `dying` are the processes that end, this one last.

    Passages count from the first one if the point belongs to the start, else from the moment
    when the file beside it says that the load is on.
    """
    order = json.loads(path.read_text())
    point = BY_NAME[order["point"]]
    passages = itertools.count(1)
    mark, loaded = path.with_suffix(".done"), path.with_suffix(".loaded")

    def is_due() -> bool:
        return (point.at_start or loaded.exists()) and next(passages) == order["passage"]

    def die() -> None:
        mark.touch()
        for pid in dying:
            os.kill(pid, signal.SIGKILL)

    arm(point, is_due, die, soon)


if __name__ == "__main__":
    order = os.environ.get(ORDER)
    writes = not sys.argv[1].isalpha()  # the number of its socket
    if order and Path(order).exists():
        obey(Path(order), (os.getppid(), os.getpid()) if writes else (os.getpid(),))
        sqlite_process.MODULE = "tests.crash.killable"
    sys.exit(sqlite_apart.main() if writes else main())
