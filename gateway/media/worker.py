"""A media worker: a process of its own that has the sockets of its calls and nothing else.

The plane starts it with one end of a pair of unix sockets, whose number is its only argument.
Commands come that way, and what happened goes back. It ends when the other end is closed: by the
plane, or because the plane's process is gone. Signals that a terminal or a service manager sends
to all processes are the plane's matter, so that calls go on while it drains.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import resource
import signal
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from types import ModuleType
from typing import Final

import uvloop

from gateway.media import wire
from gateway.media.graph import Graph, Leg
from gateway.media.link import Link
from gateway.media.switch import TICK, Switch
from gateway.media.wav import Disk, DiskThread
from protocols.rtp.endpoint import PortRange, Reader

_RANDOM: Final = 1 << 12  # octets
_SHORT: Final = 0.0015  # seconds by which what uvloop waits may be too short: it has milliseconds
_FOR_BROWSERS: Final = "gateway.media.web_path"
# Containers made since that are still there (the default is 700), looks at these after which all
# that came since the last such look has its turn, and of those after which everything has. Packets
# wait for each: 16 ms after 5,000 while many calls come, under one after so few, and 9 ms for what
# ten looks have left. Nothing of a leg of plain RTP waits for them, so the longer ones are rare; a
# browser's, with what ICE and DTLS had, waits for one of those, at most until such make a quarter
# of what is old.
_COLLECT_AFTER: Final = (500, 100, 1)


def _chances() -> Iterator[float]:
    """Numbers evenly spread over 0 to 1, as random as the system has them, which is asked rarely.

    Each leg takes some, and to be asked costs the system more than many numbers.
    """
    while True:
        for number in array("Q", os.urandom(_RANDOM)):
            yield (number >> 11) * 2**-53


def _switch(
    told: wire.SetUp, tell: Callable[[wire.Report], None], disk: Disk
) -> tuple[Switch, Reader]:
    reader = Reader(asyncio.get_running_loop(), time.monotonic)
    chance = _chances().__next__
    switch = Switch(
        ports=PortRange(told.first, told.last, chance()),
        most_calls=told.calls,
        reader=reader,
        tell=tell,
        chance=chance,
        unix=time.time() - time.monotonic(),
        cname=told.cname,
        disk=disk,
        advertised=told.advertised,
        set_ups=told.set_ups,
    )
    return switch, reader


def apply(switch: Switch, graph: Graph, now: float) -> wire.Applied | wire.Refused:
    """Make a graph true; a defect of ours that it shows ends its own call and no other."""
    try:
        return switch.apply(graph, now)
    except Exception as error:
        _report("a graph could not be applied", error)
        switch.end(graph.call, now)
        return wire.Refused(
            call=graph.call,
            version=graph.version,
            reason=f"the media of the call broke: {type(error).__name__}",
        )


def _report(message: str, error: Exception) -> None:
    """Have the loop log what should not have happened."""
    context = {"message": message, "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)


class _Ticking:
    """Gives nodes their time when they want it, a tick after the last at the soonest.

    What came while the process had no time is read before: nobody is to miss what is there.
    """

    def __init__(self, switch: Switch, reader: Reader) -> None:
        self._switch = switch
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._last = -inf
        self._at = inf  # when `_armed` comes
        self._armed: asyncio.TimerHandle | None = None

    def by(self, due: float) -> None:
        """Let a tick come by then; infinity for none."""
        at = max(due + _SHORT, self._last + TICK)
        if at < self._at:
            self.stop()
            self._at = at
            self._armed = self._loop.call_later(max(0.0, at - time.monotonic()), self._tick)

    def stop(self) -> None:
        """Let none come."""
        if self._armed is not None:
            self._armed.cancel()

    def _tick(self) -> None:
        self._at, self._last = inf, time.monotonic()
        try:
            self._reader.catch_up()
            self._switch.handle_timer(time.monotonic())
        except Exception as error:  # of one leg; the others have their time all the same
            _report("a timer of a leg failed", error)
        self.by(self._switch.timer())


class _Worker:
    """Does what the plane says by `link`, one command after the other."""

    def __init__(self) -> None:
        self.link = Link(wire.CommandReader().read, self._set_up)
        self._switch: Switch
        self._waiting: deque[wire.Command] = deque()
        self._is_loading = False
        self._had = contextlib.ExitStack()  # what is to be closed

    def close(self) -> None:
        """Release all that there is."""
        self._had.close()

    def _set_up(self, told: wire.Command) -> None:
        """Take the first command."""
        if not isinstance(told, wire.SetUp):
            raise wire.WireError("a worker is set up first")
        disk = DiskThread()
        self._had.callback(disk.close)
        switch, reader = _switch(told, self.link.say, disk)
        self._had.callback(reader.close)
        ticking = _Ticking(switch, reader)
        switch.wanted = ticking.by
        self._had.callback(ticking.stop)
        self._had.callback(lambda: switch.close(time.monotonic()))
        self._switch = switch
        self.link.take = self._take

    def _take(self, command: wire.Command) -> None:
        self._waiting.append(command)
        if not self._is_loading:
            self._go_on()

    def _go_on(self) -> None:
        """Obey; what browsers need is loaded with the first of them, in a thread."""
        while self._waiting:
            if _FOR_BROWSERS not in sys.modules and _has_browser(self._waiting[0]):
                self._is_loading = True
                loading = asyncio.to_thread(importlib.import_module, _FOR_BROWSERS)
                asyncio.get_running_loop().create_task(loading).add_done_callback(self._loaded)
                return
            command = self._waiting.popleft()
            try:
                _obey(self._switch, self.link, command)
            except wire.WireError:
                raise
            except Exception as error:  # of one call; the others go on
                _report("a command could not be obeyed", error)

    def _loaded(self, loading: "asyncio.Task[ModuleType]") -> None:
        self._is_loading = False
        try:
            if not loading.cancelled():
                loading.result()
                self._go_on()
        except Exception as error:
            _report("a worker can't go on", error)
            self.link.cut()


def _has_browser(command: wire.Command) -> bool:
    return isinstance(command, wire.Apply) and any(
        isinstance(each, Leg) and each.webrtc is not None for each in command.graph.nodes
    )


def _obey(switch: Switch, link: Link[wire.Command], command: wire.Command) -> None:
    now = time.monotonic()
    match command:
        case wire.Apply(graph=graph):
            link.say(apply(switch, graph, now))
        case wire.Press(call=call, leg=leg, digits=digits, duration=duration):
            switch.press(call, leg, digits, now, duration)
        case wire.Measure(call=call):
            switch.measure(call)
        case wire.End(call=call):
            switch.end(call, now)
        case wire.SetUp():
            raise wire.WireError("a worker is set up once")


async def _run(number: int) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    with socket.socket(fileno=number) as ours:
        ours.setblocking(False)
        worker = _Worker()
        await asyncio.get_running_loop().create_unix_connection(lambda: worker.link, sock=ours)
        try:
            await worker.link.gone
        finally:
            worker.close()
            worker.link.cut()


def main() -> None:
    """Be a worker until the plane is gone."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    uvloop.run(_run(int(sys.argv[1])))


if __name__ == "__main__":
    main()
