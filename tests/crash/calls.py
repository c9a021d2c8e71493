"""Kills with calls up: what the next run owes the far ends, the rows and the apps.

One party calls, another is what a carrier leads to; both live on when the gateway dies, and write
down what they were told. The app answers by who calls, and keeps whoever it is told to waiting.
"""

import asyncio
import json
import random
import time
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from protocols.sip.message import Request
from protocols.sip.station import Crossed
from tests.callers import Party, Side
from tests.crash.killable import ORDER
from tests.crash.points import CALL_POINTS, Point
from tests.crash.world import KILLABLE
from tests.integration.gateway_process import ROOT
from tests.ports import free_port
from tests.running import RunningGateway, workers_of

NUMBER: Final = "+15550001000"
REASON: Final = "the gateway was restarted"
SLACK: Final = 5.0  # seconds by which a duration may be wrong
WITHIN: Final = 60.0
_RELEASED_WITHIN: Final = 3.0
_LOOK_EVERY: Final = 0.1
_T1: Final = 0.1  # of the parties: who has nobody to talk to gives up sooner
_ANSWERED, _RINGING, _LATE, _WAITING = "1", "2", "3", "4"
RECORDED, JOINED_AND_RECORDED = "5", "6"
_KIND_AT: Final = 5  # in the number of who calls, and of who is called
_OVER: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_CONFIG: Final = """
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
_NUMBER: Final = (
    '<Number statusCallback="{app}/status"'
    ' statusCallbackEvent="initiated ringing answered completed">{number}</Number>'
)
_TELLS: Final = (
    'recordingStatusCallback="{app}/recording" recordingStatusCallbackEvent="in-progress completed"'
)
_DIAL: Final = f'<Dial answerOnBridge="true">{_NUMBER}</Dial>'
_DOCUMENTS: Final = {
    RECORDED: f'<Record timeout="60" {_TELLS}/>',
    JOINED_AND_RECORDED: f'<Dial record="record-from-answer-dual" {_TELLS}>{_NUMBER}</Dial>',
}


class App:
    """What the number runs: `told` are status callbacks, `waiting` who gets no document.

    `recorded` are callbacks of recordings.
    """

    def __init__(self) -> None:
        self.told: list[dict[str, str]] = []
        self.recorded: list[dict[str, str]] = []
        self.waiting = 0
        self.url = ""
        self._never = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_post("/voice", self._voice)
        app.router.add_post("/status", self._status)
        app.router.add_post("/recording", self._recording)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Let nobody wait any more."""
        self._never.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _voice(self, request: web.Request) -> web.Response:
        caller = str((await request.post())["From"])
        if caller[_KIND_AT] == _WAITING:
            self.waiting += 1
            await self._never.wait()
        callee = "+4480" + caller[_KIND_AT:]
        text = _DOCUMENTS.get(caller[_KIND_AT], _DIAL).format(app=self.url, number=callee)
        return web.Response(text=f"<Response>{text}</Response>", content_type="text/xml")

    async def _status(self, request: web.Request) -> web.Response:
        self.told.append(await _form(request))
        return web.Response()

    async def _recording(self, request: web.Request) -> web.Response:
        self.recorded.append(await _form(request))
        return web.Response()


async def _form(request: web.Request) -> dict[str, str]:
    form = {name: str(value) for name, value in (await request.post()).items()}
    return {**form, "token": request.headers["I-Twilio-Idempotency-Token"]}


