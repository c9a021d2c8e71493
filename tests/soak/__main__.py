"""`python -m tests.soak`: a steady load for a while, and then nothing may be left over.

First texts, then calls. Ends with 0 if every text that was accepted reached the state it should
and was told of it, and so did every call; memory and open files stayed flat, no port of media is
bound, no error was logged, and no job, message, receipt or transaction waits any more.
"""

import argparse
import asyncio
import contextlib
import json
import re
import shutil
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from math import inf
from pathlib import Path

from tests.integration.gateway_process import App, get
from tests.running import RunningGateway
from tests.soak import calls
from tests.soak.load import FINAL_OF, Load
from tests.soak.watch import Watch, file_problems, growth, memory_problems

_CONFIG = """
[[carriers]]
name = "simulated"
kind = "simulated"
response_timeout = "2s"
"""
_DRAIN_WITHIN = 90.0
_SHOWN = 20
_PAGE = 1000
_ANY = 10**6  # calls
_SILENT = 5  # calls that end by silence, where there is time for it
_ERROR = re.compile(r"\[(error|critical)\b")
_MUST_BE_ZERO = (
    "trunkline_store_queued",
    "trunkline_jobs_busy",
    "trunkline_jobs_unstored",
    "trunkline_jobs_behind",
    "trunkline_messages_accepting",
    "trunkline_messages_in_flight",
    "trunkline_messages_in_memory",
    "trunkline_messages_parked_receipts",
    "trunkline_carrier_window_in_use",
)


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long the loads last, each for half of it"
    )
    parser.add_argument("--calls", type=int, default=0, help="only calls, and so many of them")
    parser.add_argument("--rate", type=float, default=100.0, help="texts per second")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="trunkline-soak-"))
    found: list[str] = []
    if not options.calls:
        found += _texts(home, options.seconds / 2, options.rate)
    made = home / "calls"
    made.mkdir()
    if options.calls:
        found += asyncio.run(calls.soak(made, inf, options.calls, silent=_SILENT))
    else:
        found += asyncio.run(calls.soak(made, options.seconds / 2, _ANY, silent=0))
    for problem in found[:_SHOWN]:
        print(f"  {problem}")
    if found:
        print(f"{len(found)} problems; logs are in {home}")
        return 1
    shutil.rmtree(home)
    print("nothing was lost, nothing is left over")
    return 0


def _texts(home: Path, seconds: float, rate: float) -> list[str]:
    app, gateway = App(home), RunningGateway(home, _CONFIG)
    try:
        app.start()
        gateway.start()
        return asyncio.run(_soak(gateway, app, seconds, rate))
    finally:
        gateway.kill()
        app.stop()


async def _soak(gateway: RunningGateway, app: App, seconds: float, rate: float) -> list[str]:
    assert gateway.process is not None
    load = Load(gateway, app.url("/status"), rate)
    watch = Watch(gateway.process.pid, gateway.data)
    before = watch.look()
    watching = asyncio.create_task(watch.run())
    await load.run(seconds)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    began = time.monotonic()
    found = await _drained(gateway, app, load)
    after = watch.look()
    warm, end = growth(watch.samples)
    print(
        f"{len(load.accepted)} texts in {seconds:g} s, drained {time.monotonic() - began:.1f} s"
        f" later; the load was late by {load.behind:.2f} s at worst\n"
        f"memory {warm.memory:.1f} -> {end.memory:.1f} MB,"
        f" files at rest {before.files} -> {after.files},"
        f" database {warm.database:.1f} -> {end.database:.1f} MB",
        flush=True,
    )
    if load.refused:
        found.append(f"refused, by HTTP status: {dict(load.refused)}")
    found += memory_problems(warm, end) + file_problems(before, after)
    if gateway.terminate() != 0:
        found.append("the gateway did not end well")
    lines = gateway.log.read_text().splitlines()
    return found + [f"logged: {line}" for line in lines if _ERROR.search(line)]


async def _drained(gateway: RunningGateway, app: App, load: Load) -> list[str]:
    """Wait until nothing is open; what still is after the limit."""
    deadline = time.monotonic() + _DRAIN_WITHIN
    while True:
        found = [*_open_work(gateway), *_lost(gateway, app, load)]
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(1.0)


def _open_work(gateway: RunningGateway) -> Iterator[str]:
    with urllib.request.urlopen(f"{gateway.url}/metrics", timeout=30) as response:
        text = response.read().decode()
    seen = set()
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        family = name.partition("{")[0]
        if family in _MUST_BE_ZERO:
            seen.add(family)
            if float(value):
                yield f"{name} is {value}, not 0"
    for family in set(_MUST_BE_ZERO) - seen:
        yield f"there is no metric {family}"
    for job in get(gateway, "/v1/jobs?limit=1")["jobs"]:
        yield f"a job is open: {job}"


def _lost(gateway: RunningGateway, app: App, load: Load) -> Iterator[str]:
    """Texts without their end, or without their callbacks."""
    ends = dict(_ends(gateway))
    told = _told(app)
    for sid, digits in load.accepted.items():
        final = FINAL_OF.get(digits, "delivered")
        if ends.get(sid) != final:
            yield f"{sid} to …{digits} is {ends.get(sid)}, not {final}"
        due = {"failed"} if final == "failed" else {"sent", final}
        if told.get(sid) != due:
            yield f"{sid} to …{digits}: the app was told {sorted(told.get(sid, ()))}"


def _ends(gateway: RunningGateway) -> Iterator[tuple[str, str]]:
    page = f"/2010-04-01/Accounts/{gateway.account_sid}/Messages.json?PageSize={_PAGE}"
    while page:
        answer = get(gateway, page)
        for message in answer["messages"]:
            yield message["sid"], message["status"]
        page = answer["next_page_uri"]


def _told(app: App) -> dict[str, set[str]]:
    told: defaultdict[str, set[str]] = defaultdict(set)
    for line in app.ledger.open():
        if line.endswith("\n"):
            params = json.loads(line)["params"]
            told[params["MessageSid"]].add(params["MessageStatus"])
    return told


if __name__ == "__main__":
    sys.exit(main())
