"""The media plane of our own workers: processes that are started, given calls, and replaced.

A call goes to the worker with the fewest calls that is not draining and has room, whole: all its
legs stand in one worker. The ports are shared out among the workers at the start, so that none
has to ask another.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final, Generic, TypeVar

import msgspec
import structlog

from gateway.media import wire
from gateway.media.graph import Graph
from gateway.media.link import Link
from gateway.media.plane import Full, Happened, Lost, Opened, WorkerLost
from protocols.rtp.dtmf import DURATION
from protocols.rtp.errors import LocalProtocolError

_PATIENCE: Final = 10.0  # seconds that a worker has for an answer before it counts as hung
_STARTS_WITHIN: Final = 60.0  # seconds for its first one: a busy machine takes long to start it
_YOUNG: Final = 5.0  # seconds: a worker that dies younger has its successor wait
_PAUSE: Final = 1.0
_LEGS: Final = 2  # that a call is thought to need, until its graph says

_log = structlog.get_logger(__name__)

K = TypeVar("K")
A = TypeVar("A")
Result = wire.Applied | wire.Refused | Lost

Receiver = Callable[[Happened], None]


class WorkersConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`first` to `last` are the ports of all workers together, `calls` the most that each takes.

    `cname` is our name in RTCP (RFC 7022). `advertised` and `set_ups` are as in `wire.SetUp`.
    """

    workers: int
    first: int
    last: int
    calls: int = 1000
    cname: str = "trunkline"
    advertised: str = ""
    set_ups: int = 20


def default_workers() -> int:
    """One for each core that this process may use but one, which is signalling's."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


class _Waiting(Generic[K, A]):
    """What a worker was asked and has not answered, the oldest first, and who waits for it."""

    def __init__(self) -> None:
        self._waiting: dict[K, tuple[float, list[asyncio.Future[A]]]] = {}

    def add(self, key: K) -> tuple["asyncio.Future[A]", bool]:
        """What brings the answer, to one who waits; whether the worker has yet to be asked."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        found = self._waiting.get(key)
        if found is None:
            self._waiting[key] = (loop.time(), [future])
        else:
            found[1].append(future)
        return future, found is None

    def answer(self, key: K, answer: A) -> None:
        """Let those go on who are still there."""
        _, futures = self._waiting.pop(key, (0.0, ()))
        for future in futures:
            if not future.done():
                future.set_result(answer)

    def give_up(self, answer: Callable[[K], A]) -> None:
        """Let nobody wait for what does not come any more: `answer` stands for it."""
        for key in list(self._waiting):
            self.answer(key, answer(key))

    def since(self) -> float:
        """When the oldest was asked; never is infinity."""
        for asked, _ in self._waiting.values():
            return asked
        return inf


class _Worker:
    """One place for calls; the process in it may change."""

    def __init__(self, number: int, told: wire.SetUp) -> None:
        self.number = number
        self.told = told
        self.process: asyncio.subprocess.Process | None = None
        self.link: Link[wire.Report] | None = None  # None while there is no process
        self.is_draining = False
        self.has_answered = False
        self.calls: dict[str, int] = {}  # with the number of their legs
        self._legs = 0  # of all of them
        self.applying: _Waiting[tuple[str, int], Result] = _Waiting()
        self.ending: _Waiting[str, None] = _Waiting()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def has_room(self) -> bool:
        """Whether another call fits: by their number, and by ports."""
        if self.link is None or self.is_draining or len(self.calls) >= self.told.calls:
            return False
        pairs = (self.told.last - self.told.first + 1) // 2
        return self._legs + _LEGS <= pairs

    def have(self, call: str, legs: int) -> None:
        """Have a call, with so many legs from now on."""
        self._legs += legs - self.calls.get(call, 0)
        self.calls[call] = legs

    def forget(self, call: str) -> None:
        """Have it no more; one that is not there is passed over."""
        self._legs -= self.calls.pop(call, 0)

    def say(self, command: wire.Command) -> None:
        """Say it, unless there is nobody."""
        if self.link is not None:
            self.link.say(command)

    def cut(self) -> None:
        """Close our end: it takes nothing more, and its process ends."""
        link, self.link = self.link, None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if link is not None:
            link.cut()

    def lose(self) -> None:
        """Let nobody wait for what does not come any more."""
        self.applying.give_up(lambda key: Lost(call=key[0]))
        self.ending.give_up(lambda call: None)

    def watch(self) -> None:
        """See that what is asked is answered in time, or that the process ends."""
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(_PATIENCE, self._look)

    def _look(self) -> None:
        self._watch = None
        since = min(self.applying.since(), self.ending.since())
        until = since + (_PATIENCE if self.has_answered else _STARTS_WITHIN)
        loop = asyncio.get_running_loop()
        if loop.time() >= until:
            self.kill()
        elif since < inf:
            self._watch = loop.call_at(min(until, loop.time() + _PATIENCE), self._look)

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()