class CallWorld:
    """A gateway in the folder `home`, an app, and who speaks with it."""

    def __init__(self, home: Path, command: tuple[str, ...] = KILLABLE) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home, self._command = home, command
        self._order = home / "order.json"
        self.app = App()
        self.caller = Party("caller", t1=_T1)
        self.callee = Party("callee", _answer_by_number, t1=_T1)
        self.sip = free_port()
        self._count = 0
        self.killed_at = 0.0
        self.gateway: RunningGateway

    async def open(self) -> None:
        """Start all but the gateway."""
        await self.app.open()
        await self.caller.open()
        await self.callee.open()
        first = random.randrange(24_000, 32_000, 400)
        self.gateway = RunningGateway(
            self._home,
            _CONFIG.format(app=self.app.url, carrier=self.callee.port),
            {
                ORDER: str(self._order),
                "PYTHONPATH": str(ROOT),
                "TRUNKLINE_SIP__UDP": f'["127.0.0.1:{self.sip}"]',
                "TRUNKLINE_RTP__PORTS": f"{first}-{first + 399}",
                "TRUNKLINE_MEDIA__WORKERS": "1",
            },
            self._command,
        )

    async def close(self) -> None:
        """End everything."""
        self.gateway.kill()
        for each in (self.caller, self.callee, self.app):
            await each.close()

    async def start(self, point: Point | None = None, passage: int = 1) -> None:
        """Start the gateway, armed if there is a `point`."""
        for each in (self._order, self._mark, self._loaded):
            each.unlink(missing_ok=True)
        if point is not None:
            self._order.write_text(json.dumps({"point": point.name, "passage": passage}))
        try:
            await asyncio.to_thread(self.gateway.start)
        except AssertionError:
            if not self._mark.exists():  # the point may belong to the start
                raise
        self._loaded.touch()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.gateway.kill()
        self.killed_at = time.time()

    @property
    def has_passed(self) -> bool:
        """Whether the armed gateway ended itself where it should."""
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self._order.with_suffix(".done")

    @property
    def _loaded(self) -> Path:
        return self._order.with_suffix(".loaded")

    def call(self, kind: str) -> Side:
        """Call in; the other end does what `kind` says."""
        self._count += 1
        return self.caller.call(NUMBER, self.sip, f"+4470{kind}{self._count:05d}")

    def answered(self) -> Side:
        """Call in; the other end answers."""
        return self.call(_ANSWERED)

    async def get(self, path: str) -> Any:
        """What REST answers."""
        async with self._session() as session, session.get(self.gateway.url + path) as response:
            response.raise_for_status()
            return await response.json()

    def _session(self) -> aiohttp.ClientSession:
        gateway = self.gateway
        basic = b64encode(f"{gateway.account_sid}:{gateway.auth_token}".encode()).decode()
        return aiohttp.ClientSession(headers={"Authorization": f"Basic {basic}"})

    async def make(self, kind: str) -> str:
        """Have REST call somebody who does what `kind` says; the SID that was promised."""
        self._count += 1
        gateway = self.gateway
        path = f"/2010-04-01/Accounts/{gateway.account_sid}/Calls.json"
        form = {
            "To": f"+4480{kind}{self._count:05d}",
            "From": NUMBER,
            "Twiml": '<Response><Pause length="60"/></Response>',
            "StatusCallback": f"{self.app.url}/status",
            "StatusCallbackEvent": "initiated ringing answered completed",
        }
        async with (
            self._session() as session,
            session.post(gateway.url + path, data=form) as response,
        ):
            response.raise_for_status()
            return str((await response.json())["sid"])

    async def recordings(self) -> list[dict[str, Any]]:
        """All recordings that REST lists."""
        path = f"/2010-04-01/Accounts/{self.gateway.account_sid}/Recordings.json?PageSize=1000"
        return list((await self.get(path))["recordings"])

    async def sound(self, sid: str) -> bytes:
        """The sound of a recording."""
        path = f"/2010-04-01/Accounts/{self.gateway.account_sid}/Recordings/{sid}.wav"
        async with self._session() as session, session.get(self.gateway.url + path) as response:
            response.raise_for_status()
            return await response.read()

    async def rows(self) -> list[dict[str, Any]]:
        """All calls that REST lists."""
        path = f"/2010-04-01/Accounts/{self.gateway.account_sid}/Calls.json?PageSize=1000"
        return list((await self.get(path))["calls"])

    async def wait_for_rows(self, wanted: dict[str, int]) -> None:
        """Return when so many calls have each status."""

        async def found() -> bool:
            return Counter(row["status"] for row in await self.rows()) == wanted

        await until(found, f"calls are {wanted}")

    async def wait_for_more(self, status: str, count: int) -> None:
        """Return when at least so many calls have the status."""

        async def found() -> bool:
            return sum(row["status"] == status for row in await self.rows()) >= count

        await until(found, f"{count} calls are {status}")

    async def settle(self) -> list[dict[str, Any]]:
        """Wait until nobody is in a call, all are over, and the app was told; all rows then."""
        rows: list[dict[str, Any]] = []

        async def settled() -> bool:
            rows[:] = await self.rows()
            ended = {(row["sid"], row["status"]) for row in rows if row["status"] in _OVER}
            told = {(each["CallSid"], each["CallStatus"]) for each in self.app.told}
            if len(ended) < len(rows) or not ended <= told or self.sides:
                return False
            return not (await self.get("/v1/jobs?limit=1"))["jobs"]

        await until(settled, "all is over, and told")
        return rows

    @property
    def sides(self) -> list[Side]:
        """Who is in a call."""
        return [*self.caller.sides.values(), *self.callee.sides.values()]


