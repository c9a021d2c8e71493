"""Waiting for something that nobody announces: looked at until it holds, or for too long."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

_LOOK_EVERY: Final = 0.05  # seconds


async def holds_within(holds: Callable[[], bool], within: float) -> bool:
    """Wait until `holds`; False if it does not within so many seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_LOOK_EVERY)
    return True


async def until(holds: Callable[[], bool], what: str, within: float) -> None:
    """Wait until `holds`; raises `TimeoutError` with `what` was waited for."""
    if not await holds_within(holds, within):
        raise TimeoutError(f"not within {within:g} s: {what}")
