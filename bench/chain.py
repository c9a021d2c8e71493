"""The whole chain over PostgreSQL and Kafka: what a text costs our processes, and the servers.

REST, store, SMPP, receipt, callback, and beside it outbox, Kafka, dedup, tracking. Everything is
durable: PostgreSQL answers a commit when its disk has it, the broker acknowledges each batch and
dedup syncs its index. There is one callback per message. A run posts for `--seconds`, then waits
until all of it has drained, also the counters of tracking; CPU is counted from the first request
until then. Load, carrier and app are those of `bench/sms.py`, on the same cores. After the runs
of one process one more is sampled: it tells the parts.

    python bench/chain.py --seconds 20 --runs 3 --markdown
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import chain_stages
import scaled
import sms
import stages
from processes import machine_busy
from scaled import Launch
from servers import Broker, Database

_TRACKED = """
SELECT coalesce(sum(value), 0)::bigint FROM tracking_counters WHERE metric LIKE 'message.%'"""
_FACTS = "SELECT count(*) FROM facts WHERE type LIKE 'message.%'"
_TRACKED_WITHIN = 30.0  # seconds after the last callback
_WARM = 4.0  # seconds of load before what is measured
_BESIDE = 30.0  # seconds that a measurement takes beside its load: start, warm, drain
_MS = 1000
_SHOWN = (
    "gateway",
    "accepted_per_s",
    "messages_per_s",
    "p50_ms",
    "p99_ms",
    "ours_ms",
    "postgres_ms",
    "kafka_ms",
    "others_ms",
    "facts",
    "tracked_after_s",
    "memory_mb",
)


class Chain:
    """All that a run needs: servers, peers and the gateway. `stack` ends them."""

    def __init__(
        self, folder: Path, stack: ExitStack, processes: int, bus: str, launch: Launch
    ) -> None:
        self._database = Database()
        stack.callback(self._database.end)
        self._broker = Broker(folder / "kafka") if bus == "kafka" else None
        if self._broker:
            stack.callback(self._broker.end)
        self._peers = sms.start_peers(folder)
        for peer in self._peers:
            stack.callback(peer.end)
        self.gateway = scaled.start(
            folder,
            sink=self._peers.sink.stats()["port"],
            store=self._database.url,
            bus=self._broker.url if self._broker else "",
            processes=processes,
            launch=launch,
        )
        stack.callback(self.gateway.end)

    def run(self, seconds: float) -> dict[str, Any]:
        """Post for `seconds` and let everything drain; CPU in ms per message."""
        facts = self._facts()
        before, used, busy = sms.counts(self._peers), self._used(), machine_busy()
        started = time.monotonic()
        load = sms.drive([*self.gateway.load(self._peers), "--seconds", str(seconds)])
        ended = sms.drain(self._peers, before, load["accepted"], 1)
        untracked = self._until_tracked()
        tracked = time.monotonic()
        time.sleep(0.6)  # the peers write their counters twice a second
        cost = {name: value - used[name] for name, value in self._used().items()}
        ours = sum(cost[name] for name in ("ours", "postgres", "kafka"))
        cost["others"] = machine_busy() - busy - ours  # load, carrier, app and strangers
        submitted, receipts, callbacks = (
            later - earlier for later, earlier in zip(sms.counts(self._peers), before, strict=True)
        )
        each = _MS / max(1, submitted)
        return {
            "gateway": self.gateway.name,
            "accepted": load["accepted"],
            "accepted_per_s": round(load["accepted"] / load["seconds"], 1),
            "refused": load["refused"],
            "p50_ms": load["p50_ms"],
            "p99_ms": load["p99_ms"],
            "submitted": submitted,
            "receipts": receipts,
            "callbacks": callbacks,
            "callbacks_due": 1,
            "messages_per_s": round(submitted / (ended - started), 1),
            "facts": round((self._facts() - facts) / max(1, submitted), 2),
            "untracked": untracked,
            "tracked_after_s": round(tracked - ended, 1),
            **{f"{name}_ms": round(value * each, 3) for name, value in cost.items()},
            "memory_mb": round(self.gateway.memory()),
        }

    def _facts(self) -> int:
        return int(self._database.ask(_FACTS))

    def _until_tracked(self) -> int:
        """Wait until tracking has counted every fact; how many it has not."""
        facts, deadline = self._facts(), time.monotonic() + _TRACKED_WITHIN
        while (left := facts - int(self._database.ask(_TRACKED))) > 0:
            if time.monotonic() > deadline:
                break
            time.sleep(0.25)
        return left

    def _used(self) -> dict[str, float]:
        """CPU seconds since the start, of ours also by role."""
        roles = self.gateway.cpu_by_role()
        return {
            "ours": sum(roles.values()),
            "postgres": self._database.cpu(),
            "kafka": self._broker.cpu() if self._broker else 0.0,
            **({role: used for role, used in roles.items()} if len(roles) > 1 else {}),
        }


def measure(seconds: float, processes: int, bus: str, launch: Launch) -> dict[str, Any]:
    """One run; when it is sampled also the `parts` of it and the `hottest` functions, in µs."""
    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    try:
        with ExitStack() as stack:
            chain = Chain(folder, stack, processes, bus, launch)
            chain.run(min(_WARM, seconds))
            if launch is Launch.PLAIN:
                return chain.run(seconds)
            before = chain.gateway.profile()
            result = chain.run(seconds)
            return result | parts(before, chain.gateway.profile(), result["submitted"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def parts(before: Any, after: Any, messages: int) -> dict[str, Any]:
    """CPU between two profiles, µs per message."""
    stacks = stages.difference(after["stacks"], before["stacks"])
    threads = stages.difference(after["threads"], before["threads"])
    each = 1e6 / max(1, messages)
    totals = chain_stages.totals(stacks, threads)
    return {
        "parts": {name: round(value * each, 1) for name, value in totals.items()},
        "hottest": stages.hottest(stacks, each, 80, chain_stages.stage_of),
    }


def told_whole(result: dict[str, Any]) -> bool:
    """Whether all that was accepted went all the way; says what did not."""
    whole = sms.told_whole(result)
    if result["untracked"]:
        print(f"{result['gateway']}: {result['untracked']} facts were not counted by tracking")
    return whole and not result["untracked"]


def markdown(results: Iterable[dict[str, Any]]) -> str:
    """The runs as a table; CPU is in ms per message."""
    lines = ["| " + " | ".join(key.replace("_", " ") for key in _SHOWN) + " |"]
    lines.append("|" + "---|" * len(_SHOWN))
    lines += ["| " + " | ".join(str(each[key]) for key in _SHOWN) + " |" for each in results]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="load of one run")
    parser.add_argument("--budget", type=float, default=0.0, help="seconds for everything")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--processes", type=int, choices=tuple(scaled.ROLES), action="append")
    parser.add_argument("--bus", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--functions", action="store_true", help="also the costliest functions")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    plan = [
        (processes, Launch.PLAIN)
        for _ in range(arguments.runs)
        for processes in arguments.processes or tuple(scaled.ROLES)
    ]
    plan.append((plan[0][0] if plan else 1, Launch.SAMPLED))
    seconds = arguments.seconds
    if arguments.budget:
        plan = [(1, Launch.SAMPLED)]
        seconds = max(2.0, arguments.budget - _BESIDE)
    results = []
    for processes, launch in plan:
        result = measure(seconds, processes, arguments.bus, launch)
        result["sampled"] = launch is Launch.SAMPLED
        results.append(result)
        print(json.dumps({k: v for k, v in result.items() if k != "hottest"}), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.markdown:
        print(markdown(each for each in results if arguments.budget or not each["sampled"]))
        print()
        print(stages.table({"stages": results[-1]["parts"]}))
    if arguments.functions:
        for stage, frame, value in results[-1]["hottest"]:
            print(f"{value:8.1f}  {stage:22} {frame}")
    return 0 if all([told_whole(each) for each in results]) else 1


if __name__ == "__main__":
    sys.exit(main())
