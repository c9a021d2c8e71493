"""Where the CPU of a text goes, stage by stage, in microseconds of CPU per message.

The rows sum to the CPU of the process and of its store's writer. `store` is what the writer used
and what the main thread spent in gateway/store for whichever stage; the others are the main thread,
by the outermost room of ours on its stack. What comes over SMPP in one read belongs to responses
and receipts: where the stack cannot tell them apart, half goes to each. `loop` is the event loop
itself: polling and reading and writing sockets.

    python bench/stages.py --seconds 10 --callbacks 1
"""

import argparse
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import ours
import sms
from profiles import Profile

ACCEPT = "accept"
STORE = "store"
DISPATCH = "dispatch and response"
RECEIPT = "receipt"
CALLBACK = "callback"
LOOP = "loop"
OTHER = "other"
_READ = "read"  # half dispatch, half receipt
STAGES = (ACCEPT, STORE, DISPATCH, RECEIPT, CALLBACK, LOOP, OTHER)

# The first rule whose beginning a frame has gives the stage; frames from the outermost on.
_RULES = (
    ("gateway/messages/follow.py:_receipted", RECEIPT),
    ("gateway/messages/follow.py:_submitted", DISPATCH),
    ("gateway/messages/", None),
    ("carriers/traffic.py:_requested", RECEIPT),
    ("carriers/traffic.py:_responded", DISPATCH),
)
_OUTERMOST = (
    ("gateway/api/", ACCEPT),
    ("aiohttp/web", ACCEPT),
    ("gateway/messages/dispatch.py", DISPATCH),
    ("gateway/messages/callbacks.py", CALLBACK),
    ("gateway/messages/", _READ),
    ("gateway/core/", CALLBACK),
    ("gateway/webhooks/", CALLBACK),
    ("aiohttp/client", CALLBACK),
    ("aiohttp/connector", CALLBACK),
    ("carriers/", _READ),
    ("protocols/", _READ),
    ("gateway/", OTHER),
    ("aiohttp/", OTHER),
)
AROUND = (
    "gateway/cli",
    "gateway/daemon/",
    "gateway/process.py",
    "bench/",
    "uvloop/",
    "typer/",
    "click/",
    "asyncio/",
)


def stage_of(stack: Sequence[str]) -> str:
    """The stage of a stack, outermost frame first."""
    if any(frame.startswith("gateway/store/") for frame in stack):
        return STORE
    for beginning, stage in _RULES:
        if stage is not None and any(frame.startswith(beginning) for frame in stack):
            return stage
    for frame in stack:
        for beginning, stage in _OUTERMOST:
            if frame.startswith(beginning) and not frame.startswith(AROUND):
                return stage
    return LOOP


def by_stage(
    stacks: dict[str, float], stage_of: Callable[[Sequence[str]], str] = stage_of
) -> dict[str, float]:
    """Seconds of the main thread by stage."""
    found: defaultdict[str, float] = defaultdict(float)
    for stack, seconds in stacks.items():
        found[stage_of(stack.split(";"))] += seconds
    shared = found.pop(_READ, 0.0) / 2
    found[DISPATCH] += shared
    found[RECEIPT] += shared
    return found


def difference(later: dict[str, float], earlier: dict[str, float]) -> dict[str, float]:
    return {name: value - earlier.get(name, 0.0) for name, value in later.items()}


def measure(callbacks: int, seconds: float) -> dict[str, Any]:
    """One run; what was measured, with `stages` and `hottest` in µs per message."""
    folder = Path(tempfile.mkdtemp(prefix="trunkline-bench-"))
    try:
        peers = sms.start_peers(folder)
        profile = Profile(folder / "profile.json")
        gateway = ours.start(folder, peers, callbacks, profile.launcher)
        try:
            sms.measure(gateway, peers, min(2.0, seconds), callbacks)  # warm
            before = profile.read(gateway.pid)
            result = sms.measure(gateway, peers, seconds, callbacks)
            after = profile.read(gateway.pid)
        finally:
            gateway.end()
            for peer in peers:
                peer.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    threads = difference(after["threads"], before["threads"])
    stacks = difference(after["stacks"], before["stacks"])
    each = 1e6 / max(1, result["submitted"])
    result["stages"] = {
        name: round(value * each, 1) for name, value in totals(stacks, threads).items()
    }
    result["writer"] = round(threads.get("store-write", 0.0) * each, 1)
    result["hottest"] = hottest(stacks, each)
    return result


def totals(stacks: dict[str, float], threads: dict[str, float]) -> dict[str, float]:
    """CPU seconds by stage, all threads: what no sample saw is `other`."""
    found = by_stage(stacks)
    found[STORE] += threads.get("store-write", 0.0)
    known = sum(stacks.values()) + threads.get("store-write", 0.0)
    found[OTHER] += sum(threads.values()) - known
    return {stage: found[stage] for stage in STAGES}


def hottest(
    stacks: dict[str, float],
    each: float,
    count: int = 40,
    stage_of: Callable[[Sequence[str]], str] = stage_of,
) -> list[tuple[str, str, float]]:
    """The functions with most µs per message, all that they call included: stage, name, µs."""
    found: defaultdict[tuple[str, str], float] = defaultdict(float)
    for stack, seconds in stacks.items():
        frames = stack.split(";")
        stage = stage_of(frames)
        for frame in {frame for frame in frames if not frame.startswith(AROUND)}:
            found[stage, frame] += seconds
    ordered = sorted(found.items(), key=lambda item: -item[1])[:count]
    return [(stage, frame, round(seconds * each, 1)) for (stage, frame), seconds in ordered]


def table(result: dict[str, Any]) -> str:
    """The stages as Markdown."""
    lines = ["| stage | µs CPU per message | share |", "|---|---|---|"]
    whole = sum(result["stages"].values())
    for stage, value in result["stages"].items():
        lines.append(f"| {stage} | {value:.0f} | {100 * value / whole:.0f} % |")
    lines.append(f"| sum | {whole:.0f} | 100 % |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--callbacks", type=int, choices=(1, 2), default=1)
    parser.add_argument("--functions", action="store_true", help="also the costliest functions")
    arguments = parser.parse_args()
    result = measure(arguments.callbacks, arguments.seconds)
    print(table(result))
    print(
        f"\n{result['submitted']} messages, {result['callbacks_per_message']} callbacks each, "
        f"{result['messages_per_cpu_s']} per CPU-second while sampled; "
        f"of the store {result['writer']:.0f} µs are its writer's"
    )
    if not sms.told_whole(result):
        return 1
    if arguments.functions:
        for stage, frame, value in result["hottest"]:
            print(f"{value:8.1f}  {stage:22} {frame}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
