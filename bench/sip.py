"""Calls a second from INVITE to BYE, with sipp on both sides, and beside us other SIP servers.

One call: the carrier's INVITE is challenged (digest), its number's document is run, ports are
taken, the callee's INVITE goes out by a trunk with a description of ours, both answer, and the
caller hangs up 0.2 s later. Rows, facts, CDRs and the ladder are durable. `trunkline` has the
document in its file, with `app` it is fetched over HTTP. Then the same calls go through kamailio,
which challenges too and proxies, and through sippy, a back-to-back user agent in Python that can't
challenge; neither keeps anything. CPU is that of all processes of the one that is measured (the
app's is not in it), retransmissions are those of both sipps; the load of the machine when the run
ended is beside them. Whoever is not installed is left out.

    python bench/sip.py --rate 100 200 300 --seconds 60 --markdown
"""

import argparse
import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import sip_peers
from processes import Process
from sip_peers import PASSWORD, SCENARIOS, Peer, free_port

HERE = Path(__file__).parent
NUMBER = "+15550001000"
USERNAME = "acme"
TWIML = '<Response><Dial answerOnBridge="true"><Number>+447700900002</Number></Dial></Response>'
_BESIDE = 9.0  # seconds of a run that are no load: starting, the last calls, ending
_COLUMNS = "server | calls/s | calls | failed | retransmissions | p50 ms | p99 ms | CPU ms | load"
_CONFIG = """
[http]
listen = "127.0.0.1:0"
[smpp]
listen = ""
[sip]
udp = ["127.0.0.1:0"]
tcp = []
[rtp]
ports = "30000-45999"
[media]
workers = 1
calls = 4000
[[carriers]]
name = "acme"
kind = "sip"
uri = "sip:127.0.0.1:{callee}"
transport = "udp"
inbound = "both"
username = "{username}"
password = "{password}"
emergency = []
options_interval = "0s"
[[numbers]]
number = "{number}"
{voice}
"""


class Outcome(NamedTuple):
    """What sipp said of the calls, and what they cost; times in milliseconds."""

    server: str
    asked: int
    rate: float
    calls: int
    failed: int
    retransmissions: int
    p50: float
    p99: float
    cpu_ms: float
    load: float

    def row(self) -> str:
        """It as a line of a table."""
        return (
            f"| {self.server} | {self.rate:.0f} | {self.calls} | {self.failed}"
            f" | {self.retransmissions} | {self.p50:.1f} | {self.p99:.1f} | {self.cpu_ms:.2f}"
            f" | {self.load:.1f} |"
        )


