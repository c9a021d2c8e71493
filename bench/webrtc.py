"""What a call between a browser and a phone costs a media worker, and whether others notice one.

    python bench/webrtc.py [--calls 40] [--seconds 20] [--per-second 5] [--grow 500]

A worker is a process as the gateway starts it, the load one of its own, `webrtc_load.py`. A call is
a leg over ICE and DTLS and a leg of plain RTP that hear each other. First PCMU goes through as it
is, at rest and while others are set up; then the browser speaks Opus and the phone PCMU; then calls
come and go. CPU is the worker's, by the system's account. rtpengine does the same beside, in user
space with one thread for packets, where it is installed. Goals: 1 % of a core for a call that
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
import rtpengine
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


class Worker:
    """Ours: one media worker, as the gateway starts it."""

    def __init__(self, codec: str) -> None:
        config = WorkersConfig(workers=1, first=FIRST, last=LAST, calls=10_000, set_ups=1000)
        self._plane = Workers(config, lambda happened: None)
        self._codec = codec

    async def start(self) -> None:
        await self._plane.start()

    @property
    def pid(self) -> int:
        (found,) = self._plane.pids().values()
        return found

    async def open(self, call: str, side: IceSide, port: int) -> tuple[IceSide, int]:
        """Where the browser and the phone of a call are to send to."""
        self._plane.open(call)
        applied = await self._plane.apply(graph(call, side, port, self._codec))
        if not isinstance(applied, Applied):
            raise SystemExit(f"{call}: {applied}")
        ice = applied.places["browser"].ice
        assert ice is not None
        return ice, applied.places["phone"].address[1]

    async def end(self, call: str) -> None:
        await self._plane.end(call)

    async def close(self) -> None:
        await self._plane.close()


class Rtpengine:
    """The same by rtpengine in user space."""

    def __init__(self, codec: str) -> None:
        self._relay = rtpengine.Relay()
        self._codec = OPUS if codec == "opus" else PCMU

    async def start(self) -> None:
        await self._relay.start()

    @property
    def pid(self) -> int:
        return self._relay.pid

    async def open(self, call: str, side: IceSide, port: int) -> tuple[IceSide, int]:
        return await self._relay.browse(call, side, port, self._codec)

    async def end(self, call: str) -> None:
        await self._relay.end(call)

    async def close(self) -> None:
        await self._relay.close()


def memory(pid: int) -> float:
    """MB that are resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def answer(relay: Worker | Rtpengine, wanted: dict[str, Any]) -> dict[str, Any]:
    """What the load is told of the call that it asks for, or for the end of."""
    if "end" in wanted:
        await relay.end(wanted["end"])
        return {"call": wanted["end"]}
    call, side = wanted["open"], msgspec.convert(wanted["side"], IceSide)
    ice, port = await relay.open(call, side, wanted["port"])
    return {"call": call, "side": msgspec.to_builtins(ice), "port": port}


async def measure(
    codec: str, make: type[Worker | Rtpengine] = Worker, **asked: float
) -> dict[str, Any]:
    """One run, with a relay of its own."""
    relay = make(codec)
    await relay.start()
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
                found["cpu"] = -cpu(relay.pid)
            elif "done" in said:
                found["cpu"] += cpu(relay.pid)
            else:
                load.stdin.write(json.dumps(await answer(relay, said)).encode() + b"\n")
                ended += "end" in said
                if "end" in said and ended % 100 == 0:
                    found["memory"].append(round(memory(relay.pid), 1))
        await load.wait()
    finally:
        if load.returncode is None:
            load.kill()
        await load.wait()
        await relay.close()
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
    if rtpengine.is_installed():
        for codec, name in (("PCMU", "passing through"), ("opus", "Opus and PCMU")):
            found = await measure(codec, Rtpengine, calls=calls, seconds=seconds)
            print(report(f"rtpengine, {name}", found), flush=True)
    else:
        print("rtpengine is not installed, so its rows are left out", flush=True)
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
