"""How many two-leg G.711 calls one media worker relays, and what a call costs it.

    python bench/rtp.py [CALLS …] [--seconds 10]

A worker is a process as the gateway starts it; the load is one of its own, `rtp_load.py`, which
sends a packet of 20 ms on each leg 50 times a second, evenly over the 20 ms, and takes what comes
through. Its own way over loopback without a relay is measured first. rtpengine runs beside, in user
space with one thread for packets, where it is installed. CPU is the relay's, by the system's
account. Goal: 500 calls on one core without loss.
"""

import argparse
import asyncio
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import rtpengine

from gateway.media.graph import Graph, Leg, both_ways
from gateway.media.wire import Applied, Place
from gateway.media.workers import Workers, WorkersConfig
from protocols.sdp.description import Direction
from protocols.sdp.formats import PCMA
from protocols.sdp.media import Chosen, Stream

HOST = "127.0.0.1"
FIRST, LAST = 10_000, 31_999
LOAD = Path(__file__).with_name("rtp_load.py")


# The bench: a worker, a load, and the account


def leg(name: str, port: int) -> Leg:
    stream = Stream(
        slot=0,
        local=(HOST, 0),
        local_rtcp=(HOST, 0),
        remote=(HOST, port),
        remote_rtcp=(HOST, port + 1),
        is_private=True,
        rtcp_mux=True,
        direction=Direction.SENDRECV,
        codecs=(Chosen(sent=PCMA, received=PCMA),),
    )
    return Leg(id=name, host=HOST, signalling=HOST, stream=stream, offers=1)


async def set_up(plane: Workers, ports: list[int]) -> list[int]:
    """Calls of two legs each; where each leg's peer is to send to."""
    targets = []
    for number in range(0, len(ports), 2):
        call = f"call{number}"
        plane.open(call)
        legs = (leg("a", ports[number]), leg("b", ports[number + 1]))
        joins = both_ways("a", "b")
        applied = await plane.apply(Graph(call=call, version=1, nodes=legs, joins=joins))
        if not isinstance(applied, Applied):
            raise SystemExit(f"{call}: {applied}")
        targets += [_port(applied.places["a"]), _port(applied.places["b"])]
    return targets


def _port(place: Place) -> int:
    return place.address[1]


def cpu(pid: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """Ours: one media worker, as the gateway starts it."""

    name = "a worker of ours"

    def __init__(self) -> None:
        config = WorkersConfig(workers=1, first=FIRST, last=LAST, calls=10_000)
        self._plane = Workers(config, lambda happened: None)

    async def start(self) -> None:
        await self._plane.start()

    async def place(self, ports: list[int]) -> list[int]:
        return await set_up(self._plane, ports)

    @property
    def pid(self) -> int:
        (found,) = self._plane.pids().values()
        return found

    async def close(self) -> None:
        await self._plane.close()


class Rtpengine:
    """The same by rtpengine in user space."""

    name = "rtpengine"

    def __init__(self) -> None:
        self._relay = rtpengine.Relay()

    async def start(self) -> None:
        await self._relay.start()

    async def place(self, ports: list[int]) -> list[int]:
        return await self._relay.place(ports)

    @property
    def pid(self) -> int:
        return self._relay.pid

    async def close(self) -> None:
        await self._relay.close()


async def measure(calls: int, seconds: float, make: type[Worker | Rtpengine]) -> dict[str, Any]:
    """One run; 0 calls are ten pairs of legs that send to each other without a relay."""
    legs = 2 * calls or 20
    load = await asyncio.create_subprocess_exec(
        sys.executable,
        str(LOAD),
        str(legs),
        str(seconds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert load.stdin is not None
    assert load.stdout is not None
    relay = make()
    await relay.start()
    try:
        ports = json.loads(await load.stdout.readline())
        direct = [ports[number ^ 1] for number in range(len(ports))]
        targets = await relay.place(ports) if calls else direct
        before = cpu(relay.pid)
        load.stdin.write(json.dumps(targets).encode() + b"\n")
        found: dict[str, Any] = json.loads(await load.stdout.readline())
        found["cpu"] = cpu(relay.pid) - before
        await load.communicate()
    finally:
        await relay.close()
    return found


def report(calls: int, seconds: float, found: dict[str, Any], direct: dict[str, Any]) -> str:
    load = (
        f"the load took {found['load'] / seconds:.2f} of a core, {found['late'] * 1000:.0f} ms late"
    )
    lost = found["sent"] - found["came"]
    cost = found["cpu"] * 1000 / (calls * seconds)
    packet = found["cpu"] * 1e6 / max(1, found["came"])
    added = {name: (found[name] - direct[name]) * 1000 for name in ("p50", "p99")}
    return (
        f"{calls:5} calls: {found['cpu'] / seconds:.2f} of a core, {cost:.2f} CPU-ms per"
        f" call-second, {packet:.1f} µs per packet, {lost} of {found['sent']} packets lost,"
        f" added p50 {added['p50']:.1f} ms, p99 {added['p99']:.1f} ms;"
        f" {load} at worst"
    )


async def run(every: list[int], seconds: float) -> None:
    direct = await measure(0, min(seconds, 3.0), Worker)
    print(f"load alone: p50 {direct['p50'] * 1000:.2f} ms, p99 {direct['p99'] * 1000:.2f} ms")
    relays = (Worker, Rtpengine) if rtpengine.is_installed() else (Worker,)
    for relay in relays:
        print(f"{relay.name}:")
        for calls in every:
            busy = os.getloadavg()[0]
            found = await measure(calls, seconds, relay)
            print(report(calls, seconds, found, direct), flush=True)
            print(f"      the machine's load was {busy:.1f} before, {os.getloadavg()[0]:.1f} after")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("calls", type=int, nargs="*", default=[100, 300, 500])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(run(options.calls, options.seconds))


if __name__ == "__main__":
    main()