class Callee:
    """sipp that answers; it ends with `end`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._stats = folder / "callee.csv"
        command = [
            "sipp", "-sf", str(SCENARIOS / "callee.xml"), "-i", "127.0.0.1", "-p", str(self.port),
            "-nostdin", "-l", "200000", "-buff_size", "4194304", "-trace_stat", "-stf",
            str(self._stats), "-fd", "1",
        ]  # fmt: skip
        self._child = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def end(self) -> int:
        """End it; how often it said something again."""
        time.sleep(1.5)  # it writes what it counted once a second
        self._child.kill()
        self._child.wait()
        return int(last_line(self._stats).get("Retransmissions(C)") or 0)


def last_line(stats: Path) -> dict[str, str]:
    """What sipp counted in the end."""
    if not stats.exists():
        return {}
    with stats.open() as lines:
        return ([{}, *csv.DictReader(lines, delimiter=";")])[-1]


def drive(folder: Path, target: int, rate: int, seconds: float, peer: Peer) -> dict[str, Any]:
    """sipp that calls; what it counted."""
    stats, scenario = folder / "caller.csv", SCENARIOS / peer.scenario
    made = int(rate * seconds)
    command = [
        "sipp", f"127.0.0.1:{target}", "-sf", str(scenario), "-s", NUMBER,
        "-i", "127.0.0.1", "-p", str(free_port()), "-r", str(rate), "-m", str(made),
        "-l", "60000", "-nostdin", "-buff_size", "4194304", "-trace_stat", "-stf", str(stats),
        "-fd", "1", "-trace_rtt", "-rtt_freq", "200",
    ]  # fmt: skip
    if peer.challenges:
        command += ["-au", USERNAME, "-ap", PASSWORD, "-auth_uri", f"{NUMBER}@127.0.0.1:{target}"]
    with contextlib.suppress(subprocess.TimeoutExpired):  # what it counted until then is told
        subprocess.run(
            command,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds + 60,
            check=False,
        )
    last = last_line(stats)
    found: list[float] = []
    for file in folder.glob(f"{scenario.stem}_*_rtt.csv"):
        rows = file.read_text().splitlines()[1:]
        found += [float(row.split(";")[1]) for row in rows if row.count(";") >= 1]
    found.sort()
    return {
        "calls": int(last["SuccessfulCall(C)"]),
        # One that never ended is no failed one to sipp.
        "failed": max(int(last["FailedCall(C)"]), made - int(last["SuccessfulCall(C)"])),
        "retransmissions": int(last["Retransmissions(C)"]),
        "p50": found[len(found) // 2] if found else 0.0,
        "p99": found[int(len(found) * 0.99)] if found else 0.0,
    }


def trunkline(folder: Path, callee: int) -> Peer:
    """The gateway, which has the document in its file."""
    return _gateway(folder, callee, f"voice_twiml = '{TWIML}'", "trunkline, SQLite, fsync")


def trunkline_with_app(folder: Path, callee: int) -> Peer:
    """The gateway, and an app beside it that gives it the document of each call."""
    document = Process(
        [sys.executable, str(HERE / "document.py"), "--stats", str(folder / "document.json"),
         "--twiml", TWIML],
        log=folder / "document.log",
        stats=folder / "document.json",
    )  # fmt: skip
    voice = f'voice_url = "http://127.0.0.1:{document.wait_for_stats("port")}/voice"'
    peer = _gateway(folder, callee, voice, "trunkline, the document fetched")
    assert isinstance(peer.process, Gateway)
    peer.process.beside = document
    return peer


def _gateway(folder: Path, callee: int, voice: str, name: str) -> Peer:
    data, config = folder / "var", folder / "trunkline.toml"
    text = _CONFIG
    for key, value in (
        ("callee", callee),
        ("voice", voice),
        ("number", NUMBER),
        ("username", USERNAME),
        ("password", PASSWORD),
    ):
        text = text.replace(f"{{{key}}}", str(value))
    config.write_text(text)
    gateway = Gateway(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--data", str(data)],
        log=folder / "gateway.log",
        stats=data / "ports.json",
        environ={"PYTHONPATH": str(HERE.parent)},
    )
    port = int(gateway.wait_for_stats("sip_udp"))
    time.sleep(1.0)  # what its start still costs is no call's
    return Peer(name, gateway, port, "caller.xml", True)


class Gateway(Process):
    """Ours, which ends with the app beside it."""

    beside: Process | None = None

    def end(self, timeout: float = 15.0) -> None:
        super().end(timeout)
        if self.beside is not None:
            self.beside.end()


def measure(start: Callable[[Path, int], Peer | None], rate: int, seconds: float) -> Outcome | None:
    """One run; None if there is nobody to measure."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        callee = Callee(folder)
        peer = None
        try:
            peer = start(folder, callee.port)
            if peer is None:
                return None
            before, began = peer.process.cpu(), time.monotonic()
            found = drive(folder, peer.port, rate, seconds, peer)
            took, cpu = time.monotonic() - began, peer.process.cpu() - before
            load = os.getloadavg()[0]
        finally:
            again = callee.end()
            if peer is not None:
                peer.process.end()
        found["retransmissions"] += again
        calls = found["calls"]
        each = cpu / max(1, calls) * 1000
        return Outcome(
            server=peer.name, asked=rate, rate=calls / took, cpu_ms=each, load=load, **found
        )


SERVERS: dict[str, Callable[[Path, int], Peer | None]] = {
    "trunkline": trunkline,
    "app": trunkline_with_app,
    "kamailio": sip_peers.kamailio,
    "sippy": sip_peers.sippy,
}


def markdown(outcomes: Iterable[Outcome]) -> str:
    """All runs as a table."""
    rule = "|---" * (_COLUMNS.count("|") + 1) + "|"
    return "\n".join([f"| {_COLUMNS} |", rule, *(each.row() for each in outcomes)])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, nargs="+", default=[100, 200, 300], help="calls/s")
    parser.add_argument("--seconds", type=float, default=20.0, help="load of one run")
    parser.add_argument("--budget", type=float, default=0.0, help="seconds for everything")
    parser.add_argument("--only", choices=sorted(SERVERS), action="append")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    if shutil.which("sipp") is None:
        print("sipp is not here, and nothing can be measured: apt-get install sip-tester")
        return 1 if os.environ.get("CI") == "true" else 0
    chosen = arguments.only or list(SERVERS)
    runs = [(rate, name) for rate in arguments.rate for name in chosen]
    seconds = arguments.seconds
    if arguments.budget:
        seconds = max(3.0, arguments.budget / len(runs) - _BESIDE)
    outcomes = []
    for rate, name in runs:
        outcome = measure(SERVERS[name], rate, seconds)
        if outcome is None:
            print(f"{name}: not installed")
            continue
        outcomes.append(outcome)
        print(json.dumps(outcome._asdict()), flush=True)
    if arguments.markdown:
        print(markdown(outcomes))
    return 1 if any(each.failed for each in outcomes if each.server.startswith("trunk")) else 0


if __name__ == "__main__":
    sys.exit(main())
