"""Short calls and abandoned ones, as fast as they go, and then nothing may be left over.

One call in eleven is abandoned: before anything was heard, while it rings, or, a few of them, by
silence: whoever called is gone without a BYE, and the session timer ends it.

There are two rounds, and nothing may be left over after each: what a process grows by in the
first, for what it has to remember of calls for a while, it has not to grow by in the second. When
all is over its memory goes back to what it was after the first hundred calls, nearly.
"""

import asyncio
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from protocols.sip.station import Crossed
from tests.callers import Party, Side
from tests.integration.gateway_process import get
from tests.running import RunningGateway, workers_of
from tests.soak.watch import Sample, Watch, file_problems, growth, memory_problems, rest_problems

NUMBER: Final = "+15550001000"
WIDTH: Final = 24  # calls at once
ABANDONED: Final = 11  # one call in so many
_SPOKEN: Final = 0.06  # seconds of media, at least
_FRAMES: Final = 3
_STEP_WITHIN: Final = 60.0
_DRAIN_WITHIN: Final = 120.0  # what INVITEs are remembered for, and a while
_TIMER: Final = 90.0
_KIND_AT: Final = 5
_SHORT, _RINGING, _SILENT = "1", "2", "3"
_PORTS: Final = (24_000, 25_999)
_PAGE: Final = 200
_ROUNDS: Final = 2
_WARM: Final = 100  # calls: what is made once is there
_REMEMBERED: Final = 32.0  # seconds for which SIP remembers a call that is over: 64*T1
_OF_CALL: Final = 6e-3  # MB: what stands in its transactions then
_REST_WITHIN: Final = 90.0  # seconds; `gateway.resting` looks every 10 s whether it is quiet
_ERROR: Final = re.compile(r"\[(error|critical)\b")
_CONFIG: Final = """
[sip]
session_expires = "90s"
[rtp]
ports = "{first}-{last}"
[media]
workers = 1
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{carrier}"
emergency = []
options_interval = "0s"
[[numbers]]
number = "+15550001000"
voice_url = "{app}/voice"
status_callback = "{app}/status"
"""
_MUST_BE_ZERO: Final = (
    "trunkline_calls",
    "trunkline_media_calls",
    "trunkline_sip_sessions",
    "trunkline_sip_transactions",
    "trunkline_trunk_calls",
    "trunkline_store_queued",
    "trunkline_jobs_busy",
    "trunkline_jobs_unstored",
)
_ENDS: Final = {
    _SHORT: frozenset({"completed"}),
    _RINGING: frozenset({"no-answer", "canceled"}),
    _SILENT: frozenset({"completed"}),
}


