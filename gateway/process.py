"""The process around the daemon: its event loop, its signals, what it prints, how it ends.

SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reads the config file again.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import uvloop

from gateway import credentials, declared, listening, logs, simulators
from gateway.config import Config, ConfigError
from gateway.daemon import Gateway
from gateway.daemon.folder import see_free
from gateway.owners import EVERY_ROLE, Role
from gateway.store.base import StoreError
from gateway.welcome import welcome

__all__ = ["EVERY_ROLE", "FENCED", "run"]

# Containers made since that are still there (the default is 700), and looks at the younger ones
# after which the older have their turn. A look stops all calls while it goes through what came
# since the last one and lives: at 300 calls a second 0.03 ms after so few, 7 ms after 3,000. What
# is under way at a look the next ones know nothing of, so what comes often may leave no circles:
# neither do calls (`house.untie`), nor what is refused, nor apps that are away. What others leave
# waits for the long look, through half a million in a third of a second, or for `resting`.
_COLLECT_AFTER = (100, 50_000, 1_000)
FENCED = 75  # the exit status of a process that others took for dead (EX_TEMPFAIL)
_MENDABLE = (
    StoreError,
    credentials.CredentialsError,
    declared.UnknownAccount,
    listening.ListenError,
    simulators.SimulatorError,
    OSError,
)


def run(config: Config, data: Path, roles: Collection[Role], reread: Callable[[], Config]) -> int:
    """Be the daemon until a signal ends it; the answer is the exit status.

    `reread` gives the configuration as it is on disk now.
    """
    logs.set_up()
    return uvloop.run(_run(config, data, roles, reread))


async def _run(
    config: Config, data: Path, roles: Collection[Role], reread: Callable[[], Config]
) -> int:
    signals: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    stopping = _Stopping()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.asked, signals, number)
    loop.add_signal_handler(signal.SIGHUP, signals.put_nowait, signal.SIGHUP)
    gateway = Gateway(config, data, os.environ, roles)
    starting = loop.create_task(_start(gateway, data))
    waiting = await _started(starting, signals)
    if waiting is None:
        return 0
    try:
        starting.result()
    except _MENDABLE as error:
        waiting.cancel()
        print(f"trunkline: {error}", file=sys.stderr)
        return 1
    spare_the_collector()
    print(welcome(gateway, config, data), flush=True)
    fenced = loop.create_task(gateway.lost.wait())
    while True:
        await asyncio.wait({waiting, fenced}, return_when=asyncio.FIRST_COMPLETED)
        if fenced.done():
            print("trunkline: others took over; start this process again", file=sys.stderr)
            sys.stderr.flush()
            os._exit(FENCED)  # nothing that is under way here may be ended in our name
        if waiting.result() != signal.SIGHUP:
            break
        await _reload(gateway, reread)
        waiting = loop.create_task(signals.get())
    fenced.cancel()
    print("trunkline: draining; a second signal ends it at once", flush=True)
    await gateway.close()
    return 0


async def _start(gateway: Gateway, data: Path) -> None:
    # Whoever has the folder is likely to have the ports as well, and is the better answer.
    await asyncio.to_thread(see_free, data)
    await gateway.start()


async def _started(
    starting: "asyncio.Task[None]", signals: "asyncio.Queue[int]"
) -> "asyncio.Task[int] | None":
    """Wait until it has started, or failed to; what waits for a signal, None if one ended it.

    A SIGHUP has its turn afterwards: what was read may be older than what is there then.
    """
    loop = asyncio.get_running_loop()
    waiting = loop.create_task(signals.get())
    is_told = False
    while not starting.done():
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            break
        if waiting.result() != signal.SIGHUP:
            starting.cancel()
            await asyncio.wait({starting})
            return None
        is_told = True
        waiting = loop.create_task(signals.get())
    if is_told:
        signals.put_nowait(signal.SIGHUP)
    return waiting


def spare_the_collector() -> None:
    """Let it pass over what the start has left, most of what there is, and look less often.

    Little here is garbage that only it can find, and while it looks nothing else is done.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


class _Stopping:
    """Tells the first request to stop from the second."""

    def __init__(self) -> None:
        self._asked = False

    def asked(self, signals: "asyncio.Queue[int]", number: int) -> None:
        if self._asked:
            os._exit(130)
        self._asked = True
        signals.put_nowait(number)


async def _reload(gateway: Gateway, reread: Callable[[], Config]) -> None:
    try:
        await gateway.reload(reread())
    except (ConfigError, *_MENDABLE) as error:
        print(f"trunkline: the config stays as it was: {error}", file=sys.stderr, flush=True)
