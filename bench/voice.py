"""How many calls with decoded media one worker bears with less than 0.5 % of frames late.

    python bench/voice.py [play|record|room] [--calls 400] [--seconds 10] [--speaking 10] [--where]

`play`: calls of one leg that hear a file over and over, as in an IVR. `record`: calls of two legs
that hear each other, recorded in two channels. `room`: rooms of ten. All speak G.711 in packets of
20 ms. The worker is the process that the gateway starts; the phones are a process of their own,
`voice_load.py`. A frame is late that comes more than 20 ms after its time, or never. With `--where`
the worker tells where its CPU went. Goals on one core: 400, 150, 40.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import sys
import tempfile
import wave
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from profiles import Profile
from rtp import FIRST, LAST, cpu, leg

from gateway.media import graph, wire
from gateway.media.graph import Graph, Join, both_ways
from protocols.sdp.formats import PCMU
from protocols.sdp.media import Chosen

LOAD = Path(__file__).with_name("voice_load.py")
WORKER = Path(__file__).with_name("voice_worker.py")
GOALS = {"play": 400, "record": 150, "room": 40}
LEGS = {"play": 1, "record": 2, "room": 10}


# What the calls are


def _leg(name: str, port: int) -> graph.Leg:
    made = leg(name, port)
    assert made.stream is not None
    stream = msgspec.structs.replace(made.stream, codecs=(Chosen(sent=PCMU, received=PCMU),))
    return msgspec.structs.replace(made, stream=stream)


def play(legs: list[graph.Leg], number: int, folder: Path) -> Graph:
    (one,) = legs
    player = graph.Player(id="player", clips=(graph.File(path=str(_sound(folder))),), loop=0)
    joins = (Join(source="player", hearer=one.id),)
    return Graph(call=f"call{number}", version=1, nodes=(one, player), joins=joins)


def _sound(folder: Path) -> Path:
    """Ten seconds of noise that swells and fades."""
    path = folder / "prompt.wav"
    if not path.exists():
        at = np.arange(80_000) / 8000
        noise = np.random.default_rng(1).normal(0, 3000, len(at)) * (1 + np.sin(9 * at))
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.clip(noise, -32768, 32767).astype("<i2").tobytes())
    return path


def record(legs: list[graph.Leg], number: int, folder: Path) -> Graph:
    one, other = legs
    path = str(folder / f"{number}.wav")
    recorder = graph.Recorder(id="recorder", of=one.id, path=path, channels=2)
    nodes = (one, other, recorder)
    return Graph(call=f"call{number}", version=1, nodes=nodes, joins=both_ways(one.id, other.id))


def room(legs: list[graph.Leg], number: int, folder: Path) -> Graph:
    mixer = graph.Mixer(id="room")
    joins = [join for each in legs for join in both_ways(each.id, mixer.id)]
    return Graph(call=f"call{number}", version=1, nodes=(*legs, mixer), joins=tuple(joins))


KINDS = {"play": play, "record": record, "room": room}


# The worker


class Worker:
    """A worker, asked as the plane does; with a `profile` it notes where its CPU goes."""

    def __init__(self, profile: Profile | None) -> None:
        self._profile = profile
        self._reports = wire.ReportReader()

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            launcher = self._profile.launcher[1:] if self._profile is not None else ()
            command = [str(WORKER), *launcher] if launcher else ["-m", "gateway.media.worker"]
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *command, str(theirs.fileno()), pass_fds=(theirs.fileno(),)
            )
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours)
        self._say(wire.SetUp(first=FIRST, last=LAST, calls=10_000, cname="bench"))

    @property
    def pid(self) -> int:
        return self._process.pid

    def _say(self, command: wire.Command) -> None:
        self._writer.write(wire.write(command))

    async def place(self, wanted: Graph) -> list[int]:
        """The ports of a call's legs, in the order of its nodes."""
        self._say(wire.Apply(graph=wanted))
        while True:
            octets = await self._reader.read(1 << 16)
            if not octets:
                raise SystemExit("the worker is gone")
            for report in self._reports.read(octets):
                if isinstance(report, wire.Refused):
                    raise SystemExit(f"{report.call}: {report.reason}")
                if isinstance(report, wire.Applied):
                    legs = [each.id for each in wanted.nodes if isinstance(each, graph.Leg)]
                    return [report.places[each].address[1] for each in legs]

    def where(self) -> dict[str, float]:
        """Seconds of CPU by stack."""
        return self._profile.read(self.pid)["stacks"] if self._profile is not None else {}

    async def drain(self) -> None:
        """Read what is told, so that the worker is never kept waiting."""
        while await self._reader.read(1 << 16):
            pass

    async def close(self) -> None:
        self._writer.close()
        await self._process.wait()


