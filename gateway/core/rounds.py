"""Tasks that live as long as their owner: a round that fails is logged, and there is another.

Nobody waits for such a task, so an error that ended it would be seen by nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from gateway.store.base import StoreError

_log = structlog.get_logger(__name__)

_BROKEN: Final = 1.0  # seconds after a round that failed


async def endlessly(one_round: Callable[[], Awaitable[object]], failed: str) -> None:
    """Await `one_round` again and again, until cancelled; `failed` says what did not happen.

    A round that fails must leave what it was about to the next one.
    """
    while True:
        try:
            await one_round()
        except StoreError as error:
            _log.error(failed, reason=str(error))
        except Exception:
            _log.exception(failed)
        else:
            continue
        await asyncio.sleep(_BROKEN)