async def until(holds: Callable[[], Awaitable[bool]], what: str, within: float = WITHIN) -> None:
    """Look until it holds; `TimeoutError` with what did not."""
    deadline = time.monotonic() + within
    while not await holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within:g} s: {what}")
        await asyncio.sleep(_LOOK_EVERY)


def _answer_by_number(party: Party, side: Side) -> None:
    if side.number[_KIND_AT] in (_ANSWERED, JOINED_AND_RECORDED):
        party.answer(side)
    else:
        party.ring(side)


# Fifty calls


async def fifty(
    home: Path, *, answered: int = 30, ringing: int = 10, waiting: int = 10
) -> tuple[str, list[str]]:
    """Kill with calls answered, ringing, and without a document; what was seen, what is wrong.

    One of those that ring is answered when it has been cancelled.
    """
    world = CallWorld(home)
    await world.open()
    try:
        await world.start()
        up = [world.call(_ANSWERED) for _ in range(answered)]
        rings = [world.call(_RINGING) for _ in range(ringing - 1)]
        late = world.call(_LATE)
        waits = [world.call(_WAITING) for _ in range(waiting)]
        await world.wait_for_rows(
            {"in-progress": 2 * answered, "ringing": 2 * ringing + waiting},
        )
        # Who has heard nothing asks again, and a port that is closed is an answer.
        await world.caller.until(
            lambda: all(side.progress for side in waits), WITHIN, "all are told to wait"
        )
        far = {each.number[_KIND_AT:]: each for each in world.callee.sides.values()}
        world.callee.drops = _cancels_of(far[late.number[_KIND_AT:]])
        assert world.gateway.process is not None
        workers = workers_of(world.gateway.process.pid)
        world.kill()
        began = time.monotonic()
        await world.start()
        took = time.monotonic() - began
        heard = world.callee.heard
        await world.callee.until(lambda: heard["CANCEL"] >= ringing, WITHIN, "CANCELs come")
        world.callee.answer(far[late.number[_KIND_AT:]])
        rows = await world.settle()
        wrong = _released(up, [*rings, late, *waits], far, late)
        wrong += _kept(rows, {side.number: side for side in world.caller.past})
        wrong += told_wrongly(world.app.told, rows)
        wrong += await wrong_timelines(world, rows)
        wrong += [f"media worker {pid} outlived its gateway" for pid in workers if _lives(pid)]
        if world.gateway.terminate() != 0:
            wrong.append("the gateway did not end well")
    except TimeoutError as error:
        return "calls", [f"calls: {error or 'too late'}; {world.gateway.log}"]
    finally:
        await world.close()
    released = max(side.ended_at for side in world.caller.past) - world.killed_at
    seen = (
        f"{answered + ringing + waiting} calls up at a kill: ready again after {took:.1f} s,"
        f" all far ends released {released:.1f} s after the kill; {len(rows)} calls in the rows,"
        f" {len(world.app.told)} callbacks"
    )
    return seen, wrong


