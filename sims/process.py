"""The life of one simulator: run, say which ports were taken, end with a signal or with the parent.

`trunkline serve` starts simulators by command line and reads their ports from a ready file; none of
them may outlive the process that started it, however that one ended.
"""

import asyncio
import importlib.util
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

_POLL: Final = 0.5  # seconds, where the system can't tell at once that a process ended


class Stop:
    """Tells the simulator to end; waited for by its main coroutine."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """End now."""
        self._event.set()

    async def wait(self) -> None:
        """Return when the simulator has to end."""
        await self._event.wait()


def run(main: Callable[[Stop], Awaitable[None]], parent_pid: int | None) -> None:
    """Run `main` in an event loop of its own until it returns.

    `main` is given the `Stop` that SIGTERM, SIGINT or the end of process `parent_pid` sets.
    """
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        runner.run(_lived(main, parent_pid))


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """The faster one where it is installed."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def _lived(main: Callable[[Stop], Awaitable[None]], parent_pid: int | None) -> None:
    loop = asyncio.get_running_loop()
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch = None if parent_pid is None else loop.create_task(_watch(parent_pid, stop))
    try:
        await main(stop)
    finally:
        if watch is not None:
            watch.cancel()


async def _watch(pid: int, stop: Stop) -> None:
    """Set `stop` when process `pid` has ended, however long ago.

    A process descriptor is used where there is one: PR_SET_PDEATHSIG would fire when the thread
    that started us ends, and polling for the parent's id knows only direct parents.
    """
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        stop.set()
        return
    except (AttributeError, OSError):
        await _poll(pid)
        stop.set()
        return
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
        stop.set()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _poll(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass
        await asyncio.sleep(_POLL)


def announce(ports: Mapping[str, int], ready_file: Path | None) -> None:
    """Print `ports` with our process id as a JSON line, and write the same to `ready_file`.

    The file appears whole: it is written beside its place and moved there.
    """
    line = msgspec.json.encode({**ports, "pid": os.getpid()})
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()
    if ready_file is not None:
        beside = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
        beside.write_bytes(line + b"\n")
        beside.replace(ready_file)
