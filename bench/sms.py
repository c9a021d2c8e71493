"""Texts from REST to a carrier and back, and beside it Kannel against the same carrier.

One run: the load posts for `--seconds`, then everything drains. A message counts when the sink
has taken its submit_sm, its receipt was answered and its callbacks were received. CPU is that of
every process of the gateway. Ours is durable (fsync before each answer), with trace and timeline
on and the default configuration but for the carrier (window 100, as Kannel's); Kannel has its
file store, which does not fsync. Kannel gets as many callbacks per message as ours.

    python bench/sms.py --seconds 20 --runs 3 --markdown
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import kannel
import ours
from processes import Process, machine_busy

HERE = Path(__file__).parent


class Peers(NamedTuple):
    """What both gateways talk to."""

    sink: Process
    receiver: Process


def start_peers(folder: Path) -> Peers:
    peers = []
    for name in ("sink", "receiver"):
        stats = folder / f"{name}.json"
        command = [sys.executable, str(HERE / f"{name}.py"), "--stats", str(stats)]
        peers.append(Process(command, log=folder / f"{name}.log", stats=stats))
    for peer in peers:
        peer.wait_for_stats("port")
    return Peers(*peers)


def drive(arguments: list[str]) -> dict[str, Any]:
    """Run the load; what it printed."""
    command = [sys.executable, str(HERE / "load.py"), *arguments]
    found: dict[str, Any] = json.loads(subprocess.check_output(command))
    return found


def counts(peers: Peers) -> tuple[int, int, int]:
    sink = peers.sink.stats()
    callbacks = peers.receiver.stats()["callbacks"]
    return sink.get("submitted", 0), sink.get("receipts_answered", 0), callbacks


def drain(peers: Peers, before: tuple[int, int, int], accepted: int, per_message: int) -> float:
    """Wait until nothing moves any more; when the last count moved."""
    wanted = (accepted, accepted, accepted * per_message)
    last, moved = counts(peers), time.monotonic()
    while time.monotonic() - moved < 8.0:
        time.sleep(0.25)
        now = counts(peers)
        if now != last:
            last, moved = now, time.monotonic()
        if all(a - b >= w for a, b, w in zip(now, before, wanted, strict=True)):
            break
    return moved


def measure(gateway: Any, peers: Peers, seconds: float, callbacks: int) -> dict[str, Any]:
    before = counts(peers)
    cpu, busy, started = gateway.cpu(), machine_busy(), time.monotonic()
    own = sum(os.times()[:4])
    load = drive([*gateway.load(peers), "--seconds", str(seconds)])
    ended = drain(peers, before, load["accepted"], callbacks)
    time.sleep(0.6)  # the peers write their counters twice a second
    wall = ended - started
    submitted, receipts, called = (a - b for a, b in zip(counts(peers), before, strict=True))
    used = gateway.cpu() - cpu
    others = machine_busy() - busy - used - (sum(os.times()[:4]) - own)
    return {
        "gateway": gateway.name,
        "accepted": load["accepted"],
        "accepted_per_s": round(load["accepted"] / load["seconds"], 1),
        "refused": load["refused"],
        "submitted": submitted,
        "receipts": receipts,
        "callbacks": called,
        "callbacks_due": callbacks,
        "callbacks_per_message": round(called / max(1, submitted), 2),
        "messages_per_s": round(submitted / wall, 1),
        "cpu_s": round(used, 2),
        "messages_per_cpu_s": round(submitted / used, 1) if used else None,
        "p50_ms": load["p50_ms"],
        "p99_ms": load["p99_ms"],
        "memory_mb": round(gateway.memory()),
        "peers_and_others_cpu_s": round(others, 1),
    }


def one_run(kind: Any, callbacks: int, seconds: float) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    try:
        peers = start_peers(folder)
        gateway = kind.start(folder, peers, callbacks)
        try:
            measure(gateway, peers, min(2.0, seconds), callbacks)  # warm
            result = measure(gateway, peers, seconds, callbacks)
        finally:
            gateway.end()
            for peer in peers:
                peer.end()
        return result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def markdown(results: list[dict[str, Any]]) -> str:
    keys = (
        "gateway",
        "callbacks_per_message",
        "accepted_per_s",
        "messages_per_s",
        "messages_per_cpu_s",
        "p50_ms",
        "p99_ms",
        "memory_mb",
        "peers_and_others_cpu_s",
    )
    lines = ["| " + " | ".join(key.replace("_", " ") for key in keys) + " |"]
    lines.append("|" + "---|" * len(keys))
    lines += ["| " + " | ".join(str(each[key]) for key in keys) + " |" for each in results]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="load of one run")
    parser.add_argument("--budget", type=float, default=0.0, help="seconds for everything")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--callbacks", type=int, choices=(1, 2), action="append")
    parser.add_argument("--only", choices=("ours", "kannel"), action="append")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    callbacks = arguments.callbacks or [1, 2]
    kinds = {"ours": ours, "kannel": kannel}
    chosen = arguments.only or ["ours", "kannel"]
    if "kannel" in chosen and not kannel.provide():
        print("kannel is not here and could not be installed: its rows are missing")
        if os.environ.get("CI") == "true":
            return 1
        chosen.remove("kannel")
    runs, seconds = arguments.runs, arguments.seconds
    if arguments.budget:
        # Each measurement also warms up, drains and starts: about nine seconds.
        runs = 1
        seconds = max(2.0, arguments.budget / (len(callbacks) * len(chosen)) - 9.0)
    results = []
    for _ in range(runs):
        for each in callbacks:
            for name in chosen:
                results.append(one_run(kinds[name], each, seconds))
                print(json.dumps(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.markdown:
        print(markdown(results))
    missing = {each["gateway"] for each in results if not told_whole(each)}
    return 1 if any(name.startswith("trunkline") for name in missing) else 0


def told_whole(result: dict[str, Any]) -> bool:
    """Whether all that was accepted went all the way; says what did not."""
    accepted, whole = result["accepted"], True
    due = {
        "submitted": accepted,
        "receipts": accepted,
        "callbacks": accepted * result["callbacks_due"],
    }
    for name, count in due.items():
        if result[name] < count:
            print(f"{result['gateway']}: {result[name]} {name} of {count}")
            whole = False
    return whole


if __name__ == "__main__":
    sys.exit(main())