async def promised(
    home: Path, *, answered: int = 4, ringing: int = 4, queued: int = 8
) -> list[str]:
    """Kill with calls of REST's answered, ringing and just promised; what is wrong after it."""
    world = CallWorld(home)
    await world.open()
    try:
        await world.start()
        up = [await world.make(_ANSWERED) for _ in range(answered)]
        rings = [await world.make(_RINGING) for _ in range(ringing)]
        await world.wait_for_rows({"in-progress": answered, "ringing": ringing})
        waits = await asyncio.gather(*(world.make(_ANSWERED) for _ in range(queued)))
        world.kill()
        await world.start()
        rows = {row["sid"]: row for row in await world.settle()}
        wrong = [f"{sid} was promised and is forgotten" for sid in {*up, *rings, *waits} - {*rows}]
        wrong += [
            f"{sid} is {rows[sid]['status']}" for sid in up if rows[sid]["status"] != "completed"
        ]
        wrong += [
            f"{sid} is {rows[sid]['status']}" for sid in rings if rows[sid]["status"] != "failed"
        ]
        rung = Counter(side.number for side in world.callee.past)
        wrong += [f"{number} rang {count} times" for number, count in rung.items() if count > 1]
        wrong += told_wrongly(world.app.told, list(rows.values()))
        wrong += await wrong_timelines(world, list(rows.values()))
        if world.gateway.terminate() != 0:
            wrong.append("the gateway did not end well")
    except TimeoutError as error:
        return [f"calls: {error or 'too late'}; {world.gateway.log}"]
    finally:
        await world.close()
    return wrong


def _lives(pid: int) -> bool:
    """Whether a process runs: one that nobody has buried does not."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status


def _cancels_of(side: Side) -> Any:
    def drops(crossed: Crossed) -> bool:
        content = crossed.content
        cancels = isinstance(content, Request) and content.method == "CANCEL"
        return cancels and crossed.came and content.call_id == side.call_id

    return drops


def _released(
    up: Sequence[Side], unanswered: Sequence[Side], far: dict[str, Side], late: Side
) -> list[str]:
    """What is wrong with how far ends were let go of."""
    wanted: list[tuple[Side, str]] = [(side, "HungUp") for side in up]
    wanted += [(side, "Refused 500") for side in unanswered]
    for key, side in far.items():
        is_up = key[0] == _ANSWERED or key == late.number[_KIND_AT:]
        wanted.append((side, "HungUp" if is_up else "Cancelled"))
    problems = [
        f"{side.number}: {side.end} ({side.reason}), not {end}"
        for side, end in wanted
        if side.end != end or (REASON not in side.reason and side.call_id != _id(far, late))
    ]
    if not far[late.number[_KIND_AT:]].answered.is_set():
        problems.append("a 200 that crossed our CANCEL got no ACK")
    return problems


def _id(far: dict[str, Side], late: Side) -> str:
    return far[late.number[_KIND_AT:]].call_id


def _kept(rows: Sequence[dict[str, Any]], sides: dict[str, Side]) -> list[str]:
    """What is wrong with rows: `sides` are the callers' by their number."""
    problems = []
    for row in rows:
        caller = sides.get(row["from"])
        if caller is None:
            problems.append(f"{row['sid']}: nobody called as {row['from']}")
            continue
        stood = bool(caller.answered_at)
        if row["status"] != ("completed" if stood else "failed"):
            problems.append(f"{row['sid']} of {row['from']} is {row['status']}")
        truth = caller.ended_at - caller.answered_at if stood else 0.0
        if abs(int(row["duration"] or 0) - truth) > SLACK:
            problems.append(f"{row['sid']} took {row['duration']} s, in truth {truth:.1f} s")
    return problems


