"""The other SIP servers that `sip.py` sends the same calls through, started with configs of ours.

kamailio is a stateful proxy that challenges as we do, sippy's b2bua_simple a back-to-back user
agent in Python that can't. Neither has documents, media or anything durable.
"""

import os
import shutil
import socket
import time
from pathlib import Path
from typing import NamedTuple

from processes import Process

SCENARIOS = Path(__file__).parent / "sip_scenarios"
PASSWORD = "secret-of-acme"
CACHE = Path(os.environ.get("TRUNKLINE_CACHE") or Path.home() / ".cache" / "trunkline")
_KAMAILIO_MEMORY = 512  # megabytes: of the few hundred calls that wait it takes a part


class Peer(NamedTuple):
    """One that runs: where it listens, which calls it takes, and whether it asks for a password."""

    name: str
    process: Process
    port: int
    scenario: str
    challenges: bool


def free_port() -> int:
    """A UDP port that nobody has at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kamailio(folder: Path, callee: int) -> Peer | None:
    """kamailio with two workers, calls to `callee`; None if it is not installed."""
    modules = sorted(Path("/usr/lib").glob("*/kamailio/modules/tm.so"))
    command = shutil.which("kamailio", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if command is None or not modules:
        return None
    port, config = free_port(), folder / "kamailio.cfg"
    text = (SCENARIOS / "kamailio.cfg").read_text()
    for name, value in (
        ("port", port),
        ("callee", callee),
        ("password", PASSWORD),
        ("modules", f"{modules[0].parent}/"),
    ):
        text = text.replace(f"{{{name}}}", str(value))
    config.write_text(text)
    process = Process(
        [
            command, "-b", "4194304", "-f", str(config), "-DD", "-E", "-m",
            str(_KAMAILIO_MEMORY), "-M", "16", "-P", str(folder / "kamailio.pid"), "-Y",
            str(folder),
        ],
        log=folder / "kamailio.log",
    )  # fmt: skip
    _wait(process, port, folder / "kamailio.log")
    return Peer("kamailio, 2 workers, stateful proxy", process, port, "caller.xml", True)


def sippy(folder: Path, callee: int) -> Peer | None:
    """sippy's b2bua_simple, calls to `callee`; None if it is not installed."""
    own = CACHE / "sippy" / "bin" / "b2bua_simple"
    command = str(own) if own.exists() else shutil.which("b2bua_simple")
    if command is None:
        return None
    port = free_port()
    process = Process(
        [command, "-f", "-l", "127.0.0.1", "-p", str(port), "-n", f"127.0.0.1:{callee}"],
        log=folder / "sippy.log",
        # It would write each message into a file.
        environ={"SIPLOG_LOGFILE_FILE": os.devnull, "SIPLOG_LVL": "CRIT", "PYTHONPATH": ""},
    )
    _wait(process, port, folder / "sippy.log")
    return Peer("sippy, b2bua_simple", process, port, "caller_open.xml", False)


def _wait(process: Process, port: int, log: Path) -> None:
    """Until somebody listens at `port`."""
    wanted = f":{port:04X} "
    for _ in range(400):
        if not process.running():
            break
        if wanted in Path("/proc/net/udp").read_text():
            time.sleep(1.0)  # what its start still costs is no call's
            return
        time.sleep(0.05)
    process.end()
    raise SystemExit(f"{log.name}: did not start:\n{log.read_text(errors='replace')[-2000:]}")