class Workers:
    """A `Plane`; `start` before all else, `close` at the end.

    `LocalProtocolError` if the ports are not enough for a pair of them in each worker.
    """

    def __init__(self, config: WorkersConfig, receiver: Receiver) -> None:
        self._receiver = receiver
        self._places: dict[str, _Worker] = {}
        self._keeping: list[asyncio.Task[None]] = []
        first = config.first + config.first % 2
        share = (config.last - first + 1) // 2 // max(1, config.workers) * 2
        if config.workers < 1 or share < 2:
            raise LocalProtocolError(
                f"ports {config.first} to {config.last} are too few for {config.workers} workers"
            )
        self._workers = [
            _Worker(
                number,
                wire.SetUp(
                    first=first + number * share,
                    last=first + (number + 1) * share - 1,
                    calls=config.calls,
                    cname=config.cname,
                    advertised=config.advertised,
                    set_ups=config.set_ups,
                ),
            )
            for number in range(config.workers)
        ]

    async def start(self) -> None:
        """Start all workers, and replace those that die from now on; `OSError` if none can be."""
        for worker in self._workers:
            link = await self._spawn(worker)
            self._keeping.append(asyncio.create_task(self._keep(worker, link)))

    async def close(self) -> None:
        """End all workers, and with them what calls there are."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        self._keeping.clear()
        for worker in self._workers:
            worker.cut()
            worker.lose()
        for worker in self._workers:
            await self._bury(worker)

    def pids(self) -> dict[int, int]:
        """The process of each worker that runs."""
        return {
            each.number: each.process.pid
            for each in self._workers
            if each.process is not None and each.link is not None
        }

    @property
    def size(self) -> int:
        """How many workers there should be."""
        return len(self._workers)

    def loads(self) -> dict[int, int]:
        """How many calls each worker has that runs."""
        return {each.number: len(each.calls) for each in self._workers if each.link is not None}

    def drain(self, worker: int) -> None:
        """Give a worker no new calls; those that it has go on."""
        self._workers[worker].is_draining = True

    # A plane

    def open(self, call: str, near: str = "") -> Opened | Full:
        """See `Plane`."""
        place = self._places.get(call)
        if place is None:
            beside = self._places.get(near)
            able = [each for each in self._workers if each.has_room]
            if not able:
                return Full(reason="no media worker has room for another call")
            place = beside if beside in able else min(able, key=lambda each: len(each.calls))
            place.have(call, _LEGS)
            self._places[call] = place
        return Opened(worker=place.number)

    def apply(self, graph: Graph) -> asyncio.Future[Result]:
        """See `Plane`."""
        worker = self._places.get(graph.call)
        if worker is None or worker.link is None:
            return _done(Lost(call=graph.call))
        answer, first = worker.applying.add((graph.call, graph.version))
        if first:
            worker.say(wire.Apply(graph=graph))
            worker.watch()
        return answer

    def press(self, call: str, leg: str, digits: str, duration: float = DURATION) -> None:
        """See `Plane`."""
        worker = self._places.get(call)
        if worker is None:
            self._tell(wire.Pressed(call=call, leg=leg, fault="the call has no media"))
        else:
            worker.say(wire.Press(call=call, leg=leg, digits=digits, duration=duration))

    def measure(self, call: str) -> None:
        """See `Plane`."""
        worker = self._places.get(call)
        if worker is not None:
            worker.say(wire.Measure(call=call))

    def end(self, call: str) -> asyncio.Future[None]:
        """See `Plane`."""
        worker = self._places.get(call)
        if worker is None or worker.link is None:
            return _done(None)
        answer, first = worker.ending.add(call)
        if first:
            worker.say(wire.End(call=call))
            worker.watch()
        return answer

    # Processes

    async def _spawn(self, worker: _Worker) -> Link[wire.Report]:
        worker.has_answered = False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                worker.process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "gateway.media.worker",
                    str(theirs.fileno()),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                )
            ours.setblocking(False)
            link = Link(wire.ReportReader().read, partial(self._take, worker))
            await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
        except BaseException:
            ours.close()  # and with it ends the process, if there is one
            raise
        worker.link = link
        worker.say(worker.told)
        return link

    async def _keep(self, worker: _Worker, link: Link[wire.Report]) -> None:
        """Wait until a worker dies, and start the next one in its place."""
        clock = asyncio.get_running_loop().time
        while True:
            begun = clock()
            await link.gone
            worker.cut()
            self._lose(worker)
            await self._bury(worker)
            if clock() - begun < _YOUNG:
                await asyncio.sleep(_PAUSE)
            while True:
                try:
                    link = await self._spawn(worker)
                    break
                except OSError as error:
                    _log.error("no media worker can be started", error=str(error))
                    await asyncio.sleep(_PAUSE)

    def _take(self, worker: _Worker, report: wire.Report) -> None:
        worker.has_answered = True
        match report:
            case wire.Applied(call=call, version=version, places=places):
                if call in worker.calls:
                    worker.have(call, max(_LEGS, len(places)))
                worker.applying.answer((call, version), report)
            case wire.Refused(call=call, version=version):
                worker.applying.answer((call, version), report)
            case wire.Ended(call=call):
                self._places.pop(call, None)
                worker.forget(call)
                worker.ending.answer(call, None)
            case _:
                self._tell(report)

    def _tell(self, event: Happened) -> None:
        """What one call makes of it is to cost no worker."""
        try:
            self._receiver(event)
        except Exception:
            _log.exception("what media told could not be taken", kind=type(event).__name__)

    async def _bury(self, worker: _Worker) -> None:
        """See that the process is gone."""
        process = worker.process
        if process is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        worker.process = None

    def _lose(self, worker: _Worker) -> None:
        calls = tuple(worker.calls)
        for call in calls:
            worker.forget(call)
            del self._places[call]
        worker.lose()
        _log.error("a media worker died", worker=worker.number, calls=len(calls))
        self._tell(WorkerLost(worker=worker.number, calls=calls))


def _done(answer: A) -> "asyncio.Future[A]":
    future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
    future.set_result(answer)
    return future
