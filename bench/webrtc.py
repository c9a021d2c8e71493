"""What a call between a browser and a phone costs a media worker, and whether others notice one.

    python bench/webrtc.py [--calls 40] [--seconds 20] [--per-second 5] [--grow 500]

A worker is a process as the gateway starts it, the load one of its own, `webrtc_load.py`. A call is
a leg over ICE and DTLS and a leg of plain RTP that hear each other. First PCMU goes through as it
is, at rest and while others are set up; then the browser speaks Opus and the phone PCMU; then calls
come and go. CPU is the worker's, by the system's account. Goals: 1 % of a core for a call that
passes through; under 0.5 % of the packets later than 20 ms with 40 calls while 5 are set up a
second; a worker that does not grow.
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
from rtp import FIRST, LAST, cpu, leg

from gateway.media.graph import Graph, WebRtc, both_ways
from gateway.media.wire import Applied
from gateway.media.workers import Workers, WorkersConfig
from protocols.sdp.formats import OPUS, PCMU
from protocols.sdp.ice import IceSide
from protocols.sdp.media import Chosen

LOAD = Path(__file__).with_name("webrtc_load.py")


def graph(call: str, side: IceSide, port: int, codec: str) -> Graph:
    phone, browser = leg("phone", port), leg("browser", 9)
    assert phone.stream is not None
    theirs = OPUS if codec == "opus" else PCMU
    streams = [
        msgspec.structs.replace(phone.stream, codecs=(Chosen(sent=each, received=each),))
        for each in (PCMU, theirs)
    ]
    legs = (
        msgspec.structs.replace(phone, stream=streams[0]),
        msgspec.structs.replace(browser, stream=streams[1], webrtc=WebRtc(remote=side)),
    )
    return Graph(call=call, version=1, nodes=legs, joins=both_ways("phone", "browser"))


class Bench:
    """A worker, and a load that asks it for calls."""

    def __init__(self, codec: str) -> None:
        config = WorkersConfig(workers=1, first=FIRST, last=LAST, calls=10_000, set_ups=1000)
        self.plane = Workers(config, lambda happened: None)
        self._codec = codec

    @property
    def pid(self) -> int:
        (found,) = self.plane.pids().values()
        return found

    def memory(self) -> float:
        """MB that are resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    async def answer(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if "end" in wanted:
            await self.plane.end(wanted["end"])
            return {"call": wanted["end"]}
        call, side = wanted["open"], msgspec.convert(wanted["side"], IceSide)
        self.plane.open(call)
        applied = await self.plane.apply(graph(call, side, wanted["port"], self._codec))
        if not isinstance(applied, Applied):
            raise SystemExit(f"{call}: {applied}")
        places: dict[str, Any] = applied.places
        said = msgspec.to_builtins(places["browser"].ice)
        return {"call": call, "side": said, "port": places["phone"].address[1]}


async def measure(codec: str, **asked: float) -> dict[str, Any]:
    """One run, with a worker of its own."""
    bench = Bench(codec)
    await bench.plane.start()
    wanted = {"calls": 0, "seconds": 1.0, "per_second": 0.0, "grow": 0, "codec": codec, **asked}
    load = await asyncio.create_subprocess_exec(
        sys.executable,
        str(LOAD),
        json.dumps(wanted),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert load.stdin is not None
    assert load.stdout is not None
    found: dict[str, Any] = {"busy": os.getloadavg()[0], "memory": [], "calls": wanted["calls"]}
    ended = 0
    try:
        while line := await load.stdout.readline():
            said = json.loads(line)
            if "outcome" in said:
                found |= said["outcome"]
            elif "ready" in said:
                found["cpu"] = -cpu(bench.pid)
            elif "done" in said:
                found["cpu"] += cpu(bench.pid)
            else:
                load.stdin.write(json.dumps(await bench.answer(said)).encode() + b"\n")
                ended += "end" in said
                if "end" in said and ended % 100 == 0:
                    found["memory"].append(round(bench.memory(), 1))
    finally:
        if load.returncode is None:
            load.kill()
        await load.wait()
        await bench.plane.close()
    return found | {"seconds": wanted["seconds"]}


def report(name: str, found: dict[str, Any]) -> str:
    seconds, calls = found["seconds"], found["calls"]
    share = found["cpu"] / seconds
    late = "" if found["late"] is None else f", {found['late']:.2%} later than 20 ms"
    times = (
        f" p50 {found['p50'] * 1000:.1f} ms, p99 {found['p99'] * 1000:.1f} ms;"
        if found["late"] is not None
        else ""
    )
    return (
        f"{name}: {calls:g} calls took {share:.3f} of a core, {share / calls:.2%} of one each;"
        f" {found['sent'] - found['came']} of {found['sent']} packets lost{late};{times}"
        f" {found['set_ups']} others set up, each in {found['set_up'] * 1000:.0f} ms;"
        f" the load took {found['load'] / seconds:.2f} of a core and was"
        f" {found['behind'] * 1000:.0f} ms behind at worst; the machine's load was"
        f" {found['busy']:.1f} before, {os.getloadavg()[0]:.1f} after"
    )


async def run(options: argparse.Namespace) -> None:
    calls, seconds = options.calls, options.seconds
    found = await measure("PCMU", calls=calls, seconds=seconds)
    print(report("passing through", found), flush=True)
    found = await measure("PCMU", calls=calls, seconds=seconds, per_second=options.per_second)
    print(report(f"passing through, {options.per_second:g} set up a second", found), flush=True)
    found = await measure("opus", calls=calls, seconds=seconds)
    print(report("Opus and PCMU", found), flush=True)
    if options.grow:
        found = await measure("PCMU", grow=options.grow)
        print(f"{options.grow} came and went: {found['memory']} MB after each hundred", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--per-second", type=float, default=5.0)
    parser.add_argument("--grow", type=int, default=500)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
