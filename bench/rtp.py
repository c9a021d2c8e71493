"""How many two-leg G.711 calls one media worker relays, and what a call costs it.

    python bench/rtp.py [CALLS …] [--seconds 10]

A worker is a process as the gateway starts it; the load comes from a process of its own, which
sends a packet of 20 ms on each leg 50 times a second, evenly over the 20 ms, and takes what comes
through. A packet carries the time when it was sent: its latency is that of the relay and of the
load itself, whose own way over loopback without a relay is measured first, as 0 calls. CPU is the
worker's, by the system's account. Goal: 500 calls on one core without loss.
"""

import argparse
import asyncio
import json
import os
import resource
import select
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway.media.graph import Graph, Leg, both_ways
from gateway.media.wire import Applied, Place
from gateway.media.workers import Workers, WorkersConfig
from protocols.sdp.description import Direction
from protocols.sdp.formats import PCMA
from protocols.sdp.media import Chosen, Stream

HOST = "127.0.0.1"
PTIME = 0.02
SLICES = 20  # of the 20 ms, so that the load is even
SETTLE = 0.5  # seconds after the last packet in which others may still come
HEAD = struct.Struct(">BBHIId")  # an RTP header, and when it was sent
PADDING = bytes(172 - HEAD.size)
_SIZE = HEAD.size + len(PADDING)
FIRST, LAST = 10_000, 31_999


# The load: a process that is told where to send


class Load:
    """Sockets of so many legs; `targets` is where each sends to."""

    def __init__(self, legs: int) -> None:
        self.sockets = [self._socket() for _ in range(legs)]
        self.sent = 0
        self.latencies: list[float] = []
        self._epoll = select.epoll()
        self.late = 0.0  # the worst that a packet was sent after its time, in seconds
        self._receivers = {each.fileno(): each.recv for each in self.sockets}
        for number in self._receivers:
            self._epoll.register(number, select.EPOLLIN)

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind((HOST, 0))
        return made

    def run(self, targets: list[int], seconds: float) -> None:
        for each, port in zip(self.sockets, targets, strict=True):
            each.connect((HOST, port))
        begun = time.monotonic() + 0.05
        step = PTIME / SLICES
        for tick in range(round(seconds / step)):
            due = begun + tick * step
            self._take_until(due)
            self.late = max(self.late, time.monotonic() - due)
            number = tick // SLICES
            for leg in range(tick % SLICES, len(self.sockets), SLICES):
                self._send(leg, number)
        self._take_until(time.monotonic() + SETTLE)

    def _send(self, leg: int, number: int) -> None:
        head = HEAD.pack(
            0x80, 8, number & 0xFFFF, number * 160 & 0xFFFFFFFF, leg + 1, time.monotonic()
        )
        try:
            self.sockets[leg].send(head + PADDING)
            self.sent += 1
        except BlockingIOError:
            return

    def _take_until(self, due: float) -> None:
        clock, unpack, receivers = time.monotonic, HEAD.unpack_from, self._receivers
        while True:
            left = due - clock()
            for number, _ in self._epoll.poll(max(0.0, left), 512):
                try:
                    octets = receivers[number](2048)
                except OSError:
                    continue
                if len(octets) == _SIZE:
                    self.latencies.append(clock() - unpack(octets)[5])
            if left <= 0:
                return

    def outcome(self) -> dict[str, Any]:
        ordered = sorted(self.latencies) or [0.0]
        return {
            "sent": self.sent,
            "came": len(self.latencies),
            "late": self.late,
            "load": time.process_time(),
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
        }


def be_load(legs: int, seconds: float) -> None:
    """Print the ports, read where to send to, print what came of it."""
    load = Load(legs)
    print(json.dumps([each.getsockname()[1] for each in load.sockets]), flush=True)
    load.run(json.loads(sys.stdin.readline()), seconds)
    print(json.dumps(load.outcome()), flush=True)


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


async def measure(calls: int, seconds: float) -> dict[str, Any]:
    """One run; 0 calls are ten pairs of legs that send to each other without a relay."""
    legs = 2 * calls or 20
    load = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "--load",
        str(legs),
        "--seconds",
        str(seconds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert load.stdin is not None
    assert load.stdout is not None
    plane = Workers(
        WorkersConfig(workers=1, first=FIRST, last=LAST, calls=10_000), lambda happened: None
    )
    await plane.start()
    try:
        ports = json.loads(await load.stdout.readline())
        direct = [ports[number ^ 1] for number in range(len(ports))]
        targets = await set_up(plane, ports) if calls else direct
        (pid,) = plane.pids().values()
        before = cpu(pid)
        load.stdin.write(json.dumps(targets).encode() + b"\n")
        found: dict[str, Any] = json.loads(await load.stdout.readline())
        found["cpu"] = cpu(pid) - before
        await load.communicate()
    finally:
        await plane.close()
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
    direct = await measure(0, min(seconds, 3.0))
    print(f"load alone: p50 {direct['p50'] * 1000:.2f} ms, p99 {direct['p99'] * 1000:.2f} ms")
    for calls in every:
        busy = os.getloadavg()[0]
        found = await measure(calls, seconds)
        print(report(calls, seconds, found, direct), flush=True)
        print(f"      the machine's load was {busy:.1f} before, {os.getloadavg()[0]:.1f} after")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("calls", type=int, nargs="*", default=[100, 300, 500])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--load", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.load:
        be_load(options.load, options.seconds)
    else:
        asyncio.run(run(options.calls, options.seconds))


if __name__ == "__main__":
    main()