class App:
    """Has every call dialled on; `told` counts status callbacks by call."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/voice", self._voice)
        app.router.add_post("/status", self._status)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _voice(self, request: web.Request) -> web.Response:
        caller = str((await request.post())["From"])
        dialled = f"<Dial answerOnBridge='true'>+4480{caller[_KIND_AT:]}</Dial>"
        return web.Response(text=f"<Response>{dialled}</Response>", content_type="text/xml")

    async def _status(self, request: web.Request) -> web.Response:
        self.told[str((await request.post())["CallSid"])] += 1
        return web.Response()


class CallLoad:
    """Makes calls until `count` were made, or for `seconds`."""

    def __init__(self, caller: Party, callee: Party, port: int) -> None:
        self._caller, self._callee, self._port = caller, callee, port
        self._far: dict[str, Side] = {}
        self._gone: set[str] = set()
        self.made: dict[str, str] = {}
        """Kinds by the number that called."""
        self.problems: Counter[str] = Counter()
        caller.drops = self._is_gone

    async def run(self, *, seconds: float, count: int, silent: int) -> None:
        """`silent` of the calls end by silence."""
        until = time.monotonic() + seconds
        already = len(self.made)
        numbers = iter(range(already, already + count))
        quiet = iter(range(silent))

        async def work() -> None:
            while time.monotonic() < until and (number := next(numbers, None)) is not None:
                with suppress(TimeoutError):
                    if number % ABANDONED:
                        await self._short(number)
                    elif number % 2 and next(quiet, None) is not None:
                        await self._fall_silent(number)
                    else:
                        await self._abandon(number)

        await asyncio.gather(*(work() for _ in range(WIDTH)))

    def answer(self, party: Party, side: Side) -> None:
        """What who is called does."""
        self._far[side.number[_KIND_AT:]] = side
        if side.number[_KIND_AT] == _RINGING:
            party.ring(side)
        else:
            party.answer(side)

    def _call(self, kind: str, number: int) -> Side:
        caller = f"+4470{kind}{number:06d}"
        self.made[caller] = kind
        return self._caller.call(NUMBER, self._port, caller)

    async def _short(self, number: int, kind: str = _SHORT) -> Side:
        side = self._call(kind, number)
        await self._wait(side.answered, "was not answered")
        far = self._far.pop(side.number[_KIND_AT:])
        await self._wait(far.answered, "was not confirmed")
        self._caller.speak(side, _FRAMES)
        self._callee.speak(far, _FRAMES)
        await asyncio.sleep(_SPOKEN)
        if kind == _SHORT:
            (self._caller, self._callee)[number % 2].hang_up((side, far)[number % 2])
            await self._wait(side.over, "did not end")
            await self._wait(far.over, "did not end at the far end")
        return side

    async def _abandon(self, number: int) -> None:
        side = self._call(_RINGING, number)
        if number % 4:
            async with asyncio.timeout(_STEP_WITHIN):
                while side.progress < 180 and not side.over.is_set():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        self._caller.hang_up(side)
        await self._wait(side.over, "was not cancelled")
        self._far.pop(side.number[_KIND_AT:], None)

    async def _fall_silent(self, number: int) -> None:
        side = await self._short(number, _SILENT)
        self._gone.add(side.call_id)

    def _is_gone(self, crossed: Crossed) -> bool:
        if not self._gone:
            return False
        content = crossed.content
        if not isinstance(content, bytes):
            return content.call_id in self._gone
        return any(each.encode() in content for each in self._gone)

    async def _wait(self, event: asyncio.Event, what: str) -> None:
        try:
            async with asyncio.timeout(_STEP_WITHIN):
                await event.wait()
        except TimeoutError:
            self.problems[what] += 1
            raise


async def soak(home: Path, seconds: float, count: int, silent: int) -> list[str]:
    """Calls until `count` or for `seconds`; what was wrong. Prints what it saw."""
    app = App()
    await app.open()
    caller, callee = Party("caller"), Party("callee", lambda party, side: load.answer(party, side))
    caller.keeps = callee.keeps = False
    await caller.open()
    await callee.open()
    first, last = _PORTS
    text = _CONFIG.format(first=first, last=last, carrier=callee.port, app=app.url)
    gateway = RunningGateway(home, text, {"TRUNKLINE_SIP__UDP": '["127.0.0.1:0"]'})
    try:
        await asyncio.to_thread(gateway.start)
        load = CallLoad(caller, callee, gateway.ports["sip_udp"])
        return await _soak(gateway, app, load, seconds, count, silent)
    finally:
        gateway.kill()
        for each in (caller, callee, app):
            await each.close()


async def _soak(
    gateway: RunningGateway, app: App, load: CallLoad, seconds: float, count: int, silent: int
) -> list[str]:
    assert gateway.process is not None
    pid = gateway.process.pid
    (worker,) = workers_of(pid)
    watched = {"gateway": pid, "media worker": worker}
    await load.run(seconds=_STEP_WITHIN, count=2, silent=0)  # what is made once is there
    before = {name: Watch(each, gateway.data).look() for name, each in watched.items()}
    await load.run(seconds=_STEP_WITHIN, count=_WARM, silent=0)
    warm = {name: Watch(each, gateway.data).look() for name, each in watched.items()}
    within = _DRAIN_WITHIN + (2 * _TIMER if silent else 0)
    seen: list[dict[str, Sample]] = []
    found: list[str] = []
    rate = 0.0
    for number in range(_ROUNDS):
        watches = {name: Watch(each, gateway.data) for name, each in watched.items()}
        quiet = silent if not number else 0
        rate = max(rate, await _round(load, watches, seconds / _ROUNDS, count // _ROUNDS, quiet))
        seen.append({name: growth(watch.samples)[1] for name, watch in watches.items()})
        found, left = await _drained(gateway, app, load, within)
        print(f"nothing was left of them {left:.0f} s later", flush=True)
        if found:
            break
    peaks = {"gateway": rate * _REMEMBERED * _OF_CALL, "media worker": 0.0}
    found += await _rested(watched, warm, peaks, gateway.data)
    found += [f"{number} calls: {what}" for what, number in load.problems.items()]
    for name, each in watched.items():
        after = Watch(each, gateway.data).look()
        loaded = [each[name] for each in seen]
        memory = " -> ".join(f"{each.memory:.1f}" for each in loaded)
        print(
            f"{name}: memory {warm[name].memory:.1f} MB when warm, {memory} under load,"
            f" {after.memory:.1f} at rest; files {before[name].files} -> {after.files};"
            f" database {loaded[0].database:.1f} -> {loaded[-1].database:.1f} MB",
            flush=True,
        )
        found += [f"{name}: {each}" for each in memory_problems(loaded[0], loaded[-1])]
        found += [f"{name}: {each}" for each in file_problems(before[name], after)]
    if gateway.terminate() != 0:
        found.append("the gateway did not end well")
    lines = gateway.log.read_text().splitlines()
    return found + [f"logged: {line}" for line in lines if _ERROR.search(line)]


async def _round(
    load: CallLoad, watches: dict[str, Watch], seconds: float, count: int, silent: int
) -> float:
    """Make calls, and watch; how many there were a second."""
    watching = [asyncio.create_task(watch.run()) for watch in watches.values()]
    began, already = time.monotonic(), len(load.made)
    await load.run(seconds=seconds, count=count, silent=silent)
    took = time.monotonic() - began
    for each in watching:
        each.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    kinds = list(load.made.values())[already:]
    abandoned = sum(kind != _SHORT for kind in kinds)
    print(
        f"{len(kinds)} calls in {took:.0f} s ({len(kinds) / took:.0f} a second),"
        f" {abandoned} of them abandoned",
        flush=True,
    )
    return len(kinds) / took


async def _drained(
    gateway: RunningGateway, app: App, load: CallLoad, within: float
) -> tuple[list[str], float]:
    """Wait until nothing is left; what still is after the limit, and how long that took."""
    began = time.monotonic()
    while True:
        found = await asyncio.to_thread(lambda: [*_left(gateway), *_ports_bound()])
        if not found:
            found = await asyncio.to_thread(lambda: list(_wrong_rows(gateway, app, load)))
        if not found or time.monotonic() - began > within:
            return found, time.monotonic() - began
        await asyncio.sleep(1.0)


async def _rested(
    watched: dict[str, int], warm: dict[str, Sample], peaks: dict[str, float], data: Path
) -> list[str]:
    """Wait until each has given back what the calls took; what is wrong after the limit."""
    deadline = time.monotonic() + _REST_WITHIN
    while True:
        found = [
            f"{name}: {problem}"
            for name, pid in watched.items()
            for problem in rest_problems(warm[name], Watch(pid, data).look(), peaks[name])
        ]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1.0)


def _left(gateway: RunningGateway) -> Iterator[str]:
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=30) as response:
        text = response.read().decode()
    seen = set()
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        family = name.partition("{")[0]
        if family in _MUST_BE_ZERO:
            seen.add(family)
            if float(value):
                yield f"{name} is {value}, not 0"
    yield from (f"there is no metric {family}" for family in set(_MUST_BE_ZERO) - seen)


def _ports_bound() -> Iterator[str]:
    """Ports of media that are bound by anybody (proc(5), /proc/net/udp)."""
    first, last = _PORTS
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        port = int(line.split()[1].rpartition(":")[2], 16)
        if first <= port <= last:
            yield f"port {port} is bound"


def _wrong_rows(gateway: RunningGateway, app: App, load: CallLoad) -> Iterator[str]:
    """Calls that ended otherwise than they should, or were told of never, or twice."""
    rows = {sid: (caller, status) for sid, caller, status in _rows(gateway)}
    for sid, (caller, status) in rows.items():
        kind = load.made.get(caller)
        if kind is None or status not in _ENDS[kind]:
            yield f"{sid} of {caller} ended {status}"
        if app.told[sid] != 1:
            yield f"{sid}: the app was told {app.told[sid]} times that it is over"
    if len(rows) != len(load.made):
        yield f"{len(load.made)} calls were made, {len(rows)} came in"


def _rows(gateway: RunningGateway) -> Iterator[tuple[str, str, str]]:
    """Calls that came in: SID, who called, status."""
    page = f"/2010-04-01/Accounts/{gateway.account_sid}/Calls.json?PageSize={_PAGE}"
    while page:
        answer = get(gateway, page)
        for call in answer["calls"]:
            if call["direction"] == "inbound":
                yield call["sid"], call["from"], call["status"]
        page = answer["next_page_uri"]