def told_wrongly(callbacks: Sequence[dict[str, str]], rows: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with callbacks: each state once, in the order of their numbers."""
    problems: list[str] = []
    tokens: dict[tuple[str, str], str] = {}
    numbers: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for form in callbacks:
        sid, status = form["CallSid"], form["CallStatus"]
        if tokens.setdefault((sid, status), form["token"]) != form["token"]:
            problems.append(f"{sid} was told twice that it is {status}")
        sequence = int(form["SequenceNumber"])
        if numbers[sid].setdefault(sequence, status) != status:
            problems.append(f"{sid}: {status} and {numbers[sid][sequence]} are both {sequence}")
    for row in rows:
        known = numbers[row["sid"]]
        if sorted(known) != list(range(len(known))):
            problems.append(f"{row['sid']}: callbacks are numbered {sorted(known)}")
        if known and known[max(known)] != row["status"]:
            problems.append(f"{row['sid']}: the last callback says {known[max(known)]}")
    return problems


async def wrong_timelines(world: CallWorld, rows: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with timelines: each has the reason, for the call and for its legs."""
    problems = []
    for row in rows:
        found = await world.get(f"/v1/calls/{row['sid']}/timeline")
        if found["reason"] != REASON:
            problems.append(f"{row['sid']} ended because {found['reason']!r}")
        problems += [
            f"{row['sid']}: a leg ended because {leg['cause']!r}"
            for leg in found["legs"]
            if leg["cause"] != REASON or leg["released_by"] != "restart"
        ]
    return problems


# Points


async def sweep(home: Path, dice: random.Random) -> tuple[list[str], list[str]]:
    """Kill at each of `CALL_POINTS`, under calls that come and go; what to print, and is wrong."""
    world = CallWorld(home)
    await world.open()
    lines: list[str] = []
    wrong: list[str] = []
    try:
        for point in CALL_POINTS:
            lines.append(await _kill_at(world, point, dice, wrong))
        await world.start()
        rows = await world.settle()
        wrong += [f"{row['sid']} is {row['status']}" for row in rows if row["status"] not in _OVER]
        wrong += told_wrongly(world.app.told, rows)
        if world.gateway.terminate() != 0:
            wrong.append("the gateway did not end well")
    except TimeoutError as error:
        wrong.append(f"calls: {error or 'too late'}; {world.gateway.log}")
    finally:
        await world.close()
    return lines, wrong


async def _kill_at(world: CallWorld, point: Point, dice: random.Random, wrong: list[str]) -> str:
    """One kill, and the run after it; what came of the calls that were there."""
    already = len(world.caller.past) + len(world.callee.past)
    if point.at_start:
        await world.start()
        for _ in range(8):
            world.call(_ANSWERED)
        await world.wait_for_more("in-progress", 16)
        world.kill()
        await world.start(point)
    else:
        await world.start(point, dice.randint(3, 12))
        await _work(world)
    if not world.has_passed:
        wrong.append(f"{point.name}: the gateway never passed there ({point.meaning})")
    world.kill()
    await world.start()
    await asyncio.sleep(2 * _T1)
    stuck = await _freed(world)
    sides = [*world.caller.past, *world.callee.past][already:]
    wrong += [
        f"{point.name}: {side.number} was left up" for side in stuck if side.answered.is_set()
    ]
    world.kill()
    return f"{point.name:<26}{len(sides):>6} ends, {len(stuck)} gave up by themselves"


async def _work(world: CallWorld) -> None:
    """Calls that come and go until the gateway is gone."""
    process = world.gateway.process
    assert process is not None
    deadline = time.monotonic() + WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        side = world.call(_ANSWERED)
        await asyncio.sleep(0.05)
        for each in list(world.caller.sides.values()):
            if each.answered.is_set() and each is not side:
                world.caller.hang_up(each)


async def _freed(world: CallWorld) -> list[Side]:
    """Wait until the gateway has let go of whom it knows; the others hang up, and are given."""

    async def freed() -> bool:
        return not world.sides

    async def released() -> bool:
        return not any(side.answered.is_set() for side in world.sides)

    with suppress(TimeoutError):
        await until(freed, "all are let go of", _RELEASED_WITHIN)
    with suppress(TimeoutError):
        await until(released, "who was answered is let go of")
    stuck = list(world.sides)
    for party in (world.caller, world.callee):
        for side in list(party.sides.values()):
            party.hang_up(side)
    await until(freed, "those who hang up are gone")
    return stuck
