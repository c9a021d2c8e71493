"""`python -m tests.integration.slow_recovery serve`: a gateway that takes up old jobs slowly.

It stands for one that has many of them: what it does meanwhile can be seen from the outside.
"""

import asyncio
import sys
from typing import Final

from gateway.cli import main
from gateway.core.runner import JobRunner

SECONDS: Final = 1.5

_recover = JobRunner.recover


async def _slowly(self: JobRunner) -> int:
    await asyncio.sleep(SECONDS)
    return await _recover(self)


if __name__ == "__main__":
    JobRunner.recover = _slowly
    sys.exit(main())
