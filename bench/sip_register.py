"""How many phones a second register with a digest, and what one costs.

    python bench/sip_register.py [--seconds 10] [--phones 1000] [--waiting 64] [--refresh]

The registrar is a process of its own: station, judging, digest, and bindings in SQLite (WAL, each
durable before its 200), on one loop and the store's writer. The load is this process, over plain
UDP sockets that share no code with us: each phone sends REGISTER, answers the 401 and waits for
its 200, `waiting` of them at any time; what is silent for half a second is sent again and counted.
With --refresh a phone goes on with the nonce that it has. CPU is the registrar's, all threads of
it, by the system's account: a core does 1,000 ms of it a second.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import resource
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import structlog
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway.accounts import Accounts, new_token
from gateway.model import Account, AccountKind, AccountStatus
from gateway.process import spare_the_collector
from gateway.sids import ACCOUNT, new_sid
from gateway.sip.declared import declared_domain
from gateway.sip.directory import SipDirectory
from gateway.sip.floods import FloodLimits, Floods
from gateway.sip.gate import Gate
from gateway.sip.registrations import Registrations
from gateway.store.sqlite import SqliteStore
from protocols.sip.agent_events import RegisterReceived
from protocols.sip.challenger import Challenger
from protocols.sip.ledger import Limits
from protocols.sip.station import Event, Terms, open_station
from protocols.sip.transport import Transport
from protocols.sip.wire import Listen

HOST, DOMAIN, PASSWORD = "127.0.0.1", "bench.example", "Correct-Horse-1"
PATIENCE = 0.5  # seconds until a request is sent again
SOCKETS = 8


# The registrar, told what to do on its standard input


async def serve(phones: int, folder: Path) -> None:
    """Print the port; after a line the CPU that was used, and at the end of input end."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    store = await SqliteStore.open(folder / "bench.db", max_queued=100_000, clock=time.time)
    now, sid = time.time(), new_sid(ACCOUNT, time.time())
    accounts = Accounts(store)
    await accounts.add(
        Account(
            sid=sid,
            parent_sid=sid,
            kind=AccountKind.FULL,
            friendly_name="",
            auth_token=new_token(),
            status=AccountStatus.ACTIVE,
            date_created=now,
            date_updated=now,
            version=1,
        )
    )
    directory = await SipDirectory.load(store)
    users = [(name_of(number), PASSWORD) for number in range(phones)]
    directory.declare(declared_domain(sid, DOMAIN, {}, users, now))

    def take(event: Event) -> None:
        if isinstance(event, RegisterReceived):
            registrations.take(event)

    station = await open_station(
        # An answer over UDP is kept for 32 s (RFC 3261, timer J): 2,000 a second are 64,000.
        Terms(
            listens=(Listen(transport=Transport.UDP, host=HOST),),
            limits=Limits(servers=400_000),
        ),
        take,
        token=lambda: secrets.token_hex(8),
        chance=random.random,
    )
    # Every place here is one address, and its requests wait in no queue of its own.
    floods = Floods(FloodLimits(burst=1e6))
    gate = Gate(directory, accounts, Challenger(secrets.token_bytes(32)), floods)
    registrations = Registrations(store, directory, station, gate, clock=time.time)
    await registrations.start()
    spare_the_collector()
    loop = asyncio.get_running_loop()
    print(station.endpoint.addresses()[0][1][1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        told = {
            "cpu": time.process_time(),
            "bindings": len(registrations),
            "groups": store.stats().groups,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(told), flush=True)
    await registrations.close()
    await station.close()
    await store.close()


def name_of(number: int) -> str:
    return f"user{number}"


# The load


_HEADERS = {
    name: re.compile(rb"(?i)^" + name.encode() + rb"[ \t]*:[ \t]*(.*?)\r?$", re.MULTILINE)
    for name in ("Call-ID", "WWW-Authenticate")
}
_NONCE = re.compile(r'nonce="([^"]*)"')


class Phone:
    """One user: what it sends next, and what it waits for."""

    def __init__(self, number: int, wire: socket.socket) -> None:
        self.name, self.wire = name_of(number), wire
        self.call_id = f"call{number}@load"
        self.port: int = wire.getsockname()[1]
        self.ha1 = ""
        self.cseq = 0
        self.nonce = ""
        self.count = 0
        self.octets = b""
        self.sent = self.began = 0.0

    def begin(self, now: float, *, refresh: bool) -> None:
        if not refresh:
            self.nonce = ""
        self.began = now
        self.send(now)

    def send(self, now: float) -> None:
        self.cseq += 1
        given = f"Authorization: {self._digest()}\r\n" if self.nonce else ""
        self.octets = (
            f"REGISTER sip:{DOMAIN} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self.port};rport;branch=z9hG4bK{self.name}-{self.cseq}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{self.name}@{DOMAIN}>;tag={self.name}\r\n"
            f"To: <sip:{self.name}@{DOMAIN}>\r\nCall-ID: {self.call_id}\r\n"
            f"CSeq: {self.cseq} REGISTER\r\n"
            f"Contact: <sip:{self.name}@{HOST}:{self.port}>\r\nExpires: 3600\r\n"
            f"User-Agent: bench\r\n{given}Content-Length: 0\r\n\r\n"
        ).encode()
        self.again(now)

    def again(self, now: float) -> None:
        self.sent = now
        self.wire.send(self.octets)

    def challenged(self, line: str, now: float) -> None:
        found = _NONCE.search(line)
        self.nonce, self.count = found[1] if found else "", 0
        self.send(now)

    def _digest(self) -> str:
        self.count += 1
        uri, nc, cnonce = f"sip:{DOMAIN}", f"{self.count:08x}", "0123456789abcdef"
        if not self.ha1:
            self.ha1 = _hash(f"{self.name}:trunkline:{PASSWORD}")
        ha2 = _hash(f"REGISTER:{uri}")
        response = _hash(f"{self.ha1}:{self.nonce}:{nc}:{cnonce}:auth:{ha2}")
        return (
            f'Digest username="{self.name}", realm="trunkline", nonce="{self.nonce}", uri="{uri}",'
            f' response="{response}", algorithm=SHA-256, cnonce="{cnonce}", qop=auth, nc={nc}'
        )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Load:
    """Phones that register one after the other, so many at a time."""

    def __init__(self, port: int, phones: int, *, refresh: bool) -> None:
        self.refresh = refresh
        self.epoll = select.epoll()
        self.wires: dict[int, socket.socket] = {}
        for _ in range(SOCKETS):
            wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            wire.setblocking(False)
            wire.bind((HOST, 0))
            wire.connect((HOST, port))
            self.wires[wire.fileno()] = wire
            self.epoll.register(wire, select.EPOLLIN)
        wires = list(self.wires.values())
        made = [Phone(number, wires[number % SOCKETS]) for number in range(phones)]
        self.idle = deque(made)
        self.busy: dict[bytes, Phone] = {}
        self.latencies: list[float] = []
        self.statuses: dict[int, int] = {}
        self.repeated = 0

    def run(self, seconds: float, waiting: int) -> dict[str, Any]:
        """Register for so long; how it went."""
        self.latencies, self.statuses, self.repeated = [], {}, 0
        begun = looked = time.monotonic()
        while (now := time.monotonic()) < begun + seconds or self.busy:
            while len(self.busy) < waiting and self.idle and now < begun + seconds:
                phone = self.idle.popleft()
                self.busy[phone.call_id.encode()] = phone
                phone.begin(now, refresh=self.refresh)
            for number, _ in self.epoll.poll(0.05, 64):
                self._read(self.wires[number])
            if now > looked + 0.1:
                looked = now
                self._repeat(now)
        ordered = sorted(self.latencies) or [0.0]
        return {
            "pairs": len(self.latencies),
            "seconds": time.monotonic() - begun,
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
            "statuses": self.statuses,
            "repeated": self.repeated,
        }

    def _repeat(self, now: float) -> None:
        for phone in self.busy.values():
            if now > phone.sent + PATIENCE:
                self.repeated += 1
                phone.again(now)

    def _read(self, wire: socket.socket) -> None:
        for _ in range(256):
            try:
                octets = wire.recv(8192)
            except BlockingIOError:
                return
            self._take(octets, time.monotonic())

    def _take(self, octets: bytes, now: float) -> None:
        found = _HEADERS["Call-ID"].search(octets)
        phone = self.busy.get(found[1]) if found else None
        if phone is None or f"CSeq: {phone.cseq} ".encode() not in octets:
            return
        status = int(octets[8:11])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if status == 401:
            challenge = _HEADERS["WWW-Authenticate"].search(octets)
            phone.challenged(challenge[1].decode() if challenge else "", now)
            return
        del self.busy[phone.call_id.encode()]
        self.idle.append(phone)
        if status == 200:
            self.latencies.append(now - phone.began)


def measure(options: argparse.Namespace, folder: str) -> str:
    """One run against a registrar of its own."""
    served = subprocess.Popen(
        [sys.executable, __file__, "--serve", folder, "--phones", str(options.phones)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert served.stdin is not None
    assert served.stdout is not None

    def ask() -> dict[str, Any]:
        print("how is it?", file=served.stdin, flush=True)
        found: dict[str, Any] = json.loads(served.stdout.readline())  # type: ignore[union-attr]
        return found

    load = Load(int(served.stdout.readline()), options.phones, refresh=options.refresh)
    load.run(1.0, options.waiting)  # everybody's first binding, and what is slow once
    before, busy = ask(), time.process_time()
    found = load.run(options.seconds, options.waiting)
    after, busy = ask(), time.process_time() - busy
    served.stdin.close()
    served.wait()
    cost = (after["cpu"] - before["cpu"]) * 1000 / max(1, found["pairs"])
    together = found["pairs"] / max(1, after["groups"] - before["groups"])
    return (
        f"{found['pairs'] / found['seconds']:.0f} registrations/s, {cost:.3f} CPU-ms each"
        f" ({1000 / cost:.0f}/s on a core),"
        f" p50 {found['p50'] * 1000:.1f} ms, p99 {found['p99'] * 1000:.1f} ms,"
        f" {found['repeated']} sent again, answers {found['statuses']},"
        f" {after['bindings']} bindings, {after['memory']} MB, {together:.1f} to a commit;"
        f" the load took {busy / found['seconds']:.2f} of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--phones", type=int, default=1000)
    parser.add_argument("--waiting", type=int, default=64)
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        uvloop.run(serve(options.phones, Path(options.serve)))
        return
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        print(measure(options, folder), flush=True)
    print(f"the machine's load was {busy:.1f} before, {os.getloadavg()[0]:.1f} after")


if __name__ == "__main__":
    main()
