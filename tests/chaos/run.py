"""The frame of a run: it ends in order whatever happens, and says what was wrong."""

import asyncio
import shutil
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

_SHOWN: Final = 20


def run(work: Coroutine[Any, Any, list[str]]) -> list[str]:
    """Run `work` to its end, which is what was wrong; SIGTERM ends it in order, children too."""

    async def running() -> list[str]:
        task = asyncio.ensure_future(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    try:
        return asyncio.run(running())
    except (asyncio.CancelledError, TimeoutError) as error:
        return [f"it was ended: {error!r}"]


def conclude(home: Path, problems: list[str], began: float, *, keep: bool) -> int:
    """Say what was wrong and where more of it stands; the exit status."""
    for problem in problems[:_SHOWN]:
        print(f"  {problem}")
    if len(problems) > _SHOWN:
        print(f"  and {len(problems) - _SHOWN} more")
    if problems or keep:
        print(f"ledgers and logs are in {home}")
    else:
        shutil.rmtree(home)
    passed = "nothing was lost" if not problems else f"{len(problems)} violations"
    print(f"{passed}; {time.monotonic() - began:.0f} s")
    return int(bool(problems))