# The bench


async def measure(options: argparse.Namespace, calls: int, folder: Path) -> dict[str, Any]:
    per_call = LEGS[options.kind]
    load = await asyncio.create_subprocess_exec(
        sys.executable,
        str(LOAD),
        *(str(each) for each in (calls * per_call, options.seconds, options.speaking)),
        *(("stamped",) if options.kind == "record" else ()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert load.stdin is not None
    assert load.stdout is not None
    worker = Worker(Profile(folder / "profile.json") if options.where else None)
    await worker.start()
    try:
        ports = json.loads(await load.stdout.readline())
        targets = []
        for number in range(calls):
            part = ports[number * per_call :][:per_call]
            legs = [_leg(f"leg{at}", port) for at, port in enumerate(part)]
            targets += await worker.place(KINDS[options.kind](legs, number, folder))
        drain = asyncio.create_task(worker.drain())
        before, stacks = cpu(worker.pid), worker.where()
        load.stdin.write(json.dumps(targets).encode() + b"\n")
        found: dict[str, Any] = json.loads(await load.stdout.readline())
        found["cpu"] = cpu(worker.pid) - before
        found["where"] = _less(worker.where(), stacks)
        drain.cancel()
        await load.communicate()
    finally:
        await worker.close()
    return found


def _less(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {stack: seconds - before.get(stack, 0.0) for stack, seconds in after.items()}


def report(calls: int, seconds: float, found: dict[str, Any]) -> str:
    due = found["came"] + found["missing"]
    late = (found["late"] + found["missing"]) / max(1, due)
    return (
        f"{calls:5} calls: {found['cpu'] / seconds:.2f} of a core,"
        f" {found['cpu'] * 1000 / (calls * seconds):.2f} CPU-ms per call-second;"
        f" {found['streams']} streams, {late:.2%} late ({found['missing']} of {due} missing),"
        f" p50 {found['p50'] * 1000:.1f} ms, p99 {found['p99'] * 1000:.1f} ms behind;"
        f" the load took {found['load'] / seconds:.2f} of a core,"
        f" {found['load_late'] * 1000:.0f} ms late at worst"
    )


STAGES = (
    ("protocols/rtp/endpoint.py:_read", "read: sockets"),
    ("gateway/media/mixer.py:_listen", "room: frames of sources"),
    ("gateway/media/mixer.py:_say", "room: mix, encode"),
    ("gateway/media/playout.py:push", "room: packets into playouts"),
    ("gateway/media/record", "record"),
    ("gateway/media/track.py", "record"),
    ("gateway/media/player.py", "play"),
    ("gateway/media/speaker.py", "play"),
    ("gateway/media/reel.py", "play"),
    ("protocols/rtp/session.py", "session, RTCP"),
    ("gateway/media/leg.py:_receive", "leg: judge"),
    ("gateway/media/leg.py", "leg: time"),
    ("gateway/media/switch.py", "timers"),
)
"""Of the rows whose frame is on a stack the last one counts, but for sending, which always does."""
SENDING = ("gateway/media/outlet.py", "send")


def where(stacks: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Shares by stage."""
    shares: defaultdict[str, float] = defaultdict(float)
    for stack, seconds in stacks.items():
        shares[_stage(stack.split(";"))] += seconds
    total = sum(shares.values()) or 1.0
    for stage, seconds in sorted(shares.items(), key=lambda each: -each[1]):
        yield stage, seconds / total


def _stage(frames: list[str]) -> str:
    if any(frame.startswith(SENDING[0]) for frame in frames):
        return SENDING[1]
    for frame in reversed(frames):
        for begins, stage in STAGES:
            if frame.startswith(begins):
                return stage
    return "the loop"


async def run(options: argparse.Namespace) -> None:
    for calls in options.calls or [GOALS[options.kind]]:
        busy = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as folder:
            found = await measure(options, calls, Path(folder))
        print(f"{options.kind}: {report(calls, options.seconds, found)}", flush=True)
        print(f"      the machine's load was {busy:.1f} before, {os.getloadavg()[0]:.1f} after")
        for stage, share in where(found["where"]) if options.where else ():
            print(f"      {share:6.1%} {stage}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kind", nargs="?", choices=sorted(KINDS), default="room")
    parser.add_argument("--calls", type=int, nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--speaking", type=int, default=10, help="of ten who speak at once")
    parser.add_argument("--where", action="store_true", help="tell where the CPU went")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
