"""Calls a second from INVITE to BYE, with sipp on both sides, and beside it other B2BUAs.

One call: the carrier's INVITE is challenged (digest), its number's document is fetched over HTTP,
ports are taken, the callee's INVITE goes out by a trunk with a description of ours, both answer,
and the caller hangs up 0.2 s later. Rows, facts, CDRs and the ladder are durable. CPU is that of
all processes of the gateway; the load of the machine is printed beside it.

    python bench/sip.py --rate 300 --seconds 60
"""

import argparse
import csv
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from processes import Process

HERE = Path(__file__).parent
SCENARIOS = HERE / "sip_scenarios"
NUMBER = "+15550001000"
TWIML = '<Response><Dial answerOnBridge="true"><Number>+447700900002</Number></Dial></Response>'
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
username = "acme"
password = "secret-of-acme"
emergency = []
options_interval = "0s"
[[numbers]]
number = "{number}"
voice_url = "http://127.0.0.1:{document}/voice"
"""


class Outcome(NamedTuple):
    """What sipp said of its calls; times in milliseconds."""

    rate: float
    calls: int
    failed: int
    retransmissions: int
    p50: float
    p99: float
    cpu_ms: float
    load: float

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.rate:.0f} | {self.calls} | {self.failed} | {self.retransmissions}"
            f" | {self.p50:.1f} | {self.p99:.1f} | {self.cpu_ms:.2f} | {self.load:.1f} |"
        )


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def callee(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """sipp that answers; its process and port."""
    port = free_port()
    command = ["sipp", "-sf", str(SCENARIOS / "callee.xml"), "-i", "127.0.0.1", "-p", str(port)]
    command += ["-nostdin", "-l", "200000", "-buff_size", "4194304"]
    child = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return child, port


def drive(folder: Path, target: int, rate: int, seconds: int, more: list[str]) -> dict[str, Any]:
    """sipp that calls; what it counted."""
    stats, times = folder / "caller.csv", folder / "caller_rtt.csv"
    command = [
        "sipp", f"127.0.0.1:{target}", "-sf", str(SCENARIOS / "caller.xml"), "-s", NUMBER,
        "-i", "127.0.0.1", "-p", str(free_port()), "-r", str(rate), "-m", str(rate * seconds),
        "-l", "60000", "-nostdin", "-buff_size", "4194304", "-trace_stat", "-stf", str(stats),
        "-fd", "1", "-trace_rtt", "-rtt_freq", "200", *more,
    ]  # fmt: skip
    subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=seconds + 60,
        check=False,
    )
    with stats.open() as lines:
        last = list(csv.DictReader(lines, delimiter=";"))[-1]
    found: list[float] = []
    for file in folder.glob("caller_*_rtt.csv"):
        rows = file.read_text().splitlines()[1:]
        found += [float(row.split(";")[1]) for row in rows if row.count(";") >= 1]
    del times
    found.sort()
    return {
        "calls": int(last["SuccessfulCall(C)"]),
        "failed": int(last["FailedCall(C)"]),
        "retransmissions": int(last["Retransmissions(C)"]),
        "p50": found[len(found) // 2] if found else 0.0,
        "p99": found[int(len(found) * 0.99)] if found else 0.0,
    }


def ours(folder: Path, rate: int, seconds: int) -> Outcome:
    """One run through the gateway."""
    document = Process(
        [sys.executable, str(HERE / "document.py"), "--stats", str(folder / "document.json"),
         "--twiml", TWIML],
        log=folder / "document.log",
        stats=folder / "document.json",
    )  # fmt: skip
    answering, port = callee(folder)
    data = folder / "var"
    config = folder / "trunkline.toml"
    asked = document.wait_for_stats("port")
    config.write_text(
        _CONFIG.replace("{callee}", str(port))
        .replace("{document}", str(asked))
        .replace("{number}", NUMBER)
    )
    gateway = Process(
        [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--data", str(data)],
        log=folder / "gateway.log",
        stats=data / "ports.json",
        environ={"PYTHONPATH": str(HERE.parent)},
    )
    try:
        target = int(gateway.wait_for_stats("sip_udp"))
        time.sleep(1.0)
        before = gateway.cpu()
        began = time.monotonic()
        known = f"{NUMBER}@127.0.0.1:{target}"
        credentials = ["-au", "acme", "-ap", "secret-of-acme", "-auth_uri", known]
        found = drive(folder, target, rate, seconds, credentials)
        took = time.monotonic() - began
        cpu = gateway.cpu() - before
        return Outcome(
            rate=found["calls"] / took,
            cpu_ms=cpu / max(1, found["calls"]) * 1000,
            load=os.getloadavg()[0],
            **found,
        )
    finally:
        gateway.end()
        answering.kill()
        answering.wait()
        document.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="a folder for the logs, which is kept")
    given = parser.parse_args()
    if shutil.which("sipp") is None:
        raise SystemExit("sipp is needed: apt-get install sip-tester")
    print(
        "| gateway | calls/s | calls | failed | retransmissions | p50 ms | p99 ms | CPU ms | load |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as made:
        folder = given.keep or Path(made)
        folder.mkdir(exist_ok=True, parents=True)
        print(ours(folder, given.rate, given.seconds).row("trunkline, SQLite, fsync"))


if __name__ == "__main__":
    main()
